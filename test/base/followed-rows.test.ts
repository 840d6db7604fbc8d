/** Rows of a store that is away: it is told once, however long that lasts, and the store has the change when it is back. */
import { expect, test } from 'vitest'

import { FollowedRows } from '../../src/base/followed-rows.ts'
import { manualClock } from '../fleet/manual-clock.ts'

test('a change that the store cannot take is told of once, and again only after it was back', async () => {
  const clock = manualClock()
  const troubles: string[] = []
  const kept = new Map<string, number>()
  let here: ReadonlyMap<string, number> = new Map()
  let isAway = true
  const reach = <T>(value: T): Promise<T> => (isAway ? Promise.reject(new Error('away')) : Promise.resolve(value))
  const rows = new FollowedRows<number>({
    clock,
    store: {
      shared: true,
      load: () => reach(new Map(kept)),
      async write(name, row) {
        await reach(null)
        if (row === null) kept.delete(name)
        else kept.set(name, row)
      },
    },
    current: () => here,
    put: (next) => {
      here = next
      return Promise.resolve()
    },
    what: 'rows',
    onTrouble: (message) => troubles.push(message),
  })
  const set = (name: string, row: number) =>
    rows.change(() => {
      here = new Map(here).set(name, row)
      return Promise.resolve()
    })

  await set('one', 1)
  for (let look = 0; look < 5; look += 1) await rows.look()
  expect(troubles).toEqual(['rows: the change of one holds in this process only until the store is back'])
  expect(rows.isKept('one')).toBe(false)

  isAway = false
  await rows.look()
  expect([...kept]).toEqual([['one', 1]])
  expect(rows.isKept('one')).toBe(true)

  isAway = true
  await rows.look()
  await rows.look()
  expect(troubles.slice(1)).toEqual(['rows cannot be read, they stay as they are'])
})
