/**
 * What the inference handlers tell a dialect: one `Reply` per request. The handlers speak of pieces and outcomes; a reply
 * turns them into the frames or the body of its route. A reply ends once; later calls have no effect.
 */
import type { Answer } from './answer.ts'
import type { Piece } from './generation.ts'
import type { JsonObject } from './json-value.ts'

export interface Outcome {
  readonly doneReason: string
  readonly totalMs: number
  readonly loadMs: number
  readonly promptTokens: number
  readonly promptMs: number
  readonly evalTokens: number
  readonly evalMs: number
  /** Token ids of prompt and answer; null where a route does not give them. */
  readonly context: readonly number[] | null
}

/** `early`: found before a runner was involved. `runner`: the runner's refusal of a request that was on its way. */
export type FailureOrigin = 'early' | 'runner'

export interface Reply {
  readonly answer: Answer
  readonly stream: boolean
  /** Pieces of a stream, in order; never called otherwise. */
  pieces(pieces: readonly Piece[]): void
  /** The end: the last frames of a stream, or the whole answer. */
  finish(outcome: Outcome, whole: Piece): void
  /** The runner gave up without an end. */
  abandon(whole: Piece): void
  /** The model was loaded or unloaded instead of asked. */
  loaded(reason: 'load' | 'unload'): void
  /** Nothing was sent yet. */
  fail(status: number, message: string, origin: FailureOrigin): void
  /** The runner broke after the first piece. */
  broke(message: string): void
}

/** The end of a request for which nothing was read or generated. */
export function idleOutcome(doneReason: string): Outcome {
  return { doneReason, totalMs: 0, loadMs: 0, promptTokens: 0, promptMs: 0, evalTokens: 0, evalMs: 0, context: null }
}

/** Refuses with `body` on a route below `/v1`: there the runner's refusal of a stream comes in chunks. */
export function refuse({ answer, stream }: Reply, { status, body }: { status: number; body: string }, origin: FailureOrigin): void {
  answer.whole(status, `${body}\n`, origin === 'runner' && stream ? { streamed: 'application/json' } : 'application/json')
}

/** RFC 3339 with nine digits; `wallMs` is milliseconds since 1970. */
export function timestamp(wallMs: number, nowMs: number): string {
  const micros = Math.floor((nowMs % 1) * 1e6)
  return `${new Date(wallMs).toISOString().slice(0, -1)}${String(micros).padStart(6, '0')}Z`
}

/** Nanoseconds of a duration as an integer. */
export function nanos(durationMs: number): number {
  return Math.max(1, Math.round(durationMs * 1e6))
}

/** An error in the shape of Ollama's own routes. */
export function nativeError(message: string): JsonObject {
  return { error: message }
}
