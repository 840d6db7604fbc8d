/**
 * How an answer lies in a cache: one buffer, a fixed head, short texts, a table of chunks, the body as it was sent. A CRC-32
 * over everything behind it guards what comes back from outside this process; whatever does not check out is a miss. Nothing
 * of the answer's HTTP framing is in it: of the headers only the content type.
 */
import { crc32 } from 'node:zlib'

import type { Usage } from '../core/relay.ts'

const magic = 0x314c5243 // "CRL1"
const crcStart = 4
const crcEnd = 8
const headBytes = 97
const chunkBytes = 6
const gapMsMax = 0xffff

export interface CachedAnswer {
  readonly form: 'stream' | 'whole'
  readonly status: number
  /** For people only: hosts' wall clocks differ, ages are counted by the stores. */
  readonly createdAtWallMs: number
  /** Milliseconds from dispatch to the end of the answer. */
  readonly originMs: number
  readonly usage: Usage | null
  readonly frames: number
  readonly contentType: string
  /** Pattern of the route that it answers. */
  readonly route: string
  /** The model as the first asker spelled it, and so as the body names it. */
  readonly model: string
  readonly body: Buffer
  /** Bytes of each chunk as it came, and milliseconds since the one before. Empty for a whole answer. */
  readonly chunks: Chunks
}

export interface Chunks {
  readonly count: number
  lengthAt(index: number): number
  gapMsAt(index: number): number
}

const usageFields = ['promptTokens', 'cachedPromptTokens', 'outputTokens', 'loadMs', 'promptMs', 'outputMs', 'totalMs'] as const
const usageStart = 33
const noUsage = 0xff

/** The answer as one buffer. */
export function encodeEntry(answer: CachedAnswer): Buffer {
  const texts = [answer.contentType, answer.route, answer.model].map((text) => Buffer.from(text))
  const textBytes = texts.reduce((sum, text) => sum + 2 + text.length, 0)
  const { count } = answer.chunks
  const entry = Buffer.alloc(headBytes + textBytes + 4 + count * chunkBytes + answer.body.length)
  writeHead(entry, answer)
  let at = headBytes
  for (const text of texts) {
    at = entry.writeUInt16LE(text.length, at)
    at += text.copy(entry, at)
  }
  at = entry.writeUInt32LE(count, at)
  for (let index = 0; index < count; index += 1) {
    at = entry.writeUInt32LE(answer.chunks.lengthAt(index), at)
    at = entry.writeUInt16LE(Math.min(gapMsMax, Math.round(answer.chunks.gapMsAt(index))), at)
  }
  answer.body.copy(entry, at)
  entry.writeUInt32LE(crc32(entry.subarray(crcEnd)), crcStart)
  return entry
}

function writeHead(entry: Buffer, answer: CachedAnswer): void {
  entry.writeUInt32LE(magic, 0)
  entry.writeUInt8(answer.form === 'stream' ? 0 : 1, 8)
  entry.writeUInt16LE(answer.status, 9)
  entry.writeDoubleLE(answer.createdAtWallMs, 11)
  entry.writeDoubleLE(answer.originMs, 19)
  entry.writeUInt32LE(answer.frames, 27)
  const { usage } = answer
  let missing = 0
  usageFields.forEach((name, index) => {
    const value = usage?.[name] ?? null
    if (value === null) missing |= 1 << index
    entry.writeDoubleLE(value ?? 0, usageStart + index * 8)
  })
  entry.writeUInt8(usage === null ? noUsage : missing, 31)
}

/** Whether bytes from outside are an entry, whole and unchanged. */
export function isIntact(entry: Buffer): boolean {
  return entry.length > headBytes && entry.readUInt32LE(0) === magic && entry.readUInt32LE(crcStart) === crc32(entry.subarray(crcEnd))
}

/** The answer in `entry`, which `encodeEntry` made; the body is a view of it. */
export function decodeEntry(entry: Buffer): CachedAnswer {
  let at = headBytes
  const text = (): string => {
    const end = at + 2 + entry.readUInt16LE(at)
    const value = entry.utf8Slice(at + 2, end)
    at = end
    return value
  }
  const contentType = text()
  const route = text()
  const model = text()
  const count = entry.readUInt32LE(at)
  const table = at + 4
  return {
    form: entry[8] === 0 ? 'stream' : 'whole',
    status: entry.readUInt16LE(9),
    createdAtWallMs: entry.readDoubleLE(11),
    originMs: entry.readDoubleLE(19),
    usage: readEntryUsage(entry),
    frames: entry.readUInt32LE(27),
    contentType,
    route,
    model,
    body: entry.subarray(table + count * chunkBytes),
    chunks: {
      count,
      lengthAt: (index) => entry.readUInt32LE(table + index * chunkBytes),
      gapMsAt: (index) => entry.readUInt16LE(table + index * chunkBytes + 4),
    },
  }
}

function readEntryUsage(entry: Buffer): Usage | null {
  const missing = entry[31] ?? noUsage
  if (missing === noUsage) return null
  const field = (index: number): number | null => ((missing & (1 << index)) === 0 ? entry.readDoubleLE(usageStart + index * 8) : null)
  return {
    promptTokens: field(0),
    cachedPromptTokens: field(1),
    outputTokens: field(2),
    loadMs: field(3),
    promptMs: field(4),
    outputMs: field(5),
    totalMs: field(6),
  }
}

/** The table of an answer without chunks. */
export const noChunks: Chunks = { count: 0, lengthAt: () => 0, gapMsAt: () => 0 }
