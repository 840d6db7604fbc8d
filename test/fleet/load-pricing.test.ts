// What a load would push out of a node, from what `/api/ps` showed and how often each model is wanted.

import { describe, expect, test } from 'vitest'

import { ModelStats } from '../../src/fleet/learning.ts'
import { LoadPricing } from '../../src/fleet/load-pricing.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { NodeUse, Runner } from '../../src/fleet/runner.ts'
import { bareNode, load } from './bare-node.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

interface Setup {
  readonly pricing: LoadPricing
  readonly clock: ManualClock
  readonly node: FleetNode
  readonly other: FleetNode
  runner(model: string): Runner
  /** `/api/ps` of the node says this. */
  sees(sizes: Readonly<Record<string, number>>): void
}

const models = { 'a:latest': { digest: 'a' }, 'b:latest': { digest: 'b' }, 'c:latest': { digest: 'c', sizeBytes: 100 } }

function setUp(): Setup {
  const clock = manualClock()
  const [node, other] = [bareNode('n1', models), bareNode('n2', models)]
  const uses = new Map([node, other].map((each) => [each, new NodeUse()]))
  const use = (of: FleetNode): NodeUse => uses.get(of) ?? new NodeUse()
  const pricing = new LoadPricing({ nodes: () => [node, other], use, clock })
  const runner = (model: string): Runner => {
    const { digest } = node.models.get(model) ?? { digest: '' }
    const known = use(node).find({ name: model, digest })
    if (known !== null) return known
    const stats = new ModelStats({ slotsConfigured: null, slotsAssumed: 4, slotsMax: 4_096 })
    stats.observeLoad(4_000)
    const made = new Runner(node, model, use(node), stats, true)
    use(node).runners.set(digest, made)
    return made
  }
  const sees = (sizes: Readonly<Record<string, number>>): void => {
    load(node, sizes, clock.nowMs())
    pricing.sawLoaded(node)
  }
  return { pricing, clock, node, other, runner, sees }
}

/** A node of 200 bytes: loading b beside a and c has pushed out c. */
function full(): Setup {
  const setup = setUp()
  setup.sees({ 'a:latest': 100, 'c:latest': 100 })
  setup.sees({ 'a:latest': 100, 'b:latest': 100 })
  for (const model of ['a:latest', 'b:latest', 'c:latest']) setup.runner(model).lastServedMs = setup.clock.nowMs()
  setup.clock.advance(1_000)
  return setup
}

describe('the price of a load', () => {
  test('is nothing while no eviction was ever seen', () => {
    const { pricing, sees, runner, clock } = setUp()
    sees({ 'a:latest': 1_000_000 })
    expect(pricing.price(runner('c:latest'), clock.nowMs())).toEqual({ priceMs: 0, waitMs: 0 })
  })

  test('is nothing on a node known to be full whose models nobody asks for', () => {
    const { pricing, runner, clock } = full()
    expect(pricing.price(runner('c:latest'), clock.nowMs()).priceMs).toBe(0)
  })

  test('grows with how often the victim is wanted, up to its load time', () => {
    const { pricing, runner, clock } = full()
    const prices = [1, 10, 100].map((times) => {
      for (let time = 0; time < times; time += 1) {
        pricing.wanted('a:latest', clock.nowMs())
        pricing.wanted('b:latest', clock.nowMs())
      }
      return pricing.price(runner('c:latest'), clock.nowMs()).priceMs
    })
    expect(prices[0]).toBeGreaterThan(0)
    expect(prices[1]).toBeGreaterThan(prices[0] ?? 0)
    expect(prices[2]).toBeGreaterThan(prices[1] ?? 0)
    expect(prices[2]).toBeLessThanOrEqual(4_000)
  })

  test('is shared with other nodes that hold the victim', () => {
    const { pricing, runner, clock, other } = full()
    for (let time = 0; time < 20; time += 1) for (const model of ['a:latest', 'b:latest']) pricing.wanted(model, clock.nowMs())
    const alone = pricing.price(runner('c:latest'), clock.nowMs()).priceMs
    load(other, { 'a:latest': 100, 'b:latest': 100 }, clock.nowMs())
    expect(pricing.price(runner('c:latest'), clock.nowMs()).priceMs).toBeCloseTo(alone / 2)
  })

  test('a busy victim is waited for', () => {
    const { pricing, runner, clock } = full()
    for (const model of ['a:latest', 'b:latest']) {
      const busy = runner(model)
      busy.inFlight = 1
      busy.stats.observe(null, { nowMs: clock.nowMs(), inFlightAtDispatch: 1, durationMs: 3_000 })
    }
    expect(pricing.price(runner('c:latest'), clock.nowMs()).waitMs).toBe(1_500)
  })

  test('a model that leaves because its time was over is no eviction', () => {
    const { pricing, node, clock, runner } = setUp()
    load(node, { 'a:latest': 100, 'c:latest': 100 }, clock.nowMs())
    node.loaded = new Map([...node.loaded].map(([name, model]) => [name, { ...model, expiresAtMs: clock.wallMs() + 10 }]))
    pricing.sawLoaded(node)
    clock.advance(100)
    load(node, { 'a:latest': 100, 'b:latest': 100 }, clock.nowMs())
    pricing.sawLoaded(node)
    for (let time = 0; time < 20; time += 1) pricing.wanted('a:latest', clock.nowMs())
    expect(pricing.price(runner('c:latest'), clock.nowMs()).priceMs).toBe(0)
  })
})
