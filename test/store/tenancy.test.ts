// Rows of one tenant never reach a transaction of another, by any statement; what a transaction was told ends with it.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Database, type Transaction, type TransactionScope } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { type Migration } from '../../src/store/migration.ts'
import { scopeSettings, sqlLiteral, tenantTable } from '../../src/store/tenancy.ts'
import { describeStores, postgresOn, Servers, serverKinds, storeKinds } from './stores.ts'

const migrations: readonly Migration[] = [
  {
    number: 9001,
    name: 'notes',
    sql: `create table notes (tenant text not null, key bigint generated always as identity, text text not null, primary key (tenant, key));
      ${tenantTable('notes')}`,
  },
]

const north = { tenant: 'north' } as const satisfies TransactionScope
const south = { tenant: "so'u\\th" } as const satisfies TransactionScope
const write = (tenant: string, text: string) => (transaction: Transaction) =>
  transaction.query('insert into notes (tenant, text) values ($1, $2)', [tenant, text])
const all = async (transaction: Transaction) =>
  (await transaction.query('select text from notes order by text')).rows.map(({ text }) => text)

/** The cases that hold for each kind of user: one bound by policies, and one that has to step down. */
function cases(database: () => Database): void {
  test('a tenant sees its own rows, the system all', async () => {
    await database().tx(north, write('north', 'from the north'))
    await database().tx(south, write(south.tenant, 'from the south'))
    expect(await database().tx(north, all)).toEqual(['from the north'])
    expect(await database().tx(south, all)).toEqual(['from the south'])
    expect(await database().tx('system', all)).toEqual(['from the north', 'from the south'])
    expect(await database().tx({ tenant: 'nobody' }, all)).toEqual([])
  })

  test("a tenant can neither write nor take another's rows", async () => {
    await expect(database().tx(north, write(south.tenant, 'forged'))).rejects.toMatchObject({ code: '42501' })
    const grab = (text: string) => (transaction: Transaction) => transaction.query(text)
    expect(await database().tx(north, grab(`update notes set text = 'mine' where text = 'from the south'`))).toMatchObject({ rowCount: 0 })
    expect(await database().tx(north, grab(`delete from notes where text = 'from the south'`))).toMatchObject({ rowCount: 0 })
    await expect(database().tx(north, grab(`update notes set tenant = 'south'`))).rejects.toMatchObject({ code: '42501' })
    expect(await database().tx(south, all)).toEqual(['from the south'])
  })

  test('what a transaction was told is gone with it, committed or not', async () => {
    const look = async (transaction: Transaction) =>
      (await transaction.query(`select current_setting('app.tenant', true) as tenant, current_user as who`)).rows[0]
    const before = await database().tx('system', look)
    for (let round = 0; round < 8; round += 1) {
      await database().tx(north, all)
      await database()
        .tx(south, () => Promise.reject(new Error('no')))
        .catch(() => {})
      expect(await database().tx('system', look)).toEqual(before)
      expect(await database().tx('system', all)).toHaveLength(2)
    }
  })

  test('an empty tenant is a bug, not everybody', async () => {
    await expect(database().tx({ tenant: '' }, all)).rejects.toThrow('no tenant')
  })
}

describeStores(storeKinds, (servers) => {
  let database: Database
  beforeAll(async () => {
    database = await servers.openBare()
    await migrate(database, migrations, systemClock)
  })
  afterAll(() => database.close())
  cases(() => database)

  test('200 transactions of two tenants at once each see only their own', async () => {
    const scopes = Array.from({ length: 200 }, (_, index) => (index % 3 === 0 ? 'system' : index % 3 === 1 ? north : south))
    const seen = await Promise.all(scopes.map((scope) => database.tx(scope, all)))
    const expected = { system: 2, tenant: 1 }
    expect(seen.map((rows) => rows.length)).toEqual(scopes.map((scope) => (scope === 'system' ? expected.system : expected.tenant)))
  })
})

describe.each(serverKinds.slice(0, 1))('%s as a superuser', () => {
  const servers = new Servers('postgres')
  let database: Database
  beforeAll(async () => {
    await servers.start()
    database = postgresOn((await servers.postgres.createDatabase()).superuserUrl)
    await migrate(database, migrations, systemClock)
  })
  afterAll(async () => {
    await database.close()
    await servers.remove()
  })
  cases(() => database)

  test('a second database on the same server finds the role that tenants step down to', async () => {
    const second = postgresOn((await servers.postgres.createDatabase()).superuserUrl)
    await migrate(second, migrations, systemClock)
    await second.tx(north, write('north', 'there too'))
    expect(await second.tx(south, all)).toEqual([])
    await second.close()
  })
})

test('a literal says what its text says, whatever is in it', () => {
  expect(sqlLiteral("it's")).toBe("'it''s'")
  expect(sqlLiteral('a\\b')).toBe(" E'a\\\\b'")
  expect(() => sqlLiteral('a\0b')).toThrow('NUL')
  expect(scopeSettings({ tenant: "x', 'y" })[0]).toContain("'x'', ''y'")
})

test('only plain names become tables', () => {
  expect(() => tenantTable('notes; drop table notes')).toThrow('not a plain table name')
})
