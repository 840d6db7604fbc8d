/** A whole gateway with documents on a given store, before a scripted fleet; with or without keys. For tests and benches. */
import { z } from 'zod'

import { type App, type AppStores, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { noLimits, openPrincipal } from '../../src/core/principal.ts'
import { migrations } from '../../src/migrations.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { operatorAct, secret, wish } from '../identity/fixture.ts'
import { type ScriptedFleet, startScriptedFleet } from './scripted-fleet.ts'

export interface Api {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; throws when it is none. */
  readonly json: Readonly<Record<string, unknown>>
}

export interface ApiOptions {
  readonly body?: unknown
  readonly key?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

export interface RagGateway {
  readonly url: string
  readonly app: App
  readonly database: Database
  readonly fleet: ScriptedFleet
  ask(method: string, path: string, options?: ApiOptions): Promise<Api>
  /** The same, with the body read as it comes. */
  open(path: string, options: ApiOptions): Promise<OpenStream>
  /** A collection with documents by id, searchable when this resolves. */
  collection(name: string, documents: Readonly<Record<string, string>>, options?: Pick<ApiOptions, 'key'>): Promise<void>
  /** Writes a document, or its next revision. */
  put(collection: string, id: string, text: string, options?: PutOptions): Promise<void>
  /** The text of a new key; its tenant is made where there is none. */
  key(fields?: Parameters<typeof wish>[0]): Promise<string>
  close(): Promise<void>
}

export interface OpenStream {
  /** Resolves when `text` has come. */
  has(text: string): Promise<void>
  /** Resolves with the whole body. */
  rest(): Promise<string>
}

export interface PutOptions extends Pick<ApiOptions, 'key'> {
  readonly metadata?: object
  readonly type?: string
}

export interface RagAppOptions {
  readonly identity?: Readonly<Record<string, unknown>>
  readonly config?: Readonly<Record<string, unknown>>
  readonly database: OpenableDatabase
  /** Closed with the gateway; default none. */
  readonly redis?: RedisStore | null
  /** Of the nodes; the scripted fleet where there are none. */
  readonly nodeUrls?: readonly string[]
}

export async function startRagApp({
  identity = { mode: 'open' },
  config = {},
  database: store,
  redis = null,
  nodeUrls,
}: RagAppOptions): Promise<RagGateway> {
  const fleet = await startScriptedFleet()
  const stores: AppStores = {
    secret,
    database: store,
    redis,
    async start() {
      await store.open()
      await migrate(store, migrations, systemClock)
    },
    async close() {
      await redis?.close()
      await store.close()
    },
  }
  const parsed = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    observe: { log: { level: 'silent', access: false } },
    limits: { address: { unauthenticatedPerMinute: 100_000 } },
    ...config,
    identity,
    fleet: { nodes: (nodeUrls ?? [fleet.url]).map((url, index) => ({ url, name: `n${index + 1}` })) },
  })
  const app = await createApp({ config: parsed, clock: systemClock, version: '0.0.0-test', stores })
  const { port } = await app.listen()
  await app.openStores()
  while (!app.fleet.nodes.every(({ modelsKnown }) => modelsKnown)) await systemClock.sleep(5)
  const url = `http://127.0.0.1:${port}`
  const ask: RagGateway['ask'] = (method, path, options) => send(url + path, method, options)
  const gateway: RagGateway = {
    url,
    app,
    database: store,
    fleet,
    ask,
    async open(path, options) {
      return openStream(await request(url + path, 'POST', options))
    },
    async collection(name, documents, options = {}) {
      mustBe(201, await ask('POST', '/rag/collections', { body: { name }, ...options }))
      for (const [id, text] of Object.entries(documents)) await gateway.put(name, id, text, options)
    },
    async put(collection, id, text, { metadata, type = 'text/plain', ...options } = {}) {
      const query = new URLSearchParams({ id, wait: 'true', ...(metadata === undefined ? {} : { metadata: JSON.stringify(metadata) }) })
      const path = `/rag/collections/${collection}/documents?${query.toString()}`
      mustBe(200, await ask('POST', path, { body: Buffer.from(text), headers: { 'content-type': type }, ...options }))
    },
    async key(fields = {}) {
      if (fields.tenant !== undefined) await app.identity?.tenants.put(fields.tenant, {}, operatorAct)
      const made = await app.identity?.keys.create(wish({ limits: noLimits, ...fields }), { ...operatorAct, by: openPrincipal })
      if (made === undefined || made.text === null) throw new Error('no key')
      return made.text
    },
    async close() {
      await app.close(0)
      await fleet.close()
    },
  }
  return gateway
}

function request(url: string, method: string, { body, key, headers = {}, signal }: ApiOptions = {}): Promise<Response> {
  const isRaw = body instanceof Buffer || typeof body === 'string'
  return fetch(url, {
    method,
    ...(body === undefined ? {} : { body: isRaw ? new Uint8Array(Buffer.from(body)) : JSON.stringify(body) }),
    headers: {
      ...(isRaw || body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...headers,
    },
    ...(signal === undefined ? {} : { signal }),
  })
}

async function send(url: string, method: string, options?: ApiOptions): Promise<Api> {
  const response = await request(url, method, options)
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    get json() {
      return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
    },
  }
}

function openStream({ body }: Response): OpenStream {
  if (body === null) throw new Error('an answer without a body')
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  const read = async (): Promise<boolean> => {
    const { done, value = '' } = await reader.read()
    text += value
    return !done
  }
  return {
    async has(wanted) {
      while (!text.includes(wanted)) if (!(await read())) throw new Error(`the stream ended without ${wanted}: ${text}`)
    },
    async rest() {
      while (await read());
      return text
    },
  }
}

export function mustBe(status: number, answer: Api): Api {
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text.slice(0, 2_000)}`)
  return answer
}

export interface SseEvent {
  readonly event: string
  readonly data: unknown
}

/** The events of a whole stream, comments left out. */
export function eventsOf(text: string): SseEvent[] {
  return text
    .split('\n\n')
    .filter((block) => block.trim() !== '' && !block.startsWith(':'))
    .map((block) => ({
      event: /^event: (.*)$/m.exec(block)?.[1] ?? '',
      data: JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? 'null') as unknown,
    }))
}
