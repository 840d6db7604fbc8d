// Migrations on each of the three ways to a database: applied once, by whichever replica comes first, and never onto a schema that does not fit.

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Database, type Transaction } from '../../src/store/database.ts'
import { migrate, MigrationError, migrationStatus } from '../../src/store/migrate.ts'
import { type Migration } from '../../src/store/migration.ts'
import { tenantTable } from '../../src/store/tenancy.ts'
import { openTenantTables } from './open-tenant-tables.ts'
import { describeStores, postgresOn, serverKinds, storeKinds } from './stores.ts'

const first: Migration = {
  number: 9001,
  name: 'first',
  sql: 'create table one (key int); insert into one values (1); create table two (key int)',
}
const second: Migration = { number: 9002, name: 'second', sql: `insert into one values (2)` }
const broken: Migration = { number: 9003, name: 'broken', sql: 'insert into one values (3); insert into nowhere values (1)' }

const numbers = (migrations: readonly { readonly number: number }[]) => migrations.map(({ number }) => number)
const rowsOf = (text: string) => async (transaction: Transaction) => (await transaction.query(text)).rows
const keys = (database: Database) => database.tx('system', rowsOf('select key from one order by key'))

describeStores(storeKinds, (servers) => {
  test('what is pending is applied in order of numbers, once', async () => {
    const database = await servers.openBareForTest()
    expect(numbers((await migrationStatus(database, [second, first])).pending)).toEqual([9001, 9002])
    expect(numbers(await migrate(database, [second, first], systemClock))).toEqual([9001, 9002])
    expect(await migrate(database, [first, second], systemClock)).toEqual([])
    expect(await keys(database)).toEqual([{ key: 1 }, { key: 2 }])
    const { applied, pending } = await migrationStatus(database, [first, second])
    expect(applied).toMatchObject([{ number: 9001, name: 'first' }, { number: 9002 }])
    expect(pending).toEqual([])
  })

  test('a status changes nothing, not even on an empty database', async () => {
    const database = await servers.openBareForTest()
    await migrationStatus(database, [first])
    expect(await database.tx('system', rowsOf(`select to_regclass('corral_migrations')::text as ledger`))).toEqual([{ ledger: null }])
  })

  test('one that fails leaves none of its run', async () => {
    const database = await servers.openBareForTest()
    await migrate(database, [first], systemClock)
    await expect(migrate(database, [first, second, broken], systemClock)).rejects.toThrow('nowhere')
    expect(await keys(database)).toEqual([{ key: 1 }])
    expect(numbers((await migrationStatus(database, [first, second, broken])).pending)).toEqual([9002, 9003])
  })

  test('a text that was changed after it was applied is refused', async () => {
    const database = await servers.openBareForTest()
    await migrate(database, [first], systemClock)
    const changed = { ...first, sql: `${first.sql} ` }
    await expect(migrate(database, [changed, second], systemClock)).rejects.toThrow(
      'migration 9001 (first) is not the one that was applied',
    )
    await expect(migrate(database, [changed, second], systemClock)).rejects.toBeInstanceOf(MigrationError)
    expect(await keys(database)).toEqual([{ key: 1 }])
  })

  test('a schema of a newer Corral is refused', async () => {
    const database = await servers.openBareForTest()
    await migrate(database, [first, second], systemClock)
    await expect(migrate(database, [first], systemClock)).rejects.toThrow('migration 9002 (second), which this Corral does not know')
  })

  test('two of the same number are a bug', async () => {
    const database = await servers.openBareForTest()
    await expect(migrate(database, [first, { ...second, number: 9001 }], systemClock)).rejects.toThrow('same number')
  })
})

describeStores(serverKinds, (servers) => {
  test('ten replicas that start at once apply each once', async () => {
    const at = await servers.postgres.createDatabase()
    const replicas = Array.from({ length: 10 }, () => postgresOn(servers.urlOf(at)))
    onTestFinished(async () => {
      await Promise.all(replicas.map((replica) => replica.close()))
    })
    const applied = await Promise.all(replicas.map((replica) => migrate(replica, [first, second], systemClock)))
    expect(applied.map(numbers).toSorted((one, other) => other.length - one.length)).toEqual([
      [9001, 9002],
      ...Array.from({ length: 9 }, () => []),
    ])
    const [replica] = replicas
    if (replica === undefined) throw new Error('no replica')
    expect(await keys(replica)).toEqual([{ key: 1 }, { key: 2 }])
  })
})

// What `schema.test.ts` asks of the real migrations, shown here to find what it looks for.
describeStores(storeKinds.slice(0, 1), (servers) => {
  test('a table with a tenant and without its policies is found', async () => {
    const database = await servers.openBareForTest()
    const closed = `create table closed (tenant text not null); ${tenantTable('closed')}`
    const half = 'create table half (tenant text not null); alter table half enable row level security'
    await migrate(
      database,
      [{ number: 1, name: 'some', sql: `${closed} create table bare (tenant text); ${half}; create table shared (key int)` }],
      systemClock,
    )
    expect(await database.tx('system', openTenantTables)).toEqual(['bare', 'half'])
  })
})
