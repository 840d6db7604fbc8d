// Changes of nodes by hand on a store that comes and goes: what is not read yet is not forgotten, and nothing goes on after the end.
import { expect, test } from 'vitest'

import { NodeChanges } from '../../src/http/admin/node-changes.ts'
import type { NodeStore } from '../../src/http/admin/node-store.ts'
import { noPeers } from '../../src/http/peers.ts'
import { settle } from '../cache/cached.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeFleet } from '../observe/fleet-fixture.ts'

function stand() {
  const clock = manualClock()
  const seen = { away: true, tended: 0 }
  const store: NodeStore = {
    shared: false,
    load: () => (seen.away ? Promise.reject(new Error('away')) : Promise.resolve(new Map())),
    write: () => Promise.resolve(),
    tend: () => Promise.resolve(void (seen.tended += 1)),
  }
  const nodes = new NodeChanges({ fleet: makeFleet([]), clock, store, peers: noPeers, onTrouble: () => undefined })
  return { clock, seen, nodes }
}

test('a store that could not be read is not told what is in force', async () => {
  const { clock, seen, nodes } = stand()
  await nodes.start()
  const tended: number[] = []
  for (const away of [true, false]) {
    seen.away = away
    clock.advance(60_000)
    await settle()
    tended.push(seen.tended)
  }
  expect(tended).toEqual([0, 1])
  nodes.close()
})

test('a start that ends after the end leaves nothing behind', async () => {
  const { clock, nodes } = stand()
  const started = nodes.start()
  nodes.close()
  await started
  expect(clock.pending).toBe(0)
})
