/**
 * The fleet as plain JSON for `/admin/fleet`, and as gauges for a scrape. It only reads; credentials in node URLs and the
 * headers of nodes are never part of it. Times are ages and remainders in milliseconds, so that no clock has to agree.
 */
import type { Clock } from '../base/clock.ts'
import type { Outcome } from '../core/relay.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { BreakerState } from './breaker.ts'
import type { Pool } from './pool.ts'
import type { Waiter } from './waiting-line.ts'
import type { Catalogue } from './catalogue.ts'
import type { ProbeKind } from './probe.ts'
import type { FleetNode, LoadedModel } from './node.ts'
import type { NodeUse, Runner } from './runner.ts'

/** One model on one node as the gateway drives it. */
export interface RunnerSnapshot {
  readonly model: string
  readonly inFlight: number
  readonly streaming: number
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
function slotsOf({ runners }: NodeUse): number {
  let slots = 0
  for (const runner of runners.values()) if (runner.bounded && runner.isResident()) slots += runner.slots
  return slots
}

/** Pools by model; names that lead to one model count together, and so do groups of nodes. */
function snapshotPools(fleet: FleetView): PoolSnapshot[] {
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

/** How many requests wait in queues. */
export function countQueued({ pools }: Pick<FleetView, 'pools'>): number {
  let queued = 0
  for (const pool of pools.all()) queued += pool.queue.size
  return queued
}

function snapshotDrift(catalogue: FleetView['catalogue']): FleetSnapshot['drift'] {
  return [...catalogue.drift()].map(([model, digests]) => ({ model, digests: Object.fromEntries(digests) }))
}

const breakerStates = ['closed', 'half_open', 'open'] as const

const queueReasons = ['full', 'deadline', 'no_node']
const tryOutcomes = ['ok', 'client_error', 'node_error', 'truncated', 'client_gone'] as const satisfies readonly Outcome['kind'][]
const probeKinds: readonly ProbeKind[] = ['version', 'tags', 'ps']

/** Shows zeros for what has not happened to a node yet: a counter that begins at 1 has no rise that an alert could see. */
function showZeros({ families }: Metrics, node: string): void {
  const { circuitTransitions, loads, nodeRequests, probeFailures, wedges } = families
  for (const state of breakerStates) circuitTransitions.at(node, state)
  for (const outcome of ['ok', 'failed']) loads.at(node, outcome)
  for (const outcome of tryOutcomes) nodeRequests.at(node, outcome)
  for (const probe of probeKinds) probeFailures.at(node, probe)
  wedges.at(node)
}

function fillCertificate({ families }: Metrics, name: string, { certificate }: FleetNode): void {
  const validity = certificate?.validity ?? null
  if (validity === null) return
  families.nodeCertificateExpiry.at(name).value = validity.untilWallMs / 1_000
  families.nodeCertificateLifetime.at(name).value = (validity.untilWallMs - validity.fromWallMs) / 1_000
}

/** Tells of each name that was there at one look and is not at the next. */
class Removed {
  readonly #onRemoved: (name: string) => void
  #seen: ReadonlySet<string> = new Set()

  constructor(onRemoved: (name: string) => void) {
    this.#onRemoved = onRemoved
  }

  look(names: readonly string[]): void {
    const present = new Set(names)
    for (const name of this.#seen) if (!present.has(name)) this.#onRemoved(name)
    this.#seen = present
  }
}

/** Makes each scrape show the fleet as it is then: a node or model that is gone leaves no series behind. */
export function addFleetGauges(metrics: Metrics, fleet: FleetView, clock: Clock): void {
  const gauges = metrics.families
  const { nodeUp, nodeInFlight, nodeSlots, nodeDraining, circuitState, nodeSeen, queueDepth, slots } = gauges
  const { modelLoaded, modelVram, modelExpiry, drift, nodeCertificateExpiry, nodeCertificateLifetime } = gauges
  const all = [
    nodeUp,
    nodeInFlight,
    nodeSlots,
    nodeDraining,
    circuitState,
    nodeSeen,
    queueDepth,
    slots,
    modelLoaded,
    modelVram,
    modelExpiry,
    drift,
    nodeCertificateExpiry,
    nodeCertificateLifetime,
  ]
  const fillNode = (node: FleetNode, nowMs: number): void => {
    const name = metrics.node.admit(node.name)
    showZeros(metrics, name)
    nodeUp.at(name).value = node.up === true ? 1 : 0
    const use = fleet.pools.use(node)
    nodeInFlight.at(name).value = use.inFlight
    nodeSlots.at(name).value = slotsOf(use)
    nodeDraining.at(name).value = node.draining ? 1 : 0
    const state = node.breaker.state(nowMs)
    for (const each of breakerStates) circuitState.at(name, each).value = each === state ? 1 : 0
    if (node.lastSeenMs !== -Infinity) nodeSeen.at(name).value = (clock.wallMs() - (nowMs - node.lastSeenMs)) / 1_000
    fillCertificate(metrics, name, node)
    for (const loaded of node.loaded.values()) {
      const model = metrics.model.admit(loaded.name)
      modelLoaded.at(name, model).value = 1
      modelVram.at(name, model).value = loaded.vramBytes
      if (Number.isFinite(loaded.expiresAtMs)) modelExpiry.at(name, model).value = loaded.expiresAtMs / 1_000
    }
  }
  const nodes = new Removed((name) => metrics.forgetNode(name))
  const models = new Removed((name) => metrics.forgetModel(name))
  const forgetRemoved = (): void => {
    nodes.look(fleet.nodes.map(({ name }) => name))
    // A node that has not told its models yet may have any of them.
    if (fleet.nodes.every(({ modelsKnown }) => modelsKnown)) models.look(fleet.catalogue.names())
  }
  metrics.addSource(() => {
    forgetRemoved()
    for (const family of all) family.clear()
    const nowMs = clock.nowMs()
    for (const node of fleet.nodes) fillNode(node, nowMs)
    for (const [model, digests] of fleet.catalogue.drift()) drift.at(metrics.model.admit(model)).value = digests.size - 1
    for (const pool of snapshotPools(fleet)) {
      const name = metrics.pool.admit(pool.model)
      queueDepth.at(name).value = pool.queued
      for (const reason of queueReasons) gauges.queueRejected.at(name, reason)
      if (pool.slots !== null) slots.at(name).value = pool.slots
    }
  })
}
