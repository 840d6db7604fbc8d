// What several processes see of a fleet, as the one that an operator is shown.
import { expect, test } from 'vitest'

import type { FleetSnapshot, NodeSnapshot } from '../../src/fleet/snapshot.ts'
import { wholeFleet } from '../../src/http/whole-fleet.ts'

const well: NodeSnapshot = {
  name: 'a',
  url: 'http://a',
  up: true,
  downReason: null,
  lastFailure: null,
  version: '0.31.1',
  draining: false,
  breaker: 'closed',
  ejectedForMs: 0,
  lastSeenAgoMs: 200,
  overloadedForMs: 0,
  inFlight: 1,
  models: ['m'],
  loaded: [],
  runners: [],
}

const fleetOf = (node: NodeSnapshot): FleetSnapshot => ({ nodes: [node], pools: [], drift: [], activeAttempts: node.inFlight })

function whole(own: Partial<NodeSnapshot>, ...others: readonly Partial<NodeSnapshot>[]): NodeSnapshot | undefined {
  const [first, ...rest] = [own, ...others].map((part) => fleetOf({ ...well, ...part }))
  return first === undefined ? undefined : wholeFleet(first, rest).nodes[0]
}

const ejected = { breaker: 'open', ejectedForMs: 20_000, lastFailure: { reason: 'reset', agoMs: 900 }, overloadedForMs: 50 } as const

test('an ejection that another process made is shown, with its reason and its end', () => {
  expect(whole({}, ejected)).toMatchObject({ ...ejected, inFlight: 2 })
  expect(whole(ejected, {})).toMatchObject({ ...ejected, inFlight: 2 })
})

test('open is worse than half open, and that than closed', () => {
  expect(whole({}, { breaker: 'half_open' })?.breaker).toBe('half_open')
  expect(whole({ breaker: 'half_open' }, {}, { breaker: 'open' })?.breaker).toBe('open')
  expect(whole({}, {})?.breaker).toBe('closed')
})

test('of two failures the later one is shown, of two ejections the longer one', () => {
  const older = { ...ejected, ejectedForMs: 30_000, lastFailure: { reason: 'refused', agoMs: 5_000 } }
  expect(whole(older, ejected)).toMatchObject({ lastFailure: { reason: 'reset', agoMs: 900 }, ejectedForMs: 30_000 })
})

test('a node is up as soon as one process reaches it, and then says why another one does not', () => {
  const unreached = { up: false, downReason: 'connection refused', lastSeenAgoMs: null, models: null, version: null }
  expect(whole(unreached, {})).toMatchObject({ ...well, inFlight: 2, downReason: 'connection refused' })
  expect(whole({}, unreached)).toMatchObject({ ...well, inFlight: 2, downReason: 'connection refused' })
  expect(whole({ up: null }, unreached)?.up).toBe(false)
  expect(whole({ up: null }, { up: null })?.up).toBeNull()
})

test('a node is drained once every process has it so', () => {
  expect(whole({ draining: true }, { draining: false })?.draining).toBe(false)
  expect(whole({ draining: true }, { draining: true })?.draining).toBe(true)
})
