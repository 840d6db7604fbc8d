/** Two and more gateways before the same simulated nodes, with or without a Redis between them. Everything stops with the test. */
import { onTestFinished } from 'vitest'

import { type App, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createHerd, type HerdOptions } from '../../src/sim/herd.ts'
import type { SimNode } from '../../src/sim/node.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { createRedis } from '../../src/store/redis.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { until } from './gateway.ts'

export interface Replica {
  readonly url: string
  readonly app: App
  /** Null without Redis. */
  readonly redis: RedisStore | null
}

export interface Replicas {
  readonly all: readonly Replica[]
  readonly sims: readonly SimNode[]
}

interface ReplicasOptions extends HerdOptions {
  readonly count?: number
  /** URL; null: each replica is alone. */
  readonly redis: string | null
  readonly fleet?: Readonly<Record<string, unknown>>
  /** How long Redis may take; by default long, so that a busy machine is no fault of Redis. */
  readonly commandTimeoutMs?: number
}

export async function openReplicas({
  count = 2,
  redis,
  fleet = {},
  commandTimeoutMs = 1_000,
  ...herdOptions
}: ReplicasOptions): Promise<Replicas> {
  const herd = await createHerd(herdOptions)
  onTestFinished(() => herd.close())
  const all: Replica[] = []
  for (let index = 0; index < count; index += 1) all.push(await openReplica(herd.nodes, { url: redis, commandTimeoutMs }, fleet))
  return { all, sims: herd.nodes }
}

async function openReplica(
  sims: readonly SimNode[],
  { url, commandTimeoutMs }: { url: string | null; commandTimeoutMs: number },
  fleet: Readonly<Record<string, unknown>>,
): Promise<Replica> {
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    fleet: { ...fleet, nodes: sims.map((sim) => ({ url: sim.url, name: sim.name })) },
    observe: { log: { level: 'silent', access: false } },
    cache: { enabled: false },
  })
  const redis =
    url === null ? null : createRedis(redisOptions.parse({ url, commandTimeoutMs }), { clock: systemClock, random: Math.random })
  const stores = {
    secret: 'a secret of thirty-two characters',
    database: null,
    redis,
    start: () => Promise.resolve(redis?.start()),
    close: () => redis?.close() ?? Promise.resolve(),
  }
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test', stores })
  const { port } = await app.listen()
  onTestFinished(() => app.close(0))
  await app.openStores()
  await until(() => app.fleet.nodes.every((node) => node.modelsKnown && node.loadedAtMs > 0), 'every node was probed')
  if (redis !== null) await until(() => redis.state === 'up', 'Redis is up')
  return { url: `http://127.0.0.1:${port}`, app, redis }
}

/** Where one replica has requests under way, and with which runner options. */
function busyRunners({ fleet }: App): readonly { readonly where: string; readonly fingerprint: string }[] {
  const runners = fleet.nodes.flatMap((node) =>
    [...fleet.pools.use(node).runners].map(([key, runner]) => ({ where: `${node.name}/${key}`, runner })),
  )
  return runners.flatMap(({ where, runner: { inFlight, fingerprint } }) =>
    inFlight === 0 || fingerprint === null ? [] : [{ where, fingerprint }],
  )
}

/** Looks again and again whether two requests with different runner options are on one model of one node at once. */
export function watchForMixtures({ all }: Replicas): { readonly stop: () => readonly string[] } {
  const found: string[] = []
  const timer = setInterval(() => {
    const running = new Map<string, string>()
    for (const { where, fingerprint } of all.flatMap(({ app }) => busyRunners(app))) {
      const other = running.get(where)
      if (other !== undefined && other !== fingerprint) found.push(`${where}: ${other} and ${fingerprint}`)
      running.set(where, fingerprint)
    }
  }, 1)
  const stop = (): readonly string[] => {
    clearInterval(timer)
    return found
  }
  onTestFinished(() => void stop())
  return { stop }
}
