// Two tenants who ask at random, by the same names and for the same things, on every route: a part of what `npm run bench -- tenants` does.
import { expect, test } from 'vitest'

import { connectRedis, describePlaces } from './places.ts'
import { inventory } from './route-inventory.ts'
import { operatorRoutes, walkRoutes } from './route-walk.ts'

/** The embedded store does one thing at a time, and so has the smaller part. */
const operations = { embedded: 4_000, servers: 8_000 }

describePlaces((place) => {
  test('of thousands of requests of two tenants on all routes none gets a byte of the other', { timeout: 600_000 }, async () => {
    const { redisUrl, connect } = await place.newStores()
    const stores = { database: await connect(), redis: await connectRedis(redisUrl) }
    const asked = redisUrl === null ? operations.embedded : operations.servers
    const walked = await walkRoutes(stores, { seed: 20_261_128, operations: asked })
    expect(walked.leaks).toEqual([])
    expect(walked.faults).toEqual([])
    expect(walked.cut.length).toBeLessThanOrEqual(asked / 1_000)
    // The walk was everywhere, and had what it asked for.
    const routes = [...walked.byRoute]
    expect(walked.byRoute.size).toBe(inventory.length)
    expect(routes.filter(([route, { ok }]) => ok > 0 && operatorRoutes.has(route))).toEqual([])
    expect(routes.filter(([, { ok }]) => ok > 0).length).toBeGreaterThanOrEqual(50)
    expect(routes.reduce((sum, [, { foreign }]) => sum + foreign, 0)).toBeGreaterThan(asked / 50)
    for (const seen of [walked.marked, walked.hits]) expect(seen).toBeGreaterThan(asked / 50)
    expect(walked.replayed).toBeGreaterThan(asked / 1_000)
    expect(walked.owned).toBeGreaterThan(asked / 2)
  })
})
