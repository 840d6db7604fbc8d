/**
 * How a vector lies in a cache: a fixed head with a CRC-32, then float32 in little-endian order. It is kept as float32 only when
 * printing that gives the node's own text again, byte for byte; else the text itself is kept. So a cached and a fresh answer
 * cannot differ.
 */
import { crc32 } from 'node:zlib'
import { endianness } from 'node:os'

import { printFloat32, printFloat64 } from './float-text.ts'

const magic = 0x31565243 // "CRV1"
const crcAt = 4
const crcFrom = 8
const versionAt = 8
const dtypeAt = 9
const flagsAt = 10
const dimensionsAt = 12
const tokensAt = 16
const headBytes = 20
const version = 1
const dtypeFloat = 1
const dtypeText = 2
const tokensExact = 1
const quote = 0x22
const swapsBytes = endianness() === 'BE'

/**
 * How an answer spells a vector: `float32` a JSON array of float32 · `float64` of float64 (the legacy route) · `base64` a JSON
 * string of little-endian float32.
 */
export type VectorForm = 'float32' | 'float64' | 'base64'

/** Prompt tokens of one text; not exact when a node only told the sum over several. */
export interface TokenCount {
  readonly count: number
  readonly exact: boolean
}

/** An entry out of a node's text; null when the vector is none to keep: not finite, all zero, empty, unreadable. */
export function encodeVector(text: string, form: VectorForm, tokens: TokenCount): Buffer | null {
  const numbers = form === 'base64' ? fromBase64(text) : fromJson(text)
  if (numbers === null || !numbers.some((number) => number !== 0)) return null
  const bytes = toBytes(numbers)
  const isSame = printVector(numbers, form) === text
  // In another form the same numbers are printed from float32 too, so a text that is not printed so cannot serve as such.
  const payload = isSame ? bytes : Buffer.from(text, 'latin1')
  return withHead(payload, { dtype: isSame ? dtypeFloat : dtypeText, dimensions: numbers.length, tokens })
}

function withHead(
  payload: Buffer,
  { dtype, dimensions, tokens }: { readonly dtype: number; readonly dimensions: number; readonly tokens: TokenCount },
): Buffer {
  const entry = Buffer.alloc(headBytes + payload.length)
  entry.writeUInt32LE(magic, 0)
  entry[versionAt] = version
  entry[dtypeAt] = dtype
  entry[flagsAt] = tokens.exact ? tokensExact : 0
  entry.writeUInt32LE(dimensions, dimensionsAt)
  entry.writeUInt32LE(tokens.count, tokensAt)
  payload.copy(entry, headBytes)
  entry.writeUInt32LE(crc32(entry.subarray(crcFrom)), crcAt)
  return entry
}

/** Whether bytes from outside are a vector, whole and unchanged. */
export function isIntactVector(entry: Buffer): boolean {
  if (entry.length <= headBytes || entry.readUInt32LE(0) !== magic || entry[versionAt] !== version) return false
  if (entry.readUInt32LE(crcAt) !== crc32(entry.subarray(crcFrom))) return false
  return entry[dtypeAt] === dtypeText || entry.length === headBytes + 4 * dimensionsOf(entry)
}

export function dimensionsOf(entry: Buffer): number {
  return entry.readUInt32LE(dimensionsAt)
}

export function tokensOf(entry: Buffer): TokenCount {
  return { count: entry.readUInt32LE(tokensAt), exact: entry[flagsAt] === tokensExact }
}

/** Whether the vector can be told in `form`. */
export function canTell(entry: Buffer, form: VectorForm): boolean {
  return entry[dtypeAt] !== dtypeText || (entry[headBytes] === quote) === (form === 'base64')
}

/** The vector as an answer of `form` spells it; null when it is kept as a text of another form. */
export function vectorText(entry: Buffer, form: VectorForm): string | null {
  if (entry[dtypeAt] === dtypeText) {
    return canTell(entry, form) ? entry.latin1Slice(headBytes, entry.length) : null
  }
  if (form === 'base64') return `"${entry.toString('base64', headBytes)}"`
  return printVector(fromBytes(entry.subarray(headBytes)), form)
}

function printVector(numbers: Float32Array, form: VectorForm): string {
  if (form === 'base64') return `"${toBytes(numbers).toString('base64')}"`
  const print = form === 'float32' ? printFloat32 : printFloat64
  let text = '['
  for (let index = 0; index < numbers.length; index += 1) text += (index === 0 ? '' : ',') + print(numbers[index] ?? 0)
  return `${text}]`
}

/** Null: no array of finite numbers. */
function fromJson(text: string): Float32Array | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (!Array.isArray(value) || value.length === 0) return null
  const numbers = new Float32Array(value.length)
  for (let index = 0; index < value.length; index += 1) {
    const number: unknown = value[index]
    const rounded = typeof number === 'number' ? Math.fround(number) : Number.NaN
    if (!Number.isFinite(rounded)) return null
    numbers[index] = rounded
  }
  return numbers
}

/** Null: no base64 of finite float32. */
function fromBase64(text: string): Float32Array | null {
  const bytes = Buffer.from(text.slice(1, -1), 'base64')
  if (bytes.length === 0 || bytes.length % 4 !== 0) return null
  const numbers = fromBytes(bytes)
  return numbers.every((number) => Number.isFinite(number)) ? numbers : null
}

/** A copy: entries lie at any address. */
function fromBytes(bytes: Buffer): Float32Array {
  const numbers = new Float32Array(bytes.length >>> 2)
  const raw = Buffer.from(numbers.buffer)
  bytes.copy(raw)
  if (swapsBytes) raw.swap32()
  return numbers
}

function toBytes(numbers: Float32Array): Buffer {
  const bytes = Buffer.from(numbers.slice().buffer)
  return swapsBytes ? bytes.swap32() : bytes
}
