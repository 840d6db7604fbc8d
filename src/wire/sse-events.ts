/**
 * Judges the events of an SSE stream by their first bytes. OpenAI streams name no events: they end with `data: [DONE]`, and
 * a dead runner shows as a chunk whose model is empty. Anthropic and Responses streams name each event.
 */
import type { Terminator } from '../core/route.ts'
import { scanObject, skipSpace } from './json-scan.ts'
import { decodeErrorMessage } from './render-error.ts'
import type { FrameJudge, FrameKind } from './frame-judge.ts'

const newline = 0x0a
const carriageReturn = 0x0d
const colon = 0x3a
const doneEvent = Buffer.from('data: [DONE]')
const deadModel = Buffer.from('"model":""')
const dataPrefix = Buffer.from('data: ')
const eventPrefix = Buffer.from('event: ')
const limits = { depthMax: 10_000, keysMax: 10_000 }

const finalEvents: Readonly<Partial<Record<Terminator, ReadonlySet<string>>>> = {
  anthropic: new Set(['message_stop']),
  responses: new Set(['response.completed', 'response.failed', 'response.incomplete']),
}

export class SseEvents implements FrameJudge {
  readonly #terminator: Terminator
  message: string | null = null
  readonly repeated = false

  constructor(terminator: Terminator) {
    this.#terminator = terminator
  }

  frameLength(bytes: Buffer, start: number): number {
    for (let at = bytes.indexOf(newline, start); at >= 0; at = bytes.indexOf(newline, at + 1)) {
      if (bytes[at + 1] === newline) return at + 2 - start
      if (bytes[at + 1] === carriageReturn && bytes[at + 2] === newline) return at + 3 - start
    }
    return -1
  }

  judge(bytes: Buffer, start: number, end: number): FrameKind {
    if (bytes[start] === colon || bytes[start] === newline || bytes[start] === carriageReturn) return 'skip'
    if (startsWith(bytes, start, eventPrefix)) return this.#judgeNamed(bytes, start, end)
    return startsWith(bytes, start, dataPrefix) ? this.#judgeData(bytes, start, end) : 'malformed'
  }

  #judgeNamed(bytes: Buffer, start: number, end: number): FrameKind {
    const nameEnd = bytes.indexOf(newline, start)
    const name = bytes.toString('latin1', start + eventPrefix.length, nameEnd).trimEnd()
    if (finalEvents[this.#terminator]?.has(name) === true) return 'done'
    const dataStart = nameEnd + 1
    if (!startsWith(bytes, dataStart, dataPrefix)) return 'malformed'
    return name === 'error' ? this.#error(bytes, dataStart, end) : 'data'
  }

  #judgeData(bytes: Buffer, start: number, end: number): FrameKind {
    if (startsWith(bytes, start, doneEvent)) return 'done'
    const json = start + dataPrefix.length
    if (bytes[json] !== 0x7b) return 'malformed'
    if (isWithin(bytes.indexOf(deadModel, json), end) && hasEmptyModel(bytes, json)) return 'died'
    return isWithin(bytes.indexOf('{"error":', json), json + 16) ? this.#error(bytes, start, end) : 'data'
  }

  #error(bytes: Buffer, start: number, end: number): FrameKind {
    this.message = decodeErrorMessage(bytes.subarray(start + dataPrefix.length, end))
    return 'error'
  }
}

const isWithin = (at: number, end: number): boolean => at >= 0 && at < end

function hasEmptyModel(bytes: Buffer, start: number): boolean {
  let empty = false
  scanObject(bytes, skipSpace(bytes, start), limits, ({ key, value }) => {
    if (key === 'model') empty = value.end - value.start === 2
    return true
  })
  return empty
}

function startsWith(bytes: Buffer, start: number, text: Buffer): boolean {
  for (let index = 0; index < text.length; index += 1) if (bytes[start + index] !== text[index]) return false
  return true
}
