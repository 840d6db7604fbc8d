/** The stores behind memory for the tests of one file: a database with its tables, and a Redis. */
import { afterAll, beforeAll } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { Servers } from '../store/stores.ts'
import { startRedis, type RedisServer } from '../support/redis.ts'

/** Open while a test runs. */
export interface SecondStores {
  readonly database: OpenableDatabase
  readonly server: RedisServer
}

export function secondStores(): SecondStores {
  let database: OpenableDatabase
  let server: RedisServer
  beforeAll(async () => {
    database = await new Servers('embedded').open()
    await migrate(database, migrations, systemClock)
    server = await startRedis({ keepOpen: true })
  })
  afterAll(async () => {
    await database.close()
    await server.stop()
  })
  return {
    get database() {
      return database
    },
    get server() {
      return server
    },
  }
}
