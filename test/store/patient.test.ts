// Reads over a database that goes away: a short outage is waited out, a long one is told at once, and nothing else is repeated.
import { expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { goingOn, type Database, type Transaction, type TransactionOptions } from '../../src/store/database.ts'
import { PatientDatabase } from '../../src/store/patient.ts'

const gone = (): CorralError =>
  new CorralError('store_unavailable', 'cannot connect to the database', {
    cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
  })

/** A database that fails as long as `error` is there, under a clock that moves when somebody sleeps. */
class Failing implements Database {
  readonly kind = 'postgres'
  error: Error | null = null
  calls = 0
  atMs = 0
  onSleep = (): void => {}
  readonly clock = {
    nowMs: () => this.atMs,
    wallMs: () => this.atMs,
    after: () => ({ cancel: () => {} }),
    sleep: async (delayMs: number) => {
      this.atMs += delayMs
      this.onSleep()
    },
  }

  tx<T>(_scope: unknown, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    this.calls += 1
    return this.error === null ? work(goingOn({ query: async () => ({ rows: [], rowCount: 0 }) })) : Promise.reject(this.error)
  }

  close = async (): Promise<void> => {}
}

function patient(waitMs: number) {
  const database = new Failing()
  const patiently = new PatientDatabase(database, { clock: database.clock, waitMs: () => waitMs })
  const ask = (options: TransactionOptions = { readOnly: true }) => patiently.tx('system', async () => 'read', options)
  return { database, ask }
}

test('a read waits until the database is back', async () => {
  const { database, ask } = patient(2_000)
  database.error = gone()
  database.onSleep = () => {
    if (database.atMs >= 700) database.error = null
  }
  expect(await ask()).toBe('read')
  expect(database.atMs).toBe(700)
})

test('once an outage is old nobody waits, until the database has been seen again', async () => {
  const { database, ask } = patient(2_000)
  database.error = gone()
  await expect(ask()).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(database.atMs).toBe(2_000)
  await expect(ask()).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(database.atMs).toBe(2_000)
  database.error = null
  expect(await ask()).toBe('read')
  database.error = gone()
  await expect(ask()).rejects.toMatchObject({ code: 'store_unavailable' })
  expect(database.atMs).toBe(4_000)
})

test('an outage long after another one is a new one, though nobody asked in between', async () => {
  const { database, ask } = patient(2_000)
  database.error = gone()
  await expect(ask()).rejects.toMatchObject({ code: 'store_unavailable' })
  database.atMs = 60_000
  database.onSleep = () => {
    if (database.atMs >= 60_500) database.error = null
  }
  expect(await ask()).toBe('read')
  expect(database.atMs).toBe(60_500)
})

test.each([
  ['writes', gone(), {}],
  ['what is no outage', new CorralError('store_unavailable', '1000 transactions already wait'), { readOnly: true }],
  ['what the work threw', new Error('of its own'), { readOnly: true }],
])('%s: not repeated', async (_, error, options) => {
  const { database, ask } = patient(2_000)
  database.error = error
  await expect(ask(options)).rejects.toBe(error)
  expect([database.calls, database.atMs]).toEqual([1, 0])
})
