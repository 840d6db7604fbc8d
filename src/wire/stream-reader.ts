/**
 * Reads a node's stream as it comes: cuts it into frames, counts them, watches for the terminator, an error frame and a
 * runner's death (ollama-contract-verified.md §d), and hands on whole frames in as few buffers as they came in. Any chunking
 * of the same bytes gives the same frames.
 */
import type { Usage } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import { type FrameJudge, type FrameKind, holds } from './frame-judge.ts'
import { NdjsonLines } from './ndjson-lines.ts'
import { SseEvents } from './sse-events.ts'
import { readUsage } from './usage.ts'

export interface StreamStep {
  /** Whole frames to hand on; null when there are none yet. */
  forward: Buffer | null
  event: null | 'done' | 'error' | 'died' | 'malformed' | 'oversize'
  message: string | null
}

export interface StreamReader {
  /** Takes the next bytes. The returned object is reused by the next call. */
  push(chunk: Buffer): StreamStep
  /** The body ended cleanly without a terminator seen by `push`. */
  end(): 'complete' | 'truncated' | 'silent'
  readonly usage: Usage | null
  readonly frames: number
}

const usageStart = Buffer.from('"usage":{')

/** A reader for a streamed answer of `route`. A frame over `frameBytesMax` is an event, not a buffer without limit. */
export function createStreamReader(route: RouteFacts, { frameBytesMax }: { frameBytesMax: number }): StreamReader {
  if (route.framing === 'none') return new OpaqueReader()
  const judge = route.framing === 'ndjson' ? new NdjsonLines(route.terminator) : new SseEvents(route.terminator)
  return new FrameReader(route, judge, frameBytesMax)
}

class FrameReader implements StreamReader {
  readonly #route: RouteFacts
  readonly #judge: FrameJudge
  readonly #frameBytesMax: number
  readonly #step: StreamStep = { forward: null, event: null, message: null }
  #rest: Buffer | null = null
  #started = false
  usage: Usage | null = null
  frames = 0

  constructor(route: RouteFacts, judge: FrameJudge, frameBytesMax: number) {
    this.#route = route
    this.#judge = judge
    this.#frameBytesMax = frameBytesMax
  }

  push(chunk: Buffer): StreamStep {
    const step = this.#step
    step.forward = null
    step.event = null
    step.message = null
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = null
    const end = this.#readFrames(bytes, step)
    if (step.event === null && end < bytes.length) this.#keepRest(bytes, end, step)
    return step
  }

  /** Judges every complete frame; returns where the incomplete rest begins. */
  #readFrames(bytes: Buffer, step: StreamStep): number {
    let from = 0
    let at = 0
    while (at < bytes.length) {
      const length = this.#judge.frameLength(bytes, at)
      if (length < 0) break
      if (length > this.#frameBytesMax) {
        step.event = 'oversize'
        break
      }
      const kind = this.#judge.judge(bytes, at, at + length)
      if (kind === 'skip' && !this.#started) {
        from = at + length
      } else if (kind === 'data' || kind === 'skip' || kind === 'done') {
        this.#started = true
        if (kind !== 'skip') this.frames += 1
        this.#readUsageOf(bytes, at, at + length, kind)
      } else {
        step.message = this.#judge.message
      }
      if (kind !== 'data' && kind !== 'skip') {
        step.event = kind
        if (kind === 'done') at += length
        break
      }
      at += length
    }
    if (at > from) step.forward = from === 0 && at === bytes.length ? bytes : bytes.subarray(from, at)
    return at
  }

  #readUsageOf(bytes: Buffer, start: number, end: number, kind: FrameKind): void {
    if (this.#route.dialect !== 'ollama') {
      if (holds(bytes, { start, end }, usageStart)) this.usage = readUsage(this.#route, bytes.subarray(start, end)) ?? this.usage
    } else if (kind === 'done') {
      this.usage = readUsage(this.#route, bytes.subarray(start, end))
    }
  }

  #keepRest(bytes: Buffer, from: number, step: StreamStep): void {
    this.#rest = bytes.subarray(from)
    if (this.#rest.length > this.#frameBytesMax) step.event = 'oversize'
  }

  end(): 'complete' | 'truncated' | 'silent' {
    return this.#rest === null && this.#judge.repeated ? 'silent' : 'truncated'
  }
}

/** Bytes of a route without known framing: all of them are the answer. */
class OpaqueReader implements StreamReader {
  readonly #step: StreamStep = { forward: null, event: null, message: null }
  readonly usage = null
  frames = 0

  push(chunk: Buffer): StreamStep {
    this.frames += 1
    this.#step.forward = chunk
    return this.#step
  }

  end(): 'complete' {
    return 'complete'
  }
}

/** Usage of a whole answer. */
export function readWholeUsage(route: RouteFacts, body: Buffer): Usage | null {
  return route.operation === 'list' || route.operation === 'show' ? null : readUsage(route, body)
}

const jsonOperations: ReadonlySet<RouteFacts['operation']> = new Set(['chat', 'generate', 'embed', 'show', 'list'])

/** Whether a whole 2xx body has the outline of the JSON object that this route always answers with. */
export function checkWholeBody(route: RouteFacts, status: number, body: Buffer): 'ok' | 'malformed' {
  if (status !== 200 || !jsonOperations.has(route.operation)) return 'ok'
  let end = body.length - 1
  while (end > 0 && (body[end] ?? 0) <= 0x20) end -= 1
  let start = 0
  while (start < end && (body[start] ?? 0) <= 0x20) start += 1
  return body[start] === 0x7b && body[end] === 0x7d ? 'ok' : 'malformed'
}
