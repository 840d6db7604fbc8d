// A purge holds for what outlives the process: a new process on the same database asks its slower layers only once it knows of it.

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createEpochStore } from '../../src/cache/postgres-epochs.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import { describeStores, storeKinds } from '../store/stores.ts'

describeStores(storeKinds, (servers) => {
  test('counters are raised on the server and read by the next process', async () => {
    const database = await servers.openForTest()
    await migrate(database, migrations, systemClock)
    const [one, other] = [createEpochStore(database), createEpochStore(database)]
    expect(await one.load()).toEqual({})
    const raised = await Promise.all([one.raise(['all', 'b']), other.raise(['all'])])
    expect(new Set(raised.map((counters) => counters['all']))).toEqual(new Set([1, 2]))
    expect(await other.load()).toEqual({ all: 2, b: 1 })
  })
})
