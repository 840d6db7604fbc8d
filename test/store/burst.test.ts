// Statements that travel together, and the end of a reading transaction that goes with its last one, on each way to a database.

import { expect, test } from 'vitest'

import type { Database } from '../../src/store/database.ts'
import { describeStores, storeKinds } from './stores.ts'

const reading = { readOnly: true } as const

/** A database with a single connection: one that was not given back, or is in a transaction still, would be noticed. */
const one = { pool: { connectionsMax: 1, acquireTimeoutMs: 2_000 } }

async function mustWork(database: Database): Promise<void> {
  const { rows } = await database.tx('system', ({ last }) => last('select $1::int as number', [7]), reading)
  expect(rows).toEqual([{ number: 7 }])
}

describeStores(storeKinds, (servers) => {
  test('a last statement ends its transaction, in which the settings of its tenant hold', async () => {
    const database = await servers.openForTest(one)
    for (const tenant of ['a', 'b']) {
      const { rows } = await database.tx(
        { tenant },
        ({ last }) => last(`select current_setting('app.tenant') as tenant, current_setting('transaction_read_only') as only`),
        reading,
      )
      expect(rows).toEqual([{ tenant, only: 'on' }])
    }
    await mustWork(database)
  })

  test('statements asked for at once are answered in their order, each with its own rows', async () => {
    const database = await servers.openBareForTest(one)
    const found = await database.tx(
      'system',
      ({ query, last }) => Promise.all([query('select 1 as number'), query('select $1::int as number', [2]), last('select 3 as number')]),
      reading,
    )
    expect(found.map(({ rows }) => rows)).toEqual([[{ number: 1 }], [{ number: 2 }], [{ number: 3 }]])
    await mustWork(database)
  })

  test('a last statement that fails tells why, and the connection serves on', async () => {
    const database = await servers.openBareForTest(one)
    const failing = database.tx('system', ({ last }) => last('select 1 / $1::int', [0]), reading)
    await expect(failing).rejects.toMatchObject({ message: 'division by zero' })
    await mustWork(database)
  })

  test('of several the first that fails is what the caller hears', async () => {
    const database = await servers.openBareForTest(one)
    const failing = database.tx('system', ({ query, last }) => Promise.all([query('select 1 / 0'), last('select 1')]), reading)
    await expect(failing).rejects.toMatchObject({ message: 'division by zero' })
    const caught = database.tx('system', ({ last }) => last('select 1 / 0').catch(() => null), reading)
    await expect(caught).rejects.toMatchObject({ message: 'division by zero' })
    await mustWork(database)
  })

  test('no statement follows the last one, and a transaction that writes has none', async () => {
    const database = await servers.openBareForTest(one)
    const late = database.tx('system', async ({ query, last }) => [await last('select 1'), await query('select 2')], reading)
    await expect(late).rejects.toThrow('a statement after the end of its transaction')
    await expect(database.tx('system', ({ last }) => last('select 1'))).rejects.toThrow('ends when its work has')
    await mustWork(database)
  })

  test('a transaction that asks nothing ends without a statement', async () => {
    const database = await servers.openBareForTest(one)
    expect(await database.tx('system', async () => 'nothing', reading)).toBe('nothing')
    await mustWork(database)
  })
})
