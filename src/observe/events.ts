/** The business events of the gateway, as functions that anybody may hold: they never throw and never wait. */
import type { Call, Priority } from '../core/call.ts'
import type { CorralError, ErrorCode } from '../core/errors.ts'
import type { Outcome, Usage } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import type { Logger } from './log.ts'
import type { Metrics } from './metrics.ts'

/** A try on a node, as far as it is counted here. */
export interface ObservedAttempt {
  readonly claim: {
    readonly runner: {
      readonly node: string
      readonly bounded: boolean
      listed(): { readonly contextLength: number | null } | null
    }
    readonly model: string
    readonly waitedMs: number
  }
  readonly call: Call
  readonly startedAtMs: number
  readonly usage: Usage | null
  readonly request: { readonly envelope: { readonly promptTokens: number } }
  /** Frames of a stream that came. */
  readonly frameCount: number
}

/** A request at its end, as the relay layer saw it. */
export interface EndedRequest {
  readonly facts: RouteFacts
  readonly method: string
  readonly model: string | null
  readonly call: Call
  readonly status: number
  readonly stream: boolean
  readonly outcome: Outcome
  /** Bytes of the answer's body. */
  readonly bytes: number
  readonly node: string | null
  readonly reason: string | null
  readonly attempts: number
  /** Monotonic ms of the first frame of a stream; null for whole answers and failures. */
  readonly firstFrameAtMs: number | null
}

/** A request that never reached the relay. */
export interface RefusedRequest {
  readonly facts: RouteFacts
  readonly method: string
}

/** An exchange on one of Corral's own routes, at its end. */
export interface EndedExchange {
  readonly method: string
  /** Of the route. */
  readonly pattern: string
  /** Null: the client left before there was one. */
  readonly status: number | null
  /** Monotonic milliseconds. */
  readonly arrivedAtMs: number
  /** Code of the error that it was answered with. */
  readonly error: ErrorCode | null
}

/** What names a request or an exchange in the logs. */
export type Told = Pick<Call, 'id' | 'trace'>

export interface Observer {
  readonly logger: Logger
  readonly metrics: Metrics
  requestStarted(): void
  requestEnded(request: EndedRequest): void
  /** A request that failed before the relay took it: an unreadable body, a refused header. */
  requestRefused(request: RefusedRequest, error: CorralError, call: Call): void
  /** An exchange on one of Corral's own routes ended. */
  exchangeEnded(exchange: EndedExchange, told: Told): void
  bug(error: unknown, told: Told | null): void
  /** A stream began: gives who is told the seconds between its pieces, if anybody. */
  streamStarted(attempt: Pick<ObservedAttempt, 'claim'>): { observe(seconds: number): void } | null
  attemptEnded(attempt: ObservedAttempt, result: { readonly outcome: Outcome['kind']; readonly ttftMs: number | null }): void
  queued(pool: string, depth: number): void
  dequeued(pool: string, depth: number, waitedMs: number, priority: Priority): void
  rejected(pool: string, reason: 'full' | 'deadline' | 'no_node'): void
  routed(node: string, reason: string): void
  retried(node: string, reason: string): void
  reloadAvoided(model: string): void
  shardResent(node: string | null, reason: 'straggler' | 'hedge'): void
  loadStarted(node: string, model: string): void
  loadEnded(node: string, model: string, durationMs: number, error: string | null): void
  /** An upload failed on a node while others have it. */
  partFailed(node: string, reason: string): void
  nodeUp(node: string): void
  nodeDown(node: string, reason: string): void
  /** `probe` is what was asked for: version, tags or ps. */
  probeFailed(node: string, probe: string, reason: string): void
  probeEnded(node: string, probe: string, durationMs: number): void
  breakerChanged(node: string, state: 'closed' | 'open' | 'half_open'): void
  wedgeFreed(node: string, model: string): void
  digestDrift(model: string, digests: ReadonlyMap<string, readonly string[]>): void
  /** Another step of what is given up for want of memory; `level` is 0 when nothing is. */
  memoryStepChanged(step: string, level: number, bytes: { readonly used: number; readonly limit: number }): void
  /** A request was turned away for want of memory. */
  memoryRefused(step: string): void
  /** A decision on a credential. `result`: granted, undecided, or why it was denied. */
  decided(method: 'key' | 'jwt' | 'signature' | 'none', result: string): void
  /** Upkeep of identity that failed and is tried again. */
  upkeepFailed(what: string, reason: string): void
  /** By which of the system's tools the processes that read documents are held, besides Node's own permission model. */
  parserHeld(tools: readonly string[]): void
  /** A request was turned away by a limit. */
  limited(dimension: string, scope: string, call: Call): void
  /** The collector takes no spans (`reason`), or takes them again (null). */
  spansTrouble(reason: string | null): void
  /** Usage could not be written and is tried again, or (`dropped` rows) is lost. */
  usageTrouble(error: unknown, dropped: number): void
  /** Another gateway counts in the same Redis, and usage is kept in a store that only this one sees. */
  budgetsApart(): void
  /** A configuration was taken (`error` null), or refused. `hash`: of the values in force. */
  configLoaded(error: string | null, hash?: string): void
  /** Prometheus has read the metrics: scrapes after this one tell when. */
  scraped(): void
  /** The log file was renamed: a new one is opened. */
  reopenLog(): void
  /** Writes what is queued. */
  flush(): Promise<void>
  flushSync(): void
}
