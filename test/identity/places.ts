/** Where whole gateways keep what they know: embedded and alone, or as replicas in production do. One suite runs on both. */
import { afterAll, beforeAll, describe } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createRedis } from '../../src/store/redis.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { embeddedOn, postgresOn, serverKinds, Servers } from '../store/stores.ts'
import { until } from '../support/gateway.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { startRedis } from '../support/redis.ts'

/** A new, migrated store, and Redis where there is one. */
export interface Stores {
  /** Null: none. */
  readonly redisUrl: string | null
  /** The store as one more process finds it: of a server a pool of its own; the embedded one is the same for all. The caller closes it. */
  connect(): Promise<OpenableDatabase>
}

export interface Place {
  newStores(): Promise<Stores>
}

export const embeddedPlace: Place = {
  async newStores() {
    const database = embeddedOn(await embeddedFolder())
    await database.open()
    await migrate(database, migrations, systemClock)
    return { redisUrl: null, connect: () => Promise.resolve(database) }
  },
}

const production = 'Postgres through PgBouncer and Redis'

/** Runs `body` on both places; without a Postgres on this machine on the first alone. */
export function describePlaces(body: (place: Place) => void): void {
  describe('embedded', () => body(embeddedPlace))
  describe.runIf(serverKinds.length > 0)(production, () => {
    const servers = new Servers('pgbouncer')
    const stops: (() => Promise<void>)[] = []
    beforeAll(() => servers.start())
    afterAll(async () => {
      for (const stop of stops) await stop()
      await servers.remove()
    })
    body({
      async newStores() {
        const url = servers.urlOf(await servers.postgres.createDatabase())
        const connect = async (): Promise<OpenableDatabase> => {
          const database = postgresOn(url)
          await database.open()
          return database
        }
        const first = await connect()
        await migrate(first, migrations, systemClock)
        await first.close()
        const redis = await startRedis({ keepOpen: true })
        stops.push(() => redis.stop())
        return { redisUrl: redis.url, connect }
      },
    })
  })
}

/** A client of Redis that is connected; null without one. The caller closes it. */
export async function connectRedis(url: string | null): Promise<RedisStore | null> {
  if (url === null) return null
  const redis = createRedis(redisOptions.parse({ url }), { clock: systemClock, random: Math.random })
  redis.start()
  await until(() => redis.state === 'up', 'Redis is there', 10_000)
  return redis
}
