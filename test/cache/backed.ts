/**
 * Whole gateways before the stores of one place (`places.ts`), which serve all tests of a block: each gateway has a secret of its own, so that
 * none finds what another kept.
 */
import { randomUUID } from 'node:crypto'

import { afterAll, beforeAll } from 'vitest'

import type { OpenableDatabase } from '../../src/store/store.ts'
import { type Gateway, openGateway } from '../fleet/gateway.ts'
import { connectRedis, describePlaces, type Stores } from '../identity/places.ts'

type Options = NonNullable<Parameters<typeof openGateway>[0]>

/** A gateway on the stores of the block. */
export type OpenBacked = (options?: Options) => Promise<Gateway>

/** Runs `body` on each place that this machine has. */
export function describeBacked(body: (open: OpenBacked) => void): void {
  describePlaces((place) => {
    let stores: Stores
    let database: OpenableDatabase
    beforeAll(async () => {
      stores = await place.newStores()
      database = await stores.connect()
    })
    afterAll(() => database.close())
    body(async (options = {}) => {
      const redis = await connectRedis(stores.redisUrl)
      const start = (): Promise<void> => Promise.resolve()
      const kept = { secret: randomUUID(), database, redis, start, close: async () => redis?.close() }
      return openGateway({ features: { rag: false }, ...options, stores: kept })
    })
  })
}
