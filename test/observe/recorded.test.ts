// The recording layer: one record per request, at the true end, for bodies, streams, failures and refusals.
import { expect, test } from 'vitest'

import { ByteQueue } from '../../src/base/byte-queue.ts'
import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Answer, Outcome, Relay, StreamAnswer, WholeAnswer } from '../../src/core/relay.ts'
import { recorded } from '../../src/observe/recorded.ts'
import { facts, type KeptLines, makeCall, makeObserver, makeRequest, outcome, sample, scrapeOf } from './fixtures.ts'

const provenance = { node: 'a', reason: 'least-loaded', attempts: 2, dispatchedAtMs: 0 }

function whole(kind: Outcome['kind'] = 'ok'): WholeAnswer {
  return { kind: 'whole', status: 200, headers: {}, provenance, body: Buffer.from('a secret answer'), outcome: outcome(kind) }
}

function stream(): { answer: StreamAnswer; end: (outcome: Outcome) => void } {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  return { answer: { kind: 'stream', status: 200, headers: {}, provenance, frames: new ByteQueue(1_000), outcome: promise }, end: resolve }
}

function setup(answer: () => Promise<Answer>, options: unknown = {}) {
  const { observer, sink } = makeObserver(options)
  const relay: Relay = recorded(observer, systemClock)(answer)
  const scrape = (): Promise<string> => scrapeOf(observer)
  return { observer, sink, relay, scrape }
}

function lastLine(sink: KeptLines): Record<string, unknown> {
  return JSON.parse(sink.lines.at(-1) ?? '{}')
}

test('records a whole answer with its figures', async () => {
  const { sink, relay, scrape } = setup(() => Promise.resolve(whole()))
  await relay(makeRequest(), makeCall('id-1'))
  expect(lastLine(sink)).toMatchObject({
    id: 'id-1',
    trace: '4bf92f3577b34da6a3ce929d0e0e4736',
    method: 'POST',
    route: '/api/chat',
    status: 200,
    outcome: 'ok',
    node: 'a',
    reason: 'least-loaded',
    attempts: 2,
    model: 'qwen3:8b',
    stream: false,
    bytes: 1_234,
    inputTokens: 20,
    outputTokens: 11,
  })
  const text = await scrape()
  expect(sample(text, 'corral_requests_total{op="chat",model="qwen3:8b",outcome="ok"}')).toBe(1)
  expect(sample(text, 'corral_request_duration_seconds_count{op="chat",model="qwen3:8b"}')).toBe(1)
  expect(sample(text, 'corral_time_to_first_token_seconds_count{model="qwen3:8b"}')).toBe(0)
})

test('passes the answer on untouched', async () => {
  const answer = whole()
  const { relay } = setup(() => Promise.resolve(answer))
  expect(await relay(makeRequest(), makeCall())).toBe(answer)
})

test('records a stream when it ends, not when it starts', async () => {
  const { answer, end } = stream()
  const { sink, relay, scrape } = setup(() => Promise.resolve(answer))
  await relay(makeRequest(), makeCall())
  expect(sink.lines).toHaveLength(0)
  expect(sample(await scrape(), 'corral_requests_in_flight')).toBe(1)
  end(outcome())
  await expect.poll(() => sink.lines.length).toBe(1)
  expect(lastLine(sink)).toMatchObject({ stream: true, outcome: 'ok' })
  expect(lastLine(sink)['ttftMs']).toBeTypeOf('number')
  const text = await scrape()
  expect(sample(text, 'corral_requests_in_flight')).toBe(0)
  expect(sample(text, 'corral_time_to_first_token_seconds_count{model="qwen3:8b"}')).toBe(1)
  expect(sample(text, 'corral_time_per_output_token_seconds_count{model="qwen3:8b"}')).toBe(1)
  expect(sample(text, 'corral_request_output_tokens_sum{op="chat"}')).toBe(11)
  expect(sample(text, 'corral_cached_input_tokens_total{model="qwen3:8b"}')).toBe(5)
})

test('tells a stream that was cut from one that its client left', async () => {
  const cut = stream()
  const cutRun = setup(() => Promise.resolve(cut.answer))
  await cutRun.relay(makeRequest(), makeCall())
  cut.end({ ...outcome('truncated'), error: new CorralError('stream_truncated', 'ended early') })
  await expect.poll(() => lastLine(cutRun.sink)).toMatchObject({ outcome: 'truncated', error: 'stream_truncated' })
  const left = stream()
  const leftRun = setup(() => Promise.resolve(left.answer))
  await leftRun.relay(makeRequest(), makeCall())
  left.end(outcome('client_gone'))
  await expect.poll(() => lastLine(leftRun.sink)).toMatchObject({ outcome: 'client_gone' })
})

test.each([
  ['queue_full', 'queue_full', 503],
  ['queue_timeout', 'queue_timeout', 503],
  ['no_node', 'no_node', 503],
  ['node_timeout', 'node_timeout', 504],
  ['node_failed', 'node_error', 502],
  ['invalid_request', 'client_error', 400],
  ['client_gone', 'client_gone', 499],
  ['internal', 'internal', 500],
] as const)('records the failure %s as %s and throws it on', async (code, label, status) => {
  const { sink, relay, scrape } = setup(() => Promise.reject(new CorralError(code, 'why', { node: 'b' })))
  await expect(relay(makeRequest(), makeCall())).rejects.toMatchObject({ code })
  expect(lastLine(sink)).toMatchObject({ outcome: label, error: code, status, node: 'b' })
  const text = await scrape()
  expect(sample(text, `corral_requests_total{op="chat",model="qwen3:8b",outcome="${label}"}`)).toBe(1)
  expect(sample(text, 'corral_requests_in_flight')).toBe(0)
})

test('records a bug as internal', async () => {
  const { sink, relay } = setup(() => Promise.reject(new TypeError('oops')))
  await expect(relay(makeRequest(), makeCall())).rejects.toThrow('oops')
  expect(lastLine(sink)).toMatchObject({ outcome: 'internal', status: 500 })
})

test('counts a rejection once although the edge reports it again', async () => {
  const error = new CorralError('queue_full', 'full')
  const { observer, sink, relay } = setup(() => Promise.reject(error))
  const call = makeCall()
  await expect(relay(makeRequest(), call)).rejects.toBe(error)
  observer.requestRefused({ facts: facts('/api/chat'), method: 'POST' }, error, call)
  expect(sink.lines).toHaveLength(1)
})

test('counts a request that the relay never saw', async () => {
  const { observer, sink, scrape } = setup(() => Promise.resolve(whole()))
  observer.requestRefused({ facts: facts('/api/chat'), method: 'POST' }, new CorralError('body_too_large', 'too large'), makeCall())
  expect(lastLine(sink)).toMatchObject({ outcome: 'client_error', error: 'body_too_large', status: 413 })
  expect(sample(await scrape(), 'corral_requests_total{op="chat",model="none",outcome="client_error"}')).toBe(1)
})

test('never writes prompts or answers', async () => {
  const { sink, relay } = setup(() => Promise.resolve(whole()))
  await relay(makeRequest(), makeCall())
  expect(sink.lines.join('')).not.toContain('secret')
})

test('writes no line when the access log is off, and counts all the same', async () => {
  const { sink, relay, scrape } = setup(() => Promise.resolve(whole()), { log: { access: false } })
  await relay(makeRequest(), makeCall())
  expect(sink.lines).toHaveLength(0)
  expect(sample(await scrape(), 'corral_requests_total{op="chat",model="qwen3:8b",outcome="ok"}')).toBe(1)
})
