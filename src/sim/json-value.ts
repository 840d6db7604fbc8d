/**
 * JSON values and how Go writes them: `<`, `>`, `&`, U+2028 and U+2029 are escaped. Readers return a default instead of
 * throwing, because requests are decoded against a shape (`json-shape.ts`) before anything reads them.
 */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue | undefined
}

const escapes: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
}

/** Text as Go's `encoding/json` writes it. */
export function writeJson(value: JsonValue | undefined): string {
  const text = JSON.stringify(value ?? null)
  return /[<>&\u2028\u2029]/.test(text) ? text.replace(/[<>&\u2028\u2029]/g, (char) => escapes[char] ?? char) : text
}

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
export function textOf(value: JsonValue | undefined, otherwise = ''): string {
  return typeof value === 'string' ? value : otherwise
}
export function numberOf(value: JsonValue | undefined, otherwise = 0): number {
  return typeof value === 'number' ? value : otherwise
}
export function flagOf(value: JsonValue | undefined, otherwise = false): boolean {
  return typeof value === 'boolean' ? value : otherwise
}
export function listOf(value: JsonValue | undefined): JsonValue[] {
  return Array.isArray(value) ? value : []
}
export function objectOf(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {}
}
/** The same object with its keys in alphabetical order, all levels: a Go map. */
export function sortKeys(value: JsonValue | undefined): JsonValue {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (!isObject(value)) return value ?? null
  const sorted: JsonObject = {}
  for (const key of Object.keys(value).toSorted()) sorted[key] = sortKeys(value[key])
  return sorted
}
