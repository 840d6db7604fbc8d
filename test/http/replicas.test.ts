// Two gateways on one Postgres and one Redis: what an operator does at one holds for both, and what he sees there is of both.
import { randomBytes } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'

import { type App, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createDurable } from '../../src/durable.ts'
import { createHerd, type SimHerd } from '../../src/sim/herd.ts'
import { until } from '../support/gateway.ts'
import { hasPostgres, startPostgres, type TestPostgres } from '../support/postgres.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'

const testMsMax = 60_000
/** A change is told at once; a replica that was not told looks each second. */
const soon = { timeout: 15_000, interval: 20 }

interface Replica {
  readonly app: App
  readonly url: string
  close(): Promise<void>
}

interface Stand {
  readonly postgres: TestPostgres
  readonly redis: RedisServer
  readonly herd: SimHerd
  /** Starts one more, before the first `nodes` of the herd. */
  start(nodes?: number): Promise<Replica>
}

let postgres: TestPostgres

async function createStand(): Promise<Stand> {
  const redis = await startRedis()
  const { url } = await postgres.createDatabase()
  const herd = await createHerd({ nodes: 3, speed: 20, decodeTokensPerSecond: 1, numParallel: 8, answerTokens: [1_000, 1_000] })
  onTestFinished(() => herd.close())
  const secret = randomBytes(32).toString('hex')
  const start = async (nodes = 2): Promise<Replica> => {
    const config = configSchema.parse({
      http: { host: '127.0.0.1', port: 0 },
      fleet: { nodes: herd.nodes.slice(0, nodes).map((node) => ({ url: node.url, name: node.name })) },
      observe: { log: { level: 'silent', access: false } },
      secret,
      store: { url },
      redis: { url: redis.url, commandTimeoutMs: 1_000 },
    })
    const stores = await createDurable({ config, clock: systemClock, random: () => 0.5, report: () => undefined })
    const app = await createApp({ config, clock: systemClock, version: '0.0.0-test', stores })
    const { port } = await app.listen()
    let closing: Promise<void> | null = null
    const close = (): Promise<void> => (closing ??= app.close(0))
    onTestFinished(close)
    await app.openStores()
    await until(() => app.fleet.nodes.every((node) => node.modelsKnown), 'every node was probed')
    await until(() => stores.redis?.state === 'up', 'Redis is up')
    return { app, url: `http://127.0.0.1:${port}`, close }
  }
  return { postgres, redis, herd, start }
}

async function send(replica: Replica, method: string, path: string, body: object | null = null): Promise<Response> {
  const json = body === null ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  return fetch(replica.url + path, { method, ...json })
}

const coverageShape = z.object({ processes: z.number(), silent: z.number(), redisAway: z.boolean() })
const fleetShape = z.object({
  nodes: z.array(z.object({ name: z.string(), draining: z.boolean(), inFlight: z.number(), breaker: z.string() })),
  changedByHand: z.array(z.object({ name: z.string(), kind: z.string() })),
  coverage: coverageShape,
})
const requestsShape = z.object({ requests: z.array(z.object({ id: z.string() })), coverage: coverageShape })

const fleetOf = async (replica: Replica) => fleetShape.parse(await (await send(replica, 'GET', '/admin/fleet')).json())
const requestsOf = async (replica: Replica) => requestsShape.parse(await (await send(replica, 'GET', '/admin/requests')).json())

/** What each has of its own nodes: name, and whether it is drained. */
const ownNodes = (replica: Replica): string[] => replica.app.fleet.nodes.map(({ name, draining }) => (draining ? `${name} drained` : name))

/** Starts a long answer, to a question of its own: equal ones are answered once. Gives its id. */
async function startAnswer(replica: Replica, prompt: string): Promise<string> {
  const leaving = new AbortController()
  onTestFinished(() => leaving.abort())
  const answer = await fetch(`${replica.url}/api/generate`, {
    method: 'POST',
    body: JSON.stringify({ model: 'llama3.2:3b', prompt, options: { num_predict: 1_000 } }),
    headers: { 'x-corral-explain': 'true' },
    signal: leaving.signal,
  })
  expect(answer.status).toBe(200)
  return answer.headers.get('x-request-id') ?? ''
}

async function firstState(replica: Replica): Promise<unknown> {
  const leaving = new AbortController()
  const { body } = await fetch(`${replica.url}/admin/live`, { signal: leaving.signal })
  let text = ''
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString()
    const [, data] = /^event: state\ndata: (.*)\n\n/m.exec(text) ?? []
    if (data !== undefined) return JSON.parse(data)
  }
  throw new Error('no state came')
}

describe.runIf(hasPostgres())('two replicas', { timeout: testMsMax }, () => {
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres.remove())

  test('show, explain and cancel what is under way at the other', async () => {
    const stand = await createStand()
    const [one, other] = [await stand.start(), await stand.start()]
    const ids = [await startAnswer(one, 'Why?'), await startAnswer(other, 'When?'), await startAnswer(other, 'Where?')]
    for (const asked of [one, other]) {
      const { requests, coverage } = await requestsOf(asked)
      expect(requests.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
      expect(coverage).toEqual({ processes: 2, silent: 0, redisAway: false })
      const { nodes } = await fleetOf(asked)
      expect(nodes.reduce((sum, { inFlight }) => sum + inFlight, 0)).toBe(3)
      expect(await firstState(asked)).toMatchObject({
        requestsTotal: 3,
        overview: { inFlight: 3 },
        coverage: { processes: 2, silent: 0, redisAway: false },
      })
      for (const id of ids) expect((await send(asked, 'GET', `/admin/requests/${id}/explain`)).status).toBe(200)
    }
    for (const id of ids) expect((await send(one, 'DELETE', `/admin/requests/${id}`)).status).toBe(204)
    await expect.poll(async () => (await requestsOf(other)).requests, soon).toEqual([])
    expect((await send(one, 'DELETE', `/admin/requests/${ids[1] ?? ''}`)).status).toBe(404)
  })

  test('what a replica that ends still has under way is seen and cancelled at the other', async () => {
    const stand = await createStand()
    const [one, other] = [await stand.start(), await stand.start()]
    const id = await startAnswer(other, 'Why?')
    const ended = other.app.close(testMsMax)
    const { requests, coverage } = await requestsOf(one)
    expect(requests.map((request) => request.id)).toEqual([id])
    expect(coverage).toEqual({ processes: 2, silent: 0, redisAway: false })
    expect((await send(one, 'DELETE', `/admin/requests/${id}`)).status).toBe(204)
    await ended
  })

  test('an ejection at one is seen at the other, and put back from there', async () => {
    const stand = await createStand()
    const [one, other] = [await stand.start(), await stand.start()]
    const [node] = other.app.fleet.nodes
    for (let failures = 0; failures < 5; failures += 1) node?.breaker.acquire(systemClock.nowMs())?.settle('fail', systemClock.nowMs())
    expect((await fleetOf(one)).nodes.map(({ breaker }) => breaker)).toEqual(['open', 'closed'])
    expect((await send(one, 'POST', `/admin/nodes/${node?.name}/undrain`)).status).toBe(200)
    expect(node?.breaker.state(systemClock.nowMs())).toBe('closed')
  })

  test('drain, undrain, add and remove hold for both when the answer comes, for one that starts later, and after a restart', async () => {
    const stand = await createStand()
    const [one, other] = [await stand.start(), await stand.start()]
    const third = { url: stand.herd.nodes[2]?.url ?? '', name: 'third', headers: { authorization: 'Bearer s3cret' } }
    expect(await (await send(one, 'POST', '/admin/nodes/node-1/drain')).json()).toEqual({ name: 'node-1', draining: true, kept: true })
    expect(ownNodes(other)).toEqual(['node-1 drained', 'node-2'])
    expect((await send(other, 'POST', '/admin/nodes', third)).status).toBe(201)
    expect(ownNodes(one)).toEqual(['node-1 drained', 'node-2', 'third'])
    expect((await send(one, 'DELETE', '/admin/nodes/node-2')).status).toBe(204)
    expect((await send(one, 'POST', '/admin/nodes/third/drain')).status).toBe(200)
    const all = ['node-1 drained', 'third drained']
    expect(ownNodes(other)).toEqual(all)
    const late = await stand.start()
    expect(ownNodes(late)).toEqual(all)
    expect(late.app.fleet.nodes[1]?.options.headers).toEqual(third.headers)
    expect((await fleetOf(late)).changedByHand).toEqual([
      { name: 'node-1', kind: 'drained' },
      { name: 'node-2', kind: 'removed' },
      { name: 'third', kind: 'added' },
    ])
    expect((await send(late, 'POST', '/admin/nodes/node-1/undrain')).status).toBe(200)
    expect((await send(late, 'DELETE', '/admin/nodes/third')).status).toBe(204)
    for (const replica of [one, other, late]) {
      expect(ownNodes(replica)).toEqual(['node-1'])
      await replica.close()
    }
    expect(ownNodes(await stand.start())).toEqual(['node-1'])
  })

  test('a replica that was cut off from Redis follows within a second, and a view says that it is alone', async () => {
    const stand = await createStand()
    const [one, other] = [await stand.start(), await stand.start()]
    const id = await startAnswer(other, 'Why?')
    await stand.redis.kill()
    await expect.poll(async () => (await fleetOf(one)).coverage, soon).toEqual({ processes: 1, silent: 0, redisAway: true })
    expect(await (await send(one, 'DELETE', `/admin/requests/${id}`)).text()).toContain(
      'Redis is away, so that nothing is known of other replicas',
    )
    expect((await send(one, 'POST', '/admin/nodes/node-1/drain')).status).toBe(200)
    await expect.poll(() => ownNodes(other), soon).toEqual(['node-1 drained', 'node-2'])
    await stand.redis.restart()
    await expect.poll(async () => (await fleetOf(one)).coverage, soon).toEqual({ processes: 2, silent: 0, redisAway: false })
  })

  test('a change while the database is away is made here, says that it is not kept, and reaches the other when it is back', async () => {
    const stand = await createStand()
    const [one, other] = [await stand.start(), await stand.start()]
    await stand.postgres.stop('immediate')
    expect(await (await send(one, 'POST', '/admin/nodes/node-1/drain')).json()).toEqual({ name: 'node-1', draining: true, kept: false })
    expect(ownNodes(one)).toEqual(['node-1 drained', 'node-2'])
    await stand.postgres.start()
    await expect.poll(() => ownNodes(other), soon).toEqual(['node-1 drained', 'node-2'])
  })

  test('a replica with a newer file does not give a node back to one with the older file', async () => {
    const stand = await createStand()
    const old = await stand.start(2)
    expect((await send(old, 'DELETE', '/admin/nodes/node-2')).status).toBe(204)
    const next = await stand.start(1)
    expect(ownNodes(next)).toEqual(['node-1'])
    expect((await send(next, 'POST', '/admin/nodes/node-1/drain')).status).toBe(200)
    expect(ownNodes(old)).toEqual(['node-1 drained'])
  })
})
