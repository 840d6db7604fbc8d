// Health, scrape and operator routes over a real socket.
import { Hono } from 'hono'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { FleetNode } from '../../src/fleet/node.ts'
import { addFleetGauges } from '../../src/fleet/fleet-gauges.ts'
import { CallRegistry } from '../../src/http/call-registry.ts'
import { mountAdmin } from '../../src/http/admin/admin.ts'
import { mountHealth } from '../../src/http/health/health.ts'
import { createStartup } from '../../src/http/health/startup.ts'
import { httpOptions } from '../../src/http/options.ts'
import type { PeerAnswer } from '../../src/http/peers.ts'
import { openGuard } from '../../src/http/auth/guard.ts'
import { Traffic } from '../../src/http/traffic.ts'
import { createTracer } from '../../src/observe/trace.ts'
import { createIdSource } from '../../src/base/ids.ts'
import { createHttpServer, type HttpServer, type NodeBindings } from '../../src/http/server.ts'
import { facts, makeCall, makeObserver, sample } from './fixtures.ts'
import { giveModel, makeFleet, makeNode, nodeChangesOf, type TestFleet } from './fleet-fixture.ts'

let server: HttpServer
let origin: string
let fleet: TestFleet
let a: FleetNode
let b: FleetNode
let calls: CallRegistry
let triedStores: boolean
let draining: boolean
let enabled: boolean
let changes: string[]
/** What other processes answer. */
let others: readonly PeerAnswer[]

beforeEach(async () => {
  const secret = { url: 'http://user:hunter2@10.0.0.1:11434/prefix?key=hunter2', name: 'a', headers: { authorization: 'hunter2' } }
  a = makeNode(secret)
  b = makeNode({ url: 'http://10.0.0.2:11434', name: 'b', headers: {} })
  fleet = makeFleet([a, b])
  calls = new CallRegistry()
  draining = false
  enabled = true
  changes = []
  others = []
  const { observer } = makeObserver()
  addFleetGauges(observer.metrics, fleet, systemClock)
  const startup = createStartup(
    () => fleet.nodes,
    () => triedStores,
  )
  triedStores = false
  const app = new Hono<NodeBindings>()
  mountHealth(app, {
    nodes: () => fleet.nodes,
    draining: () => draining,
    metricsEnabled: () => true,
    started: startup.isOver,
    renderMetrics: () => observer.metrics.render(),
    onScraped: observer.scraped,
  })
  mountAdmin(app, {
    guard: openGuard,
    fleet,
    nodes: nodeChangesOf(fleet),
    calls,
    peers: { ask: () => Promise.resolve(others) },
    clock: systemClock,
    newId: () => 'request-1',
    enabled: () => enabled,
    onChange: (action, target) => void changes.push(`${action} ${target}`),
  })
  const options = httpOptions.parse({ port: 0 })
  const front = { origins: [], hosts: [], loopback: true, hopId: 'hop', newId: () => 'request-1' }
  const onBug = (error: unknown): void => {
    throw error
  }
  const tracer = createTracer({ ids: createIdSource(), enabled: () => true, sampler: null })
  const traffic = new Traffic({
    metrics: observer.metrics,
    clock: systemClock,
    tracing: { tracer, onExchange: null },
    newId: () => 'request-1',
    onOwnEnded: () => undefined,
  })
  const clock = systemClock
  server = createHttpServer({ answer: () => false, ownRoutes: app, options, front, guard: openGuard, calls, clock, traffic, onBug })
  const { host, port } = await server.listen()
  origin = `http://${host}:${port}`
})

afterEach(() => server.close(0))

function send(
  method: string,
  path: string,
  { body, headers }: { body?: string; headers?: Record<string, string> } = {},
): Promise<Response> {
  const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
  return fetch(origin + path, { method, headers: { ...json, ...headers }, ...(body === undefined ? {} : { body }) })
}

test('says that it lives, to GET and HEAD', async () => {
  expect((await send('GET', '/livez')).status).toBe(200)
  const head = await send('HEAD', '/livez')
  expect([head.status, await head.text()]).toEqual([200, ''])
})

test('is not ready while no node is up, and says why', async () => {
  a.up = false
  a.downReason = 'connection refused'
  const response = await send('GET', '/readyz')
  expect(response.status).toBe(503)
  expect(await response.json()).toEqual({ ready: false, reasons: ['a: connection refused', 'b: not probed yet'], nodesUp: 0, nodes: 2 })
})

test('is ready with one node up, and not ready while it drains', async () => {
  b.up = true
  expect(await (await send('GET', '/readyz')).json()).toEqual({ ready: true, reasons: [], nodesUp: 1, nodes: 2 })
  draining = true
  const response = await send('HEAD', '/readyz')
  expect(response.status).toBe(503)
})

test('has started once the stores were tried and each node was asked, and stays so', async () => {
  const startupz = async (): Promise<unknown> => {
    const response = await send('GET', '/startupz')
    return [response.status, await response.json()]
  }
  a.up = true
  triedStores = true
  expect(await startupz()).toEqual([503, { started: false }])
  b.up = false
  triedStores = false
  expect(await startupz()).toEqual([503, { started: false }])
  triedStores = true
  expect(await startupz()).toEqual([200, { started: true }])
  b.up = null
  expect(await startupz()).toEqual([200, { started: true }])
})

test('tells when Prometheus read the metrics last; the reads of others do not count', async () => {
  const lastScrape = async (headers: Record<string, string> = {}): Promise<string | undefined> =>
    /^corral_last_scrape_timestamp_seconds (.*)$/m.exec(await (await send('GET', '/metrics', { headers })).text())?.[1]
  const scraper = { 'x-prometheus-scrape-timeout-seconds': '10' }
  await lastScrape()
  expect(await lastScrape(scraper)).toBeUndefined()
  const seen = Number(await lastScrape()) * 1_000
  expect(Math.abs(seen - systemClock.wallMs())).toBeLessThan(60_000)
})

test('shows the fleet as it is at each scrape', async () => {
  a.up = true
  giveModel(a, 'qwen3:8b')
  fleet.pools.use(a).inFlight = 3
  fleet.pools.get('qwen3:8b')
  const response = await send('GET', '/metrics')
  const text = await response.text()
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  expect(sample(text, 'corral_node_up{node="a"}')).toBe(1)
  expect(sample(text, 'corral_node_up{node="b"}')).toBe(0)
  expect(sample(text, 'corral_inflight_requests{node="a"}')).toBe(3)
  expect(sample(text, 'corral_node_circuit_state{node="a",state="closed"}')).toBe(1)
  expect(sample(text, 'corral_node_model_vram_bytes{node="a",model="qwen3:8b"}')).toBe(3_000)
  expect(sample(text, 'corral_queue_depth{pool="qwen3:8b"}')).toBe(0)
  expect(sample(text, 'corral_concurrency_limit{pool="qwen3:8b"}')).toBe(4)
  fleet.removeNode('b')
  expect(await (await send('GET', '/metrics')).text()).not.toContain('node="b"')
})

test('shows nodes, runners, pools and drift, and no credential', async () => {
  giveModel(a, 'qwen3:8b', 'sha256:aa')
  giveModel(b, 'qwen3:8b', 'sha256:bb')
  fleet.catalogue.invalidate()
  const runner = fleet.pools.runner(a, 'qwen3:8b', true)
  runner.inFlight = 2
  for (let count = 0; count < 2; count += 1) runner.noteStreaming()
  // Known for a moment after the look only, which is put ahead of a machine that is busy.
  runner.noteStandstill(0.5, systemClock.nowMs() + 60_000)
  const response = await send('GET', '/admin/fleet')
  const text = await response.text()
  const body = JSON.parse(text)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(body.nodes[0]).toMatchObject({
    name: 'a',
    url: 'http://***@10.0.0.1:11434/prefix',
    breaker: 'closed',
    ejectedForMs: 0,
    lastSeenAgoMs: null,
  })
  expect(body.nodes[0].runners[0]).toMatchObject({
    model: 'qwen3:8b',
    inFlight: 2,
    streaming: 2,
    standing: 1,
    slots: 4,
    slotsFrom: 'assumed',
    resident: true,
    loading: null,
  })
  expect(body.nodes[0].loaded[0]).toMatchObject({ model: 'qwen3:8b', vramBytes: 3_000, contextLength: 4_096 })
  expect(body.drift).toEqual([{ model: 'qwen3:8b', digests: { 'sha256:aa': ['a'], 'sha256:bb': ['b'] } }])
  expect(text).not.toContain('hunter2')
})

test('lists requests under way and cancels one by its id', async () => {
  const call = makeCall('call-7')
  const listed = { call, route: facts('/api/chat'), model: 'qwen3:8b', place: 0 }
  calls.add(listed)
  const { requests } = JSON.parse(await (await send('GET', '/admin/requests')).text())
  expect(requests).toMatchObject([
    { id: 'call-7', route: '/api/chat', model: 'qwen3:8b', phase: 'received', deadlineInMs: null, attempts: 0 },
  ])
  expect((await send('DELETE', '/admin/requests/call-7')).status).toBe(204)
  expect(call.signal.reason).toMatchObject({ code: 'client_gone' })
  expect((await send('DELETE', '/admin/requests/call-8')).status).toBe(404)
  expect(changes).toEqual(['cancel request call-7'])
  calls.remove(listed)
})

test.each([
  [[], 'no request call-9 is under way'],
  [[{ cancelled: false }, { silent: 2 }], 'no request call-9 is under way where it was asked; processes that did not answer: 2'],
  [[{ redisAway: true as const }], 'no request call-9 is under way here; Redis is away, so that nothing is known of other replicas'],
])('a request that cannot be cancelled may be under way where nobody answered: %j', async (answers, message) => {
  others = answers
  const answer = await send('DELETE', '/admin/requests/call-9')
  expect(answer.status).toBe(404)
  expect(await answer.json()).toMatchObject({ detail: message })
})

test('adds, drains, undrains and removes a node', async () => {
  const added = await send('POST', '/admin/nodes', { body: '{"url":"http://10.0.0.3:11434","name":"c"}' })
  expect([added.status, await added.json()]).toEqual([
    201,
    { name: 'c', url: 'http://10.0.0.3:11434', up: null, downReason: null, kept: false },
  ])
  expect(await (await send('POST', '/admin/nodes/c/drain')).json()).toEqual({ name: 'c', draining: true, kept: false })
  expect(await (await send('POST', '/admin/nodes/c/undrain')).json()).toEqual({ name: 'c', draining: false, kept: false })
  expect((await send('DELETE', '/admin/nodes/c')).status).toBe(204)
  expect(fleet.nodes.map((node) => node.name)).toEqual(['a', 'b'])
  expect(changes).toEqual(['add node c', 'drain c', 'undrain c', 'remove node c'])
})

test('answers what it cannot do as a problem document', async () => {
  const response = await send('POST', '/admin/nodes', { body: '{"url":"http://10.0.0.2:11434","name":"b"}' })
  expect(response.status).toBe(409)
  expect(response.headers.get('content-type')).toContain('application/problem+json')
  expect(response.headers.get('x-request-id')).toBe('request-1')
  expect(await response.json()).toMatchObject({ code: 'conflict', status: 409 })
})

test.for([
  ['POST', '/admin/nodes', '{', 400, 'invalid_request'],
  ['POST', '/admin/nodes', '{"url":"ftp://x"}', 400, 'invalid_request'],
  ['POST', '/admin/nodes', '{"url":"http://x","nmae":"y"}', 400, 'invalid_request'],
  ['POST', '/admin/nodes', `"${'x'.repeat(70_000)}"`, 413, 'body_too_large'],
  ['POST', '/admin/nodes/nobody/drain', '{}', 404, 'node_not_found'],
  ['DELETE', '/admin/nodes/nobody', undefined, 404, 'node_not_found'],
  ['GET', '/admin/nothing', undefined, 404, 'route_not_found'],
] as const)('%s %s is refused', async ([method, path, body, status, code]) => {
  const response = await send(method, path, body === undefined ? {} : { body })
  expect([response.status, JSON.parse(await response.text()).code]).toEqual([status, code])
})

test('takes no change from a plain form of a web page', async () => {
  const headers = { origin, 'content-type': 'text/plain' }
  const form = await send('POST', '/admin/nodes/a/drain', { body: '{}', headers })
  expect(form.status).toBe(403)
  expect(a.draining).toBe(false)
  const page = await send('POST', '/admin/nodes/a/drain', { body: '{}', headers: { origin } })
  expect(page.status).toBe(200)
})

test('answers as if nothing were there when the operator routes are switched off', async () => {
  enabled = false
  expect((await send('GET', '/admin/fleet')).status).toBe(404)
  expect((await send('DELETE', '/admin/nodes/a')).status).toBe(404)
  expect(fleet.nodes).toHaveLength(2)
})
