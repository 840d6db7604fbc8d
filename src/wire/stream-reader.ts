/**
 * Reads a node's stream as it comes: cuts it into frames, counts them, watches for the terminator, an error frame and a
 * runner's death (ollama-contract-verified.md §d), and hands on whole frames in as few buffers as they came in. Any chunking
 * of the same bytes gives the same frames.
 */
import type { Usage } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import { type FrameJudge, type FrameKind, type Span, holds } from './frame-judge.ts'
import { FrameRest } from './frame-rest.ts'
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
  readonly #rest = new FrameRest()
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
    const seenTo = this.#rest.length
    const bytes = this.#rest.join(chunk)
    const end = this.#readFrames(bytes, seenTo, step)
    this.#rest.keep(bytes, end)
    if (step.event === null && this.#rest.length > this.#frameBytesMax) step.event = 'oversize'
    return step
  }

  /** Judges every complete frame; returns where the incomplete rest begins. No frame ends before `seenTo`. */
  #readFrames(bytes: Buffer, seenTo: number, step: StreamStep): number {
    /** What goes to the client begins here, behind `before`. */
    let from = 0
    let before: Buffer | null = null
    let at = 0
    while (at < bytes.length && step.event === null) {
      const length = this.#judge.frameLength(bytes, at, seenTo)
      if (length < 0) break
      const end = at + length
      const kind = length > this.#frameBytesMax ? 'oversize' : this.#judge.judge(bytes, at, end)
      if (kind === 'blank' || (kind === 'comment' && !this.#started)) {
        if (at > from) before = joined(before, bytes.subarray(from, at))
        from = end
        at = end
      } else if (kind === 'data' || kind === 'comment' || kind === 'done') {
        this.#accept(bytes, { start: at, end }, kind)
        if (kind === 'done') step.event = kind
        at = end
      } else {
        if (kind !== 'oversize') step.message = this.#judge.message
        step.event = kind
      }
    }
    if (at === from) step.forward = before
    else step.forward = joined(before, from === 0 && at === bytes.length ? bytes : bytes.subarray(from, at))
    return at
  }

  #accept(bytes: Buffer, frame: Span, kind: FrameKind): void {
    this.#started = true
    if (kind !== 'comment') this.frames += 1
    this.#readUsageOf(bytes, frame, kind)
  }

  #readUsageOf(bytes: Buffer, frame: Span, kind: FrameKind): void {
    if (this.#route.dialect !== 'ollama') {
      if (holds(bytes, frame, usageStart)) this.usage = readUsage(this.#route, bytes.subarray(frame.start, frame.end)) ?? this.usage
    } else if (kind === 'done') {
      this.usage = readUsage(this.#route, bytes.subarray(frame.start, frame.end))
    }
  }

  end(): 'complete' | 'truncated' | 'silent' {
    return this.#rest.length === 0 && this.#judge.repeated ? 'silent' : 'truncated'
  }
}

/** Both as one. A copy is made only where something was left out between the two. */
function joined(before: Buffer | null, bytes: Buffer): Buffer {
  return before === null ? bytes : Buffer.concat([before, bytes])
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
