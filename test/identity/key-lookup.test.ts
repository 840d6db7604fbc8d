// Look-ups that come together share queries, none waits without end, and a failure is heard by those it concerns.
import { expect, test } from 'vitest'

import { KeyLookup } from '../../src/identity/key-lookup.ts'
import { CorralError } from '../../src/core/errors.ts'
import { goingOn, type Database, type Row, type Transaction, type TransactionScope } from '../../src/store/database.ts'
import { HandClock } from './fixture.ts'

interface Query {
  readonly values: readonly string[]
  answer(rows: readonly Row[]): void
  fail(error: unknown): void
}

/** A database whose queries the test answers. */
class HandDatabase implements Database {
  readonly kind = 'postgres'
  readonly queries: Query[] = []

  async tx<T>(_scope: TransactionScope, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return work(
      goingOn({
        query: (_text, values = []) => {
          const { promise, resolve, reject } = Promise.withResolvers<{ rows: readonly Row[]; rowCount: number }>()
          const [list] = values
          this.queries.push({
            values: Array.isArray(list) ? list.map(String) : [],
            answer: (rows) => resolve({ rows, rowCount: rows.length }),
            fail: reject,
          })
          return promise
        },
      }),
    )
  }

  async close(): Promise<void> {}

  at(index: number): Query {
    const query = this.queries[index]
    if (query === undefined) throw new Error(`there is no query ${index}`)
    return query
  }
}

function stand() {
  const database = new HandDatabase()
  const clock = new HandClock()
  const decode = (row: Row): string => {
    if (row['broken'] === true) throw new TypeError('a broken row')
    return `row of ${String(row['id'])}`
  }
  const lookup = new KeyLookup({ database, clock, text: 'select', decode, valueOf: (row) => row['id'] })
  return { database, clock, lookup }
}

const rowsOf = (ids: readonly string[]): Row[] => ids.map((id) => ({ id }))
const settled = () => new Promise((resolve) => setImmediate(resolve))

test('a thousand look-ups at once take four queries', async () => {
  const { database, lookup } = stand()
  const ids = Array.from({ length: 1_000 }, (_, index) => `key${index}`)
  const found = Promise.all(ids.map((id) => lookup.find(id)))
  for (let answered = 0; answered < database.queries.length; answered += 1) {
    const query = database.at(answered)
    query.answer(rowsOf(query.values))
    await settled()
  }
  expect(await found).toEqual(ids.map((id) => `row of ${id}`))
  expect(database.queries.map(({ values }) => values.length)).toEqual([1, 1, 500, 498])
})

test('the same key is asked for once per query, and one that is not there is null', async () => {
  const { database, lookup } = stand()
  const first = [lookup.find('x'), lookup.find('y')]
  const joined = [lookup.find('z'), lookup.find('z')]
  database.at(0).answer([])
  database.at(1).answer([])
  await settled()
  expect(database.at(2).values).toEqual(['z'])
  database.at(2).answer(rowsOf(['z']))
  expect(await Promise.all([...first, ...joined])).toEqual([null, null, 'row of z', 'row of z'])
})

test('a look-up never joins a query that has begun', async () => {
  const { database, lookup } = stand()
  const before = lookup.find('x')
  const after = lookup.find('x')
  database.at(0).answer([])
  database.at(1).answer(rowsOf(['x']))
  expect(await Promise.all([before, after])).toEqual([null, 'row of x'])
})

test('a failed query fails all of its look-ups and none of the next', async () => {
  const { database, lookup } = stand()
  const failing = [lookup.find('a'), lookup.find('b')]
  const next = lookup.find('c')
  const outcomes = Promise.allSettled(failing)
  for (const query of database.queries) query.fail(new CorralError('store_timeout', 'too slow'))
  expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  database.at(2).answer(rowsOf(['c']))
  expect(await next).toBe('row of c')
})

test('a row that cannot be read fails its own look-up only', async () => {
  const { database, lookup } = stand()
  const first = [lookup.find('a'), lookup.find('b')]
  const batch = Promise.allSettled([lookup.find('good'), lookup.find('bad')])
  for (const query of database.queries) query.answer([])
  await Promise.all(first)
  database.at(2).answer([{ id: 'good' }, { id: 'bad', broken: true }])
  expect((await batch).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
})

test('waiting ends after two seconds while the database hangs', async () => {
  const { clock, database, lookup } = stand()
  void lookup.find('a')
  void lookup.find('b')
  const waiting = lookup.find('c')
  clock.pass(2_000)
  await expect(waiting).rejects.toMatchObject({ code: 'store_unavailable', retryAfterMs: 1_000 })
  expect(database.queries).toHaveLength(2)
})

test('more than four thousand waiting are refused', async () => {
  const { lookup } = stand()
  for (let index = 0; index < 4_002; index += 1) void lookup.find(`key${index}`).catch(() => {})
  await expect(lookup.find('one more')).rejects.toMatchObject({ code: 'overloaded' })
})
