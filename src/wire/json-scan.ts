/**
 * Walks JSON bytes without parsing them: where a value ends, what the fields of an object are. Strings are skipped by a
 * native search for the next quote, so a prompt of a megabyte costs microseconds. Lenient inside nested values (a node
 * judges those), strict about what it reports.
 */
import { CorralError } from '../core/errors.ts'
import type { EnvelopeField, JsonKind } from '../core/envelope.ts'

export interface ScanLimits {
  /** Deepest nesting; Go's own decoder stops at 10,000. */
  readonly depthMax: number
  /** Most fields of one object that is looked into. */
  readonly keysMax: number
}

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const colon = 0x3a
const comma = 0x2c

/** Index of the first byte that is no JSON white space, from `position` on. */
export function skipSpace(body: Buffer, position: number): number {
  let at = position
  for (;;) {
    const byte = body[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at += 1
  }
}

/** Index after the string that opens at `start`; -1 when it never ends. */
export function stringEnd(body: Buffer, start: number): number {
  let at = start
  for (;;) {
    at = body.indexOf(quote, at + 1)
    if (at < 0) return -1
    let slashes = 0
    while (body[at - 1 - slashes] === backslash) slashes += 1
    if (slashes % 2 === 0) return at + 1
  }
}

function nestedEnd(body: Buffer, start: number, depthMax: number): number {
  let depth = 0
  for (let at = start; at < body.length; at += 1) {
    const byte = body[at]
    if (byte === quote) {
      at = stringEnd(body, at) - 1
      if (at < 0) return -1
    } else if (byte === openBrace || byte === openBracket) {
      depth += 1
      if (depth > depthMax) throw new CorralError('too_deep', `the JSON body is nested deeper than ${depthMax} levels`)
    } else if (byte === closeBrace || byte === closeBracket) {
      depth -= 1
      if (depth === 0) return at + 1
    }
  }
  return -1
}

const literals: Readonly<Record<number, { readonly text: string; readonly kind: JsonKind }>> = {
  0x74: { text: 'true', kind: 'true' },
  0x66: { text: 'false', kind: 'false' },
  0x6e: { text: 'null', kind: 'null' },
}

const isNumberByte = (byte: number | undefined): boolean =>
  byte !== undefined &&
  ((byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2b || byte === 0x2e || byte === 0x65 || byte === 0x45)

/** The value that begins at `start`; null when there is none that is well-formed as far as this scanner looks. */
export function scanValue(body: Buffer, start: number, depthMax: number): EnvelopeField | null {
  const byte = body[start]
  if (byte === undefined) return null
  if (byte === quote) return ended('string', start, stringEnd(body, start))
  if (byte === openBrace) return ended('object', start, nestedEnd(body, start, depthMax))
  if (byte === openBracket) return ended('array', start, nestedEnd(body, start, depthMax))
  const literal = literals[byte]
  if (literal !== undefined) {
    const end = start + literal.text.length
    return end <= body.length && body.latin1Slice(start, end) === literal.text ? { kind: literal.kind, start, end } : null
  }
  let end = start
  while (isNumberByte(body[end])) end += 1
  return end === start ? null : { kind: 'number', start, end }
}

function ended(kind: JsonKind, start: number, end: number): EnvelopeField | null {
  return end < 0 ? null : { kind, start, end }
}

/** Called with each field of an object as it is found; false stops the walk. `keyStart`: index of the key's quote. */
export type FieldVisitor = (key: string, value: EnvelopeField, keyStart: number) => boolean

/**
 * Calls `onField` for each field of the object that opens at `start`, in order; `onField` may return false to stop.
 * Returns the index after the object, or -1 when it is malformed (or the walk was stopped).
 */
export function scanObject(body: Buffer, start: number, limits: ScanLimits, onField: FieldVisitor): number {
  if (body[start] !== openBrace) return -1
  let at = skipSpace(body, start + 1)
  if (body[at] === closeBrace) return at + 1
  for (let count = 1; ; count += 1) {
    if (count > limits.keysMax) throw new CorralError('invalid_request', `a JSON object has more than ${limits.keysMax} fields`)
    if (body[at] !== quote) return -1
    const keyStart = at
    const keyEnd = stringEnd(body, at)
    if (keyEnd < 0) return -1
    const key = decodeString(body, keyStart, keyEnd)
    at = skipSpace(body, keyEnd)
    if (key === null || body[at] !== colon) return -1
    const value = scanValue(body, skipSpace(body, at + 1), limits.depthMax - 1)
    if (value === null || !onField(key, value, keyStart)) return -1
    at = skipSpace(body, value.end)
    if (body[at] === closeBrace) return at + 1
    if (body[at] !== comma) return -1
    at = skipSpace(body, at + 1)
  }
}

/** Calls `onItem` for each item of the array that opens at `start` until it returns false. */
export function scanArray(body: Buffer, start: number, depthMax: number, onItem: (item: EnvelopeField) => boolean): void {
  let at = skipSpace(body, start + 1)
  while (body[at] !== closeBracket) {
    const item = scanValue(body, at, depthMax)
    if (item === null || !onItem(item)) return
    at = skipSpace(body, item.end)
    if (body[at] !== comma) return
    at = skipSpace(body, at + 1)
  }
}

/** The text of the JSON string at `[start, end)`; null when its escapes are malformed. */
export function decodeString(body: Buffer, start: number, end: number): string | null {
  const text = body.utf8Slice(start + 1, end - 1)
  if (!text.includes('\\')) return text
  try {
    const value: unknown = JSON.parse(`"${text}"`)
    return typeof value === 'string' ? value : null
  } catch {
    return null
  }
}
