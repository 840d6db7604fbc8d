/** Whole gateways that share a Redis and no database, before one simulated node; all ends with the test. */
import { onTestFinished } from 'vitest'

import { createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createHerd } from '../../src/sim/herd.ts'
import type { SimNode } from '../../src/sim/node.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { createRedis } from '../../src/store/redis.ts'
import { ask, type Reply } from '../fleet/ask.ts'
import { until } from '../support/gateway.ts'

export const chat = {
  model: 'llama3.2:3b',
  messages: [{ role: 'user', content: 'hi' }],
  stream: false,
  options: { temperature: 0, num_predict: 400 },
}

export interface Gateway {
  /** The node behind it. */
  readonly sim: SimNode
  ask(body?: object): Promise<Reply>
  role(body?: object): Promise<unknown>
  purge(selector: object): Promise<unknown>
}

/** `count` gateways; `sections` of their configuration. */
export async function gatewaysOn(
  redisUrl: string,
  {
    count = 2,
    sections = {},
  }: { readonly count?: number; readonly sections?: Readonly<Record<string, Readonly<Record<string, unknown>>>> } = {},
): Promise<Gateway[]> {
  const herd = await createHerd({ speed: 50, nodes: [{}] })
  onTestFinished(() => herd.close())
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    ...sections,
    fleet: { ...sections['fleet'], nodes: herd.nodes.map(({ url, name }) => ({ url, name })) },
    observe: { log: { level: 'silent', access: false } },
  })
  const [sim] = herd.nodes
  if (sim === undefined) throw new Error('no node')
  return Promise.all(Array.from({ length: count }, () => openGateway(config, redisUrl, sim)))
}

async function openGateway(config: ReturnType<typeof configSchema.parse>, redisUrl: string, sim: SimNode): Promise<Gateway> {
  const options = redisOptions.parse({ url: redisUrl, commandTimeoutMs: 1_000 })
  const redis = createRedis(options, { clock: systemClock, random: Math.random })
  const stores = {
    secret: 'a secret of thirty-two characters',
    database: null,
    redis,
    start: () => Promise.resolve(redis.start()),
    close: () => redis.close(),
  }
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test', stores })
  const { port } = await app.listen()
  onTestFinished(() => app.close(0))
  await app.openStores()
  await until(() => app.fleet.nodes.every(({ modelsKnown }) => modelsKnown) && redis.state === 'up', 'nodes and Redis are there')
  const url = `http://127.0.0.1:${port}`
  // The cache looks into Redis as soon as it knows the counters of purges.
  const layers = async (): Promise<unknown[]> => JSON.parse((await ask(`${url}/admin/cache`, undefined, { method: 'GET' })).text).layers
  for (let tries = 0; tries < 500 && (await layers()).length === 0; tries += 1) await systemClock.sleep(5)
  const send = (body: object = chat): Promise<Reply> => ask(`${url}/api/chat`, body)
  return {
    sim,
    ask: send,
    role: async (body) => (await send(body)).headers['x-corral-cache'],
    purge: async (selector) => JSON.parse((await ask(`${url}/admin/cache/purge`, { ...selector, dryRun: false })).text),
  }
}
