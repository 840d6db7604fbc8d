/**
 * The fleet as plain JSON for `/admin/fleet`. It only reads; credentials in node URLs and the
 * headers of nodes are never part of it. Times are ages and remainders in milliseconds, so that no clock has to agree.
 */
import type { BreakerState } from './breaker.ts'
import type { Pool } from './pool.ts'
import type { Waiter } from './waiting-line.ts'
import type { Catalogue } from './catalogue.ts'
import type { FleetNode, LoadedModel } from './node.ts'
import type { NodeUse, Runner } from './runner.ts'

/** One model on one node as the gateway drives it. */
export interface RunnerSnapshot {
  readonly model: string
  readonly inFlight: number
  readonly streaming: number
  /** Of these, those that were silent at the last look for so much longer than they ever were that the runner may hang. */
  readonly standing: number
  /** Requests sent at once; null when nobody bounds them. */
  readonly slots: number | null
  /** Where `slots` comes from. */
  readonly slotsFrom: 'configured' | 'learned' | 'assumed' | 'unbounded'
  readonly resident: boolean
  /** A load under way: since when, and how long it is expected to take still. */
  readonly loading: { readonly sinceMs: number; readonly remainingMs: number } | null
  readonly requestMs: number | null
  readonly loadMs: number
  readonly prefillMsPerToken: number | null
  readonly decodeMsPerToken: number | null
  /** Runner options in use; null when a foreign client may have set them. */
  readonly fingerprint: string | null
}

export interface NodeSnapshot {
  readonly name: string
  readonly url: string
  readonly up: boolean | null
  readonly downReason: string | null
  /** The last try that it failed, and milliseconds since. */
  readonly lastFailure: { readonly reason: string; readonly agoMs: number } | null
  readonly version: string | null
  readonly draining: boolean
  readonly breaker: BreakerState
  /** Milliseconds until an ejected node gets a trial request. */
  readonly ejectedForMs: number
  /** Milliseconds since the last answer of any kind; null before the first. */
  readonly lastSeenAgoMs: number | null
  readonly overloadedForMs: number
  readonly inFlight: number
  /** Names from `/api/tags`; null until it was read once. */
  readonly models: readonly string[] | null
  readonly loaded: readonly {
    readonly model: string
    readonly vramBytes: number
    readonly contextLength: number | null
    readonly expiresAt: string | null
  }[]
  readonly runners: readonly RunnerSnapshot[]
}

export interface PoolSnapshot {
  readonly model: string
  readonly queued: number
  readonly queueMax: number
  readonly slots: number | null
  /** Estimated milliseconds until a request that arrived now would be dispatched; 0 when nobody waits. */
  readonly etaMs: number
}

export interface FleetSnapshot {
  readonly nodes: readonly NodeSnapshot[]
  readonly pools: readonly PoolSnapshot[]
  /** Models of one name that differ between nodes: digest to node names. */
  readonly drift: readonly { readonly model: string; readonly digests: Readonly<Record<string, readonly string[]>> }[]
  readonly activeAttempts: number
}

/** What is read of a `Fleet`. */
export interface FleetView {
  readonly nodes: readonly FleetNode[]
  readonly activeAttempts: number
  readonly catalogue: Pick<Catalogue, 'drift' | 'names'>
  readonly pools: { use(node: FleetNode): NodeUse; all(): Iterable<Pool<Waiter>> }
}

/** The state of the fleet at monotonic `nowMs`. */
export function snapshotFleet(fleet: FleetView, nowMs: number): FleetSnapshot {
  return {
    nodes: fleet.nodes.map((node) => snapshotNode(fleet, node, nowMs)),
    pools: snapshotPools(fleet),
    drift: snapshotDrift(fleet.catalogue),
    activeAttempts: fleet.activeAttempts,
  }
}

function snapshotNode(fleet: FleetView, node: FleetNode, nowMs: number): NodeSnapshot {
  const use = fleet.pools.use(node)
  return {
    name: node.name,
    url: maskUrl(node.options.url),
    up: node.up,
    downReason: node.downReason,
    lastFailure: node.lastFailure === null ? null : { reason: node.lastFailure.reason, agoMs: Math.round(nowMs - node.lastFailure.atMs) },
    version: node.version,
    draining: node.draining,
    breaker: node.breaker.state(nowMs),
    ejectedForMs: Math.max(0, Math.round(node.breaker.ejectedForMs(nowMs))),
    lastSeenAgoMs: node.lastSeenMs === -Infinity ? null : Math.max(0, Math.round(nowMs - node.lastSeenMs)),
    overloadedForMs: Math.max(0, Math.round(node.overloadedUntilMs - nowMs)),
    inFlight: use.inFlight,
    models: node.modelsKnown ? [...node.models.keys()] : null,
    loaded: [...node.loaded.values()].map(snapshotLoaded),
    runners: [...use.runners.values()].map((runner) => snapshotRunner(runner, nowMs)),
  }
}

/** A URL without user, password, query and fragment. */
export function maskUrl(text: string): string {
  const url = URL.parse(text)
  if (url === null) return '(unreadable URL)'
  return `${url.protocol}//${url.username === '' && url.password === '' ? '' : '***@'}${url.host}${url.pathname === '/' ? '' : url.pathname}`
}

function snapshotLoaded({ name, vramBytes, contextLength, expiresAtMs }: LoadedModel): NodeSnapshot['loaded'][number] {
  return { model: name, vramBytes, contextLength, expiresAt: isoOrNull(expiresAtMs) }
}

/** A keep-alive without end, or one that a node reports beyond what a date can hold, has no time. */
function isoOrNull(wallMs: number): string | null {
  return Math.abs(wallMs) <= 8.64e15 ? new Date(wallMs).toISOString() : null
}

function snapshotRunner(runner: Runner, nowMs: number): RunnerSnapshot {
  const { load, stats, bounded } = runner
  return {
    model: runner.model,
    inFlight: runner.inFlight,
    streaming: runner.streaming,
    standing: runner.standingAt(nowMs),
    slots: bounded ? runner.slots : null,
    slotsFrom: slotsFrom(runner),
    resident: runner.isResident(),
    loading:
      load === null
        ? null
        : {
            sinceMs: Math.round(nowMs - load.startedAtMs),
            remainingMs: Math.max(0, Math.round(load.expectedMs - (nowMs - load.startedAtMs))),
          },
    requestMs: stats.requestMs,
    loadMs: runner.loadMs,
    prefillMsPerToken: runner.prefillMsPerToken,
    decodeMsPerToken: runner.decodeMsPerToken,
    fingerprint: runner.fingerprint,
  }
}

function slotsFrom({ bounded, stats }: Runner): RunnerSnapshot['slotsFrom'] {
  if (!bounded) return 'unbounded'
  if (stats.slotsConfigured) return 'configured'
  return stats.slotsLearned ? 'learned' : 'assumed'
}

/** Slots of what the node has in memory, as far as they are bounded. */
export function slotsOf({ runners }: NodeUse): number {
  let slots = 0
  for (const runner of runners.values()) if (runner.bounded && runner.isResident()) slots += runner.slots
  return slots
}

/** Pools by model; names that lead to one model count together, and so do groups of nodes. */
export function snapshotPools(fleet: FleetView): PoolSnapshot[] {
  const byModel = new Map<string, PoolSnapshot>()
  for (const pool of fleet.pools.all()) {
    const known = byModel.get(pool.model)
    const queued = (known?.queued ?? 0) + pool.queue.size
    const bounded = pool.runners.every((runner) => runner.bounded)
    byModel.set(pool.model, {
      model: pool.model,
      queued,
      queueMax: pool.queue.limit,
      slots: bounded ? Math.max(pool.slots, known?.slots ?? 0) : null,
      etaMs: queued === 0 ? 0 : pool.etaMs(queued + 1),
    })
  }
  return [...byModel.values()]
}

function snapshotDrift(catalogue: FleetView['catalogue']): FleetSnapshot['drift'] {
  return [...catalogue.drift()].map(([model, digests]) => ({ model, digests: Object.fromEntries(digests) }))
}
