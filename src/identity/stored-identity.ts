/** Identity on what the application keeps, or none where it keeps nothing. */
import type { Database } from '../store/database.ts'
import type { RedisStore } from '../store/redis-store.ts'
import { createIdentity, type Identity, type IdentityBus, type IdentityDeps } from './identity.ts'
import type { FetchText } from './jwks.ts'
import type { IdentityOptions } from './options.ts'
import { createRedisSignatures } from './redis-signatures.ts'

export interface IdentityStores {
  readonly secret: string
  readonly database: Database | null
  readonly redis: (IdentityBus & Pick<RedisStore, 'prefix' | 'script'>) | null
  readonly fetchText?: FetchText
}

/** Null in mode `open` without a store. Throws for any other mode without one, and what `createIdentity` throws. */
export function createStoredIdentity(
  options: IdentityOptions,
  stores: IdentityStores | undefined,
  deps: Pick<IdentityDeps, 'clock' | 'events' | 'onSigned'>,
): Identity | null {
  if (stores === undefined || stores.database === null) {
    // The configuration was checked for this; a caller that forgets the stores must not open the doors.
    if (options.mode !== 'open') throw new Error(`identity.mode ${options.mode} without a store`)
    return null
  }
  const { database, secret, fetchText, redis } = stores
  const { windowMs } = options.signatures
  const shared = redis === null ? {} : { bus: redis, sharedSignatures: createRedisSignatures(redis, windowMs) }
  return createIdentity({ options, database, secret, ...deps, ...(fetchText === undefined ? {} : { fetchText }), ...shared })
}
