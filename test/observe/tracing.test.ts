// The whole gateway before two stand-ins for Ollama and a real collector: which spans a request leaves, and what becomes of
// its trace at the node, in the answer and in the log.
import { mkdtempSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

import { type App, createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createSampler } from '../../src/observe/sampler.ts'
import { createIdSource } from '../../src/base/ids.ts'
import { type Collector, type ReceivedSpan, startCollector } from './collector.ts'
import { sample } from './fixtures.ts'
import { figures, lists, model } from './node-answers.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const parentId = '00f067aa0ba902b7'
const sampled = { traceparent: `00-${traceId}-${parentId}-01`, tracestate: 'vendor=1' }
const patient = { timeout: 30_000, interval: 10 }
const serverKind = 2
const clientKind = 3

const frame = { model, created_at: '2026-01-01T00:00:00Z', message: { role: 'assistant', content: 'secret answer' }, done: false }
const last = { ...frame, message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', ...figures }

interface FakeNode {
  readonly server: Server
  readonly url: string
  readonly seen: IncomingMessage['headers'][]
}

let collector: Collector
let nodes: FakeNode[]
/** Connections of inferences that are broken off, whichever node they come to. */
let toBreak: number
let app: App | null
let origin: string
let logFile: string

beforeEach(async () => {
  collector = await startCollector()
  toBreak = 0
  app = null
  nodes = [await startNode(), await startNode()]
  logFile = join(mkdtempSync(join(tmpdir(), 'corral-tracing-')), 'corral.log')
})

afterEach(async () => {
  await app?.close(0)
  await collector.close()
  for (const { server } of nodes) {
    server.closeAllConnections()
    server.close()
  }
})

async function startNode(): Promise<FakeNode> {
  const seen: IncomingMessage['headers'][] = []
  const server = createServer((incoming, outgoing) => answer(incoming, outgoing, seen))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, seen, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function answer(incoming: IncomingMessage, outgoing: ServerResponse, seen: IncomingMessage['headers'][]): void {
  const list = lists[incoming.url ?? '']
  incoming.resume()
  incoming.on('end', () => {
    if (list !== undefined) {
      outgoing.setHeader('content-type', 'application/json')
      outgoing.end(JSON.stringify(list))
      return
    }
    seen.push(incoming.headers)
    if (toBreak > 0) {
      toBreak -= 1
      incoming.socket.destroy()
      return
    }
    outgoing.setHeader('content-type', 'application/x-ndjson')
    outgoing.write(`${JSON.stringify(frame)}\n`)
    outgoing.end(`${JSON.stringify(last)}\n`)
  })
}

async function start(trace: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const config = configSchema.parse({
    fleet: { nodes: nodes.map(({ url }, index) => ({ url, name: `n${index}` })) },
    http: { port: 0 },
    cache: { enabled: false },
    observe: { log: { file: logFile }, trace: { endpoint: collector.url, everyMs: 1, ...trace } },
  })
  app = await createApp({ config, clock: systemClock, version: '0.1.0' })
  const address = await app.listen()
  origin = `http://${address.host}:${address.port}`
  await vi.waitFor(() => expect(app?.fleet.nodes.every(({ modelsKnown }) => modelsKnown)).toBe(true), patient)
}

async function chat(headers: Readonly<Record<string, string>> = {}, name = model): Promise<Response> {
  const body = JSON.stringify({ model: name, messages: [{ role: 'user', content: 'secret prompt' }] })
  const response = await fetch(`${origin}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
  await response.text()
  return response
}

function ofKind(kind: number): ReceivedSpan[] {
  return collector.spans.filter((span) => span.kind === kind)
}

async function received(count: number): Promise<void> {
  await vi.waitFor(() => expect(collector.spans).toHaveLength(count), patient)
  expect(collector.problems).toEqual([])
}

function seenByNodes(): IncomingMessage['headers'][] {
  return nodes.flatMap(({ seen }) => seen)
}

test('a request leaves one span of the server and one of the try, below the span of the client', async () => {
  await start()
  const response = await chat(sampled)
  await received(2)
  const [server] = ofKind(serverKind)
  const [client] = ofKind(clientKind)
  expect(server).toMatchObject({
    traceId,
    parentSpanId: parentId,
    traceState: 'vendor=1',
    flags: 0x301,
    name: 'POST /api/chat',
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/api/chat',
      'http.response.status_code': 200,
      'corral.request.id': response.headers.get('x-request-id'),
      'corral.outcome': 'ok',
      'corral.attempts': 1,
    },
    status: {},
  })
  const node = server?.attributes['corral.node']
  const { port } = new URL(nodes[node === 'n0' ? 0 : 1]?.url ?? '')
  expect(client).toMatchObject({
    traceId,
    parentSpanId: server?.spanId,
    name: `chat ${model}`,
    attributes: {
      'corral.node': node,
      'corral.outcome': 'ok',
      'server.address': '127.0.0.1',
      'server.port': Number(port),
      'http.response.status_code': 200,
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'ollama',
      'gen_ai.request.model': model,
      'gen_ai.usage.input_tokens': 7,
      'gen_ai.usage.output_tokens': 3,
    },
    events: [{ name: 'corral.first_frame' }],
    status: {},
  })
  expect(BigInt(client?.startTimeUnixNano ?? 0)).toBeGreaterThanOrEqual(BigInt(server?.startTimeUnixNano ?? 0))
  expect(BigInt(client?.endTimeUnixNano ?? 0)).toBeLessThanOrEqual(BigInt(server?.endTimeUnixNano ?? 0))
  expect(collector.resources[0]).toMatchObject({ 'service.name': 'corral', 'service.version': '0.1.0', 'process.pid': process.pid })
  expect(JSON.stringify(collector.spans)).not.toContain('secret')
  // The node is told of the span of its own try.
  expect(seenByNodes().at(-1)).toMatchObject({ traceparent: `00-${traceId}-${client?.spanId}-01`, tracestate: 'vendor=1' })
})

test('a try that fails and the one that follows are two spans of one request', async () => {
  await start()
  toBreak = 1
  expect((await chat()).status).toBe(200)
  await received(3)
  const [server] = ofKind(serverKind)
  const tries = ofKind(clientKind)
  expect(server?.attributes).toMatchObject({ 'corral.attempts': 2, 'corral.outcome': 'ok' })
  expect(server?.parentSpanId).toBeUndefined()
  expect(tries.map(({ attributes }) => attributes['corral.outcome'])).toEqual(['node_error', 'ok'])
  expect(tries[0]).toMatchObject({ status: { code: 2 }, events: [] })
  expect(tries[0]?.attributes['error.type']).toEqual(expect.any(String))
  expect(new Set(tries.map(({ attributes }) => attributes['corral.node'])).size).toBe(2)
  expect(tries.every(({ parentSpanId }) => parentSpanId === server?.spanId)).toBe(true)
  expect(seenByNodes().map(({ traceparent }) => traceparent)).toEqual(tries.map(({ traceId: id, spanId }) => `00-${id}-${spanId}-01`))
})

test('the trace that begins here is named in the answer and in the log, good or bad', async () => {
  await start()
  const good = await chat()
  const bad = await fetch(`${origin}/api/chat`, { method: 'POST', body: '{"model":"a","model":"b"}' })
  expect(bad.status).toBe(400)
  await received(3)
  const servers = ofKind(serverKind)
  expect(servers.map((span) => span.traceId)).toEqual([good, bad].map(({ headers }) => headers.get('x-corral-trace-id')))
  expect(servers[1]).toMatchObject({ attributes: { 'http.response.status_code': 400, 'corral.outcome': 'client_error' }, status: {} })
  await app?.observer.flush()
  const lines = readFileSync(logFile, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"msg":"request"'))
  expect(lines.map((line) => (JSON.parse(line) as { trace: string }).trace)).toEqual(servers.map((span) => span.traceId))
})

test('an exchange on a route of Corral itself is a span of the server, below that of its client; signs of life are none', async () => {
  await start()
  await fetch(`${origin}/livez`)
  await fetch(`${origin}/rag/collections/nothing-here`)
  const refused = await fetch(`${origin}/admin/requests/nobody`, { method: 'DELETE', headers: sampled })
  expect(refused.headers.get('x-corral-trace-id')).toBe(traceId)
  await refused.text()
  await received(2)
  const spans = ofKind(serverKind)
  const routeOf = (span: ReceivedSpan): unknown => span.attributes['http.route']
  expect(new Set(spans.map(routeOf))).toEqual(new Set(['/admin/requests/:id', '/rag/*']))
  const span = spans.find((each) => routeOf(each) === '/admin/requests/:id')
  expect(span).toMatchObject({ name: 'DELETE /admin/requests/:id', kind: serverKind, traceId, parentSpanId: parentId })
  expect(span?.attributes).toMatchObject({ 'http.request.method': 'DELETE', 'http.response.status_code': 404 })
})

test('when no node can answer the span says what failed', async () => {
  await start()
  toBreak = 100
  expect((await chat()).status).toBeGreaterThanOrEqual(500)
  await vi.waitFor(() => expect(ofKind(serverKind)).toHaveLength(1), patient)
  const [server] = ofKind(serverKind)
  expect(server?.status.code).toBe(2)
  expect(server?.attributes['error.type']).toEqual(expect.any(String))
  expect(ofKind(clientKind).length).toBe(server?.attributes['corral.attempts'])
})

describe('what is exported', () => {
  test('a client that does not sample is followed: no spans, and the node hears of it', async () => {
    await start()
    const response = await chat({ traceparent: `00-${traceId}-${parentId}-00` })
    expect(response.headers.get('x-corral-trace-id')).toBe(traceId)
    await chat()
    await received(2)
    expect(collector.spans.some((span) => span.traceId === traceId)).toBe(false)
    expect(seenByNodes()[0]?.['traceparent']).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-00$`))
  })

  test('a sampler that is not parent-based decides alone', async () => {
    await start({ sampler: 'always_on' })
    await chat({ traceparent: `00-${traceId}-${parentId}-00` })
    await received(2)
    expect(ofKind(serverKind)[0]).toMatchObject({ traceId, parentSpanId: parentId })
  })

  test('switched off at run time, nothing more is exported and traces are left alone', async () => {
    await start({ enabled: false })
    const response = await chat(sampled)
    expect(response.headers.get('x-corral-trace-id')).toBeNull()
    await app?.close(0)
    expect(collector.requests).toBe(0)
    expect(seenByNodes()[0]).not.toHaveProperty('traceparent')
  })

  test.each([
    ['off', [], ['gen_ai']],
    ['1.41', ['gen_ai.operation.name'], ['gen_ai.response.time_to_first_chunk', 'gen_ai.request.stream']],
    ['latest', ['gen_ai.operation.name', 'gen_ai.response.time_to_first_chunk', 'gen_ai.request.stream'], []],
  ])('GenAI attributes of version %s', async (genAi, present, absent) => {
    await start({ genAi })
    await chat()
    await received(2)
    const keys = Object.keys(ofKind(clientKind)[0]?.attributes ?? {})
    for (const name of present) expect(keys).toContain(name)
    for (const name of absent) expect(keys.filter((key) => key.startsWith(name))).toEqual([])
    expect(ofKind(clientKind)[0]?.name).toBe(genAi === 'off' ? 'POST /api/chat' : `chat ${model}`)
  })

  test('a ratio takes its share of traces, and the same ones everywhere', () => {
    const ids = createIdSource()
    const traces = Array.from({ length: 20_000 }, () => ids.traceId())
    const taken = (ratio: number): string[] => traces.filter((id) => createSampler('traceidratio', ratio)(id, true))
    expect(taken(0)).toEqual([])
    expect(taken(1)).toHaveLength(traces.length)
    const tenth = taken(0.1)
    // Five standard deviations around 2,000.
    expect(Math.abs(tenth.length - 2_000)).toBeLessThan(5 * Math.sqrt(20_000 * 0.1 * 0.9))
    const half = new Set(taken(0.5))
    expect(tenth.every((id) => half.has(id))).toBe(true)
    expect(taken(0.1)).toEqual(tenth)
  })

  test('parent-based samplers follow the parent and decide alone where there is none', () => {
    const id = 'f'.repeat(32)
    const decide = (name: Parameters<typeof createSampler>[0]) => [true, false, null].map((parent) => createSampler(name, 0.5)(id, parent))
    expect(decide('parentbased_always_on')).toEqual([true, false, true])
    expect(decide('parentbased_always_off')).toEqual([true, false, false])
    expect(decide('parentbased_traceidratio')).toEqual([true, false, true])
    expect(decide('always_off')).toEqual([false, false, false])
  })
})

test('requests go on while the collector is away, and what became of the spans is counted', async () => {
  await start({ queueSpansMax: 5, everyMs: 3_600_000 })
  await collector.close()
  const statuses: number[] = []
  for (let index = 0; index < 10; index += 1) statuses.push((await chat()).status)
  expect(new Set(statuses)).toEqual(new Set([200]))
  await vi.waitFor(async () => {
    const metrics = await (await fetch(`${origin}/metrics`)).text()
    expect(sample(metrics, 'corral_trace_spans_total{result="dropped"}')).toBe(15)
    expect(sample(metrics, 'corral_trace_spans_total{result="sent"}')).toBe(0)
  }, patient)
})

test('what waits at the end of the process is delivered', async () => {
  await start({ everyMs: 3_600_000 })
  await chat()
  await vi.waitFor(() => expect(app?.calls.size).toBe(0), patient)
  await app?.close(0)
  await received(2)
})

test('without a collector a request that brings no trace has none', async () => {
  await start({ endpoint: undefined })
  const response = await chat()
  expect(response.headers.get('x-corral-trace-id')).toBeNull()
  expect(seenByNodes()[0]).not.toHaveProperty('traceparent')
  await chat(sampled)
  expect(seenByNodes()[1]?.['traceparent']).toMatch(new RegExp(`^00-${traceId}-(?!${parentId})[0-9a-f]{16}-01$`))
})
