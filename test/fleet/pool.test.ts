// Runners by the names that share them.

import { expect, test } from 'vitest'

import { createCatalogue } from '../../src/fleet/catalogue.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { PoolTable } from '../../src/fleet/pool.ts'
import type { Waiter } from '../../src/fleet/waiting-line.ts'
import { bareNode, list, load } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'

test('a runner does not go by a name that was pulled anew and leads to another model', () => {
  const clock = manualClock()
  const node = bareNode('node', { 'a:latest': { digest: 'd1' }, 'b:latest': { digest: 'd1' } })
  const nodes = () => [node]
  const catalogue = createCatalogue({ nodes, aliases: () => ({}), clock, onDrift: () => undefined })
  const pools = new PoolTable<Waiter>({ catalogue, nodes, clock, options: () => fleetOptions.parse({}) })
  const shared = pools.runner(node, 'a:latest', true)
  list(node, { 'a:latest': { digest: 'd2' }, 'b:latest': { digest: 'd1' } })
  load(node, { 'a:latest': 1 }, clock.nowMs())
  expect(pools.runner(node, 'b:latest', true)).toBe(shared)
  expect(shared.isResident()).toBe(false)
  expect(pools.runner(node, 'a:latest', true).isResident()).toBe(true)
})
