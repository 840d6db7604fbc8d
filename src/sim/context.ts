/**
 * What the routes of one node share. Built by `node.ts`; a restart of the node replaces nothing here but the scheduler's
 * contents.
 */
import type { Embedder } from './embedder.ts'
import type { FaultBook } from './faults.ts'
import { hashText, randomId, randomSequence } from './hash.ts'
import { Runner } from './runner.ts'
import type { Scheduler } from './scheduler.ts'
import type { Store, StoredModel } from './store.ts'
import type { Ticker } from './ticker.ts'

export interface NodeSettings {
  readonly name: string
  readonly version: string
  readonly numParallel: number
  readonly promptTokensPerMs: number
  readonly evalTokensPerMs: number
  readonly embedMsPerItem: number
  readonly speed: number
  readonly vramBytes: number
  /** Context of a model without `num_ctx`, tokens. */
  readonly contextTokens: number
  readonly answerTokens: readonly [number, number]
  readonly cloud: 'unreachable' | 'disabled'
  readonly origins: 'default' | 'any'
  /** The chat template is applied by the runner (`OLLAMA_GO_TEMPLATE=0`). */
  readonly nativeTemplate: boolean
  readonly modelsDir: string
  /** Bound to loopback: foreign `Host` headers are refused. */
  readonly loopback: boolean
  readonly registry: ReadonlyMap<string, RegistryEntry>
}

/** What the registry says of a name. Names that are not listed are out of reach. */
export interface RegistryEntry {
  readonly kind: 'pullable' | 'absent' | 'corrupt' | 'push-target'
  readonly bytesPerMs?: number
}

export interface NodeContext {
  readonly settings: NodeSettings
  readonly ticker: Ticker
  readonly store: Store
  readonly scheduler: Scheduler
  readonly faults: FaultBook
  readonly embedder: Embedder
  readonly random: () => number
  /** Requests served per model. */
  readonly perModel: Map<string, number>
  /** What `pull` can fetch, by the key of its name. */
  readonly pullable: Map<string, StoredModel>
  /** Digests the registry has. */
  readonly pushed: Set<string>
  /** Monotonic time until which `/api/ps` blocks; 0 when it does not. */
  psBlockedUntilMs: number
}

/** Slots of a model's runner: embedding models have one. */
export function slotsOf(model: StoredModel, numParallel: number): number {
  return model.facts.capabilities.includes('embedding') ? 1 : numParallel
}

/** A runner of this node. */
export function newRunner(ticker: Ticker, settings: NodeSettings, slots: number): Runner {
  return new Runner(ticker, {
    slots,
    promptTokensPerMs: settings.promptTokensPerMs * settings.speed,
    evalTokensPerMs: settings.evalTokensPerMs * settings.speed,
  })
}

/** The random numbers of a node: ids of answers. */
export function nodeRandom(seed: number, name: string): () => number {
  return randomSequence(hashText(name, seed >>> 0))
}

/** A decimal id below `limit`, as `chatcmpl-` and `resp_` have them. */
export function decimalId(context: NodeContext, limit: number): string {
  return String(Math.floor(context.random() * limit))
}

/** A hexadecimal id. */
export function hexId(context: NodeContext): string {
  return randomId(context.random, 24, '0123456789abcdef')
}
