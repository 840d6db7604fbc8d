/** A whole gateway in keys and jwt mode, on real stores, before a scripted node; with all that it writes collected. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { type App, type AppStores, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { CorralError } from '../../src/core/errors.ts'
import { noLimits, openPrincipal } from '../../src/core/principal.ts'
import type { Identity } from '../../src/identity/identity.ts'
import type { Database } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { type FakeNode, startFakeNode } from '../http/fake-node.ts'
import { requestBytes, type AskOptions } from '../http/gateway.ts'
import { exchange, type RawAnswer } from '../http/raw-client.ts'
import { keepOutput } from '../support/kept-output.ts'
import { testSecrets } from '../support/test-secrets.ts'
import { operatorAct, secret, wish } from './fixture.ts'
import { issuerSection, makeIssuer, type TestIssuer } from './issuer.ts'
import { connectRedis, embeddedPlace, type Place } from './places.ts'

export const { metricsToken } = testSecrets

export interface ClosedGateway {
  readonly port: number
  readonly url: string
  readonly app: App
  readonly identity: Identity
  readonly database: Database
  readonly issuer: TestIssuer
  readonly node: FakeNode
  /** A request over a connection of its own, as it is. */
  ask(method: string, target: string, options?: AskOptions): Promise<RawAnswer>
  /** All lines of the log so far. */
  readonly logText: () => Promise<string>
  /** The store cannot be reached while this is set. */
  outage: boolean
  key(fields?: Parameters<typeof wish>[0]): Promise<string>
  close(): Promise<void>
}

export interface ClosedGatewayOptions {
  /** Default: embedded. */
  readonly place?: Place
  /** Default: a free one. */
  readonly port?: number
  readonly issuer?: TestIssuer
  /** What is particular to the issuer. */
  readonly issuerFields?: Readonly<Record<string, unknown>>
  /** Default: more than any test makes, for most of what these send has no good credential. */
  readonly unauthenticatedPerMinute?: number
}

export async function startClosedGateway({
  place = embeddedPlace,
  port: wantedPort = 0,
  issuer = makeIssuer(),
  issuerFields = {},
  unauthenticatedPerMinute = 100_000,
}: ClosedGatewayOptions = {}): Promise<ClosedGateway> {
  const node = await startFakeNode()
  const stored = await place.newStores()
  const inner = await stored.connect()
  const redis = await connectRedis(stored.redisUrl)
  const state = { outage: false }
  const database: OpenableDatabase = {
    kind: inner.kind,
    connections: () => ({ used: 0, idle: 1, waiting: 0 }),
    tlsPeers: () => [],
    open: () => inner.open(),
    tx: (scope, work, options) =>
      state.outage ? Promise.reject(new CorralError('store_unavailable', 'the store is down')) : inner.tx(scope, work, options),
    close: () => inner.close(),
  }
  const stores: AppStores = {
    secret,
    database,
    redis,
    fetchText: async () => issuer.keySet(),
    start: () => Promise.resolve(),
    async close() {
      await redis?.close()
      await inner.close()
    },
  }
  const file = join(mkdtempSync(join(tmpdir(), 'corral-log-')), 'log.json')
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: wantedPort },
    fleet: { nodes: [{ url: node.url, name: 'n1' }], aliases: { house: 'small' } },
    observe: { log: { level: 'debug', access: true, format: 'json', file } },
    identity: { mode: 'both', metricsToken, issuers: [issuerSection(issuer, issuerFields)] },
    cache: { enabled: false },
    limits: { address: { unauthenticatedPerMinute } },
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test', stores })
  const { port } = await app.listen()
  await app.openStores()
  const { identity } = app
  if (identity === null) throw new Error('no identity')
  while (!app.fleet.nodes.every(({ modelsKnown }) => modelsKnown)) await systemClock.sleep(5)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    app,
    identity,
    database: inner,
    issuer,
    node,
    ask: (method, target, options) => exchange(port, requestBytes(method, target, options), { head: method === 'HEAD' }),
    logText: async () => {
      await app.observer.flush()
      return readFileSync(file, 'utf8')
    },
    get outage() {
      return state.outage
    },
    set outage(value) {
      state.outage = value
    },
    async key(fields = {}) {
      const { text } = await identity.keys.create(wish({ limits: noLimits, ...fields }), { ...operatorAct, by: openPrincipal })
      if (text === null) throw new Error('no key text')
      return text
    },
    async close() {
      await app.close(0)
      await node.close()
      keepOutput(`log-${process.pid}-${port}`, readFileSync(file, 'utf8'))
    },
  }
}
