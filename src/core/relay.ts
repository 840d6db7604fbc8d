/**
 * The spine: every behaviour around an inference is a wrapper `(next: Relay) => Relay`, composed in `app.ts`.
 *
 * A relay resolves when the answer's head is certain, i.e. with the first valid frame of a stream or with the whole body
 * of anything else; until then everything may be retried elsewhere and nothing has been sent to the client. It rejects with
 * a `CorralError` when no answer can be had.
 */
import type { ByteQueue } from '../base/byte-queue.ts'
import type { Call } from './call.ts'
import type { Envelope } from './envelope.ts'
import type { CorralError } from './errors.ts'
import type { RouteFacts } from './route.ts'

export interface InferenceRequest {
  readonly route: RouteFacts
  readonly method: string
  /** Path and query as sent to the node: canonical path of the matched route, the client's own query string. */
  readonly target: string
  /** End-to-end request headers that may reach a node (no credentials, no hop-by-hop, no `origin`, no `host`): a flat list, names lower-case. */
  readonly headers: readonly string[]
  /** The raw body bytes, exactly as they go upstream. */
  readonly body: Buffer
  readonly envelope: Envelope
  /** Canonical model name (`wire/model-name.ts`); null when the request names none. */
  readonly model: string | null
  /** Whether the client asked for a stream (explicit or by the route's default). */
  readonly stream: boolean
  /** Nodes not to be asked, by name: a copy of this request is under way there. */
  readonly avoid?: readonly string[]
}

/** Token counts and phase times as a node reports them at the end of an answer. Times in ms. Null: not reported. */
export interface Usage {
  readonly promptTokens: number | null
  readonly cachedPromptTokens: number | null
  readonly outputTokens: number | null
  readonly loadMs: number | null
  readonly promptMs: number | null
  readonly outputMs: number | null
  readonly totalMs: number | null
}

/** How an answer ended, settled exactly once, at its true end. */
export interface Outcome {
  readonly kind: 'ok' | 'client_error' | 'rejected' | 'node_error' | 'truncated' | 'client_gone' | 'internal'
  readonly usage: Usage | null
  readonly frames: number
  readonly bytes: number
  /** The failure that ended it, already rendered into the stream where there was one. */
  readonly error: CorralError | null
  /** True: nothing was generated for this request; `usage` was booked by the one it shares its answer with. */
  readonly cached?: boolean
}

/** `X-Corral-Cache`: served from a layer · first asker · shares the answer of one under way. */
export type CacheRole = 'hit' | 'miss' | 'joined'

/** Where an answer came from, for `X-Corral-Node` and `X-Corral-Route`. */
export interface Provenance {
  readonly node: string | null
  /** Why this node, short and closed: `least-loaded`, `only`, `affinity`, `loaded`, `spill`, `retry`, … */
  readonly reason: string
  /** Attempts on nodes, the successful one included. */
  readonly attempts: number
  /** Monotonic ms when the last attempt was dispatched. */
  readonly dispatchedAtMs: number
  /** Monotonic ms when the first attempt was dispatched, where the layer that answers makes attempts. */
  readonly firstDispatchedAtMs?: number
  /** Nodes on which the operation failed though it is done; absent: none. */
  readonly failedNodes?: readonly string[]
  /** What the cache had to do with it; absent where it was not asked. */
  readonly cache?: CacheRole
}

interface AnswerHead {
  readonly status: number
  /** End-to-end headers, lower-case, without length, date and hop-by-hop. */
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly provenance: Provenance
}

/** A complete body, already in hand. */
export interface WholeAnswer extends AnswerHead {
  readonly kind: 'whole'
  readonly body: Buffer
  readonly outcome: Outcome
}

/**
 * A stream whose first frame is valid. `frames` hands out buffers of one or more whole frames (for `framing: none`, any
 * bytes). A failure after the head arrives as the dialect's own error frame followed by the end: the queue itself never fails.
 * Cancelling `frames` aborts the upstream.
 */
export interface StreamAnswer extends AnswerHead {
  readonly kind: 'stream'
  readonly frames: ByteQueue
  readonly outcome: Promise<Outcome>
}

export type Answer = WholeAnswer | StreamAnswer

export type Relay = (request: InferenceRequest, call: Call) => Promise<Answer>

export type RelayLayer = (next: Relay) => Relay

/** `innermost` behind all of `layers`, the first one outermost. */
export function through(layers: readonly RelayLayer[], innermost: Relay): Relay {
  return layers.reduceRight((next, layer) => layer(next), innermost)
}
