// The whole gateway before a small stand-in for Ollama: what a scrape, the access log and the trace say of real requests.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, expect, test, vi } from 'vitest'

import { type App, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { type Config, configSchema } from '../../src/config/schema.ts'
import { sample } from './fixtures.ts'
import { figures, lists, model } from './node-answers.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const logFile = join(mkdtempSync(join(tmpdir(), 'corral-gateway-')), 'corral.log')
/** When the node sends the last frame of its answers. */
let lastFrameDue = Promise.resolve()
const seen: IncomingMessage['headers'][] = []
let node: Server
let app: App
let config: Config
let origin: string

const ended = { model, created_at: '2026-01-01T00:00:00Z', message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop' }
function answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const list = lists[incoming.url ?? '']
  incoming.resume()
  incoming.on('end', () => {
    outgoing.setHeader('content-type', list === undefined ? 'application/x-ndjson' : 'application/json')
    if (list !== undefined) {
      outgoing.end(JSON.stringify(list))
      return
    }
    seen.push(incoming.headers)
    outgoing.write(`${JSON.stringify({ ...ended, message: { role: 'assistant', content: 'secret answer' }, done: false })}\n`)
    void lastFrameDue.then(() => outgoing.end(`${JSON.stringify({ ...ended, ...figures })}\n`))
  })
}

beforeAll(async () => {
  node = createServer(answer)
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve))
  const { port } = node.address() as AddressInfo
  config = configSchema.parse({
    fleet: { nodes: [{ url: `http://127.0.0.1:${port}`, name: 'a' }] },
    http: { port: 0 },
    observe: { log: { file: logFile } },
  })
  app = await createApp({ config, clock: systemClock, version: '0.1.0' })
  const address = await app.listen()
  origin = `http://${address.host}:${address.port}`
  await vi.waitFor(async () => {
    expect((await fetch(`${origin}/readyz`)).status).toBe(200)
    expect(app.fleet.knownModel(model)).toBe(model)
  }, 5_000)
})

afterAll(async () => {
  await app.close(0)
  node.closeAllConnections()
  node.close()
})

async function chat(name: string): Promise<string> {
  const headers = { 'content-type': 'application/json', traceparent: `00-${traceId}-00f067aa0ba902b7-01`, tracestate: 'vendor=1' }
  const body = JSON.stringify({ model: name, messages: [{ role: 'user', content: 'secret prompt' }] })
  return (await fetch(`${origin}/api/chat`, { method: 'POST', headers, body })).text()
}

async function scrape(): Promise<string> {
  return (await fetch(`${origin}/metrics`)).text()
}

test('a stream is counted, timed and logged at its end, and its trace reaches the node', async () => {
  expect(await chat(model)).toContain('secret answer')
  const series = `corral_requests_total{op="chat",model="${model}",outcome="ok"}`
  await expect.poll(async () => sample(await scrape(), series)).toBe(1)
  const text = await scrape()
  expect(sample(text, `corral_time_to_first_token_seconds_count{model="${model}"}`)).toBe(1)
  expect(sample(text, `corral_output_tokens_total{model="${model}",node="a"}`)).toBe(3)
  expect(sample(text, 'corral_node_requests_total{node="a",outcome="ok"}')).toBe(1)
  for (const phase of ['auth', 'body', 'limits', 'cache', 'route', 'dispatch']) {
    expect(sample(text, `corral_overhead_seconds_count{phase="${phase}"}`)).toBe(1)
  }
  expect(sample(text, 'corral_requests_in_flight')).toBe(0)
  expect(seen.at(-1)).toMatchObject({ tracestate: 'vendor=1' })
  expect(seen.at(-1)?.['traceparent']).toMatch(new RegExp(`^00-${traceId}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`))
  await app.observer.flush()
  const log = readFileSync(logFile, 'utf8')
  const line = log.split('\n').find((each) => each.includes('"msg":"request"')) ?? ''
  expect(JSON.parse(line)).toMatchObject({
    trace: traceId,
    route: '/api/chat',
    status: 200,
    outcome: 'ok',
    node: 'a',
    model,
    stream: true,
    outputTokens: 3,
  })
  expect(log).not.toContain('secret')
})

test('a call of one of Corral’s own routes leaves a line under the id that its answer carries; signs of life leave none', async () => {
  const [fleet, unknown] = await Promise.all([fetch(`${origin}/admin/fleet`), fetch(`${origin}/admin/nodes/nobody`, { method: 'DELETE' })])
  await Promise.all([fleet.arrayBuffer(), fetch(`${origin}/livez`), scrape()])
  const problem: unknown = await unknown.json()
  const idOf = ({ headers }: Response): string => headers.get('x-request-id') ?? ''
  expect(problem).toMatchObject({ code: 'node_not_found', instance: `urn:corral:request:${idOf(unknown)}` })
  const lines = async (): Promise<{ id: string; route: string }[]> => {
    await app.observer.flush()
    const all = readFileSync(logFile, 'utf8').trimEnd().split('\n')
    return all.map((line): { id: string; route: string } => JSON.parse(line)).filter(({ route }) => route !== undefined)
  }
  await expect.poll(async () => (await lines()).filter(({ id }) => id === idOf(fleet) || id === idOf(unknown)).length).toBe(2)
  const told = await lines()
  expect(told.find(({ id }) => id === idOf(fleet))).toMatchObject({ method: 'GET', route: '/admin/fleet', status: 200, outcome: 'ok' })
  expect(told.find(({ id }) => id === idOf(unknown))).toMatchObject({
    method: 'DELETE',
    route: '/admin/nodes/:name',
    status: 404,
    outcome: 'client_error',
    error: 'node_not_found',
  })
  expect(told.filter(({ route }) => route === '/livez' || route === '/metrics')).toEqual([])
})

test('each gap between two pieces of a stream is counted', async () => {
  const gaps = async (): Promise<number> => sample(await scrape(), `corral_inter_token_latency_seconds_count{model="${model}"}`) ?? 0
  const { promise, resolve: sendLast } = Promise.withResolvers<void>()
  const before = await gaps()
  lastFrameDue = promise
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }] })
  const answered = await fetch(`${origin}/api/chat`, { method: 'POST', body })
  const reader = answered.body?.getReader()
  expect((await reader?.read())?.done).toBe(false)
  expect(await gaps()).toBe(before)
  sendLast()
  while ((await reader?.read())?.done === false);
  expect(await gaps()).toBe(before + 1)
})

test('model names and paths that clients make up never become series', async () => {
  for (let index = 0; index < 50; index += 1) {
    await chat(`made-up-${index}`)
    await fetch(`${origin}/made-up-${index}`)
    await fetch(`${origin}/admin/nodes/made-up-${index}`)
  }
  expect(await scrape()).not.toContain('made-up')
})

test('every exchange is counted by the pattern of its route and the class of its status', async () => {
  const counted = (route: string, codeClass: string): string => `corral_http_requests_total{route="${route}",code_class="${codeClass}"}`
  const before = await scrape()
  await chat(model)
  await fetch(`${origin}/admin/requests/nobody`, { method: 'DELETE' })
  await fetch(`${origin}/no/such/path`)
  await fetch(`${origin}/livez`)
  await fetch(`${origin}/api/chat`)
  const expected = [
    counted('/api/chat', '2xx'),
    counted('/api/chat', '4xx'),
    counted('/admin/requests/:id', '4xx'),
    counted('/*', '4xx'),
    counted('/livez', '2xx'),
  ]
  const risen = async (): Promise<(number | null)[]> => {
    const after = await scrape()
    return expected.map((series) => (sample(after, series) ?? 0) - (sample(before, series) ?? 0))
  }
  await expect.poll(risen).toEqual([1, 0, 1, 1, 1])
  expect(sample(await scrape(), counted('unmatched', '4xx'))).toBeGreaterThan(0)
  // The scrape itself is under way.
  expect(sample(await scrape(), 'corral_http_requests_in_flight')).toBe(1)
  expect(await scrape()).toMatch(/^corral_config_info\{hash="[0-9a-f]{12}"\} 1$/m)
})

test('a model name of a megabyte is cut short in the access log', async () => {
  await chat('m'.repeat(1_000_000))
  await app.observer.flush()
  const lines = readFileSync(logFile, 'utf8').split('\n')
  expect(lines.some((line) => line.includes(`"model":"${'m'.repeat(256)}"`))).toBe(true)
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(2_000)
})

test('metrics are switched off and on again while requests run', async () => {
  const { observe } = config
  await app.reload({ ...config, observe: { ...observe, metrics: { ...observe.metrics, enabled: false } } })
  expect((await fetch(`${origin}/metrics`)).status).toBe(404)
  await app.reload(config)
  expect(await scrape()).toContain('process_cpu_seconds_total')
})

const promtool = process.env['PROMTOOL'] ?? 'promtool'
const hasPromtool = spawnSync(promtool, ['--version']).error === undefined

test.runIf(hasPromtool)('promtool takes the scrape of a running gateway', async () => {
  const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: await scrape(), encoding: 'utf8' })
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
})
