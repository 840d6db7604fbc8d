// What a freed place costs when many wait: counted in looks of the policy, over nodes without sockets.

import { describe, expect, test } from 'vitest'

import { Admission } from '../../src/fleet/admission.ts'
import { createCatalogue } from '../../src/fleet/catalogue.ts'
import type { Claim } from '../../src/fleet/claim.ts'
import { Affinity } from '../../src/fleet/learning.ts'
import { Loader } from '../../src/fleet/loader.ts'
import { LoadPricing } from '../../src/fleet/load-pricing.ts'
import { NumCtxPolicy } from '../../src/fleet/num-ctx.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { policies } from '../../src/fleet/policy/index.ts'
import { PoolTable } from '../../src/fleet/pool.ts'
import type { Waiter } from '../../src/fleet/waiting-line.ts'
import { prepareRequest, type Wish } from '../../src/fleet/wish.ts'
import { bareNode, load, noWeights } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'
import { makeCall, makeRequest } from './requests.ts'

const nodeCount = 4
const slots = 2
const nothing = (): undefined => undefined

/** Four nodes of two slots that hold the model in memory; counts how often the policy is asked. */
function setUp() {
  const clock = manualClock()
  const options = fleetOptions.parse({})
  const nodes = Array.from({ length: nodeCount }, (_, index) => bareNode(`node-${index + 1}`, { 'm:latest': {} }, { slots }))
  for (const node of nodes) load(node, { 'm:latest': 1 }, clock.nowMs())
  const catalogue = createCatalogue({ nodes: () => nodes, aliases: () => ({}), clock, onDrift: nothing })
  const pools = new PoolTable<Waiter>({ catalogue, nodes: () => nodes, clock, options: () => options })
  const looks = { count: 0 }
  const loaderEvents = { loadStarted: nothing, loadEnded: nothing }
  const admission = new Admission({
    pools,
    loader: new Loader({ clock, options: () => options, events: loaderEvents }),
    affinity: new Affinity(),
    pricing: new LoadPricing({ nodes: () => nodes, use: (node) => pools.use(node), clock }),
    policy: () => (candidates, request, random) => {
      looks.count += 1
      return policies['least-loaded'](candidates, request, random)
    },
    options: () => options,
    clock,
    random: () => 0.5,
    events: { queued: nothing, dequeued: nothing, rejected: nothing },
  })
  const wishOf = (body: Record<string, unknown> = {}): Wish => {
    const request = makeRequest('/api/chat', { model: 'm', messages: [], ...body })
    const numCtx = new NumCtxPolicy(() => options.numCtx)
    return prepareRequest({ catalogue, numCtx, tracksConversations: () => false, weights: noWeights }, request).wish
  }
  const served: Claim[] = []
  const ask = (wish: Wish): void => {
    const claim = admission.claim(wish, makeCall(), false)
    if (!(claim instanceof Promise)) {
      admission.dispatched(claim, wish)
      served.push(claim)
      return
    }
    void claim.then((one) => {
      admission.dispatched(one, wish)
      served.push(one)
    })
  }
  const release = async (): Promise<void> => {
    const claim = served.shift()
    if (claim === undefined) throw new Error('nobody is served')
    admission.release(claim)
    await Promise.resolve()
  }
  return { admission, nodes, pools, clock, looks, served, wishOf, ask, release }
}

describe('a freed place', () => {
  test('costs one look of the policy, however many wait', async () => {
    const { looks, served, wishOf, ask, release } = setUp()
    for (let time = 0; time < nodeCount * slots + 300; time += 1) ask(wishOf())
    expect(served).toHaveLength(nodeCount * slots)
    for (let time = 0; time < 50; time += 1) {
      looks.count = 0
      await release()
      expect(looks.count).toBe(1)
      expect(served).toHaveLength(nodeCount * slots)
    }
  })

  test('that other runner options hold back costs one look for all who are alike, and goes to whoever fits', async () => {
    const { looks, served, wishOf, ask, release } = setUp()
    for (let time = 0; time < nodeCount * slots; time += 1) ask(wishOf())
    for (let time = 0; time < 20; time += 1) ask(wishOf({ options: { num_ctx: 8_192 } }))
    ask(wishOf())
    looks.count = 0
    await release()
    expect(looks.count).toBe(2)
    expect(served).toHaveLength(nodeCount * slots)
    looks.count = 0
    await release()
    expect(looks.count).toBe(1)
    expect(served).toHaveLength(nodeCount * slots - 1)
  })

  test('of a drained node is no place for anybody', async () => {
    const { nodes, looks, served, wishOf, ask, release } = setUp()
    for (let time = 0; time < nodeCount * slots + 40; time += 1) ask(wishOf())
    const [first] = served
    for (const node of nodes) node.draining = node.name === first?.runner.node
    looks.count = 0
    await release()
    expect(looks.count).toBe(0)
    expect(served).toHaveLength(nodeCount * slots - 1)
  })
})

test('whoever a freed place passes over is found by the next tick', async () => {
  const { admission, nodes, pools, clock, looks, wishOf, ask } = setUp()
  for (let time = 0; time < nodeCount * slots + 5; time += 1) ask(wishOf())
  const errors: unknown[] = []
  const wish = wishOf()
  for (const { name } of nodes) wish.tried.add(name)
  wish.tried.delete('node-4')
  const waiting = admission.claim(wish, makeCall(), true)
  if (!(waiting instanceof Promise)) throw new Error('it has a place')
  waiting.catch((error: unknown) => errors.push(error))
  for (const node of nodes) if (node.name === 'node-4') node.up = false
  looks.count = 0
  admission.tick(clock.nowMs())
  await Promise.resolve()
  await Promise.resolve()
  expect(errors).toEqual([expect.objectContaining({ code: 'no_node' })])
  expect(pools.get('m:latest').queue.size).toBe(5)
})
