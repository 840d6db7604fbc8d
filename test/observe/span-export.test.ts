// Delivery of spans to a real HTTP collector: taken, refused, busy, away, silent, and more spans than may wait.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { createTransport } from '../../src/fleet/transport.ts'
import type { Span } from '../../src/observe/span.ts'
import { SpanExport, type SpanExportDeps } from '../../src/observe/span-export.ts'
import { type Collector, startCollector } from './collector.ts'

const patient = { timeout: 30_000, interval: 10 }
let collector: Collector
let troubles: (string | null)[]
let ended: (() => Promise<void>)[]

beforeEach(async () => {
  collector = await startCollector()
  troubles = []
  ended = []
})

afterEach(async () => {
  for (const end of ended) await end()
  await collector.close()
})

function span(index = 0, fields: Partial<Span> = {}): Span {
  const startMs = systemClock.nowMs()
  return {
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: (index + 1).toString(16).padStart(16, '0'),
    parentId: null,
    state: null,
    name: `span ${index}`,
    kind: 'internal',
    startMs,
    endMs: startMs + 1.5,
    attributes: {},
    events: [],
    failure: null,
    ...fields,
  }
}

function startExport(fields: Partial<SpanExportDeps> & { timeoutMs?: number } = {}): SpanExport {
  const { timeoutMs = 20_000, ...rest } = fields
  const transport = createTransport({ url: collector.url, headers: {}, connectTimeoutMs: 10_000, clock: systemClock })
  ended.push(() => transport.close())
  return new SpanExport({
    clock: systemClock,
    random: () => 0.5,
    resource: { 'service.name': 'corral', 'process.pid': 7 },
    version: '0.1.0',
    queueSpansMax: 1_000,
    everyMs: 1,
    retryMs: 1,
    post: (body) =>
      transport.request({ method: 'POST', path: '/v1/traces', headers: ['content-type', 'application/json'], body }, { timeoutMs }),
    onTrouble: (reason) => void troubles.push(reason),
    ...rest,
  })
}

/** The system's clock, with the waits between tries noted and not waited for. */
function hurriedClock(waits: number[]): Clock {
  return {
    ...systemClock,
    after(delayMs, action) {
      waits.push(delayMs)
      return systemClock.after(0, action)
    },
  }
}

test('a span arrives with all that it says, in the encoding of OTLP', async () => {
  const spans = startExport()
  const beforeMs = Date.now()
  const startMs = systemClock.nowMs()
  spans.push(
    span(1, {
      parentId: '00f067aa0ba902b7',
      state: 'vendor=1',
      name: 'chat "ü"',
      kind: 'client',
      startMs,
      endMs: startMs + 2.25,
      attributes: { text: 'a\nb', whole: 12, broken: 0.5, yes: true, list: ['x', 'y'], missing: null },
      events: [{ name: 'corral.first_frame', atMs: startMs + 1 }],
      failure: 'the node left',
    }),
  )
  await vi.waitFor(() => expect(spans.counts.sent).toBe(1), patient)
  expect(collector.problems).toEqual([])
  expect(collector.headers[0]).toMatchObject({ 'content-type': 'application/json' })
  expect(collector.resources[0]).toEqual({ 'service.name': 'corral', 'process.pid': 7 })
  const [got] = collector.spans
  expect(got).toMatchObject({
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: '0000000000000002',
    parentSpanId: '00f067aa0ba902b7',
    traceState: 'vendor=1',
    flags: 0x101,
    name: 'chat "ü"',
    kind: 3,
    attributes: { text: 'a\nb', whole: 12, broken: 0.5, yes: true, list: ['x', 'y'] },
    status: { code: 2, message: 'the node left' },
  })
  expect(got?.attributes).not.toHaveProperty('missing')
  const lengthNs = BigInt(got?.endTimeUnixNano ?? 0) - BigInt(got?.startTimeUnixNano ?? 0)
  expect(Number(lengthNs) / 1e6).toBeCloseTo(2.25, 2)
  const startUnixMs = Number(BigInt(got?.startTimeUnixNano ?? 0) / 1_000_000n)
  expect(startUnixMs).toBeGreaterThanOrEqual(beforeMs - 60_000)
  expect(startUnixMs).toBeLessThanOrEqual(Date.now() + 60_000)
})

test('many spans go in batches, each one once', async () => {
  const spans = startExport({ queueSpansMax: 5_000, everyMs: 60_000 })
  for (let index = 0; index < 1_300; index += 1) spans.push(span(index))
  await spans.close()
  expect(spans.counts).toEqual({ sent: 1_300, dropped: 0, refused: 0, lost: 0 })
  expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(1_300)
  expect(collector.requests).toBe(3)
})

test('a busy collector is asked again after what its Retry-After says', async () => {
  const waits: number[] = []
  collector.reply = (request) => (request <= 2 ? { status: request === 1 ? 429 : 503, headers: { 'retry-after': '7' } } : { status: 200 })
  const spans = startExport({ clock: hurriedClock(waits) })
  spans.push(span())
  await vi.waitFor(() => expect(spans.counts.sent).toBe(1), patient)
  expect(collector.requests).toBe(3)
  expect(waits.filter((delayMs) => delayMs === 7_000)).toHaveLength(2)
  expect(troubles).toEqual(['the collector answered 429', null])
})

test('without Retry-After each wait is longer than the one before, and the batch is given up after five tries', async () => {
  const waits: number[] = []
  collector.reply = () => ({ status: 503 })
  const spans = startExport({ clock: hurriedClock(waits), retryMs: 1_000, everyMs: 5 })
  spans.push(span())
  await vi.waitFor(() => expect(spans.counts.lost).toBe(1), patient)
  expect(collector.requests).toBe(5)
  expect(waits.filter((delayMs) => delayMs > 5)).toEqual([750, 1_500, 3_000, 6_000])
})

test('what the collector refuses is counted and not sent again', async () => {
  collector.reply = () => ({ status: 400, body: 'no' })
  const spans = startExport()
  spans.push(span())
  await vi.waitFor(() => expect(spans.counts.refused).toBe(1), patient)
  collector.reply = () => ({ status: 200 })
  spans.push(span(1))
  await vi.waitFor(() => expect(spans.counts.sent).toBe(1), patient)
  expect(collector.spans.map(({ name }) => name)).toEqual(['span 1'])
  expect(troubles).toEqual(['the collector answered 400', null])
})

test('a partial success counts what was refused of it', async () => {
  collector.reply = () => ({ status: 200, body: '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}' })
  const spans = startExport()
  spans.push(span(0))
  spans.push(span(1))
  await vi.waitFor(() => expect(spans.counts).toMatchObject({ sent: 1, refused: 1 }), patient)
  expect(troubles).toEqual(['the collector refused spans: too old'])
})

test('while the collector is silent spans wait up to the limit and the rest is dropped and counted; nobody waits', async () => {
  collector.reply = () => null
  const spans = startExport({ queueSpansMax: 10, everyMs: 60_000, timeoutMs: 60_000 })
  for (let index = 0; index < 25; index += 1) spans.push(span(index))
  expect(spans.counts).toEqual({ sent: 0, dropped: 15, refused: 0, lost: 0 })
  const closing = spans.close()
  await vi.waitFor(() => expect(collector.requests).toBe(1), patient)
  await collector.close()
  await closing
  expect(spans.counts).toEqual({ sent: 0, dropped: 15, refused: 0, lost: 10 })
})

test('a collector that comes back gets what waits', async () => {
  const port = Number(new URL(collector.url).port)
  await collector.close()
  const spans = startExport({ retryMs: 200 })
  spans.push(span())
  await vi.waitFor(() => expect(troubles).toHaveLength(1), patient)
  expect(troubles[0]).toMatch(/refused/)
  // The batch that is tried now may be given up before the collector is back; what follows is not.
  collector = await startCollector(port)
  spans.push(span(1))
  await vi.waitFor(() => expect(collector.spans.map(({ name }) => name)).toContain('span 1'), patient)
  await vi.waitFor(() => expect(troubles.at(-1)).toBeNull(), patient)
})

test('the end of the process does not wait for the next try', async () => {
  collector.reply = () => ({ status: 503, headers: { 'retry-after': '30' } })
  const spans = startExport()
  spans.push(span())
  await vi.waitFor(() => expect(collector.requests).toBe(1), patient)
  await spans.close()
  expect(spans.counts).toEqual({ sent: 0, dropped: 0, refused: 0, lost: 1 })
}, 20_000)
