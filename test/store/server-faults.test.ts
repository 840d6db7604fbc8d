// What a Postgres server and PgBouncer do to us: sessions killed, restarts, deadlocks, silence. The process lives on and nothing is done twice.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Database, type Transaction } from '../../src/store/database.ts'
import { asSuperuser, type TestDatabase } from '../support/postgres.ts'
import { describeStores, postgresOn, serverKinds, type Servers } from './stores.ts'

const recoveryMsMax = 1_000

const increment = (transaction: Transaction) => transaction.query('update counter set value = value + 1')
const read = async (transaction: Transaction) => (await transaction.query('select value from counter')).rows[0]?.['value']

async function withCounter(servers: Servers): Promise<{ database: Database; at: TestDatabase }> {
  const at = await servers.postgres.createDatabase()
  const database = postgresOn(servers.urlOf(at))
  onTestFinished(() => database.close())
  await database.tx('system', (transaction) => transaction.query('create table counter as select 0 as value'))
  return { database, at }
}

/** Ends the server's side of the transaction's own connection, as an administrator or a failover would. */
async function killSession(transaction: Transaction, { superuserUrl }: TestDatabase): Promise<void> {
  const { rows } = await transaction.query('select pg_backend_pid() as pid')
  await asSuperuser(superuserUrl, `select pg_terminate_backend(${String(rows[0]?.['pid'])}, 5000)`)
}

/** Milliseconds until a transaction goes through again. */
async function recoveryMs(database: Database): Promise<number> {
  const startMs = performance.now()
  await expect.poll(() => database.tx('system', read).catch(() => null), { timeout: 10_000, interval: 20 }).not.toBeNull()
  return performance.now() - startMs
}

describeStores(serverKinds, (servers) => {
  test('a session killed amid a transaction that only reads is not noticed', async () => {
    const { database, at } = await withCounter(servers)
    let runs = 0
    const work = async (transaction: Transaction): Promise<unknown> => {
      runs += 1
      if (runs === 1) await killSession(transaction, at)
      return read(transaction)
    }
    expect(await database.tx('system', work, { readOnly: true })).toBe(0)
    expect(runs).toBe(2)
  })

  test('a session killed amid a transaction that writes is reported, and nothing is repeated', async () => {
    const { database, at } = await withCounter(servers)
    let runs = 0
    const work = async (transaction: Transaction): Promise<void> => {
      runs += 1
      await increment(transaction)
      await killSession(transaction, at)
      await increment(transaction)
    }
    await expect(database.tx('system', work)).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(runs).toBe(1)
    expect(await database.tx('system', read)).toBe(0)
  })

  test('sessions killed while they are idle are not noticed', async () => {
    const { database, at } = await withCounter(servers)
    await Promise.all([1, 2, 3, 4].map(() => database.tx('system', (transaction) => transaction.query('select pg_sleep(0.05)'))))
    const others = `select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '${at.name}' and pid <> pg_backend_pid()`
    await asSuperuser(at.superuserUrl, others)
    for (let round = 0; round < 6; round += 1) await database.tx('system', increment)
    expect(await database.tx('system', read)).toBe(6)
  })

  test('two transactions in a deadlock both succeed', async () => {
    const { database } = await withCounter(servers)
    await database.tx('system', (transaction) => transaction.query('create table pair as select 1 as key, 0 as value union select 2, 0'))
    let arrived = 0
    const both = Promise.withResolvers<void>()
    const cross = (first: number, second: number) => async (transaction: Transaction) => {
      await transaction.query('update pair set value = value + 1 where key = $1', [first])
      arrived += 1
      if (arrived === 2) both.resolve()
      await both.promise
      await transaction.query('update pair set value = value + 1 where key = $1', [second])
    }
    await Promise.all([database.tx('system', cross(1, 2)), database.tx('system', cross(2, 1))])
    expect(arrived).toBeGreaterThan(2)
    const { rows } = await database.tx('system', (transaction) => transaction.query('select value from pair'))
    expect(rows).toEqual([{ value: 2 }, { value: 2 }])
  })

  test('a statement that took too long leaves no session behind', async () => {
    const { database, at } = await withCounter(servers)
    const slow = (transaction: Transaction) => transaction.query('select pg_sleep(30)')
    await expect(database.tx('system', slow, { statementTimeoutMs: 100 })).rejects.toMatchObject({ code: 'store_timeout' })
    await asSuperuser(
      at.superuserUrl,
      `do $$ begin if exists (select from pg_stat_activity where query like '%pg_sleep(30)%' and state = 'active' and pid <> pg_backend_pid()) then raise 'orphan'; end if; end $$`,
    )
  })

  test('a lock that another transaction holds is waited for only so long', async () => {
    const { database, at } = await withCounter(servers)
    const other = postgresOn(at.url, { lockTimeoutMs: 100 })
    onTestFinished(() => other.close())
    await database.tx('system', async (transaction) => {
      await increment(transaction)
      await expect(other.tx('system', increment)).rejects.toMatchObject({ code: 'store_timeout' })
    })
  })

  test.each(['fast', 'immediate'] as const)('a %s restart of the server is survived, back within a second', async (mode) => {
    const { database } = await withCounter(servers)
    const running = Promise.withResolvers<void>()
    const inFlight = database.tx('system', async (transaction) => {
      await increment(transaction)
      running.resolve()
      await transaction.query('select pg_sleep(1)')
    })
    const outcome = expect(inFlight).rejects.toMatchObject({ code: 'store_unavailable' })
    await running.promise
    await servers.postgres.stop(mode)
    await outcome
    const startMs = performance.now()
    await expect(database.tx('system', read)).rejects.toMatchObject({ code: expect.stringMatching(/^store_(unavailable|timeout)$/) })
    expect(performance.now() - startMs).toBeLessThan(2_500)
    await servers.postgres.start()
    expect(await recoveryMs(database)).toBeLessThan(recoveryMsMax)
    expect(await database.tx('system', read)).toBe(0)
  })
})

describeStores(
  serverKinds.filter((kind) => kind === 'pgbouncer'),
  (servers) => {
    test('a restart of PgBouncer is survived, back within a second', async () => {
      const { database } = await withCounter(servers)
      await servers.pgbouncer.restart()
      expect(await recoveryMs(database)).toBeLessThan(recoveryMsMax)
      await database.tx('system', increment)
      expect(await database.tx('system', read)).toBe(1)
    })

    test('forty clients share four server connections without an error', async () => {
      const { database, at } = await withCounter(servers)
      const others = [1, 2].map(() => postgresOn(servers.urlOf(at)))
      const work = others.flatMap((other) =>
        Array.from({ length: 150 }, () => other.tx('system', increment, { statementTimeoutMs: 10_000 })),
      )
      await Promise.all(work)
      expect(await database.tx('system', read)).toBe(300)
      await Promise.all(others.map((other) => other.close()))
    })
  },
)

describe('a network that swallows everything', () => {
  test('is noticed within two seconds when nothing was connected', async () => {
    const sockets: Socket[] = []
    const hole = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
    await once(hole, 'listening')
    const address = hole.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const database = postgresOn(`postgres://corral@127.0.0.1:${address.port}/corral`, { pool: { acquireTimeoutMs: 500 } })
    const startMs = performance.now()
    await expect(database.tx('system', read)).rejects.toMatchObject({ code: 'store_unavailable' })
    expect(performance.now() - startMs).toBeLessThan(2_000)
    await database.close()
    for (const socket of sockets) socket.destroy()
    hole.close()
  })
})

describeStores(
  serverKinds.filter((kind) => kind === 'postgres'),
  (servers) => {
    /**
     * A database behind a line that can be made to swallow everything, with one connection; `closed`: how many the server's side saw end,
     * `turns`: how many times this side spoke after the server had.
     */
    async function behindLine() {
      const at = await servers.postgres.createDatabase()
      const pairs: Socket[] = []
      let closed = 0
      let turns = 0
      let isServersTurn = false
      const line = createServer((socket) => {
        const onward = connect(servers.postgres.port, '127.0.0.1')
        socket.pipe(onward).pipe(socket)
        for (const side of [socket, onward]) side.on('error', () => side.destroy())
        socket.on('close', () => (closed += 1))
        socket.on('data', () => {
          if (!isServersTurn) turns += 1
          isServersTurn = true
        })
        onward.on('data', () => (isServersTurn = false))
        pairs.push(socket, onward)
      }).listen(0, '127.0.0.1')
      await once(line, 'listening')
      const address = line.address()
      if (address === null || typeof address === 'string') throw new Error('no port')
      const database = postgresOn(at.url.replace(`:${servers.postgres.port}/`, `:${address.port}/`), { pool: { connectionsMax: 1 } })
      const swallow = (): void => {
        for (const socket of pairs) socket.unpipe().resume()
        pairs.length = 0
      }
      return { database, swallow, closed: () => closed, turns: () => turns, end: () => line.close() }
    }

    test('a reading transaction that asks one thing, or several at once, is one round trip', async () => {
      const { database, turns, end } = await behindLine()
      onTestFinished(() => void end())
      onTestFinished(() => database.close())
      await database.tx('system', ({ last }) => last('select 1'), { readOnly: true })
      const before = turns()
      await database.tx('system', ({ last }) => last('select $1::int', [1]), { readOnly: true })
      expect(turns() - before).toBe(1)
      await database.tx('system', ({ query, last }) => Promise.all([query('select $1::int', [1]), last('select 2')]), { readOnly: true })
      expect(turns() - before).toBe(2)
    })

    test('a reading transaction that nobody answers costs one deadline, and its connection is closed for who waits next', async () => {
      const { database, swallow, closed, end } = await behindLine()
      onTestFinished(() => void end())
      const one = (): Promise<unknown> => database.tx('system', ({ last }) => last('select 1'), { readOnly: true })
      await one()
      swallow()
      const startMs = performance.now()
      const early = one()
      early.catch(() => undefined)
      // So that what it waits for ends before its own patience does.
      await systemClock.sleep(1_000)
      const [first, second] = await Promise.allSettled([early, one()])
      expect(first).toMatchObject({ status: 'rejected', reason: { code: 'store_timeout' } })
      // The second got a new connection as soon as the first was given up.
      expect(second.status).toBe('fulfilled')
      expect(performance.now() - startMs).toBeLessThan(2_800)
      await expect.poll(closed).toBe(1)
      await database.close()
    })

    test('a database closes in time although a transaction waits for a silent server', async () => {
      const { database, swallow, end } = await behindLine()
      onTestFinished(() => void end())
      await database.tx('system', ({ query }) => query('select 1'))
      swallow()
      const hanging = database.tx('system', ({ query }) => query('select 1'), { statementTimeoutMs: 60_000, transactionTimeoutMs: 60_000 })
      hanging.catch(() => undefined)
      await systemClock.sleep(100)
      const startMs = performance.now()
      await database.close()
      expect(performance.now() - startMs).toBeLessThan(4_000)
      await expect(hanging).rejects.toMatchObject({ code: 'store_unavailable' })
    })

    test('a network that swallows everything is noticed within two seconds when it begins amid a transaction', async () => {
      const at = await servers.postgres.createDatabase()
      const pairs: Socket[] = []
      const proxy = createServer((socket) => {
        const onward = connect(servers.postgres.port, '127.0.0.1')
        socket.pipe(onward).pipe(socket)
        pairs.push(socket, onward)
      }).listen(0, '127.0.0.1')
      await once(proxy, 'listening')
      const address = proxy.address()
      if (address === null || typeof address === 'string') throw new Error('no port')
      const database = postgresOn(at.url.replace(`:${servers.postgres.port}/`, `:${address.port}/`))
      let startMs = 0
      const work = async (transaction: Transaction): Promise<void> => {
        await transaction.query('select 1')
        for (const socket of pairs) socket.unpipe()
        startMs = performance.now()
        await transaction.query('select 1')
      }
      await expect(database.tx('system', work)).rejects.toMatchObject({ code: 'store_timeout' })
      expect(performance.now() - startMs).toBeLessThan(2_300)
      for (const socket of pairs) socket.destroy()
      proxy.close()
      await database.close()
    })
  },
)
