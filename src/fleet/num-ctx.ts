/**
 * The `num_ctx` policy. Clients that each send their own context length make one node reload one model again and again
 * (ollama-contract-verified.md §b: ×16); this decides the length that is really asked for.
 *
 * `pass` leaves requests alone · `fixed` gives all of them one length, or the node's default when no value is set · `max`
 * keeps to the largest length with which a node has answered so far for that model · `bucket` rounds up to the next of a few
 * lengths. Only native routes can carry the option; others run with what is loaded.
 *
 * What one client asks for becomes everybody's under `max`, so that it counts only once a node has answered with it, and no
 * more of it than `/api/ps` then shows: nodes cut a length to what the model was trained for (verified notes §b).
 */
import type { Clock } from '../base/clock.ts'
import type { InferenceRequest } from '../core/relay.ts'
import type { FleetNode } from './node.ts'
import type { FleetOptions } from './options.ts'
import type { Runner } from './runner.ts'

type NumCtxOptions = FleetOptions['numCtx']

export type NumCtxDecision = { readonly kind: 'keep' } | { readonly kind: 'remove' } | { readonly kind: 'set'; readonly value: number }

const keep: NumCtxDecision = { kind: 'keep' }

/** Whether the `num_ctx` of this request is one that a node reads: bodies of other dialects have no such field. */
export function carriesContext({ route }: InferenceRequest): boolean {
  return route.dialect === 'ollama' && route.body === 'json'
}

interface Grown {
  /** Tokens of the largest context with which a node has answered; 0 before. */
  largest: number
  /** Tokens that the model can have, where a node showed less than it was asked for. */
  max: number
}

export class NumCtxPolicy {
  readonly #options: () => NumCtxOptions
  readonly #models = new Map<string, Grown>()

  constructor(options: () => NumCtxOptions) {
    this.#options = options
  }

  /** What to do with the `num_ctx` that a native request for `model` asks for (null: none). */
  decide(model: string, requested: number | null): NumCtxDecision {
    const options = this.#options()
    switch (options.policy) {
      case 'pass':
        return keep
      case 'fixed':
        return fixed(options.value ?? null, requested)
      case 'bucket':
        return bucket(options.buckets, requested)
      case 'max':
        return this.#max(model, requested)
    }
  }

  /** Tokens that requests for `model` get at least under the policy `max`; null under others and before a node has answered with one. */
  largestOf(model: string): number | null {
    const largest = this.#models.get(model)?.largest ?? 0
    return this.#options().policy === 'max' && largest > 0 ? largest : null
  }

  #max(model: string, requested: number | null): NumCtxDecision {
    const { largest, max } = this.#models.get(model) ?? { largest: 0, max: Infinity }
    const value = Math.min(max, Math.max(requested ?? 0, largest))
    return value === 0 || value === requested ? keep : { kind: 'set', value }
  }

  /** A node answers for `model` with this `num_ctx`. True when that is more than before, and all get it from now on. */
  noteAnswered(model: string, tokens: number): boolean {
    if (this.#options().policy !== 'max' || !Number.isSafeInteger(tokens)) return false
    const known = this.#models.get(model) ?? { largest: 0, max: Infinity }
    if (Math.min(tokens, known.max) <= known.largest) return false
    this.#models.set(model, { ...known, largest: Math.min(tokens, known.max) })
    return true
  }

  /** A node that runs `model` as it was asked with `tokens` shows a context of `shown`. */
  noteShown(model: string, { tokens, shown }: { readonly tokens: number; readonly shown: number }): void {
    const known = this.#models.get(model)
    if (known !== undefined && shown < tokens) this.#models.set(model, { largest: Math.min(known.largest, shown), max: shown })
  }
}

export interface ContextDeps {
  readonly clock: Clock
  readonly numCtx: NumCtxPolicy
  /** Reads anew what a node has in memory, or waits for the reading that is under way. */
  readonly refreshLoaded: (node: FleetNode) => Promise<void>
}

/** A node began to answer `request` for `model` well: where the length it asks for is new, the node is asked what it made of it. */
export async function noteContext(
  { clock, numCtx, refreshLoaded }: ContextDeps,
  { envelope }: InferenceRequest,
  { model, runner }: { readonly model: string; readonly runner: Runner },
): Promise<void> {
  const tokens = envelope.runnerOptions.num_ctx
  if (typeof tokens !== 'number' || !numCtx.noteAnswered(model, tokens)) return
  const { fingerprint, fleetNode } = runner
  const sinceMs = clock.nowMs()
  await refreshLoaded(fleetNode)
  if (fleetNode.loadedAtMs < sinceMs) await refreshLoaded(fleetNode)
  const shown = runner.listed()?.contextLength ?? null
  // Somebody else's options may be loaded by now.
  const isFresh = fleetNode.loadedAtMs >= sinceMs
  if (isFresh && shown !== null && runner.fingerprint === fingerprint && runner.load === null) numCtx.noteShown(model, { tokens, shown })
}

function fixed(value: number | null, requested: number | null): NumCtxDecision {
  if (requested === value) return keep
  return value === null ? { kind: 'remove' } : { kind: 'set', value }
}

function bucket(buckets: readonly number[], requested: number | null): NumCtxDecision {
  if (requested === null) return keep
  const value = buckets.toSorted((a, b) => a - b).find((length) => length >= requested)
  return value === undefined || value === requested ? keep : { kind: 'set', value }
}
