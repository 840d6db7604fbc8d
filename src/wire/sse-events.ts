/**
 * Judges the events of an SSE stream by their first bytes. OpenAI streams name no events: they end with `data: [DONE]`, and
 * a dead runner shows as a chunk whose model is empty. Anthropic and Responses streams name each event.
 */
import type { Terminator } from '../core/route.ts'
import { scanObject } from './json-scan.ts'
import { decodeErrorMessage } from './render-error.ts'
import { type FrameJudge, type FrameKind, holds } from './frame-judge.ts'

const newline = 0x0a
const carriageReturn = 0x0d
const colon = 0x3a
const openBrace = 0x7b
const closeBrace = 0x7d
const doneEvent = Buffer.from('data: [DONE]')
const deadModel = Buffer.from('"model":""')
const dataPrefix = Buffer.from('data: ')
const eventPrefix = Buffer.from('event: ')
const errorStart = Buffer.from('{"error":')
const unlimited = { depthMax: Infinity, keysMax: Infinity }

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

  frameLength(bytes: Buffer, start: number, seenTo: number): number {
    // The end may have begun with the last two bytes seen.
    const from = Math.max(start, seenTo - 2)
    for (let at = bytes.indexOf(newline, from); at >= 0; at = bytes.indexOf(newline, at + 1)) {
      if (bytes[at + 1] === newline) return at + 2 - start
      if (bytes[at + 1] === carriageReturn && bytes[at + 2] === newline) return at + 3 - start
    }
    return -1
  }

  judge(bytes: Buffer, start: number, end: number): FrameKind {
    const first = skipComments(bytes, start, end)
    if (first === end) return 'comment'
    if (startsWith(bytes, first, eventPrefix)) return this.#judgeNamed(bytes, first, end)
    return startsWith(bytes, first, dataPrefix) ? this.#judgeData(bytes, first, end) : 'malformed'
  }

  #judgeNamed(bytes: Buffer, start: number, end: number): FrameKind {
    const nameEnd = bytes.indexOf(newline, start)
    const name = bytes.toString('latin1', start + eventPrefix.length, nameEnd).trimEnd()
    const dataStart = nameEnd + 1
    if (!startsWith(bytes, dataStart, dataPrefix) || !isObjectLine(bytes, dataStart + dataPrefix.length)) return 'malformed'
    if (finalEvents[this.#terminator]?.has(name) === true) return 'done'
    return name === 'error' ? this.#error(bytes, dataStart, end) : 'data'
  }

  #judgeData(bytes: Buffer, start: number, end: number): FrameKind {
    if (startsWith(bytes, start, doneEvent)) return 'done'
    const json = start + dataPrefix.length
    if (!isObjectLine(bytes, json)) return 'malformed'
    if (startsWith(bytes, json, errorStart)) return this.#error(bytes, start, end)
    return holds(bytes, { start: json, end }, deadModel) && hasEmptyModel(bytes.subarray(json, end)) ? 'died' : 'data'
  }

  #error(bytes: Buffer, start: number, end: number): FrameKind {
    this.message = decodeErrorMessage(bytes.subarray(start + dataPrefix.length, end))
    return 'error'
  }
}

/** Where the event begins behind comments and empty lines; `end` when there is none. */
function skipComments(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end) {
    if (bytes[at] === colon) at = bytes.indexOf(newline, at) + 1
    else if (bytes[at] === newline || bytes[at] === carriageReturn) at += 1
    else break
  }
  return at
}

/** Whether the line from `start` has the outline of a JSON object. A frame cut short and followed by another has not. */
function isObjectLine(bytes: Buffer, start: number): boolean {
  let last = bytes.indexOf(newline, start) - 1
  if (bytes[last] === carriageReturn) last -= 1
  return bytes[start] === openBrace && bytes[last] === closeBrace && last > start
}

function hasEmptyModel(json: Buffer): boolean {
  let empty = false
  scanObject(json, 0, unlimited, (key, value) => {
    if (key === 'model') empty = value.kind === 'string' && value.end - value.start === 2
    return true
  })
  return empty
}

function startsWith(bytes: Buffer, start: number, text: Buffer): boolean {
  for (let index = 0; index < text.length; index += 1) if (bytes[start + index] !== text[index]) return false
  return true
}
