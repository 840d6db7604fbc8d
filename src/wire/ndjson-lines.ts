/**
 * Judges the lines of an NDJSON stream. Nearly every line is a token with `"done":false` as its last field; those are
 * known by their last bytes. The others are walked at the top level, so that a field of the same name inside a tool call
 * means nothing.
 */
import type { EnvelopeField } from '../core/envelope.ts'
import type { Terminator } from '../core/route.ts'
import { decodeString, scanObject, skipSpace } from './json-scan.ts'
import type { FrameJudge, FrameKind } from './frame-judge.ts'

const newline = 0x0a
const openBrace = 0x7b
const notDone = Buffer.from('"done":false}')
const createdAt = Buffer.from('"created_at":"')
const unlimited = { depthMax: Infinity, keysMax: Infinity }

export class NdjsonLines implements FrameJudge {
  readonly #terminator: Terminator
  message: string | null = null
  #last: Buffer | null = null
  #beforeLast: Buffer | null = null

  constructor(terminator: Terminator) {
    this.#terminator = terminator
  }

  frameLength(bytes: Buffer, start: number, seenTo: number): number {
    const at = bytes.indexOf(newline, Math.max(start, seenTo))
    return at < 0 ? -1 : at + 1 - start
  }

  judge(bytes: Buffer, start: number, end: number): FrameKind {
    const first = skipSpace(bytes, start)
    if (first >= end - 1) return 'blank'
    if (bytes[first] !== openBrace) return 'malformed'
    if (this.#terminator === 'done' && endsWith(bytes, end - 1, notDone)) {
      this.#beforeLast = this.#last
      this.#last = bytes.subarray(start, end)
      return 'data'
    }
    return this.#walk(bytes, first, end)
  }

  #walk(bytes: Buffer, start: number, end: number): FrameKind {
    let ended = false
    let error: EnvelopeField | null = null
    const objectEnd = scanObject(bytes, start, unlimited, (key, value) => {
      if (key === 'error' && value.kind !== 'null') error = value
      else if (this.#isTerminator(bytes, key, value)) ended = true
      return value.end < end
    })
    if (objectEnd < 0 || skipSpace(bytes, objectEnd) < end || objectEnd > end) return 'malformed'
    if (error !== null) return this.#fail(bytes, error)
    return ended ? 'done' : 'data'
  }

  #isTerminator(bytes: Buffer, key: string, value: EnvelopeField): boolean {
    if (this.#terminator === 'done') return key === 'done' && value.kind === 'true'
    return key === 'status' && bytes.toString('latin1', value.start, value.end) === '"success"'
  }

  #fail(bytes: Buffer, { kind, start, end }: EnvelopeField): FrameKind {
    this.message = kind === 'string' ? decodeString(bytes, start, end) : null
    return 'error'
  }

  get repeated(): boolean {
    const last = this.#last
    const before = this.#beforeLast
    if (last === null || before === null) return false
    return afterTime(last).equals(afterTime(before))
  }
}

/** Compares the bytes before `end` with `text`; a line may end in CR LF. */
function endsWith(bytes: Buffer, end: number, text: Buffer): boolean {
  let at = end - 1
  for (let index = text.length - 1; index >= 0; index -= 1, at -= 1) if (bytes[at] !== text[index]) return false
  return true
}

/** The part of a token line that says what the token is. */
function afterTime(line: Buffer): Buffer {
  const at = line.indexOf(createdAt)
  return at < 0 ? line : line.subarray(line.indexOf(',', at))
}
