// How a policy spreads requests over time: a small discrete loop with exact in-flight counts and no network.

import { describe, expect, test } from 'vitest'
import { policies } from '../../src/fleet/policy/index.ts'
import type { Policy } from '../../src/fleet/policy/policy.ts'
import { seededRandom } from '../../src/sim/virtual/random.ts'
import { candidate, noRandom, request, type Writable } from './candidates.ts'

interface NodeKind {
  slots: number
  serviceMs: number
  failsFast?: boolean
}

interface Traffic {
  nodes: NodeKind[]
  requests: number
  /** Requests under way at once (closed loop), or null: one arrives every `everyMs` (open loop). */
  concurrency: number | null
  everyMs: number
}

/** One node as the policy sees it, what it really is, and the requests it got. */
class Tally {
  readonly kind: NodeKind
  readonly view: Writable
  count = 0

  constructor(kind: NodeKind, index: number) {
    this.kind = kind
    this.view = candidate(`n${index}`, { slots: kind.slots, prefillMsPerToken: null, decodeMsPerToken: null })
  }

  add(requests: 1 | -1): void {
    this.view.inFlight += requests
    this.view.nodeInFlight += requests
    this.view.pendingMs = this.view.inFlight * 50
  }
}

/** Requests per node; ends come in the order of their moment. */
function sharesOf(policy: Policy, { nodes, requests, concurrency, everyMs }: Traffic): number[] {
  const random = seededRandom(7)
  const tallies = nodes.map((kind, index) => new Tally(kind, index))
  let ends: { atMs: number; tally: Tally }[] = []
  let nowMs = 0
  for (let sent = 1; sent <= requests; sent += 1) {
    if (concurrency === null) nowMs += everyMs * 2 * random()
    else if (ends.length >= concurrency) nowMs = Math.min(...ends.map(({ atMs }) => atMs))
    for (const { tally } of ends.filter(({ atMs }) => atMs <= nowMs)) {
      tally.add(-1)
      if (tally.kind.failsFast === true) tally.view.penalty += 1
    }
    ends = ends.filter(({ atMs }) => atMs > nowMs)
    const views = tallies.map(({ view }) => view)
    const chosen = policy(views, request, noRandom)[0]?.candidate
    for (const tally of tallies) {
      if (tally.view !== chosen) continue
      tally.count += 1
      tally.add(1)
      tally.view.lastChosen = sent
      ends.push({ atMs: nowMs + (tally.kind.failsFast === true ? 1 : tally.kind.serviceMs * (0.5 + random())), tally })
    }
  }
  return tallies.map(({ count }) => count)
}

const sumOf = (counts: number[]): number => counts.reduce((sum, count) => sum + count, 0)
const equal = (serviceMs: number, slots = 4) => Array.from({ length: 8 }, () => ({ slots, serviceMs }))
const busiestToMean = (counts: number[]): number => (Math.max(...counts) / sumOf(counts)) * counts.length

describe.each(Object.entries(policies))('%s', (_, policy) => {
  test.each([1, 4, 8, 32])('spreads 2,000 requests evenly over 8 equal nodes in a closed loop of %i', (concurrency) => {
    expect(busiestToMean(sharesOf(policy, { nodes: equal(100), requests: 2_000, concurrency, everyMs: 0 }))).toBeLessThanOrEqual(1.05)
  })

  test.each([200, 15, 5])('spreads 2,000 requests evenly over 8 equal nodes when one comes every %i ms', (everyMs) => {
    expect(busiestToMean(sharesOf(policy, { nodes: equal(100), requests: 2_000, concurrency: null, everyMs }))).toBeLessThanOrEqual(1.05)
  })

  test('shares by capacity when one node is twice as slow', () => {
    const nodes = [...equal(100).slice(1), { slots: 4, serviceMs: 200 }]
    const counts = sharesOf(policy, { nodes, requests: 4_000, concurrency: 32, everyMs: 0 })
    const slow = counts.at(-1) ?? 0
    const others = counts.slice(0, -1)
    const mean = sumOf(others) / others.length
    expect(slow / mean).toBeGreaterThan(0.4)
    expect(slow / mean).toBeLessThan(0.65)
    expect(Math.max(...others) / mean).toBeLessThanOrEqual(1.05)
  })

  test('does not feed a node that answers every request with a fast error', () => {
    const nodes = [...equal(100).slice(1), { slots: 4, serviceMs: 100, failsFast: true }]
    expect(sharesOf(policy, { nodes, requests: 2_000, concurrency: 16, everyMs: 0 }).at(-1)).toBeLessThan(10)
  })
})

test('least-loaded sends a node with twice the slots twice as much when all are full', () => {
  const nodes = [
    { slots: 4, serviceMs: 100 },
    { slots: 2, serviceMs: 100 },
  ]
  const [large = 0, small = 0] = sharesOf(policies['least-loaded'], { nodes, requests: 2_000, concurrency: 6, everyMs: 0 })
  expect(large / small).toBeGreaterThan(1.8)
  expect(large / small).toBeLessThan(2.2)
})
