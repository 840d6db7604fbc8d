/**
 * The fleet as gauges for a scrape: each shows it as it is then, and a node or model that is gone leaves no series behind. It only reads.
 */
import type { Clock } from '../base/clock.ts'
import type { Outcome } from '../core/relay.ts'
import { circuitStates } from '../observe/circuit-states.ts'
import type { Cell, Family } from '../observe/families.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { FleetNode } from './node.ts'
import type { ProbeKind } from './probe.ts'
import { type FleetView, slotsOf, snapshotPools } from './snapshot.ts'

const queueReasons = ['full', 'deadline', 'no_node']
const tryOutcomes = ['ok', 'client_error', 'node_error', 'truncated', 'client_gone'] as const satisfies readonly Outcome['kind'][]
const probeKinds: readonly ProbeKind[] = ['version', 'tags', 'ps']

/** Shows zeros for what has not happened to a node yet: a counter that begins at 1 has no rise that an alert could see. */
function showZeros({ families }: Metrics, node: string): void {
  const { circuitTransitions, loads, nodeRequests, probeFailures, wedges } = families
  for (const state of circuitStates) circuitTransitions.at(node, state)
  for (const outcome of ['ok', 'failed']) loads.at(node, outcome)
  for (const outcome of tryOutcomes) nodeRequests.at(node, outcome)
  for (const probe of probeKinds) probeFailures.at(node, probe)
  wedges.at(node)
}

const sum = (a: number, b: number): number => a + b

/**
 * Gauges of one scrape. Several nodes, models or pools share a series where there are more than labels may have values (`other`): it then
 * tells what an alert is to hear of, the worst of them, or their sum where it counts.
 */
class Gathered {
  readonly #filled = new Set<Cell>()

  put(cell: Cell, value: number, merge: (a: number, b: number) => number): void {
    cell.value = this.#filled.has(cell) ? merge(cell.value, value) : value
    this.#filled.add(cell)
  }
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

class FleetGauges {
  readonly #metrics: Metrics
  readonly #fleet: FleetView
  readonly #clock: Clock
  readonly #nodes: Removed
  readonly #models: Removed
  #gathered = new Gathered()

  constructor(metrics: Metrics, fleet: FleetView, clock: Clock) {
    this.#metrics = metrics
    this.#fleet = fleet
    this.#clock = clock
    this.#nodes = new Removed((name) => metrics.forgetNode(name))
    this.#models = new Removed((name) => metrics.forgetModel(name))
  }

  fill(): void {
    this.#forgetRemoved()
    for (const family of this.#filledAnew()) family.clear()
    this.#gathered = new Gathered()
    const nowMs = this.#clock.nowMs()
    for (const node of this.#fleet.nodes) {
      const name = this.#metrics.node.admit(node.name)
      showZeros(this.#metrics, name)
      this.#fillNode(name, node, nowMs)
      this.#fillCertificate(name, node)
      this.#fillLoaded(name, node)
    }
    this.#fillBreakers(nowMs)
    this.#fillModels()
  }

  #forgetRemoved(): void {
    const { nodes, catalogue } = this.#fleet
    this.#nodes.look(nodes.map(({ name }) => name))
    // A node that has not told its models yet may have any of them.
    if (nodes.every(({ modelsKnown }) => modelsKnown)) this.#models.look(catalogue.names())
  }

  #filledAnew(): readonly Family<Cell>[] {
    const { nodeUp, nodeInFlight, nodeSlots, nodeDraining, circuitState, nodeSeen, queueDepth, slots } = this.#metrics.families
    const { modelLoaded, modelVram, modelExpiry, drift, nodeCertificateExpiry, nodeCertificateLifetime } = this.#metrics.families
    const ofNodes = [nodeUp, nodeInFlight, nodeSlots, nodeDraining, circuitState, nodeSeen, nodeCertificateExpiry, nodeCertificateLifetime]
    return [...ofNodes, queueDepth, slots, modelLoaded, modelVram, modelExpiry, drift]
  }

  #fillNode(name: string, node: FleetNode, nowMs: number): void {
    const { nodeUp, nodeInFlight, nodeSlots, nodeDraining, nodeSeen } = this.#metrics.families
    const use = this.#fleet.pools.use(node)
    this.#gathered.put(nodeUp.at(name), node.up === true ? 1 : 0, Math.min)
    this.#gathered.put(nodeInFlight.at(name), use.inFlight, sum)
    this.#gathered.put(nodeSlots.at(name), slotsOf(use), sum)
    this.#gathered.put(nodeDraining.at(name), node.draining ? 1 : 0, Math.min)
    if (node.lastSeenMs === -Infinity) return
    this.#gathered.put(nodeSeen.at(name), (this.#clock.wallMs() - (nowMs - node.lastSeenMs)) / 1_000, Math.min)
  }

  #fillCertificate(name: string, { certificate }: FleetNode): void {
    const validity = certificate?.validity ?? null
    if (validity === null) return
    const { nodeCertificateExpiry, nodeCertificateLifetime } = this.#metrics.families
    this.#gathered.put(nodeCertificateExpiry.at(name), validity.untilWallMs / 1_000, Math.min)
    this.#gathered.put(nodeCertificateLifetime.at(name), (validity.untilWallMs - validity.fromWallMs) / 1_000, Math.min)
  }

  #fillLoaded(name: string, { loaded }: FleetNode): void {
    const { modelLoaded, modelVram, modelExpiry } = this.#metrics.families
    for (const each of loaded.values()) {
      const model = this.#metrics.model.admit(each.name)
      modelLoaded.at(name, model).value = 1
      this.#gathered.put(modelVram.at(name, model), each.vramBytes, sum)
      if (Number.isFinite(each.expiresAtMs)) this.#gathered.put(modelExpiry.at(name, model), each.expiresAtMs / 1_000, Math.min)
    }
  }

  /** One state for each series: the worst of the nodes that share it. */
  #fillBreakers(nowMs: number): void {
    const worst = new Map<string, number>()
    for (const node of this.#fleet.nodes) {
      const name = this.#metrics.node.admit(node.name)
      worst.set(name, Math.max(worst.get(name) ?? 0, circuitStates.indexOf(node.breaker.state(nowMs))))
    }
    const { circuitState } = this.#metrics.families
    for (const [name, at] of worst)
      for (const [index, state] of circuitStates.entries()) circuitState.at(name, state).value = index === at ? 1 : 0
  }

  #fillModels(): void {
    const { drift, queueDepth, queueRejected, slots } = this.#metrics.families
    for (const [model, digests] of this.#fleet.catalogue.drift())
      this.#gathered.put(drift.at(this.#metrics.model.admit(model)), digests.size - 1, Math.max)
    for (const pool of snapshotPools(this.#fleet)) {
      const name = this.#metrics.pool.admit(pool.model)
      this.#gathered.put(queueDepth.at(name), pool.queued, sum)
      for (const reason of queueReasons) queueRejected.at(name, reason)
      if (pool.slots !== null) this.#gathered.put(slots.at(name), pool.slots, sum)
    }
  }
}

/** Makes each scrape show the fleet as it is then; must not do I/O. */
export function addFleetGauges(metrics: Metrics, fleet: FleetView, clock: Clock): void {
  const gauges = new FleetGauges(metrics, fleet, clock)
  metrics.addSource(() => gauges.fill())
}
