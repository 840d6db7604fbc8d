/** JSON taken apart and put together as text, one character per byte: what a node wrote is never printed anew. */
import type { EnvelopeField } from '../core/envelope.ts'
import { scanArray, scanObject } from '../wire/json-scan.ts'

const unlimited = { depthMax: Infinity, keysMax: Infinity }

/** Fields of the object that opens at `start`; null when it is malformed. */
export function fieldsOf(body: Buffer, start: number): ReadonlyMap<string, EnvelopeField> | null {
  const fields = new Map<string, EnvelopeField>()
  const end = scanObject(body, start, unlimited, (key, value) => {
    fields.set(key, value)
    return true
  })
  return end < 0 ? null : fields
}

/** Fields of a field that is an object; null when it is none. */
export function fieldsIn(body: Buffer, field: EnvelopeField | undefined): ReadonlyMap<string, EnvelopeField> | null {
  return field?.kind === 'object' ? fieldsOf(body, field.start) : null
}

/** Text of a value as it stands. */
export function rawText(body: Buffer, field: EnvelopeField): string {
  return body.latin1Slice(field.start, field.end)
}

/** What stands between the quotes of a string or the brackets of an array; empty for an absent one and for other kinds. */
export function rawInside(body: Buffer, field: EnvelopeField | undefined): string {
  return field?.kind === 'string' || field?.kind === 'array' ? body.latin1Slice(field.start + 1, field.end - 1) : ''
}

/** Items of an array, in order. */
export function itemsOf(body: Buffer, field: EnvelopeField | undefined): readonly EnvelopeField[] {
  const items: EnvelopeField[] = []
  if (field?.kind !== 'array') return items
  scanArray(body, field.start, Infinity, (item) => {
    items.push(item)
    return true
  })
  return items
}

/** Two lists' insides as one. */
export function joinItems(left: string, right: string): string {
  return left === '' || right === '' ? left + right : `${left},${right}`
}

/** Whether an object has no fields but these. */
export function hasOnly(fields: ReadonlyMap<string, unknown>, known: ReadonlySet<string>): boolean {
  for (const key of fields.keys()) if (!known.has(key)) return false
  return true
}

/** `"key":value` pairs as an object. Null values are left out. */
export function objectText(pairs: readonly (readonly [string, string | null])[]): string {
  const present = pairs.filter(([, value]) => value !== null)
  return `{${present.map(([key, value]) => `"${key}":${value}`).join(',')}}`
}
