/** Whole gateways in keys mode on one store (embedded: the same for all of them), before simulated nodes; all ends with the test. */
import { onTestFinished } from 'vitest'

import { type App, type AppStores, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import { noPeers, type Peers } from '../../src/http/peers.ts'
import { createHerd } from '../../src/sim/herd.ts'
import type { SimNode, SimNodeOptions } from '../../src/sim/node.ts'
import type { Identity } from '../../src/identity/identity.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { ask, type Reply } from '../fleet/ask.ts'
import { until } from '../support/gateway.ts'
import { operatorAct, secret, wish } from './fixture.ts'
import { connectRedis, embeddedPlace, type Place, type Stores } from './places.ts'

export interface KeyedGateway {
  readonly url: string
  readonly app: App
  readonly identity: Identity
  /** Whether its Redis, if it has one, can be used. */
  readonly redisState: () => string | null
  key(fields?: Parameters<typeof wish>[0]): Promise<string>
  /** With this key, or with none. */
  ask(path: string, key: string | null, body?: unknown, headers?: Readonly<Record<string, string>>): Promise<Reply>
}

export interface KeyedHerd {
  readonly sims: readonly SimNode[]
  readonly database: OpenableDatabase
  readonly gateways: readonly KeyedGateway[]
}

export interface KeyedHerdOptions {
  readonly nodes?: readonly (SimNodeOptions & { readonly group?: string })[]
  /** Gateways; default 1. */
  readonly replicas?: number
  /** Whether the gateways are workers of one machine, that ask each other; default: replicas that do not know of each other. */
  readonly areWorkers?: boolean
  /** Default: embedded. */
  readonly place?: Place
  /** In place of the place's own; null: none. */
  readonly redisUrl?: string | null
  /** What stands before the store of all gateways. */
  readonly before?: (store: OpenableDatabase) => OpenableDatabase
  /** What stands before the node of a URL: its own URL. */
  readonly beforeNode?: (url: string) => Promise<string>
  readonly sections?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
}

export async function startKeyedHerd(options: KeyedHerdOptions = {}): Promise<KeyedHerd> {
  const {
    nodes = [{}],
    replicas = 1,
    areWorkers = false,
    place = embeddedPlace,
    redisUrl,
    before = (store) => store,
    beforeNode = async (url) => url,
    sections = {},
  } = options
  const herd = await createHerd({ speed: 50, nodes })
  const stores = await place.newStores()
  const database = await connected(stores)
  onTestFinished(() => herd.close())
  const urls = await Promise.all(herd.nodes.map(({ url }) => beforeNode(url)))
  const { fleet = {}, http = {}, identity = {}, limits = {}, ...rest } = sections
  const config = configSchema.parse({
    cache: { enabled: false },
    observe: { log: { level: 'silent', access: false } },
    ...rest,
    http: { host: '127.0.0.1', port: 0, ...http },
    identity: { mode: 'keys', ...identity },
    limits: { address: { unauthenticatedPerMinute: 100_000 }, ...limits },
    fleet: { ...fleet, nodes: herd.nodes.map(({ name }, index) => ({ url: urls[index], name, ...groupOf(nodes[index]?.group) })) },
  })
  const gateways: KeyedGateway[] = []
  for (let index = 0; index < replicas; index += 1) {
    const redis = await connectRedis(redisUrl === undefined ? stores.redisUrl : redisUrl)
    const peers: Peers = {
      ask: (question) => Promise.all(gateways.filter((_, other) => other !== index).map(({ app }) => app.answerPeer(question))),
    }
    gateways.push(await startReplica(config, { database: before(await connected(stores)), redis, peers: areWorkers ? peers : noPeers }))
  }
  return { sims: herd.nodes, database, gateways }
}

async function connected(stores: Stores): Promise<OpenableDatabase> {
  const database = await stores.connect()
  onTestFinished(() => database.close())
  return database
}

function groupOf(group: string | undefined): { group?: string } {
  return group === undefined ? {} : { group }
}

async function startReplica(
  config: ReturnType<typeof configSchema.parse>,
  { database, redis, peers }: { readonly database: OpenableDatabase; readonly redis: RedisStore | null; readonly peers: Peers },
): Promise<KeyedGateway> {
  const stores: AppStores = { secret, database, redis, start: () => Promise.resolve(), close: async () => redis?.close() }
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test', stores, peers })
  const { port } = await app.listen()
  onTestFinished(() => app.close(0))
  await app.openStores()
  const { identity } = app
  if (identity === null) throw new Error('no identity')
  await until(() => app.fleet.nodes.every(({ modelsKnown }) => modelsKnown), 'every node was probed')
  const url = `http://127.0.0.1:${port}`
  return {
    url,
    app,
    identity,
    redisState: () => redis?.state ?? null,
    async key(fields = {}) {
      const { text } = await identity.keys.create(wish(fields), { ...operatorAct, by: openPrincipal })
      if (text === null) throw new Error('no key text')
      return text
    },
    ask: (path, key, body, headers = {}) =>
      ask(`${url}${path}`, body, {
        method: body === undefined ? 'GET' : 'POST',
        headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
      }),
  }
}
