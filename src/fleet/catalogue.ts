/**
 * Which node holds which model, at which digest. It is computed from the lists that the prober reads and from 404s that
 * contradict them. Where nodes hold one name at different digests, requests go to the nodes of one digest only: the one
 * that most nodes hold, the newest among equals; another one's only while none of those is up. While remote models are not
 * allowed a node that would send a model elsewhere never holds it. `version` moves whenever an answer of `resolve` may differ.
 */
import type { Clock } from '../base/clock.ts'
import { compareInstants } from '../base/instant.ts'
import { canonicalModelName, isCloudModel } from '../wire/model-name.ts'
import type { FleetNode, ModelTag } from './node.ts'

export interface ResolvedModel {
  /** Canonical name after aliases: what nodes are asked for. */
  readonly name: string
  readonly requested: string
  /** Nodes to balance over, draining ones left out. */
  readonly holders: readonly FleetNode[]
  /** Digest that the holders share; null when unknown. */
  readonly digest: string | null
  /** False when no node is known to hold it. */
  readonly known: boolean
  /** True when nodes would run it elsewhere: by its name, or because the holders' lists say so. */
  readonly remote: boolean
}

/** Another name for a model. */
export interface Alias {
  /** As configured. */
  readonly name: string
  /** Canonical name of the model behind it. */
  readonly model: string
}

export interface Catalogue {
  readonly version: number
  /** By canonical name. */
  readonly aliases: ReadonlyMap<string, Alias>
  /** `group`: of the caller; it balances over nodes of its own and their digest. Null: all nodes. */
  resolve(model: string, group?: string | null): ResolvedModel
  /** A node that lists `model` answered 404 for it. */
  noteMissing(node: FleetNode, model: string, nowMs: number): void
  /** A node's list, whether it is up or drains, or the node list itself, changed. */
  invalidate(): void
  /** Names held at more than one digest, with the nodes of each. */
  drift(): ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>
  /** Canonical names of all models. */
  names(): readonly string[]
}

export interface CatalogueDeps {
  readonly nodes: () => readonly FleetNode[]
  readonly aliases: () => Readonly<Record<string, string>>
  /** Whether nodes may run models elsewhere; left out: yes. A change of it needs `invalidate`. */
  readonly remoteAllowed?: () => boolean
  readonly clock: Clock
  readonly onDrift: (model: string, digests: ReadonlyMap<string, readonly string[]>) => void
}

/** A 404 outweighs a node's list for this long; the list is read anew well before. */
const missingMs = 10_000

export function createCatalogue(deps: CatalogueDeps): Catalogue {
  return new FleetCatalogue(deps)
}

class FleetCatalogue implements Catalogue {
  readonly #deps: CatalogueDeps
  #resolved = new Map<string, ResolvedModel>()
  aliases: ReadonlyMap<string, Alias> = new Map()
  readonly #missing = new Map<string, number>()
  #missingUntilMs = Infinity
  readonly #reported = new Map<string, string>()
  #drift: ReadonlyMap<string, ReadonlyMap<string, readonly string[]>> = new Map()
  #version = 0

  constructor(deps: CatalogueDeps) {
    this.#deps = deps
    this.invalidate()
  }

  get version(): number {
    if (this.#missingUntilMs !== Infinity && this.#deps.clock.nowMs() >= this.#missingUntilMs) this.#forgetMissing()
    return this.#version
  }

  invalidate(): void {
    this.#version += 1
    this.#resolved = new Map()
    const aliases = Object.entries(this.#deps.aliases())
    this.aliases = new Map(aliases.map(([name, model]) => [canonicalModelName(name), { name, model: canonicalModelName(model) }]))
    this.#drift = this.#findDrift()
    this.#reportDrift()
  }

  resolve(model: string, group: string | null = null): ResolvedModel {
    const key = group === null ? model : `${model}\0${group}`
    let resolved = this.#resolved.get(key)
    if (resolved === undefined) {
      resolved = this.#compute(model, group)
      // Unknown names are not kept: anybody can make up new ones. Groups come from credentials: one without holders is not, either.
      const isKept = group === null ? resolved.known : resolved.holders.length > 0
      if (isKept) this.#resolved.set(key, resolved)
    }
    return resolved
  }

  #compute(requested: string, group: string | null): ResolvedModel {
    const canonical = canonicalModelName(requested)
    const name = this.aliases.get(canonical)?.model ?? canonical
    const all = this.#listing(name)
    const listing = group === null ? all : all.filter(({ options }) => options.group === group)
    const usable = listing.filter((node) => node.up !== false && !node.draining)
    const favourite = chooseDigest(listing, name)
    const isServed = usable.length === 0 || usable.some((node) => node.models.get(name)?.digest === favourite)
    const digest = isServed ? favourite : chooseDigest(usable, name)
    const holders = listing.filter((node) => node.models.get(name)?.digest === digest && !node.draining)
    const isElsewhere = all.length === 0 && this.#deps.nodes().some((node) => isRemoteOn(node, name))
    const remote = isElsewhere || isCloudModel(name) || holders.some((node) => isRemoteOn(node, name))
    return { name, requested, holders, digest, known: all.length > 0 || isElsewhere, remote }
  }

  /** Nodes that may be asked for the model. */
  #listing(model: string): readonly FleetNode[] {
    const { nodes, remoteAllowed } = this.#deps
    const allowed = remoteAllowed?.() ?? true
    return nodes().filter((node) => node.models.has(model) && !this.#isMissing(node, model) && (allowed || !isRemoteOn(node, model)))
  }

  #isMissing(node: FleetNode, model: string): boolean {
    return this.#missing.has(missingKey(node, model))
  }

  noteMissing(node: FleetNode, model: string, nowMs: number): void {
    this.#missing.set(missingKey(node, model), nowMs + missingMs)
    this.#missingUntilMs = Math.min(this.#missingUntilMs, nowMs + missingMs)
    this.invalidate()
  }

  #forgetMissing(): void {
    const nowMs = this.#deps.clock.nowMs()
    this.#missingUntilMs = Infinity
    for (const [key, untilMs] of this.#missing) {
      if (untilMs <= nowMs) this.#missing.delete(key)
      else this.#missingUntilMs = Math.min(this.#missingUntilMs, untilMs)
    }
    this.invalidate()
  }

  drift(): ReadonlyMap<string, ReadonlyMap<string, readonly string[]>> {
    return this.#drift
  }

  #findDrift(): Map<string, ReadonlyMap<string, readonly string[]>> {
    const byName = new Map<string, Map<string, string[]>>()
    for (const node of this.#deps.nodes()) {
      for (const [name, { digest }] of node.models) {
        const digests = byName.get(name) ?? new Map<string, string[]>()
        byName.set(name, digests)
        digests.set(digest, [...(digests.get(digest) ?? []), node.name])
      }
    }
    return new Map([...byName].filter(([, digests]) => digests.size > 1))
  }

  /** Each state of drift is reported once. */
  #reportDrift(): void {
    for (const name of this.#reported.keys()) if (!this.#drift.has(name)) this.#reported.delete(name)
    for (const [name, digests] of this.#drift) {
      const state = [...digests].map(([digest, nodes]) => `${digest}=${nodes.join()}`).join(' ')
      if (this.#reported.get(name) === state) continue
      this.#reported.set(name, state)
      this.#deps.onDrift(name, digests)
    }
  }

  names(): readonly string[] {
    const names = new Set<string>()
    for (const node of this.#deps.nodes()) for (const name of node.models.keys()) names.add(name)
    return [...names]
  }
}

function isRemoteOn(node: FleetNode, model: string): boolean {
  const host = node.models.get(model)?.remoteHost ?? null
  return host !== null
}

function missingKey(node: FleetNode, model: string): string {
  return `${node.name}\n${model}`
}

/** The digest most nodes hold; among equals the one modified last. */
function chooseDigest(nodes: readonly FleetNode[], model: string): string | null {
  const tags = nodes.map((node) => node.models.get(model)).filter((tag): tag is ModelTag => tag !== undefined)
  const counts = new Map<string, { count: number; modifiedAt: string }>()
  for (const { digest, modifiedAt } of tags) {
    const known = counts.get(digest) ?? { count: 0, modifiedAt: '' }
    counts.set(digest, {
      count: known.count + 1,
      modifiedAt: compareInstants(modifiedAt, known.modifiedAt) > 0 ? modifiedAt : known.modifiedAt,
    })
  }
  const ranked = [...counts].toSorted(([, a], [, b]) => b.count - a.count || compareInstants(b.modifiedAt, a.modifiedAt))
  return ranked[0]?.[0] ?? null
}
