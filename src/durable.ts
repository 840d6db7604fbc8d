/**
 * What outlives a request: the database, Redis, and the secret that keys what is kept in them. Made before the application, because
 * the drivers load only when they are wanted; opened by `start`, so that the gateway answers before its database does.
 *
 * Nothing of it is load-bearing in open mode: a folder that cannot be used or a database that does not come costs what is kept
 * there, and no request.
 */
import { randomBytes } from 'node:crypto'

import type { Clock } from './base/clock.ts'
import { CorralError } from './core/errors.ts'
import { dataFolder } from './config/data-folder.ts'
import type { Config } from './config/index.ts'
import { loadSecret } from './identity/secret.ts'
import { migrations } from './migrations.ts'
import { migrate } from './store/migrate.ts'
import type { RedisStore } from './store/redis-store.ts'
import { createDatabase, type OpenableDatabase } from './store/store.ts'

const retryMs = 1_000

export interface Durable {
  readonly secret: string
  /** Null: switched off, or of no use (then `trouble` says why). */
  readonly database: OpenableDatabase | null
  readonly redis: RedisStore | null
  /** Why there is no database although one was wanted. */
  readonly trouble: string | null
  /**
   * Opens the database and brings its schema up to date; waits for a server that is not there yet. Rejects for what waiting does not
   * mend: a folder in use, a schema of a newer Corral.
   */
  start(): Promise<void>
  /** Whether the database was asked for once since `start`, with or without success. */
  readonly tried: () => boolean
  close(): Promise<void>
}

export interface DurableDeps {
  readonly config: Config
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** Hears of what no caller hears of. */
  readonly report: (message: string, cause: unknown) => void
}

/** Makes what `config` asks for. Throws when an authenticating gateway cannot have its database, or a shared store has no secret. */
export async function createDurable(deps: DurableDeps): Promise<Durable> {
  const { config } = deps
  const made = await createStored(deps)
  const { secret, database, trouble } = made
  const redis = config.redis.url === undefined ? null : await connectRedis(deps)
  let closed = false
  let tried = false
  return {
    secret,
    database,
    redis,
    trouble,
    tried: () => tried,
    async start() {
      redis?.start()
      if (database === null) return
      await database.open()
      const migrated = async (): Promise<void> => {
        try {
          await migrateBy(deps, database)
        } finally {
          tried = true
        }
      }
      await untilThere(migrated, deps, () => closed)
    },
    async close() {
      closed = true
      await redis?.close()
      await database?.close()
    },
  }
}

/** Past PgBouncer where there is a way: a migration may last longer than a pooler allows. */
async function migrateBy({ config, clock, random, report }: DurableDeps, database: OpenableDatabase): Promise<void> {
  const { directUrl } = config.store
  if (directUrl === null) {
    await migrate(database, migrations, clock)
    return
  }
  const direct = await createDatabase({ ...config.store, url: directUrl, dataDir: '' }, { clock, random, report })
  try {
    await migrate(direct, migrations, clock)
  } finally {
    await direct.close()
  }
}

/** Tries until the database is there or this process stops. */
async function untilThere(work: () => Promise<void>, { clock, report }: DurableDeps, isClosed: () => boolean): Promise<void> {
  for (let failures = 0; !isClosed(); failures += 1) {
    try {
      await work()
      return
    } catch (error) {
      if (!(error instanceof CorralError) || error.code === 'store_full') throw error
      if (failures === 0) report(`the database is not there yet, it is tried again: ${error.message}`, null)
      await clock.sleep(retryMs)
    }
  }
}

interface Stored {
  readonly secret: string
  readonly database: OpenableDatabase | null
  readonly trouble: string | null
}

async function createStored(deps: DurableDeps): Promise<Stored> {
  const { config } = deps
  const given = config.secret ?? null
  if (!config.store.enabled) return withoutStore(given, null)
  const dataDir = dataFolder(config)
  try {
    const secret = await loadSecret({ given, dataDir: config.store.url === null ? dataDir : null })
    return { secret, database: await createDatabase({ ...config.store, dataDir }, { ...deps, reportOutage: deps.report }), trouble: null }
  } catch (error) {
    if (config.identity.mode !== 'open' || config.store.url !== null || !(error instanceof Error && 'path' in error)) throw error
    return withoutStore(given, `nothing is kept: ${error.message}`)
  }
}

/** Keys of what dies with the process. */
function withoutStore(given: string | null, trouble: string | null): Stored {
  return { secret: given ?? randomBytes(32).toString('hex'), database: null, trouble }
}

async function connectRedis({ config, clock, random, report }: DurableDeps): Promise<RedisStore> {
  const { createRedis } = await import('./store/redis.ts')
  const onState = (state: string, cause: string | null): void => report(`Redis is ${state}${cause === null ? '' : `: ${cause}`}`, null)
  return createRedis(config.redis, { clock, random, onState })
}
