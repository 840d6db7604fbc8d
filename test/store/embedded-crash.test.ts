// The embedded store under kill -9 of its process, a statement that does not end, and a log of writes that would grow for ever.

import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'

import { bareFolder } from '../support/postgres-embedded.ts'
import { embeddedOn } from './stores.ts'
import { count, opened, startWriter } from './writer.ts'

const reopenMsMax = 5_000

test('kill -9 of a process that writes loses no acknowledged row, and the next process opens it within 5 s', async () => {
  const dataDir = await bareFolder()
  let written = 0
  for (const rows of [30, 60]) {
    const { child, acknowledged, wrote } = startWriter(dataDir)
    await wrote(rows)
    child.kill('SIGKILL')
    await once(child, 'close')
    written += acknowledged.length
  }
  const startMs = performance.now()
  const database = await opened(dataDir)
  expect(performance.now() - startMs).toBeLessThan(reopenMsMax)
  // One more may have been committed whose acknowledgement the kill swallowed, per kill.
  expect(await count(database)).toBeGreaterThanOrEqual(written)
  expect(await count(database)).toBeLessThanOrEqual(written + 2)
})

test('a statement that does not end costs its worker, not the process: Postgres is back with all that was committed', async () => {
  const dataDir = await bareFolder()
  const database = embeddedOn(dataDir, { statementTimeoutMs: 100, embedded: { queueTimeoutMs: 500 } })
  await database.open()
  onTestFinished(() => database.close())
  await database.tx('system', (transaction) => transaction.query('create table written as select 1 as key'), { statementTimeoutMs: 5_000 })
  const startMs = performance.now()
  await expect(database.tx('system', (transaction) => transaction.query('select pg_sleep(60)'))).rejects.toMatchObject({
    code: 'store_timeout',
  })
  await expect(database.tx('system', (transaction) => transaction.query('select 1'))).rejects.toMatchObject({ code: 'store_unavailable' })
  await expect.poll(() => count(database).catch(() => null), { timeout: 15_000 }).toBe(1)
  expect(performance.now() - startMs).toBeLessThan(12_000)
})

test('the log of writes is kept short by checkpoints', async () => {
  const database = await opened(await bareFolder())
  await database.tx('system', (transaction) => transaction.query('create table big (text text)'))
  const fill = `insert into big select repeat(md5(n::text), 40) from generate_series(1, 800) n`
  for (let round = 0; round < 100; round += 1) await database.tx('system', (transaction) => transaction.query(fill))
  const size = 'select pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn)::int as bytes from pg_control_checkpoint()'
  const { rows } = await database.tx('system', (transaction) => transaction.query(size), { readOnly: true })
  expect(Number(rows[0]?.['bytes'])).toBeLessThan(80 * 1_048_576)
})
