/**
 * Whether two tenants on one gateway ever get a byte of each other: a random walk over every route of the inventory, on Postgres through
 * PgBouncer and Redis, with the same names, prompts, idempotency keys and guessed ids on both sides (`test/identity/route-walk.ts`).
 */
import { systemClock } from '../src/base/clock.ts'
import { createPostgres } from '../src/store/postgres.ts'
import { createRedis } from '../src/store/redis.ts'
import { redisOptions } from '../src/store/redis-options.ts'
import { storeOptions } from '../src/store/options.ts'
import { inventory } from '../test/identity/route-inventory.ts'
import { operatorRoutes, walkRoutes } from '../test/identity/route-walk.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { startPooledPostgres, startRedis } from './harness/services.ts'
import { onStage } from './harness/stage.ts'

const seed = 20_261_128
const operations = { full: 100_000, quick: 8_000 }

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
    const redisServer = await stage.service(startRedis())
    const deps = { clock: systemClock, random: Math.random, report: options.log }
    const redis = createRedis(redisOptions.parse({ url: redisServer.url }), deps)
    redis.start()
    const database = createPostgres({ ...storeOptions.parse({}), url: postgres.pooledUrl }, deps)
    const wanted = options.isQuick ? operations.quick : operations.full
    const startedMs = systemClock.nowMs()
    const onProgress = (asked: number): void => options.log(`${asked} of ${wanted}`)
    const walked = await walkRoutes({ database, redis }, { seed, operations: wanted, onProgress })
    const seconds = (systemClock.nowMs() - startedMs) / 1_000
    for (const found of [...walked.leaks, ...walked.faults, ...walked.cut].slice(0, 20)) options.log(found)
    const routes = [...walked.byRoute]
    const foreign = routes.reduce((sum, [, counts]) => sum + counts.foreign, 0)
    const bars = [
      atLeast('operations', walked.asked, wanted),
      atMost('answers with something of the other tenant', walked.leaks.length, 0),
      atMost('faults of the gateway (status 500)', walked.faults.length, 0),
      atMost('answers that broke off', walked.cut.length, wanted / 1_000),
      atLeast('routes of the inventory that were asked', walked.byRoute.size, inventory.length),
      atMost(
        "operator's routes that a tenant was let into",
        routes.filter(([route, { ok }]) => ok > 0 && operatorRoutes.has(route)).length,
        0,
      ),
      atLeast('routes that answered 2xx', routes.filter(([, { ok }]) => ok > 0).length, 60),
      atLeast("requests that name an id of the other's", foreign, wanted / 50),
      atLeast('answers with the own mark', walked.marked, wanted / 50),
      atLeast('hits of the cache', walked.hits, wanted / 50),
      atLeast('answers given again for an idempotency key', walked.replayed, wanted / 1_000),
    ]
    const data = { seed, seconds: rounded(seconds), 'ids and signs told apart': walked.owned, routes: Object.fromEntries(walked.byRoute) }
    return benchResult('tenants', options, { bars, data })
  })
}
