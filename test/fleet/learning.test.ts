// What a node tells about itself: slots from hidden waits, rates, load times, and which conversations it still holds.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import type { Usage } from '../../src/core/relay.ts'
import { Affinity, ModelStats } from '../../src/fleet/learning.ts'

const assumed = { slotsConfigured: null, slotsAssumed: 4, slotsMax: 4_096 }

function usage(change: Partial<Usage> = {}): Usage {
  return {
    promptTokens: 100,
    cachedPromptTokens: null,
    outputTokens: 50,
    loadMs: 1,
    promptMs: 100,
    outputMs: 1_000,
    totalMs: 1_102,
    ...change,
  }
}

/** An answer that waited `waitMs` inside the node for a slot. */
function waited(waitMs: number): Usage {
  return usage({ totalMs: 1_101 + waitMs })
}

/** A node with a number of slots, and a gateway that fills what it believes to be there: rounds of requests sent together. */
class Node {
  readonly stats = new ModelStats(assumed)
  nowMs = 0
  slots: number

  constructor(slots: number) {
    this.slots = slots
  }

  /** One round: as many requests at once as the estimate allows; those over the node's slots wait for one to end. */
  round(): void {
    const count = this.stats.slots
    for (let place = 1; place <= count; place += 1) {
      const turn = Math.ceil(place / this.slots) - 1
      if (turn === 0) this.stats.observeStreaming(place, this.nowMs)
      this.stats.observe(waited(turn * 1_101), { nowMs: this.nowMs, inFlightAtDispatch: place, durationMs: (turn + 1) * 1_101 })
    }
    this.nowMs += 2_000
  }
}

describe('slots', () => {
  test.each([1, 2, 3, 4, 8, 16])('%i real slots are found within ten rounds', (slots) => {
    const node = new Node(slots)
    for (let round = 0; round < 10; round += 1) node.round()
    expect(node.stats.slots).toBe(slots)
  })

  test.each([1, 2, 4, 8])('over an hour of load at %i slots at most one round in fifty is sent too many', (slots) => {
    const node = new Node(slots)
    for (let round = 0; round < 10; round += 1) node.round()
    let over = 0
    const rounds = 1_800
    for (let round = 0; round < rounds; round += 1) {
      if (node.stats.slots > slots) over += 1
      node.round()
    }
    expect(over).toBeLessThan(rounds / 50)
    expect(node.stats.slots).toBe(slots)
  })

  test('three hidden waits in a row bring four assumed slots down to what was served', () => {
    const stats = new ModelStats(assumed)
    for (const inFlightAtDispatch of [4, 3, 4]) {
      expect(stats.slots).toBe(4)
      stats.observe(waited(900), { nowMs: 0, inFlightAtDispatch, durationMs: 2_000 })
    }
    expect(stats.slots).toBe(2)
    expect(stats.slotsLearned).toBe(true)
  })

  test('what the configuration says of them holds as soon as it changes', () => {
    const options = { slotsConfigured: null, slotsAssumed: 4, slotsMax: 4_096 }
    const stats = new ModelStats(options)
    options.slotsAssumed = 2
    expect(stats.slots).toBe(2)
    stats.observe(usage(), { nowMs: 0, inFlightAtDispatch: 2, durationMs: 1_102 })
    expect(stats.slots).toBe(4)
    options.slotsMax = 1
    expect(stats.slots).toBe(1)
    options.slotsMax = 4_096
    expect(stats.slots).toBe(4)
  })

  test('a single hiccup of a node teaches nothing', () => {
    const stats = new ModelStats(assumed)
    for (let round = 0; round < 10; round += 1) {
      stats.observe(waited(900), { nowMs: 0, inFlightAtDispatch: 3, durationMs: 2_000 })
      stats.observe(usage(), { nowMs: 0, inFlightAtDispatch: 3, durationMs: 1_102 })
    }
    expect(stats.slots).toBe(4)
  })

  test('waits of scheduling noise teach nothing', () => {
    const stats = new ModelStats(assumed)
    stats.observe(waited(19), { nowMs: 0, inFlightAtDispatch: 3, durationMs: 1_200 })
    stats.observe(waited(100), { nowMs: 0, inFlightAtDispatch: 3, durationMs: 1_200 })
    expect(stats.slots).toBe(4)
    expect(stats.slotsLearned).toBe(false)
  })

  test('the time of a load is no wait for a slot', () => {
    const stats = new ModelStats(assumed)
    stats.observe(usage({ loadMs: 5_000, totalMs: 6_101 }), { nowMs: 0, inFlightAtDispatch: 3, durationMs: 6_200 })
    expect(stats.slots).toBe(4)
  })

  test('a wait of a lone request is due to somebody else and teaches nothing', () => {
    const stats = new ModelStats(assumed)
    stats.observe(waited(5_000), { nowMs: 0, inFlightAtDispatch: 1, durationMs: 7_000 })
    expect(stats.slots).toBe(4)
  })

  test('a full node without a wait has its estimate doubled until waits are believed, then raised by one', () => {
    const stats = new ModelStats(assumed)
    stats.observe(usage(), { nowMs: 0, inFlightAtDispatch: 4, durationMs: 1_102 })
    expect(stats.slots).toBe(8)
    for (const inFlightAtDispatch of [8, 5, 7]) stats.observe(waited(900), { nowMs: 0, inFlightAtDispatch, durationMs: 2_000 })
    expect(stats.slots).toBe(4)
    stats.observe(usage(), { nowMs: 1, inFlightAtDispatch: 4, durationMs: 1_102 })
    expect(stats.slots).toBe(4)
  })

  test('a node restarted with more slots is found out', () => {
    const node = new Node(1)
    for (let round = 0; round < 10; round += 1) node.round()
    node.slots = 4
    for (let round = 0; round < 80; round += 1) node.round()
    expect(node.stats.slots).toBe(4)
  })

  test('a node restarted with fewer slots is found out', () => {
    const node = new Node(8)
    for (let round = 0; round < 10; round += 1) node.round()
    expect(node.stats.slots).toBe(8)
    node.slots = 2
    for (let round = 0; round < 10; round += 1) node.round()
    expect(node.stats.slots).toBe(2)
  })

  test('two streams that overlap only in their last and first bytes do not raise a one-slot node for good', () => {
    const node = new Node(1)
    for (let round = 0; round < 10; round += 1) node.round()
    node.stats.observeStreaming(2, node.nowMs)
    for (let round = 0; round < 10; round += 1) node.round()
    expect(node.stats.slots).toBe(1)
  })

  test("the operator's number is kept whatever is seen", () => {
    const stats = new ModelStats({ ...assumed, slotsConfigured: 3 })
    stats.observe(waited(5_000), { nowMs: 0, inFlightAtDispatch: 2, durationMs: 7_000 })
    stats.observeStreaming(7, 0)
    expect(stats.slots).toBe(3)
  })

  test('the estimate stays between one and the most allowed whatever is seen', () => {
    const seen = fc.record({
      inFlight: fc.integer({ min: 1, max: 64 }),
      waitMs: fc.nat(4_000),
      streaming: fc.nat(40),
      afterMs: fc.nat(200_000),
    })
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 60 }), (observations) => {
        const stats = new ModelStats({ ...assumed, slotsMax: 32 })
        let nowMs = 0
        for (const { inFlight, waitMs, streaming, afterMs } of observations) {
          nowMs += afterMs
          stats.observe(waited(waitMs), { nowMs, inFlightAtDispatch: inFlight, durationMs: 1_101 + waitMs })
          stats.observeStreaming(Math.min(streaming, inFlight, 32), nowMs)
          expect(stats.slots).toBeGreaterThanOrEqual(1)
          expect(stats.slots).toBeLessThanOrEqual(32)
        }
      }),
    )
  })
})

describe('rates', () => {
  const seen = { nowMs: 0, inFlightAtDispatch: 1, durationMs: 1_102 }

  test('prefill and decode follow what the node reports', () => {
    const stats = new ModelStats(assumed)
    for (let time = 0; time < 5; time += 1) stats.observe(usage(), seen)
    expect(stats.prefillMsPerToken).toBeCloseTo(1)
    expect(stats.decodeMsPerToken).toBeCloseTo(20)
    expect(stats.requestMs).toBeCloseTo(1_102)
  })

  test('the prefill of a cached prompt is left out', () => {
    const stats = new ModelStats(assumed)
    stats.observe(usage(), seen)
    stats.observe(usage({ promptMs: 3 }), seen)
    expect(stats.prefillMsPerToken).toBeCloseTo(1)
  })

  test('short prompts say nothing of the prefill rate', () => {
    const stats = new ModelStats(assumed)
    stats.observe(usage({ promptTokens: 3, promptMs: 90 }), seen)
    expect(stats.prefillMsPerToken).toBeNull()
  })

  test('an answer without figures counts as a request only', () => {
    const stats = new ModelStats(assumed)
    stats.observe(null, seen)
    expect(stats.samples).toBe(1)
    expect(stats.requestMs).toBe(1_102)
    expect(stats.decodeMsPerToken).toBeNull()
  })

  test('a load is assumed to take seconds until one was seen', () => {
    const stats = new ModelStats(assumed)
    expect(stats.loadMs).toBe(5_000)
    stats.observeLoad(800)
    expect(stats.loadMs).toBe(800)
  })
})

describe('affinity', () => {
  function held(affinity: Affinity, key: string, node: string, nowMs: number): number {
    const memory = affinity.find(key, nowMs)
    return memory?.node === node ? memory.tokens : 0
  }

  test('the node that answered last is remembered with the tokens it holds, for half an hour', () => {
    const affinity = new Affinity()
    affinity.note('c1', { node: 'a', tokens: 500, nowMs: 0 })
    expect(held(affinity, 'c1', 'a', 1_000)).toBe(500)
    expect(held(affinity, 'c1', 'b', 1_000)).toBe(0)
    expect(held(affinity, 'c2', 'a', 1_000)).toBe(0)
    expect(held(affinity, 'c1', 'a', 1_800_001)).toBe(0)
  })

  test('a node that lost its caches is known for none of them, until it answers again', () => {
    const affinity = new Affinity()
    affinity.note('c1', { node: 'a', tokens: 500, nowMs: 0 })
    affinity.note('c2', { node: 'b', tokens: 500, nowMs: 0 })
    affinity.forget('a', 10)
    expect([affinity.find('c1', 20), affinity.find('c2', 20)?.node]).toEqual([null, 'b'])
    affinity.note('c1', { node: 'a', tokens: 600, nowMs: 30 })
    expect(affinity.find('c1', 40)?.tokens).toBe(600)
  })

  test('the longest unused of more than twenty thousand conversations is forgotten', () => {
    const affinity = new Affinity()
    for (let index = 0; index < 20_000; index += 1) affinity.note(`c${index}`, { node: 'a', tokens: 1, nowMs: 0 })
    affinity.note('c0', { node: 'a', tokens: 2, nowMs: 1 })
    affinity.note('new', { node: 'a', tokens: 3, nowMs: 2 })
    expect(held(affinity, 'c0', 'a', 3)).toBe(2)
    expect(held(affinity, 'c1', 'a', 3)).toBe(0)
    expect(held(affinity, 'new', 'a', 3)).toBe(3)
  })
})
