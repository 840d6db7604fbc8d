/**
 * Whole gateways before what replicas share: an embedded database, or Postgres through PgBouncer with Redis. The servers serve all tests of a
 * block; each gateway has a secret of its own, so that none finds what another kept.
 */
import { randomUUID } from 'node:crypto'

import { afterAll, beforeAll, describe } from 'vitest'

import type { AppStores } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import { createRedis } from '../../src/store/redis.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { type Gateway, openGateway } from '../fleet/gateway.ts'
import { serverKinds, Servers } from '../store/stores.ts'
import { until } from '../support/gateway.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

type Options = NonNullable<Parameters<typeof openGateway>[0]>

/** A gateway on the servers of the block, whose slower layers are asked when this returns. */
export type OpenBacked = (options?: Options) => Promise<Gateway>

/** Runs `body` on each kind of servers that this machine has. */
export function describeBacked(body: (open: OpenBacked) => void): void {
  describe('on an embedded database', () => {
    const servers = new Servers('embedded')
    runOn(servers, () => Promise.resolve(null), body)
  })
  describe.runIf(serverKinds.includes('pgbouncer'))('on Postgres through PgBouncer, with Redis', () => {
    runOn(new Servers('pgbouncer'), () => startRedis({ keepOpen: true }), body)
  })
}

function runOn(servers: Servers, startServer: () => Promise<RedisServer | null>, body: (open: OpenBacked) => void): void {
  let database: OpenableDatabase | null = null
  let server: RedisServer | null = null
  beforeAll(async () => {
    await servers.start()
    database = await servers.open()
    await migrate(database, migrations, systemClock)
    server = await startServer()
  })
  afterAll(async () => {
    await database?.close()
    await servers.remove()
    await server?.stop()
  })
  body(async (options = {}) => {
    const stores = storesOf(database, server)
    const gateway = await openGateway({ features: { rag: false }, ...options, stores })
    await until(() => (stores.redis?.state ?? 'up') === 'up', 'Redis is up')
    return gateway
  })
}

/** Timeouts are wide: the machine may be busy. */
function storesOf(database: OpenableDatabase | null, server: RedisServer | null): AppStores {
  const redis =
    server === null
      ? null
      : createRedis(redisOptions.parse({ url: server.url, commandTimeoutMs: 1_000 }), { clock: systemClock, random: Math.random })
  const start = (): Promise<void> => Promise.resolve(redis?.start())
  return { secret: randomUUID(), database, redis, start, close: async () => redis?.close() }
}
