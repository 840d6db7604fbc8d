/**
 * What is known of a route before a byte of its body is read. One table (`wire/routes.ts`) holds a `RouteFacts` per
 * route; everything below the edge reads the facts and never switches on a path or protocol name.
 */

import type { Scope } from './principal.ts'

/** Whose shapes a route speaks: it picks the error renderer and the keep-alive bytes. `problem` is RFC 9457 (our own API). */
export type Dialect = 'ollama' | 'openai' | 'anthropic' | 'problem'

/** How a streamed answer is cut into frames. `none`: never streamed, or opaque bytes. */
export type Framing = 'ndjson' | 'sse' | 'none'

/**
 * What ends a stream of this route when all went well:
 * `done` a line with `"done":true` · `success` a line with `"status":"success"` · `openai` `data: [DONE]` ·
 * `responses` `event: response.completed` (or `.failed`, `.incomplete`) · `anthropic` `event: message_stop` · `none` end of body.
 */
export type Terminator = 'done' | 'success' | 'openai' | 'responses' | 'anthropic' | 'none'

/** Metric and policy class of a route, a closed set. */
export type Operation = 'chat' | 'generate' | 'embed' | 'show' | 'list' | 'manage' | 'other'

/**
 * Who answers (ollama-contract.md §8): `one` a node that holds the model · `split` embeddings over all of them ·
 * `aggregate` all nodes merged · `broadcast` every holder · `targets` a set of nodes with merged progress ·
 * `blob` fan-out of an upload · `pinned` the identity node · `local` Corral itself · `relay` one node, unknown route.
 */
export type Placement = 'one' | 'split' | 'aggregate' | 'broadcast' | 'targets' | 'blob' | 'pinned' | 'local' | 'relay'

export interface RouteFacts {
  /** Stable name and metric label, e.g. `/api/chat`, `/v1/models/:model`. */
  readonly pattern: string
  /** Methods answered here, e.g. `['GET', 'HEAD']`. */
  readonly methods: readonly string[]
  readonly dialect: Dialect
  readonly operation: Operation
  readonly placement: Placement
  /** Framing of a streamed answer. */
  readonly framing: Framing
  readonly terminator: Terminator
  /** Whether an absent `stream` field means a stream. */
  readonly streamsByDefault: boolean
  /** Whether the route can stream at all. */
  readonly streams: boolean
  readonly body: 'json' | 'bytes' | 'multipart' | 'none'
  /** What a caller must be allowed; null: anybody may. */
  readonly scope: Scope | null
  /** Ollama decodes `Content-Encoding: zstd` request bodies here. */
  readonly acceptsZstd: boolean
}
