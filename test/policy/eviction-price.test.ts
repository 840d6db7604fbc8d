// The price of pushing models out of a node's memory, and the two things it is fed with: memory bounds and demand.

import { describe, expect, test } from 'vitest'
import { Demand } from '../../src/fleet/policy/demand.ts'
import { evictionPrice, type LoadedModel } from '../../src/fleet/policy/eviction-price.ts'
import { MemoryBounds } from '../../src/fleet/policy/memory-bounds.ts'

const everyMinute = 1 / 60_000

function loaded(change: Partial<LoadedModel> = {}): LoadedModel {
  return { vramBytes: 10, inFlight: 0, idleMs: 1_000, busyMs: 0, wantedPerMs: everyMinute, loadMs: 10_000, warmElsewhere: 0, ...change }
}

function priceOf(change: Partial<LoadedModel>): number {
  return evictionPrice({ loaded: [loaded(change)], needBytes: 15, capacityBytes: 20, loadedMax: 3 }).priceMs
}

describe('evictionPrice', () => {
  test('is zero while the model fits', () => {
    expect(evictionPrice({ loaded: [loaded()], needBytes: 10, capacityBytes: 20, loadedMax: 3 })).toEqual({ priceMs: 0, waitMs: 0 })
  })

  test('is zero on a node whose limits nobody has seen', () => {
    expect(evictionPrice({ loaded: [loaded(), loaded()], needBytes: 10, capacityBytes: Infinity, loadedMax: Infinity }).priceMs).toBe(0)
  })

  test('charges the model idle longest', () => {
    const price = evictionPrice({
      loaded: [loaded({ idleMs: 5, loadMs: 1_000 }), loaded({ idleMs: 90_000, loadMs: 20_000, wantedPerMs: 1 })],
      needBytes: 10,
      capacityBytes: 20,
      loadedMax: 3,
    })
    expect(price.priceMs).toBeCloseTo(20_000)
  })

  test('charges as many models as must go', () => {
    const one = evictionPrice({ loaded: [loaded(), loaded()], needBytes: 5, capacityBytes: 20, loadedMax: 3 })
    const two = evictionPrice({ loaded: [loaded(), loaded()], needBytes: 15, capacityBytes: 20, loadedMax: 3 })
    expect(two.priceMs).toBeCloseTo(2 * one.priceMs)
  })

  test('charges for the count of models too', () => {
    expect(evictionPrice({ loaded: [loaded()], needBytes: 1, capacityBytes: Infinity, loadedMax: 1 }).priceMs).toBeGreaterThan(0)
  })

  test('halves with one other warm copy and vanishes for a model nobody wants', () => {
    expect(priceOf({ warmElsewhere: 1 })).toBeCloseTo(priceOf({}) / 2)
    expect(priceOf({ wantedPerMs: 0 })).toBe(0)
  })

  test('waits for a busy model only when no idle one makes enough room', () => {
    const busy = loaded({ inFlight: 1, idleMs: 0, busyMs: 7_000 })
    expect(evictionPrice({ loaded: [busy, loaded()], needBytes: 10, capacityBytes: 20, loadedMax: 3 }).waitMs).toBe(0)
    expect(evictionPrice({ loaded: [busy, loaded()], needBytes: 20, capacityBytes: 20, loadedMax: 3 }).waitMs).toBe(7_000)
  })
})

describe('MemoryBounds', () => {
  test('believes in room until a load pushed something out', () => {
    const bounds = new MemoryBounds()
    bounds.sawTogether(20)
    expect(bounds.capacityBytes).toBe(Infinity)
    bounds.sawEviction(30)
    expect(bounds.capacityBytes).toBe(29)
    bounds.sawEviction(25)
    expect(bounds.capacityBytes).toBe(24)
  })

  test('trusts what it saw in memory together over an older eviction', () => {
    const bounds = new MemoryBounds()
    bounds.sawEviction(25)
    bounds.sawTogether(28)
    expect(bounds.capacityBytes).toBe(Infinity)
  })

  test('takes no eviction for a memory limit when more was seen together before', () => {
    const bounds = new MemoryBounds()
    bounds.sawTogether(40)
    bounds.sawEviction(30)
    expect(bounds.capacityBytes).toBe(Infinity)
  })
})

describe('Demand', () => {
  test('approaches the true rate of a steady stream', () => {
    const demand = new Demand()
    for (let nowMs = 0; nowMs <= 3_600_000; nowMs += 10_000) demand.note('m', nowMs)
    expect(demand.perMs('m', 3_600_000) * 10_000).toBeGreaterThan(0.97)
    expect(demand.perMs('m', 3_600_000) * 10_000).toBeLessThan(1.03)
  })

  test('fades when nobody asks any more', () => {
    const demand = new Demand()
    demand.note('m', 0)
    expect(demand.perMs('m', 1_500_000)).toBeLessThan(demand.perMs('m', 0) / 100)
    expect(demand.perMs('other', 0)).toBe(0)
  })
})
