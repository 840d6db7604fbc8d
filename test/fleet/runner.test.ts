// One model on one node: when it is in memory, when a request may be sent, how long its load still takes.

import { describe, expect, test } from 'vitest'

import { ModelStats } from '../../src/fleet/learning.ts'
import { NodeUse, Runner, type RunnerRequest } from '../../src/fleet/runner.ts'
import { bareNode, load } from './bare-node.ts'

const plain: RunnerRequest = { fingerprint: '', contextOnly: null, operation: 'other' }
const wide: RunnerRequest = { fingerprint: 'num_ctx=8192', contextOnly: 8_192, operation: 'other' }
const embed: RunnerRequest = { ...plain, operation: 'embed' }

function runner({ slots, bounded = true }: { slots?: number; bounded?: boolean } = {}): Runner {
  const stats = new ModelStats({ slotsConfigured: slots ?? null, slotsAssumed: 4, slotsMax: 64 })
  return new Runner(bareNode('a', { 'm:latest': {} }), 'm:latest', new NodeUse(), stats, bounded)
}

describe('in memory', () => {
  test('until `/api/ps` was read everything counts as loaded', () => {
    expect(runner().isResident()).toBe(true)
  })

  test('what `/api/ps` lists, or what answered since it was read, is', () => {
    const one = runner()
    load(one.fleetNode, {}, 1_000)
    expect(one.isResident()).toBe(false)
    one.lastServedMs = 1_001
    expect(one.isResident()).toBe(true)
    load(one.fleetNode, {}, 2_000)
    expect(one.isResident()).toBe(false)
    load(one.fleetNode, { 'm:latest': 1 }, 3_000)
    expect(one.isResident()).toBe(true)
  })

  test('a copy under another name counts, by its digest', () => {
    const one = runner()
    load(one.fleetNode, { 'twin:latest': 1 }, 1_000)
    expect(one.isResident()).toBe(true)
  })

  test('a runner that died is not, although `/api/ps` goes on listing it', () => {
    const one = runner()
    load(one.fleetNode, { 'm:latest': 1 }, 1_000)
    one.diedAtMs = 1_001
    expect(one.isResident()).toBe(false)
  })
})

describe('a free place', () => {
  test('is there while fewer requests than slots are under way', () => {
    const one = runner({ slots: 2 })
    one.inFlight = 1
    expect(one.isFree(plain)).toBe(true)
    one.inFlight = 2
    expect(one.isFree(plain)).toBe(false)
  })

  test('is not for other runner options while the runner is busy', () => {
    const one = runner()
    one.fingerprint = ''
    expect(one.isFree(wide)).toBe(true)
    one.inFlight = 1
    expect(one.isFree(wide)).toBe(false)
    expect(one.isFree(plain)).toBe(true)
  })

  test('is for a length equal to what a foreign client has loaded', () => {
    const one = runner()
    load(one.fleetNode, { 'm:latest': 1 }, 0)
    one.inFlight = 1
    expect(one.isFree(wide)).toBe(false)
    expect(one.isFree({ ...wide, fingerprint: 'num_ctx=4096', contextOnly: 4_096 })).toBe(true)
  })

  test('is held back for those that wait for other options, until the runner is idle', () => {
    const one = runner()
    one.fingerprint = ''
    one.inFlight = 1
    one.yieldTo = wide.fingerprint
    expect(one.isFree(plain)).toBe(false)
    one.inFlight = 0
    expect(one.isFree(wide)).toBe(true)
  })

  test('is not while a load runs', () => {
    const one = runner()
    one.load = { fingerprint: '', startedAtMs: 0, expectedMs: 1_000 }
    expect(one.isFree(plain)).toBe(false)
  })

  test('is there for two embedding requests at once, more only where the operator says so', () => {
    const [learned, told] = [runner(), runner({ slots: 6 })]
    for (const one of [learned, told]) one.inFlight = 2
    expect(learned.isFree(embed)).toBe(false)
    expect(told.isFree(embed)).toBe(true)
  })

  test('is always there on the runner of unknown models', () => {
    const one = runner({ bounded: false })
    one.inFlight = 1_000
    expect(one.isFree(wide)).toBe(true)
  })
})

describe('the rest of a load', () => {
  test('shrinks to a tenth of what loads here take', () => {
    const one = runner()
    one.stats.observeLoad(1_000)
    one.load = { fingerprint: '', startedAtMs: 0, expectedMs: 1_000 }
    expect([0, 500, 950, 2_000].map((nowMs) => one.loadRemaining(nowMs))).toEqual([1_000, 500, 100, 100])
  })

  test('counts as long again as it took once it takes three times as long', () => {
    const one = runner()
    one.stats.observeLoad(1_000)
    one.load = { fingerprint: '', startedAtMs: 0, expectedMs: 1_000 }
    expect(one.isLoadOverdue(3_000)).toBe(false)
    expect(one.isLoadOverdue(3_001)).toBe(true)
    expect(one.loadRemaining(4_000)).toBe(4_000)
  })

  test('of a model never loaded here is overdue after a minute', () => {
    const one = runner()
    one.load = { fingerprint: '', startedAtMs: 0, expectedMs: 5_000 }
    expect(one.isLoadOverdue(60_000)).toBe(false)
    expect(one.isLoadOverdue(60_001)).toBe(true)
  })

  test('of another model on the same node is waited for', () => {
    const one = runner()
    const other = new Runner(one.fleetNode, 'n:latest', one.use, one.stats, true)
    one.use.runners.set('m', one).set('n', other)
    other.load = { fingerprint: '', startedAtMs: 0, expectedMs: 1_000 }
    expect(one.use.loaderBacklogMs(400, one)).toBe(600)
    expect(one.use.loaderBacklogMs(400, other)).toBe(0)
  })
})

test('failures make a node look busier, for a while', () => {
  const one = runner()
  const penaltyAt = (nowMs: number): number => {
    one.view(plain, { nowMs, slowStartMs: 10_000, cachedTokens: 0 })
    return one.penalty
  }
  expect(penaltyAt(0)).toBe(0)
  one.noteFailure(0)
  one.noteFailure(0)
  expect(penaltyAt(0)).toBe(2)
  expect(penaltyAt(5_000)).toBe(1)
  expect(penaltyAt(60_000)).toBe(0)
})

test('a node that returned looks busier by less and less until its slow start is over', () => {
  const one = runner()
  one.fleetNode.upSinceMs = 0
  const penalties = [0, 5_000, 10_000].map((nowMs) => {
    one.view(plain, { nowMs, slowStartMs: 10_000, cachedTokens: 0 })
    return one.penalty
  })
  expect(penalties).toEqual([1, 0.5, 0])
})

describe('streams that stand still', () => {
  const busyAt = (one: Runner, nowMs: number): number => {
    one.view(plain, { nowMs, slowStartMs: 0, cachedTokens: 0 })
    return one.penalty
  }

  test('make their runner look as full as they are many and certain, until a look sees none', () => {
    const one = runner({ slots: 4 })
    for (let count = 0; count < 2; count += 1) one.noteStreaming()
    one.noteStandstill(0.5, 1_000)
    expect([one.standingAt(1_050), busyAt(one, 1_050)]).toEqual([1, 1])
    for (let count = 0; count < 2; count += 1) one.noteStandstill(1, 1_050)
    expect([one.standingAt(1_060), busyAt(one, 1_060)]).toEqual([2, 4])
    expect([one.standingAt(1_300), busyAt(one, 1_300)]).toEqual([0, 0])
  })

  test('and have ended since the last look count no more', () => {
    const one = runner({ slots: 4 })
    one.noteStreaming()
    one.noteStandstill(1, 1_000)
    one.streaming -= 1
    expect([one.standingAt(1_010), busyAt(one, 1_010)]).toEqual([0, 0])
  })
})
