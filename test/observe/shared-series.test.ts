// More nodes and pools than labels have room for: what shares the series `other` is told by its worst member, or as a sum.
import { afterEach, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { addFleetGauges } from '../../src/fleet/fleet-gauges.ts'
import { makeObserver, sample, scrapeOf } from './fixtures.ts'
import { giveModel, makeFleet, makeNode } from './fleet-fixture.ts'

/** One hundred have series of their own. */
const nodeCount = 103
let nodes: FleetNode[] = []

afterEach(async () => {
  await Promise.all(nodes.map(({ transport }) => transport.close()))
  nodes = []
})

function manyNodes(): FleetNode[] {
  nodes = Array.from({ length: nodeCount }, (_, index) => ({ ...makeNode({ url: `http://n${index}`, headers: {} }), up: true }))
  return nodes
}

function eject(node: FleetNode): void {
  for (let failure = 0; failure < 5; failure += 1) node.breaker.acquire(systemClock.nowMs())?.settle('fail', systemClock.nowMs())
}

test('a node without a series of its own is seen when it is down, ejected, and as full as it is', async () => {
  const fleet = makeFleet(manyNodes())
  const { observer } = makeObserver()
  addFleetGauges(observer.metrics, fleet, systemClock)
  const before = await scrapeOf(observer)
  expect(sample(before, 'corral_node_up{node="n30"}')).toBe(1)
  expect(sample(before, 'corral_node_up{node="other"}')).toBe(1)
  expect(sample(before, 'corral_node_circuit_state{node="other",state="closed"}')).toBe(1)

  // In the middle of the three, so that neither the first nor the last one decides.
  const node = nodes[101]
  if (node === undefined) throw new Error('no such node')
  node.up = false
  eject(node)
  fleet.pools.use(node).inFlight = 2
  const last = nodes[102]
  if (last !== undefined) fleet.pools.use(last).inFlight = 3
  const after = await scrapeOf(observer)
  expect(sample(after, 'corral_node_up{node="other"}')).toBe(0)
  expect(sample(after, 'corral_node_circuit_state{node="other",state="open"}')).toBe(1)
  expect(sample(after, 'corral_node_circuit_state{node="other",state="closed"}')).toBe(0)
  expect(sample(after, 'corral_inflight_requests{node="other"}')).toBe(5)
})

test('pools without a series of their own are one queue', async () => {
  const [node] = manyNodes()
  if (node === undefined) throw new Error('no node')
  const fleet = makeFleet([node])
  const { observer } = makeObserver({ metrics: { labelValuesMax: 1 } })
  addFleetGauges(observer.metrics, fleet, systemClock)
  for (const name of ['a:latest', 'b:latest', 'c:latest']) {
    giveModel(node, name)
    fleet.pools.get(name)
  }
  const body = await scrapeOf(observer)
  const one = sample(body, 'corral_concurrency_limit{pool="a:latest"}')
  expect(one).toBeGreaterThan(0)
  expect(sample(body, 'corral_concurrency_limit{pool="other"}')).toBe(2 * (one ?? 0))
})
