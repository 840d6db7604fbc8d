// What each policy chooses, and the reason it gives, one situation per row.

import { describe, expect, test } from 'vitest'
import { policies } from '../../src/fleet/policy/index.ts'
import type { Candidate } from '../../src/fleet/policy/policy.ts'
import { candidate, noRandom, request } from './candidates.ts'

interface Row {
  title: string
  nodes: Candidate[]
  queuedAhead?: number
  best: string
  reason: string
}

const both: Row[] = [
  {
    title: 'the idler of two',
    nodes: [candidate('a', { inFlight: 1, slots: 4 }), candidate('b', { slots: 4 })],
    best: 'b',
    reason: 'least-loaded',
  },
  {
    title: 'the one chosen longest ago among equals',
    nodes: [candidate('a', { lastChosen: 9 }), candidate('b', { lastChosen: 3 }), candidate('c', { lastChosen: 7 })],
    best: 'b',
    reason: 'least-loaded',
  },
  { title: 'the first by name among nodes never chosen', nodes: [candidate('b'), candidate('a')], best: 'a', reason: 'least-loaded' },
  {
    title: 'a holder with one of 8 slots free over an idle node without the model',
    nodes: [candidate('a', { inFlight: 7, slots: 8, pendingMs: 7_000 }), candidate('b', { residency: 'cold', slots: 8, loadMs: 30_000 })],
    best: 'a',
    reason: 'loaded',
  },
  {
    title: 'a node without the model when the holder is full and waiting is longer than loading',
    nodes: [candidate('a', { inFlight: 1, pendingMs: 60_000 }), candidate('b', { residency: 'cold' })],
    best: 'b',
    reason: 'spill',
  },
  {
    title: 'the full holder when the load would push out a wanted model',
    nodes: [candidate('a', { inFlight: 1 }), candidate('b', { residency: 'cold', evictionMs: 8_000 })],
    best: 'a',
    reason: 'loaded',
  },
  {
    title: 'the load all the same when the line is deep',
    nodes: [candidate('a', { inFlight: 1 }), candidate('b', { residency: 'cold', evictionMs: 8_000 })],
    queuedAhead: 10,
    best: 'b',
    reason: 'spill',
  },
  {
    title: 'the node where the load pushes nothing out when nobody holds the model',
    nodes: [candidate('a', { residency: 'cold', evictionMs: 5_000 }), candidate('b', { residency: 'cold', lastChosen: 5 })],
    best: 'b',
    reason: 'cold',
  },
  {
    title: 'a load nearly done over a new one',
    nodes: [candidate('a', { residency: 'cold' }), candidate('b', { residency: 'loading', loadRemainingMs: 1_000, lastChosen: 5 })],
    best: 'b',
    reason: 'cold',
  },
  {
    title: 'the busier node over one that fails fast',
    nodes: [candidate('a', { penalty: 5 }), candidate('b', { inFlight: 1, slots: 2, lastChosen: 5 })],
    best: 'b',
    reason: 'least-loaded',
  },
]

const completion: Row[] = [
  {
    title: 'the node that holds the conversation',
    nodes: [candidate('a'), candidate('b', { cachedTokens: 900, lastChosen: 5 })],
    best: 'b',
    reason: 'affinity',
  },
  {
    title: 'another than the one that holds the conversation when that one is full',
    nodes: [candidate('a'), candidate('b', { cachedTokens: 900, inFlight: 1 })],
    best: 'a',
    reason: 'spill',
  },
  {
    title: 'a busy fast node over an idle node ten times slower',
    nodes: [candidate('a', { inFlight: 1 }), candidate('b', { decodeMsPerToken: 200, prefillMsPerToken: 10 })],
    best: 'a',
    reason: 'least-loaded',
  },
  {
    title: 'the idler node while no speed is known',
    nodes: [
      candidate('a', { inFlight: 1, slots: 2, pendingMs: 0, prefillMsPerToken: null, decodeMsPerToken: null }),
      candidate('b', { slots: 2, prefillMsPerToken: null, decodeMsPerToken: null, lastChosen: 5 }),
    ],
    best: 'b',
    reason: 'least-loaded',
  },
  {
    title: 'an unmeasured idle node over a measured busy one',
    nodes: [candidate('a', { inFlight: 1 }), candidate('b', { prefillMsPerToken: null, decodeMsPerToken: null, lastChosen: 5 })],
    best: 'b',
    reason: 'least-loaded',
  },
  {
    title: 'the node whose loader is free',
    nodes: [candidate('a', { residency: 'cold', loaderBacklogMs: 20_000 }), candidate('b', { residency: 'cold', lastChosen: 5 })],
    best: 'b',
    reason: 'cold',
  },
]

describe.each(Object.entries(policies))('%s', (name, policy) => {
  test.each(name === 'expected-completion' ? [...both, ...completion] : both)('chooses $title', ({ nodes, queuedAhead, best, reason }) => {
    const ranking = policy(nodes, { ...request, queuedAhead: queuedAhead ?? 0 }, noRandom)
    expect(ranking).toHaveLength(nodes.length)
    expect(ranking[0]).toMatchObject({ candidate: { node: best }, reason })
  })

  test('ranks nobody when nobody is offered', () => {
    expect(policy([], request, noRandom)).toEqual([])
  })
})
