/**
 * From a request to its key. The second of two equal requests costs one SHA-256 of its body: keys are remembered by it,
 * together with everything else that is in them (scope, route, query, model digest, engine, epochs).
 */
import { createHmac, hash } from 'node:crypto'

import { LRUCache } from 'lru-cache'

import type { Principal } from '../core/principal.ts'
import type { InferenceRequest } from '../core/relay.ts'
import { type CircumstanceDeps, type Circumstances, circumstancesOf } from './circumstances.ts'
import { DigestCache } from './digest-cache.ts'
import type { Epochs } from './epochs.ts'
import { identityParts, type IdentityPart } from './identity.ts'
import { CacheKey, type CacheScope } from './key.ts'
import type { BypassReason } from './policy.ts'
import type { RouteShape } from './route-shape.ts'
import type { Tags } from './tags.ts'

const plansMax = 10_000

/** How a request is found in the cache. */
export interface Plan {
  /** 64 hex digits; the form of the answer is a suffix behind it. */
  readonly key: string
  readonly tags: Tags
  readonly digest: string
  /** Of the nodes that may serve the caller; null: all. */
  readonly group: string | null
  /** The epochs that are in the key. */
  readonly stamp: string
}

export interface PlanDeps extends CircumstanceDeps {
  readonly secret: Buffer
  readonly epochs: Epochs
}

/** Whose answer it would be. */
export interface PlanFor {
  readonly scope: CacheScope
  readonly principal: Pick<Principal, 'nodeGroup'>
}

export class Planner {
  readonly #deps: PlanDeps
  readonly #plans = new LRUCache<string, Plan | 'unkeyable'>({ max: plansMax })
  readonly #digests = new DigestCache()

  constructor(deps: PlanDeps) {
    this.#deps = deps
  }

  /** The plan, or why there is none. */
  plan(request: InferenceRequest, shape: RouteShape, { scope, principal }: PlanFor): Plan | BypassReason {
    const { model } = request
    const circumstances = model === null ? null : circumstancesOf(this.#deps, model, principal)
    if (circumstances === null) return 'no-digest'
    const { digest, engine } = circumstances
    const memo = this.#memoKey(request, scope, circumstances)
    const known = this.#plans.get(memo)
    if (known !== undefined) return known
    const plan = this.#make(request, shape, { scope, digest, engine, group: principal.nodeGroup }) ?? 'unkeyable'
    this.#plans.set(memo, plan)
    return plan
  }

  #memoKey({ body, target }: InferenceRequest, scope: CacheScope, { digest, engine }: Circumstances): string {
    return `${hash('sha256', body, 'base64')}\n${scope.id}\n${digest}\n${this.#deps.epochs.version}\n${engine}\n${unsigned(target)}`
  }

  #make(
    request: InferenceRequest,
    shape: RouteShape,
    { scope, digest, engine, group }: Circumstances & { readonly scope: CacheScope; readonly group: string | null },
  ): Plan | null {
    const identity = this.partsOf(request)
    if (identity === null) return null
    const tags: Tags = { tenant: scope.tenant, kind: 'inference', digest }
    const { secret, epochs } = this.#deps
    const stamp = epochs.stampOf(tags)
    // A fixed number of parts, then pairs: no two requests can give one list.
    const parts = [unsigned(request.target), digest, engine, stamp, shape.modelFirst ? '' : (request.envelope.model ?? '')]
    for (const { name, text } of identity) parts.push(name, text)
    const key = epochs.keyFor(new CacheKey(secret, scope, { kind: 'inference', parts }).text)
    return { key, tags, digest, group, stamp: stamp + epochs.stampOfKey(key) }
  }

  /** What is in the key of a request's body; null when it has none. */
  partsOf(request: InferenceRequest): readonly IdentityPart[] | null {
    return identityParts(request, this.#digests)
  }

  /** The same for somebody to compare, without the values: nobody else can make these digests, and so guess what is behind one. */
  digestsOfParts(request: InferenceRequest): readonly { readonly name: string; readonly digest: string }[] {
    const parts = this.partsOf(request) ?? []
    return parts.map(({ name, text }) => ({
      name,
      digest: createHmac('sha256', this.#deps.secret).update(`part ${name} ${text}`).digest('hex'),
    }))
  }

  /** Whether an answer asked for under `plan` may still be found under it. */
  holds({ key, tags, stamp, digest, group }: Plan, model: string | null): boolean {
    const { epochs } = this.#deps
    return stamp === epochs.stampOf(tags) + epochs.stampOfKey(key) && model !== null && this.#deps.digestOf(model, group) === digest
  }
}

/** What the Ollama CLI adds to the URL of a request that it signs: the second it was sent in, which no answer depends on. */
const signedAt = /\?ts=\d{1,12}$/

function unsigned(target: string): string {
  return target.includes('?') ? target.replace(signedAt, '') : target
}
