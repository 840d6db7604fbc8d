// Waiting for a connection is bounded in number and time on each of the three ways to a database.

import { expect, test } from 'vitest'

import { describeStores, storeKinds } from './stores.ts'

describeStores(storeKinds, (servers) => {
  test('refuses transactions beyond the bound of those who wait, and those that wait too long', async () => {
    const waiting = { waitersMax: 2, acquireTimeoutMs: 400, connectionsMax: 1 }
    const database = await servers.openBareForTest({ pool: waiting, embedded: { queueMax: 2, queueTimeoutMs: 400 } })
    await database.tx('system', (transaction) => transaction.query('select 1'))
    const gate = Promise.withResolvers<void>()
    const started = Promise.withResolvers<void>()
    const holder = database.tx('system', async () => {
      started.resolve()
      await gate.promise
    })
    await started.promise
    const startMs = performance.now()
    const results = await Promise.allSettled([1, 2, 3, 4, 5].map(() => database.tx('system', async () => {})))
    expect(performance.now() - startMs).toBeLessThan(1_000)
    for (const result of results) expect(result).toMatchObject({ status: 'rejected', reason: { code: 'store_unavailable' } })
    gate.resolve()
    await holder
    await database.tx('system', (transaction) => transaction.query('select 1'))
  })

  test('serves 200 transactions at once', async () => {
    const database = await servers.openBareForTest({ pool: { acquireTimeoutMs: 5_000 } })
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        database.tx('system', async (transaction) => (await transaction.query('select $1::int as index', [index])).rows[0]?.['index']),
      ),
    )
    expect(results).toEqual(Array.from({ length: 200 }, (_, index) => index))
  })

  test('takes no transaction once it is closed', async () => {
    const database = await servers.openBare()
    await database.tx('system', (transaction) => transaction.query('select 1'))
    await database.close()
    await expect(database.tx('system', async () => {})).rejects.toMatchObject({ code: 'store_unavailable' })
  })
})
