/**
 * Ways in which a store fails, and how to see that the gateway uses it again: Redis by the scripts it runs to their end, Postgres by
 * a key that nobody showed before, which only the database can know.
 */
import { systemClock } from '../../src/base/clock.ts'
import { wholeChat } from './bodies.ts'
import type { DelayProxy } from './delay-proxy.ts'
import type { Postgres, Redis } from './services.ts'

export interface StoreServers {
  readonly redis: Redis
  /** The road to Redis. */
  readonly road: DelayProxy
  readonly postgres: Postgres
}

export interface Stores extends StoreServers {
  readonly port: number
  /** Keys that no gateway has seen. */
  readonly freshKeys: string[]
}

export interface StoreFault {
  readonly name: string
  readonly store: 'redis' | 'postgres'
  begin(stores: StoreServers): Promise<void>
  /** Resolves when the store could be used again. */
  end(stores: StoreServers): Promise<void>
}

const latencyMs = 100

async function must(answer: Promise<string>): Promise<void> {
  const text = await answer
  if (!text.startsWith('+OK')) throw new Error(`Redis refused: ${text}`)
}

export const storeFaults: readonly StoreFault[] = [
  {
    name: 'Redis SIGSTOP',
    store: 'redis',
    begin: async ({ redis }) => redis.freeze(),
    end: async ({ redis }) => redis.thaw(),
  },
  { name: 'Redis kill', store: 'redis', begin: ({ redis }) => redis.kill(), end: ({ redis }) => redis.restart() },
  {
    name: 'Redis -OOM',
    store: 'redis',
    begin: ({ redis }) => must(redis.send('CONFIG SET maxmemory 1')),
    end: ({ redis }) => must(redis.send('CONFIG SET maxmemory 0')),
  },
  {
    name: 'Redis -READONLY',
    store: 'redis',
    // A replica of a primary that is not there: it serves what it has and takes no writes.
    begin: ({ redis }) => must(redis.send('REPLICAOF 127.0.0.1 1')),
    end: ({ redis }) => must(redis.send('REPLICAOF NO ONE')),
  },
  {
    name: `Redis ${latencyMs} ms away`,
    store: 'redis',
    begin: async ({ road }) => {
      road.delayMs = latencyMs
    },
    end: async ({ road }) => {
      road.delayMs = 0
    },
  },
  { name: 'Postgres kill', store: 'postgres', begin: ({ postgres }) => postgres.crash(), end: ({ postgres }) => postgres.start() },
  { name: 'PgBouncer restart', store: 'postgres', begin: ({ postgres }) => postgres.restartPooler(), end: async () => {} },
]

const lookEveryMs = 20
const backMsMax = 15_000

async function takesFreshKey({ port, freshKeys }: Stores): Promise<boolean> {
  const key = freshKeys.pop()
  if (key === undefined) throw new Error('no fresh keys are left')
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const response = await fetch(`http://127.0.0.1:${port}/api/chat`, { method: 'POST', headers, body: wholeChat })
  await response.arrayBuffer()
  return response.status === 200
}

/** Milliseconds until the gateway uses the store again, from now; `backMsMax` when it does not. */
export async function untilBack(stores: Stores, store: StoreFault['store']): Promise<number> {
  const startMs = systemClock.nowMs()
  const scriptsBefore = store === 'redis' ? await stores.redis.scriptsRun() : 0
  const isBack = async (): Promise<boolean> =>
    store === 'redis' ? (await stores.redis.scriptsRun()) > scriptsBefore : takesFreshKey(stores)
  while (!(await isBack())) {
    if (systemClock.nowMs() - startMs > backMsMax) return backMsMax
    await systemClock.sleep(lookEveryMs)
  }
  return systemClock.nowMs() - startMs
}
