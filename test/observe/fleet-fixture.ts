// Nodes without probes or traffic: real catalogue, pools and breakers under the operator routes and the fleet gauges.
import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Waiter } from '../../src/fleet/waiting-line.ts'
import { createBreaker } from '../../src/fleet/breaker.ts'
import { type Catalogue, createCatalogue } from '../../src/fleet/catalogue.ts'
import { type FleetNode, unprobed } from '../../src/fleet/node.ts'
import { fleetOptions, type NodeOptions } from '../../src/fleet/options.ts'
import { PoolTable } from '../../src/fleet/pool.ts'
import { createTransport } from '../../src/fleet/transport.ts'
import { NodeChanges, type NodeChangesDeps } from '../../src/http/admin/node-changes.ts'
import { noPeers } from '../../src/http/peers.ts'

export type TestFleet = NodeChangesDeps['fleet'] & {
  readonly nodes: FleetNode[]
  readonly activeAttempts: number
  readonly catalogue: Catalogue
  readonly pools: PoolTable<Waiter>
}

const options = fleetOptions.parse({})

export function makeNode(given: NodeOptions): FleetNode {
  return {
    name: given.name ?? new URL(given.url).host,
    options: given,
    transport: createTransport({ url: given.url, headers: given.headers, connectTimeoutMs: 100, caFile: given.caFile, clock: systemClock }),
    breaker: createBreaker(
      () => options.breaker,
      () => 0.5,
    ),
    certificate: null,
    ...unprobed(),
    version: '0.30.0',
  }
}

/** Gives a node a model in its list and in memory. */
export function giveModel(node: FleetNode, name: string, digest = 'sha256:aa'): void {
  node.models = new Map([...node.models, [name, { name, digest, sizeBytes: 1, modifiedAt: '', raw: {} }]])
  node.modelsKnown = true
  const expiresAtMs = systemClock.wallMs() + 60_000
  node.loaded = new Map([[name, { name, digest, sizeBytes: 2, vramBytes: 3_000, contextLength: 4_096, expiresAtMs, raw: {} }]])
  node.loadedAtMs = systemClock.nowMs()
}

export function makeFleet(nodes: FleetNode[]): TestFleet {
  const all = () => nodes
  const catalogue = createCatalogue({ nodes: all, aliases: () => ({}), clock: systemClock, onDrift: () => undefined })
  const find = (name: string): FleetNode => {
    const node = nodes.find((candidate) => candidate.name === name)
    if (node === undefined) throw new CorralError('node_not_found', `no node named ${name}`)
    return node
  }
  return {
    nodes,
    catalogue,
    activeAttempts: 0,
    pools: new PoolTable<Waiter>({ catalogue, nodes: all, clock: systemClock, options: () => options }),
    addNode: (given) => {
      const node = makeNode(given)
      if (nodes.some((other) => other.name === node.name))
        return Promise.reject(new CorralError('conflict', `${node.name} is there already`))
      nodes.push(node)
      return Promise.resolve(node)
    },
    removeNode: (name) => void nodes.splice(nodes.indexOf(find(name)), 1),
    setDraining: (name, draining) => Object.assign(find(name), { draining }),
    byHand: () => new Map(),
    adopt: () => [],
    prober: { probeNow: () => Promise.resolve() },
  }
}

/** The operator's way to the nodes of a fleet that is the whole gateway. */
export function nodeChangesOf(fleet: TestFleet): NodeChanges {
  return new NodeChanges({ fleet, clock: systemClock, store: null, peers: noPeers, onTrouble: () => undefined })
}
