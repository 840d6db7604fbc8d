// What the console is pushed: the present at once, changes as they come, the same for all, and nothing for nobody.
import { Hono } from 'hono'
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { createIdSource } from '../../src/base/ids.ts'
import type { Dependency } from '../../src/core/operator-settings.ts'
import { type LiveDeps, LiveFeed, mountLive } from '../../src/http/admin/live.ts'
import { openGuard } from '../../src/http/auth/guard.ts'
import { CallRegistry } from '../../src/http/call-registry.ts'
import { httpOptions } from '../../src/http/options.ts'
import { createHttpServer, type NodeBindings } from '../../src/http/server.ts'
import { Traffic } from '../../src/http/traffic.ts'

import { Overview, type OverviewPoint, percentileMs } from '../../src/observe/overview.ts'
import { readTotals } from '../../src/observe/overview-totals.ts'
import { createTracer } from '../../src/observe/trace.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeObserver } from '../observe/fixtures.ts'
import { makeFleet } from '../observe/fleet-fixture.ts'
import { startGateway } from '../support/gateway.ts'

interface Event {
  readonly name: string
  readonly data: any // oxlint-disable-line typescript/no-explicit-any
}

/** The events of `/admin/live`, as they come. */
async function* follow(url: string): AsyncGenerator<Event> {
  const left = new AbortController()
  onTestFinished(() => left.abort())
  const { body } = await fetch(`${url}/admin/live`, { signal: left.signal })
  let text = ''
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString()
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/.exec(text.slice(0, end)) ?? []
      text = text.slice(end + 2)
      yield { name, data: JSON.parse(data) }
    }
  }
}

async function untilState(events: AsyncGenerator<Event>, holds: (state: Event['data']) => boolean): Promise<Event['data']> {
  for (let next = await events.next(); next.done !== true; next = await events.next()) {
    if (next.value.name === 'state' && holds(next.value.data)) return next.value.data
  }
  throw new Error('the events ended')
}

test('the fleet and the requests under way come at once, and changes follow', async () => {
  const { url, app } = await startGateway({ nodes: 2, speed: 1 })
  const events = follow(url)
  const first = await untilState(events, () => true)
  expect(first.fleet.nodes).toHaveLength(2)
  const body = JSON.stringify({ model: 'llama3.2:3b', messages: [{ role: 'user', content: 'tell me a long story' }] })
  const client = new AbortController()
  const answer = fetch(`${url}/api/chat`, { method: 'POST', body, signal: client.signal })
  const busy = await untilState(events, ({ requests }) => requests.length === 1)
  expect(busy.requests[0]).toMatchObject({ route: '/api/chat', tenant: 'local' })
  expect(busy.overview).toMatchObject({ inFlight: 1 })
  client.abort()
  await expect(answer).rejects.toThrow('aborted')
  await untilState(events, ({ requests }) => requests.length === 0)
  app.fleet.setDraining(app.fleet.nodes[0]?.name ?? '', true)
  await untilState(events, ({ fleet }) => fleet.nodes[0].draining)
}, 60_000)

test('there is room for so many listeners, and one that leaves makes room', async () => {
  const { url } = await startGateway({ nodes: 1 })
  const listeners = Array.from({ length: 64 }, () => new AbortController())
  const responses = await Promise.all(listeners.map(({ signal }) => fetch(`${url}/admin/live`, { signal })))
  expect(responses.map(({ status }) => status)).toEqual(listeners.map(() => 200))
  const refused = await fetch(`${url}/admin/live`)
  expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'overloaded' }])
  for (const listener of listeners) listener.abort()
  await expect.poll(async () => (await fetch(`${url}/admin/live`, { method: 'HEAD' })).status, { timeout: 15_000 }).toBe(200)
}, 60_000)

const point: OverviewPoint = {
  atMs: 0,
  requestsPerSecond: 1,
  errorShare: 0,
  ttftP50Ms: 1,
  ttftP95Ms: 1,
  tokensPerSecond: 1,
  queued: 0,
  inFlight: 0,
}

interface Fed {
  readonly feed: LiveFeed
  readonly port: number
}

/** A server with a feed by a clock of the test's own. */
async function startFeed(clock: Clock, overview: LiveDeps['overview'], look: LiveDeps['look'] = async () => []): Promise<Fed> {
  const base = { guard: openGuard, fleet: makeFleet([]), calls: new CallRegistry(), newId: () => 'request-1', enabled: () => true, clock }
  const { observer } = makeObserver()
  const tracer = createTracer({ ids: createIdSource(), enabled: () => true, sampler: null })
  const counted = () => ({ process: 'p', totals: readTotals(observer.metrics.families, { queued: 0, inFlight: 0 }) })
  const feed = new LiveFeed({ ...base, metrics: observer.metrics, overview, counted, look })
  const app = new Hono<NodeBindings>()
  mountLive(app, { ...base, live: feed })
  const front = { origins: [], hosts: [], loopback: true, hopId: 'hop', newId: () => 'request-1' }
  const server = createHttpServer({
    ...base,
    answer: () => false,
    ownRoutes: app,
    options: httpOptions.parse({ port: 0 }),
    front,
    onBug: (error) => {
      throw error
    },
    clock: systemClock,
    traffic: new Traffic({
      metrics: observer.metrics,
      clock: systemClock,
      tracing: { tracer, onExchange: null },
      newId: () => 'id',
      onOwnEnded: () => undefined,
    }),
  })
  const { port } = await server.listen()
  onTestFinished(async () => {
    feed.close()
    await server.close(0)
  })
  return { feed, port }
}

test('a listener that does not read is dropped before much waits for it, and one that reads is not', async () => {
  const clock = manualClock()
  // Some 700 kB a second, each time new.
  const overview = {
    now: () => ({ ...point, budgetLeft: null }),
    nodes: () => [],
    points: () => Array.from({ length: 5_000 }, () => ({ ...point, atMs: clock.nowMs() })),
  }
  const { feed, port } = await startFeed(clock, overview)
  const [deaf, reader] = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  onTestFinished(() => void reader.destroy())
  let read = 0
  reader.on('data', (bytes) => (read += bytes.length))
  deaf.pause()
  for (const socket of [deaf, reader]) socket.write('GET /admin/live HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
  await expect.poll(() => feed.listeners, { timeout: 30_000 }).toBe(2)
  const dropped = once(deaf, 'close')
  let seconds = 0
  for (; feed.listeners === 2 && seconds < 200; seconds += 1) {
    const wanted = read + 1
    clock.advance(1_000)
    // The one that reads is never behind.
    await expect.poll(() => read, { timeout: 30_000 }).toBeGreaterThanOrEqual(wanted)
  }
  expect(feed.listeners).toBe(1)
  deaf.resume()
  await dropped
  expect(deaf.bytesRead).toBeLessThan(32_000_000)
}, 120_000)

test('after a minute a listener is asked to come again, so that who was refused meanwhile hears no more', async () => {
  const clock = manualClock()
  const { feed, port } = await startFeed(clock, { now: () => ({ ...point, budgetLeft: null }), nodes: () => [], points: () => [] })
  const events = follow(`http://127.0.0.1:${port}`)
  await untilState(events, () => true)
  for (let seconds = 0; seconds < 59; seconds += 1) {
    clock.advance(1_000)
    await untilState(events, () => true)
  }
  expect(feed.listeners).toBe(1)
  clock.advance(1_000)
  const rest: string[] = []
  for await (const { name } of events) rest.push(name)
  expect([rest.at(-1), feed.listeners]).toEqual(['renew', 0])
})

test('the budget is what may still fail of the requests since the start, and nothing is said of a few', () => {
  const { observer } = makeObserver()
  const totals = readTotals(observer.metrics.families, { queued: 0, inFlight: 0 })
  const overview = new Overview({ clock: manualClock(), read: async () => new Map([['p', totals]]) })
  const leftAfter = (requests: number, failed: number) => overview.now(new Map([['p', { ...totals, requests, failed }]])).budgetLeft
  expect([leftAfter(999, 1), leftAfter(10_000, 0)]).toEqual([null, 1])
  expect(leftAfter(10_000, 4)).toBeCloseTo(0.6)
  expect(leftAfter(10_000, 30)).toBeCloseTo(-2)
})

test('a process that answers again, or for the first time, is no rise; one that goes on is', async () => {
  const { observer } = makeObserver()
  const none = readTotals(observer.metrics.families, { queued: 0, inFlight: 0 })
  const at = (requests: number) => ({ ...none, requests, inFlight: 1 })
  const clock = manualClock()
  let read = new Map([['a', at(10)]])
  const overview = new Overview({ clock, read: async () => read })
  await overview.start()
  const next = async (counted: Map<string, ReturnType<typeof at>>): Promise<OverviewPoint | undefined> => {
    const before = overview.points().length
    read = counted
    clock.advance(5_000)
    await expect.poll(() => overview.points().length, { timeout: 5_000 }).toBe(before + 1)
    return overview.points().at(-1)
  }
  const seen = [
    // Another one that has counted for long appears, is silent for a look, and is back.
    await next(
      new Map([
        ['a', at(15)],
        ['b', at(9_000)],
      ]),
    ),
    await next(new Map([['a', at(20)]])),
    await next(
      new Map([
        ['a', at(25)],
        ['b', at(9_100)],
      ]),
    ),
    await next(
      new Map([
        ['a', at(30)],
        ['b', at(9_105)],
      ]),
    ),
  ]
  overview.stop()
  expect(seen.map((each) => [each?.requestsPerSecond, each?.inFlight])).toEqual([
    [1, 2],
    [1, 1],
    [1, 2],
    [2, 2],
  ])
})

test('a percentile lies where its bucket says', () => {
  const bounds = [0.1, 0.2, 0.4]
  expect(percentileMs(bounds, [0, 0, 0, 0], 0.5)).toBeNull()
  expect(percentileMs(bounds, [10, 0, 0, 0], 0.5)).toBe(50)
  expect(percentileMs(bounds, [5, 5, 0, 0], 0.95)).toBe(190)
  expect(percentileMs(bounds, [0, 0, 0, 3], 0.5)).toBe(400)
})

test('what the gateway stands on comes at once, and again every ten seconds; one that hangs keeps nothing back', async () => {
  const clock = manualClock()
  let looks = 0
  const look = async (): Promise<readonly Dependency[]> => {
    looks += 1
    if (looks === 2) await new Promise(() => undefined)
    return [{ kind: 'redis', name: 'redis', up: looks === 1, latencyMs: 1, version: '8', lastError: null, detail: {} }]
  }
  const { port } = await startFeed(clock, { now: () => ({ ...point, budgetLeft: null }), nodes: () => [], points: () => [] }, look)
  const events = follow(`http://127.0.0.1:${port}`)
  const next = async (name: string): Promise<Event['data']> => {
    for await (const event of { [Symbol.asyncIterator]: () => ({ next: () => events.next() }) }) if (event.name === name) return event.data
    throw new Error(`the stream ended before ${name}`)
  }
  expect((await next('dependencies')).dependencies).toMatchObject([{ name: 'redis', up: true }])
  const tick = async (): Promise<void> => {
    clock.advance(1_000)
    await next('state')
  }
  for (let second = 0; second < 15; second += 1) await tick()
  expect(looks).toBe(2)
  for (let second = 0; second < 5; second += 1) await tick()
  expect((await next('dependencies')).dependencies).toMatchObject([{ name: 'redis', up: false }])
})
