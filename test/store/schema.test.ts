// The schema that all features together make: every table of tenants is closed by tenant, on the embedded store and on a server.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import { openTenantTables } from './open-tenant-tables.ts'
import { describeStores, storeKinds } from './stores.ts'

describeStores(storeKinds, (servers) => {
  test('every table with a tenant has its policies, and forces them on its owner', async () => {
    const database = await servers.openBareForTest()
    await migrate(database, migrations, systemClock)
    expect(await database.tx('system', openTenantTables)).toEqual([])
  })
})

test('the numbers of the migrations are unique and in the ranges of their features', () => {
  const numbers = migrations.map(({ number }) => number)
  expect(new Set(numbers).size).toBe(numbers.length)
  expect(numbers.filter((number) => number < 100)).toEqual([])
})
