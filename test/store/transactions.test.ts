// The contract of `Database.tx` on each of the three ways to one: values, commit, rollback, constraints, timeouts, bounded waiting.

import { afterAll, beforeAll, expect, test } from 'vitest'

import { type Database, type Transaction } from '../../src/store/database.ts'
import { describeStores, storeKinds } from './stores.ts'

const insert = (key: number) => (transaction: Transaction) => transaction.query('insert into items values ($1, $2)', [key, `item ${key}`])
const countOf = (key: number) => async (transaction: Transaction) => {
  const { rows } = await transaction.query('select count(*)::int as count from items where key = $1', [key])
  return rows[0]?.['count']
}

describeStores(storeKinds, (servers) => {
  let database: Database
  beforeAll(async () => {
    database = await servers.openBare({ statementTimeoutMs: 300, lockTimeoutMs: 150, transactionTimeoutMs: 600 })
    await database.tx('system', (transaction) =>
      transaction.query('create table items (key int primary key, name text not null check (name <> $$$$))'),
    )
  })
  afterAll(() => database.close())

  test('commits when the work resolves, and returns its value', async () => {
    expect(await database.tx('system', async (transaction) => (await insert(1)(transaction)).rowCount)).toBe(1)
    expect(await database.tx('system', countOf(1))).toBe(1)
  })

  test('rolls back when the work rejects, and passes its error on unchanged', async () => {
    const reason = new Error('changed my mind')
    const work = async (transaction: Transaction): Promise<never> => {
      await insert(2)(transaction)
      throw reason
    }
    await expect(database.tx('system', work)).rejects.toBe(reason)
    expect(await database.tx('system', countOf(2))).toBe(0)
  })

  test('rolls back when the work has caught the failure of a statement', async () => {
    const work = async (transaction: Transaction): Promise<void> => {
      await insert(3)(transaction)
      await transaction.query('select 1 / 0').catch(() => {})
    }
    await expect(database.tx('system', work)).rejects.toThrow('division by zero')
    expect(await database.tx('system', countOf(3))).toBe(0)
  })

  test('refuses a statement after the end of its transaction', async () => {
    const kept = await database.tx('system', (transaction) => Promise.resolve(transaction))
    await expect(kept.query('select 1')).rejects.toThrow('after the end')
  })

  test('gives values as the contract says', async () => {
    const text = `select 9007199254740993::bigint as big, '\\x00ff'::bytea as bytes, '2026-01-02T03:04:05Z'::timestamptz as at,
      '{"a":[1]}'::jsonb as json, null::text as nothing, true as yes, $1::text[] as list, $2::bytea as sent, $3::timestamptz as sent_at`
    const values = [['a', 'b"c', null], Buffer.from([1, 0, 255]), new Date(0)]
    const { rows } = await database.tx('system', (transaction) => transaction.query(text, values))
    expect(rows).toEqual([
      {
        big: '9007199254740993',
        bytes: Buffer.from([0, 255]),
        at: new Date('2026-01-02T03:04:05Z'),
        json: { a: [1] },
        nothing: null,
        yes: true,
        list: values[0],
        sent: values[1],
        sent_at: values[2],
      },
    ])
  })

  test('carries a value of a megabyte there and back', async () => {
    const bytes = Buffer.alloc(1_048_576, 'corral')
    const { rows } = await database.tx('system', (transaction) => transaction.query('select $1::bytea as bytes', [bytes]))
    expect(bytes.equals(rows[0]?.['bytes'] as Buffer)).toBe(true)
  })

  test.each([
    ['unique', 'items_pkey', 'insert into items values (1, $1)', ['again']],
    ['check', 'items_name_check', 'insert into items values (50, $1)', ['']],
    ['not_null', 'name', 'insert into items values (51, $1)', [null]],
  ])('names a %s constraint that a write would have broken', async (kind, constraint, text, values) => {
    await expect(database.tx('system', (transaction) => transaction.query(text, values))).rejects.toMatchObject({
      name: 'ConstraintError',
      kind,
      constraint,
      table: 'items',
    })
  })

  test.each([
    ['53100', 'store_full'],
    ['57014', 'store_timeout'],
    ['55P03', 'store_timeout'],
  ])('answers SQLSTATE %s with %s', async (state, code) => {
    const fail = (transaction: Transaction) => transaction.query(`do $$ begin raise using errcode = '${state}'; end $$`)
    await expect(database.tx('system', fail)).rejects.toMatchObject({ code })
    expect(await database.tx('system', countOf(1))).toBe(1)
  })

  test.each(['40001', '40P01'])('tries a transaction that ends with SQLSTATE %s three times more', async (state) => {
    let runs = 0
    const fail = (transaction: Transaction) => {
      runs += 1
      return transaction.query(`do $$ begin raise using errcode = '${state}'; end $$`)
    }
    await expect(database.tx('system', fail)).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(runs).toBe(4)
  })

  test('refuses to write in a transaction that only reads', async () => {
    await expect(database.tx('system', insert(4), { readOnly: true })).rejects.toMatchObject({ code: '25006' })
  })

  test('runs statements that were sent at once one after the other', async () => {
    const work = async (transaction: Transaction): Promise<unknown[]> => {
      const results = await Promise.all([1, 2, 3].map((number) => transaction.query('select $1::int as number', [number])))
      return results.map(({ rows }) => rows[0]?.['number'])
    }
    expect(await database.tx('system', work)).toEqual([1, 2, 3])
  })

  test('ends a statement that takes too long, and serves on', async () => {
    const startMs = performance.now()
    await expect(database.tx('system', (transaction) => transaction.query('select pg_sleep(1.5)'))).rejects.toMatchObject({
      code: 'store_timeout',
    })
    expect(performance.now() - startMs).toBeLessThan(1_450)
    await expect.poll(() => database.tx('system', countOf(1)).catch(() => null), { timeout: 10_000 }).toBe(1)
  })

  test('rolls a transaction back whose work does not come to an end', async () => {
    const work = async (transaction: Transaction): Promise<never> => {
      await insert(5)(transaction)
      return new Promise(() => {})
    }
    await expect(database.tx('system', work)).rejects.toMatchObject({ code: 'store_timeout' })
    expect(await database.tx('system', countOf(5))).toBe(0)
  })

  test('lets a transaction take longer than the default when it says so', async () => {
    const work = async (transaction: Transaction): Promise<unknown> =>
      (await transaction.query('select pg_sleep(0.5), 1 as one')).rows[0]?.['one']
    expect(await database.tx('system', work, { statementTimeoutMs: 5_000 })).toBe(1)
  })
})
