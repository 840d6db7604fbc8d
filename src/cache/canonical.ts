/**
 * The canonical text of a JSON value: RFC 8785, except that the order of keys is kept where it reaches the prompt (tool
 * schemas, tool-call arguments, output schemas: Ollama keeps it on purpose, and two orders are two prompts). What is written
 * here is hashed and never sent.
 *
 * A value that JSON.parse and a node could read differently has no canonical text (null, "not cacheable"): keys twice in one
 * object or in two spellings, integers beyond 2^53, numbers beyond a double, lone surrogates, bytes that are not UTF-8,
 * integer-like keys where order counts (JavaScript moves them), nesting deeper than `depthMax`.
 */
import { isUtf8 } from 'node:buffer'

import { stringEnd } from '../wire/json-scan.ts'

/** Deeper values are not cached: real requests nest less than 20 levels. */
const depthMax = 200
const safeDigits = 15

/** Below these keys the order of keys is kept. A superset of what reaches a prompt costs misses, never a wrong answer. */
const orderedBelow: ReadonlySet<string> = new Set([
  'parameters',
  'input_schema',
  'arguments',
  'format',
  'schema',
  'input',
  'definitions',
  '$defs',
])

class NotCanonical extends Error {}

/** Canonical text of the JSON at `[start, end)` of `body`; `edit` may replace the parsed value first. Null: not cacheable. */
export function canonicalSlice(
  body: Buffer,
  { start, end }: { readonly start: number; readonly end: number },
  { name, edit }: { readonly name: string; readonly edit?: ((value: unknown) => unknown) | undefined },
): string | null {
  const bytes = body.subarray(start, end)
  if (!isUtf8(bytes)) return null
  const keys = countKeys(bytes)
  if (keys < 0) return null
  let value: unknown
  try {
    value = JSON.parse(bytes.utf8Slice(0, bytes.length))
  } catch {
    return null
  }
  const written = write(value, orderedBelow.has(name))
  if (written === null || written.keys !== keys) return null
  if (edit === undefined) return written.text
  return write(edit(value), orderedBelow.has(name))?.text ?? null
}

/** Canonical text of a parsed value; null when it has none. `ordered`: keys keep their order from the top on. */
export function canonicalText(value: unknown, ordered = false): string | null {
  return write(value, ordered)?.text ?? null
}

function write(value: unknown, ordered: boolean): { text: string; keys: number } | null {
  const writer = new Writer()
  try {
    const text = writer.value(value, { ordered, depth: 0 })
    return { text, keys: writer.keys }
  } catch (error) {
    if (error instanceof NotCanonical) return null
    throw error
  }
}

interface Place {
  readonly ordered: boolean
  readonly depth: number
}

class Writer {
  /** Keys of all objects written. */
  keys = 0

  value(value: unknown, place: Place): string {
    if (typeof value === 'string') return this.#string(value)
    if (typeof value === 'number') {
      if (!Number.isFinite(value)) throw new NotCanonical()
      return JSON.stringify(value)
    }
    if (typeof value === 'boolean' || value === null) return String(value)
    if (typeof value !== 'object' || place.depth >= depthMax) throw new NotCanonical()
    return Array.isArray(value) ? this.#array(value, place) : this.#object(value, place)
  }

  #string(text: string): string {
    if (!text.isWellFormed()) throw new NotCanonical()
    return JSON.stringify(text)
  }

  #array(items: readonly unknown[], { ordered, depth }: Place): string {
    const inside = { ordered, depth: depth + 1 }
    let text = '['
    for (let index = 0; index < items.length; index += 1) text += (index === 0 ? '' : ',') + this.value(items[index], inside)
    return `${text}]`
  }

  #object(object: object, { ordered, depth }: Place): string {
    const keys = Object.keys(object)
    this.keys += keys.length
    refuseFoldedTwins(keys)
    if (ordered) refuseMovedKeys(keys)
    else keys.sort()
    let text = '{'
    for (const key of keys) {
      const inside = { ordered: ordered || orderedBelow.has(key), depth: depth + 1 }
      text += `${text.length === 1 ? '' : ','}${this.#string(key)}:${this.value(Reflect.get(object, key), inside)}`
    }
    return `${text}}`
  }
}

/** Go matches the fields of a struct without regard to case and lets the last one win: sorting would hide which that is. */
function refuseFoldedTwins(keys: readonly string[]): void {
  if (keys.length < 2) return
  const folded = new Set<string>()
  for (const key of keys) folded.add(key.toLowerCase())
  if (folded.size !== keys.length) throw new NotCanonical()
}

/** JavaScript lists integer-like keys first, whatever their place in the text was. */
function refuseMovedKeys(keys: readonly string[]): void {
  if (keys.length < 2) return
  for (const key of keys) if (/^(?:0|[1-9]\d*)$/.test(key)) throw new NotCanonical()
}

const quote = 0x22
const colon = 0x3a

/** Keys in the text (colons outside strings), to be compared with those that JSON.parse kept; -1 for an integer beyond 2^53. */
function countKeys(bytes: Buffer): number {
  let keys = 0
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte === quote) {
      at = stringEnd(bytes, at) - 1
      if (at < 0) return -1
    } else if (byte === colon) {
      keys += 1
    } else if (isDigit(byte)) {
      const end = numberEnd(bytes, at)
      if (end - at > safeDigits && !isSafeNumber(bytes.latin1Slice(at, end))) return -1
      at = end - 1
    }
  }
  return keys
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** Index behind the number: digits, point, exponent and its sign. */
function numberEnd(bytes: Buffer, start: number): number {
  let at = start
  for (;;) {
    const byte = bytes[at] ?? 0
    if (!isDigit(byte) && byte !== 0x2e && byte !== 0x2b && byte !== 0x2d && (byte | 0x20) !== 0x65) return at
    at += 1
  }
}

function isSafeNumber(text: string): boolean {
  return !/^\d+$/.test(text) || Number.isSafeInteger(Number(text))
}
