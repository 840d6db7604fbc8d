/**
 * The `num_ctx` policy. Clients that each send their own context length make one node reload one model again and again
 * (ollama-contract-verified.md §b: ×16); this decides the length that is really asked for.
 *
 * `pass` leaves requests alone · `fixed` gives all of them one length, or the node's default when no value is set · `max`
 * keeps to the largest length with which a node has answered so far for that model · `bucket` rounds up to the next of a few
 * lengths. Only native routes can carry the option; others run with what is loaded.
 *
 * What one client asks for becomes everybody's under `max`, so that it counts only once a node has answered with it, and no
 * more of it than `/api/ps` then shows: nodes cut a length to what the model was trained for (verified notes §b). Both belong to
 * a digest: another build of the name may have another length. Nobody gets less than what was asked for.
 */
import type { Clock } from '../base/clock.ts'
import type { InferenceRequest } from '../core/relay.ts'
import type { ResolvedModel } from './catalogue.ts'
import { type FleetNode, runnerModelOn } from './node.ts'
import type { FleetOptions } from './options.ts'
import type { Runner } from './runner.ts'

type NumCtxOptions = FleetOptions['numCtx']

export type NumCtxDecision = { readonly kind: 'keep' } | { readonly kind: 'remove' } | { readonly kind: 'set'; readonly value: number }

const keep: NumCtxDecision = { kind: 'keep' }

/** Whether the `num_ctx` of this request is one that a node reads: bodies of other dialects have no such field. */
export function carriesContext({ route }: InferenceRequest): boolean {
  return route.dialect === 'ollama' && route.body === 'json'
}

/** A model, and which build of it; a null digest stands for the name's unknown one. */
export type Build = Pick<ResolvedModel, 'name' | 'digest'>

interface Grown {
  /** Tokens that all get at least; 0 before a node has answered with any. Not over `max`. */
  readonly largest: number
  /** Tokens that the build can have, where a node showed less than it was asked for. */
  readonly max: number
}

const ungrown: Grown = { largest: 0, max: Infinity }
/** Builds that are remembered; of more the one that grew least lately is forgotten. */
const buildsMax = 10_000

export class NumCtxPolicy {
  readonly #options: () => NumCtxOptions
  readonly #builds = new Map<string, Grown>()

  constructor(options: () => NumCtxOptions) {
    this.#options = options
  }

  /** What to do with the `num_ctx` that a native request for `build` asks for (null: none). */
  decide(build: Build, requested: number | null): NumCtxDecision {
    const options = this.#options()
    switch (options.policy) {
      case 'pass':
        return keep
      case 'fixed':
        return fixed(options.value ?? null, requested)
      case 'bucket':
        return bucket(options.buckets, requested)
      case 'max':
        return this.#max(build, requested)
    }
  }

  /** Tokens that requests for `build` get at least under the policy `max`; null under others and before a node has answered with one. */
  largestOf(build: Build): number | null {
    const { largest } = this.#grown(build)
    return this.#options().policy === 'max' && largest > 0 ? largest : null
  }

  #max(build: Build, requested: number | null): NumCtxDecision {
    const { largest } = this.#grown(build)
    return largest > (requested ?? 0) ? { kind: 'set', value: largest } : keep
  }

  /** A node answers for `build` with this `num_ctx`. True when that is more than before, and all get it from now on. */
  noteAnswered(build: Build, tokens: number): boolean {
    if (this.#options().policy !== 'max' || !Number.isSafeInteger(tokens)) return false
    const { largest, max } = this.#grown(build)
    const grown = Math.min(tokens, max)
    if (grown <= largest) return false
    this.#keep(build, { largest: grown, max })
    return true
  }

  /** A node that runs `build` as it was asked with `tokens` shows a context of `shown`. */
  noteShown(build: Build, { tokens, shown }: { readonly tokens: number; readonly shown: number }): void {
    if (shown < tokens) this.#keep(build, { largest: Math.min(this.#grown(build).largest, shown), max: shown })
  }

  #grown(build: Build): Grown {
    return this.#builds.get(keyOf(build)) ?? ungrown
  }

  #keep(build: Build, grown: Grown): void {
    const key = keyOf(build)
    this.#builds.delete(key)
    this.#builds.set(key, grown)
    if (this.#builds.size <= buildsMax) return
    const oldest = this.#builds.keys().next()
    if (oldest.done !== true) this.#builds.delete(oldest.value)
  }
}

/** Names of one digest share a runner. No digest has a colon and no canonical name lacks one. */
function keyOf({ name, digest }: Build): string {
  return digest === null || digest === '' ? name : digest
}

export interface ContextDeps {
  readonly clock: Clock
  readonly numCtx: NumCtxPolicy
  /** Reads anew what a node has in memory, or waits for the reading that is under way. */
  readonly refreshLoaded: (node: FleetNode) => Promise<void>
}

/** A node began to answer `request` for `model` (canonical) well: where the length it asks for is new, the node is asked what it made of it. */
export function noteContext(
  deps: ContextDeps,
  { envelope }: InferenceRequest,
  { model, runner }: { readonly model: string; readonly runner: Runner },
): void {
  const tokens = envelope.runnerOptions.num_ctx
  if (typeof tokens !== 'number') return
  const build = runnerModelOn(runner.fleetNode, model)
  if (deps.numCtx.noteAnswered(build, tokens)) void noteShown(deps, build, { tokens, runner })
}

async function noteShown(
  { clock, numCtx, refreshLoaded }: ContextDeps,
  build: Build,
  { tokens, runner }: { readonly tokens: number; readonly runner: Runner },
): Promise<void> {
  const { fingerprint, fleetNode } = runner
  const sinceMs = clock.nowMs()
  await refreshLoaded(fleetNode)
  if (fleetNode.loadedAtMs < sinceMs) await refreshLoaded(fleetNode)
  const shown = runner.listed()?.contextLength ?? null
  // Somebody else's options may be loaded by now.
  const isFresh = fleetNode.loadedAtMs >= sinceMs
  if (isFresh && shown !== null && runner.fingerprint === fingerprint && runner.load === null) numCtx.noteShown(build, { tokens, shown })
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
