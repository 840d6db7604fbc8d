/** Rows of a store that is away: it is told once, however long that lasts, the store has the change when it is back, and is read then. */
import { expect, test } from 'vitest'

import { FollowedRows } from '../../src/base/followed-rows.ts'
import { settle } from '../cache/cached.ts'
import { manualClock } from '../fleet/manual-clock.ts'

/** On a store that is away at first. */
function follow(shared: boolean) {
  const clock = manualClock()
  const troubles: string[] = []
  const kept = new Map<string, number>()
  const stand = { isAway: true, here: new Map<string, number>() }
  const reach = <T>(value: T): Promise<T> => (stand.isAway ? Promise.reject(new Error('away')) : Promise.resolve(value))
  const rows = new FollowedRows<number>({
    clock,
    store: {
      shared,
      load: () => reach(new Map(kept)),
      async write(name, row) {
        await reach(null)
        if (row === null) kept.delete(name)
        else kept.set(name, row)
      },
    },
    current: () => stand.here,
    put: (next) => {
      stand.here = new Map(next)
      return Promise.resolve()
    },
    what: 'rows',
    onTrouble: (message) => troubles.push(message),
  })
  const set = (name: string, row: number) =>
    rows.change(() => {
      stand.here = new Map(stand.here).set(name, row)
      return Promise.resolve()
    })
  return { stand, clock, troubles, kept, rows, set }
}

test('a change that the store cannot take is told of once, and again only after it was back', async () => {
  const { stand, troubles, kept, rows, set } = follow(true)
  await set('one', 1)
  for (let look = 0; look < 5; look += 1) await rows.look()
  expect(troubles).toEqual(['rows: the change of one holds in this process only until the store is back'])
  expect(rows.isKept('one')).toBe(false)

  stand.isAway = false
  await rows.look()
  expect([...kept]).toEqual([['one', 1]])
  expect(rows.isKept('one')).toBe(true)

  stand.isAway = true
  await rows.look()
  await rows.look()
  expect(troubles.slice(1)).toEqual(['rows cannot be read, they stay as they are'])
})

test.each([true, false])('a store that cannot be read at the start is read when it is back (shared: %s)', async (shared) => {
  const { stand, clock, troubles, kept, rows } = follow(shared)
  kept.set('one', 1)
  await rows.start()
  for (const isAway of [true, true, false, false]) {
    stand.isAway = isAway
    clock.advance(1_000)
    await settle()
  }
  expect([...stand.here]).toEqual([['one', 1]])
  expect(troubles).toEqual(['rows cannot be read, they stay as they are'])
  rows.close()
})
