/**
 * One Ollama server as the fleet sees it. The probe loop and the catalogue write here, dispatch and policies read; nobody
 * else changes it. Health has three independent parts: reachability (`up`, by probes and refused connects), the breaker
 * (answers that failed), and the operator's will (`draining`).
 */
import type { CertificateWatch } from '../base/certificate-watch.ts'
import type { Breaker } from './breaker.ts'
import type { NodeOptions } from './options.ts'
import type { Transport } from './transport.ts'

/** A model as `/api/tags` of one node lists it. `raw` is the row as received, for the merged list. */
export interface ModelTag {
  readonly name: string
  readonly digest: string
  readonly sizeBytes: number
  readonly modifiedAt: string
  /** Architecture of its weights; '' or left out: the node says none. */
  readonly family?: string
  /** Where the node sends requests for it (`remote_host`, else the name there); null or left out: it runs here. */
  readonly remoteHost?: string | null
  readonly raw: Readonly<Record<string, unknown>>
}

/** A model as `/api/ps` of one node lists it. */
export interface LoadedModel {
  readonly name: string
  readonly digest: string
  readonly sizeBytes: number
  readonly vramBytes: number
  readonly contextLength: number | null
  readonly expiresAtMs: number
  readonly raw: Readonly<Record<string, unknown>>
}

/** By what a node's runner for a model is found. `name`: the canonical one. */
export type RunnerModel = Pick<LoadedModel, 'name' | 'digest'>

export interface NodeFailure {
  /** One sentence. */
  readonly reason: string
  /** Monotonic ms. */
  readonly atMs: number
}

export interface FleetNode {
  readonly name: string
  readonly options: NodeOptions
  readonly transport: Transport
  readonly breaker: Breaker
  /** How long the certificate holds that it shows; null for one that is reached without TLS. */
  readonly certificate: Pick<CertificateWatch, 'validity' | 'look' | 'stop'> | null
  /** Null until the first probe ends. */
  up: boolean | null
  /** Why it is down, one sentence; null when up. */
  downReason: string | null
  /** The last try that it failed, whatever became of the request. */
  lastFailure: NodeFailure | null
  draining: boolean
  version: string | null
  /** Monotonic ms of the last answer of any kind. */
  lastSeenMs: number
  /** How long the last probe of its version took that was answered; null before the first. */
  probeMs: number | null
  /** Monotonic ms since when it is up again; slow start counts from here. `-Infinity` for a node that never was down. */
  upSinceMs: number
  /** By canonical name (`wire/model-name.ts`). Replaced whole, never mutated. */
  models: ReadonlyMap<string, ModelTag>
  /** False until `/api/tags` was read once. */
  modelsKnown: boolean
  /** By canonical name. Replaced whole. A loading model is in no list (ollama-contract-verified.md §a). */
  loaded: ReadonlyMap<string, LoadedModel>
  /** Monotonic ms of the ps answer that `loaded` comes from; `-Infinity` before the first. */
  loadedAtMs: number
  /** Monotonic ms until which an overloaded node (503 busy) is passed over while others can serve. */
  overloadedUntilMs: number
}

/** What is known of a node before its first probe. */
export function unprobed(): Omit<FleetNode, 'name' | 'options' | 'transport' | 'breaker' | 'certificate'> {
  return {
    up: null,
    downReason: null,
    lastFailure: null,
    draining: false,
    version: null,
    lastSeenMs: -Infinity,
    probeMs: null,
    upSinceMs: -Infinity,
    models: new Map(),
    modelsKnown: false,
    loaded: new Map(),
    loadedAtMs: -Infinity,
    overloadedUntilMs: -Infinity,
  }
}

/** By what the node's runner for the model of this canonical name is found; an empty digest where its list has no such name. */
export function runnerModelOn({ models }: FleetNode, name: string): RunnerModel {
  return { name, digest: models.get(name)?.digest ?? '' }
}

/**
 * What `/api/ps` of the node lists of `model`, or of another name for it: they share one runner and show the name of whoever loaded it.
 * `keyOf` (`NodeUse`) tells runners apart.
 */
export function loadedOn(node: FleetNode, model: string, keyOf: (model: RunnerModel) => string): LoadedModel | null {
  const own = node.loaded.get(model)
  if (own !== undefined) return own
  const wanted = runnerModelOn(node, model)
  if (wanted.digest === '') return null
  const key = keyOf(wanted)
  for (const listed of node.loaded.values()) if (keyOf(listed) === key) return listed
  return null
}
