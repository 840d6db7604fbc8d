/**
 * The `num_ctx` policy. Clients that each send their own context length make one node reload one model again and again
 * (ollama-contract-verified.md §b: ×16); this decides the length that is really asked for.
 *
 * `pass` leaves requests alone · `fixed` gives all of them one length, or the node's default when no value is set · `max`
 * keeps to the largest length asked for so far of that model · `bucket` rounds up to the next of a few lengths. Only native
 * routes can carry the option; others run with what is loaded.
 */
import type { FleetOptions } from './options.ts'

type NumCtxOptions = FleetOptions['numCtx']

export type NumCtxDecision = { readonly kind: 'keep' } | { readonly kind: 'remove' } | { readonly kind: 'set'; readonly value: number }

const keep: NumCtxDecision = { kind: 'keep' }

export class NumCtxPolicy {
  readonly #options: () => NumCtxOptions
  readonly #largest = new Map<string, number>()

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

  /** Tokens that requests for `model` get under the policy `max`; null under others and before somebody asked for a length. */
  largestOf(model: string): number | null {
    return this.#options().policy === 'max' ? (this.#largest.get(model) ?? null) : null
  }

  #max(model: string, requested: number | null): NumCtxDecision {
    const largest = Math.max(requested ?? 0, this.#largest.get(model) ?? 0)
    if (largest === 0) return keep
    this.#largest.set(model, largest)
    return requested === largest ? keep : { kind: 'set', value: largest }
  }
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
