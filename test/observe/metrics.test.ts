// The registry: the text of a scrape, label limits, and that no event can throw.
import { spawnSync } from 'node:child_process'

import { expect, test } from 'vitest'

import type { FleetEvents } from '../../src/fleet/fleet.ts'
import { renderFamily } from '../../src/observe/exposition.ts'
import { Distribution, labelSetsMax, LabelGuard } from '../../src/observe/families.ts'
import { addRedisMetrics, type RedisFigures } from '../../src/observe/redis-metrics.ts'
import { ended, makeObserver, sample, scrapeOf, triedOn } from './fixtures.ts'
import { parseScrape } from './scrape.ts'
import { shortestMs } from './shortest.ts'

test('counts tries by node, with the tokens that the node reports', async () => {
  const { observer } = makeObserver()
  observer.routed('a', 'least-loaded')
  observer.routed('a', 'affinity')
  observer.attemptEnded(triedOn('a'), { outcome: 'ok', ttftMs: 300 })
  const body = await scrapeOf(observer)
  expect(sample(body, 'corral_routing_decisions_total{node="a",reason="affinity"}')).toBe(1)
  expect(sample(body, 'corral_node_requests_total{node="a",outcome="ok"}')).toBe(1)
  expect(sample(body, 'corral_input_tokens_total{model="qwen3:8b",node="a"}')).toBe(20)
  expect(sample(body, 'corral_output_tokens_total{model="qwen3:8b",node="a"}')).toBe(11)
  expect(sample(body, 'corral_node_time_to_first_token_seconds_bucket{node="a",le="0.25"}')).toBe(0)
  expect(sample(body, 'corral_node_time_to_first_token_seconds_bucket{node="a",le="0.5"}')).toBe(1)
  expect(sample(body, 'corral_overhead_seconds_bucket{phase="dispatch",le="0.0025"}')).toBe(1)
})

test('counts what was generated for nobody, and prompts of which the node read a part', async () => {
  const { observer } = makeObserver()
  observer.attemptEnded({ ...triedOn('a'), usage: null }, { outcome: 'client_gone', ttftMs: 300 })
  observer.attemptEnded({ ...triedOn('a'), usage: null, frameCount: 4 }, { outcome: 'truncated', ttftMs: 300 })
  observer.attemptEnded({ ...triedOn('a'), usage: null }, { outcome: 'node_error', ttftMs: null })
  observer.attemptEnded({ ...triedOn('a'), request: { envelope: { promptTokens: 9_000 } } }, { outcome: 'ok', ttftMs: 300 })
  observer.attemptEnded({ ...triedOn('a'), request: { envelope: { promptTokens: 4_000 } } }, { outcome: 'ok', ttftMs: 300 })
  const body = await scrapeOf(observer)
  expect(sample(body, 'corral_undelivered_tokens_total{model="qwen3:8b",reason="disconnect"}')).toBe(11)
  expect(sample(body, 'corral_undelivered_tokens_total{model="qwen3:8b",reason="broken"}')).toBe(4)
  expect(sample(body, 'corral_context_truncated_total{model="qwen3:8b",node="a"}')).toBe(1)
})

test('fills cumulative buckets and counts a value on a bound below it', () => {
  const distribution = new Distribution([1, 2])
  for (const value of [0.5, 1, 1.5, 2, 9, Number.NaN, Infinity]) distribution.observe(value)
  expect([...distribution.counts]).toEqual([2, 2, 1])
  expect(distribution.sum).toBe(14)
})

test('escapes label values', async () => {
  const { observer } = makeObserver()
  observer.requestEnded(ended('we"ird\\na\nme'))
  const body = await scrapeOf(observer)
  expect(sample(body, 'corral_requests_total{op="chat",model="we\\"ird\\\\na\\nme",outcome="ok"}')).toBe(1)
})

test('shows zeros for outcomes that have not happened yet', async () => {
  const { observer } = makeObserver()
  observer.requestEnded(ended('m'))
  const body = await scrapeOf(observer)
  expect(sample(body, 'corral_requests_total{op="chat",model="m",outcome="node_error"}')).toBe(0)
})

test('a client cannot mint series: unknown models are "other"', async () => {
  const { observer } = makeObserver()
  for (let index = 0; index < 1_000; index += 1) observer.requestEnded(ended(`unknown-${index}`))
  const body = await scrapeOf(observer)
  expect(sample(body, 'corral_requests_total{op="chat",model="other",outcome="ok"}')).toBe(1_000)
  expect(body).not.toContain('unknown-')
})

test('a model that no node has any more takes its series with it, and its place', async () => {
  const { observer } = makeObserver({ metrics: { labelValuesMax: 1 } })
  observer.requestEnded(ended('a'))
  observer.metrics.forgetModel('a')
  observer.requestEnded(ended('b'))
  const body = await scrapeOf(observer)
  expect(body).not.toContain('model="a"')
  expect(sample(body, 'corral_requests_total{op="chat",model="b",outcome="ok"}')).toBe(1)
})

test('a label guard lets known values pass after it is full', () => {
  const guard = new LabelGuard('model', () => 2)
  expect(['a', 'b', 'c', 'a'].map((value) => guard.admit(value))).toEqual(['a', 'b', 'other', 'a'])
  expect(guard.overflows).toBe(1)
})

test('a metric with too many label sets counts the rest under other, and tells of it', async () => {
  const { observer } = makeObserver({ metrics: { labelValuesMax: 1_000 } })
  const { routing } = observer.metrics.families
  for (let index = 0; index < labelSetsMax + 20; index += 1) routing.at(`n${index}`, 'only').value += 1
  routing.at('n519', 'only').value += 1
  routing.at('n0', 'only').value += 1
  const body = await scrapeOf(observer)
  expect(routing.size).toBe(labelSetsMax + 1)
  expect(sample(body, 'corral_routing_decisions_total{node="other",reason="only"}')).toBe(21)
  expect(sample(body, 'corral_routing_decisions_total{node="n0",reason="only"}')).toBe(2)
  expect(sample(body, 'corral_metric_label_overflow_total{metric="corral_routing_decisions_total",label="node"}')).toBe(21)
})

test('a scrape parses, every family has a type, and no series comes twice', async () => {
  const { observer } = makeObserver({}, true)
  observer.requestEnded(ended('m'))
  observer.attemptEnded(triedOn('a'), { outcome: 'ok', ttftMs: 1 })
  observer.configLoaded(null)
  const { contentType, body } = await observer.metrics.render()
  const { series, types } = parseScrape(body)
  expect(contentType).toContain('version=0.0.4')
  expect(new Set(series).size).toBe(series.length)
  for (const name of series.map((each) => each.split('{')[0] ?? '')) {
    expect(types.has(name) || types.has(name.replace(/_(bucket|sum|count)$/, '')), name).toBe(true)
  }
  for (const name of ['process_resident_memory_bytes', 'process_open_fds', 'nodejs_eventloop_lag_p99_seconds'])
    expect(types.has(name)).toBe(true)
  expect(body).toContain('corral_build_info{version="0.1.0",node_version="v')
})

const promtool = process.env['PROMTOOL'] ?? 'promtool'
const hasPromtool = spawnSync(promtool, ['--version']).error === undefined

test.runIf(hasPromtool)('promtool finds nothing to complain about', async () => {
  const { observer } = makeObserver({}, true)
  observer.requestStarted()
  observer.requestEnded(ended('m'))
  observer.routed('a', 'only')
  observer.attemptEnded(triedOn('a'), { outcome: 'ok', ttftMs: 1 })
  observer.dequeued('m', 0, 5, 'interactive')
  observer.probeEnded('a', 'ps', 3)
  observer.breakerChanged('a', 'open')
  observer.loadEnded('a', 'm', 1_200, null)
  observer.configLoaded(null)
  const body = await scrapeOf(observer)
  const { status, stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: body, encoding: 'utf8' })
  expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' })
})

test('no event throws, whatever it is given', () => {
  const { observer } = makeObserver()
  const broken = new Proxy(
    {},
    {
      get: () => {
        throw new Error('broken')
      },
    },
  )
  const events = Object.entries(observer).filter(([name]) => !['logger', 'metrics', 'flush'].includes(name))
  for (const [name, event] of events) expect(() => Reflect.apply(event, null, [broken, broken, broken, broken]), name).not.toThrow()
  expect(observer.metrics.bugs.value).toBeGreaterThan(5)
})

test('hears everything that the fleet reports', () => {
  const events: FleetEvents = makeObserver().observer
  expect(() => events.queued('m', 1)).not.toThrow()
})

test('a reader of documents without a network of its own is a warning', () => {
  const { observer, sink } = makeObserver()
  observer.parserHeld(['prlimit', 'setpriv', 'unshare'])
  observer.parserHeld(['prlimit'])
  const lines = sink.lines.map((line) => JSON.parse(line))
  expect(lines.map(({ level, tools }) => [level, tools])).toEqual([
    ['info', ['prlimit', 'setpriv', 'unshare']],
    ['warn', ['prlimit']],
  ])
})

test('writes one line per change of a node, and none per request', () => {
  const { observer, sink } = makeObserver()
  observer.nodeDown('a', 'connection refused')
  observer.nodeUp('a')
  observer.breakerChanged('a', 'open')
  observer.loadStarted('a', 'm')
  observer.loadEnded('a', 'm', 1_234.5, null)
  observer.wedgeFreed('a', 'm')
  observer.digestDrift('m', new Map([['sha1', ['a']], ['sha2', ['b']]])) // prettier-ignore
  observer.routed('a', 'only')
  observer.retried('a', 'connect')
  expect(sink.lines.map((line) => JSON.parse(line).msg)).toEqual([
    'node is down',
    'node is up',
    'node ejected: too many of its answers failed',
    'loading model',
    'model loaded',
    'stuck runner freed',
    'nodes hold different builds of one model',
  ])
})

test('a request costs a few microseconds', async () => {
  const { observer, sink } = makeObserver()
  const request = ended('m')
  const tried = triedOn('a')
  const rounds = 1_000
  const tookMs = await shortestMs(40, () => {
    sink.lines.length = 0
    for (let index = 0; index < rounds; index += 1) {
      observer.requestStarted()
      observer.routed('a', 'only')
      observer.attemptEnded(tried, { outcome: 'ok', ttftMs: 1 })
      observer.requestEnded(request)
    }
  })
  expect((tookMs * 1_000) / rounds).toBeLessThan(14)
})

test('a scrape tells whether Redis is asked, and what came of the calls', async () => {
  const { observer } = makeObserver()
  const redis: RedisFigures & { state: string } = { state: 'up', stats: { answered: 40, skipped: 7, dataErrors: 2 }, onCommand: null }
  addRedisMetrics(observer.metrics, redis)
  const seriesOf = async () => (await scrapeOf(observer)).split('\n').filter((line) => /^corral_redis_(up|calls)/.test(line))
  expect(await seriesOf()).toEqual([
    'corral_redis_up 1',
    'corral_redis_calls_total{result="answered"} 40',
    'corral_redis_calls_total{result="skipped"} 5',
    'corral_redis_calls_total{result="data-error"} 2',
  ])
  redis.state = 'down'
  expect((await seriesOf())[0]).toBe('corral_redis_up 0')
  redis.onCommand?.('EVALSHA', 3)
  const body = await scrapeOf(observer)
  expect(sample(body, 'corral_redis_command_seconds_bucket{command="evalsha",le="0.0025"}')).toBe(0)
  expect(sample(body, 'corral_redis_command_seconds_bucket{command="evalsha",le="0.005"}')).toBe(1)
})

test('a node that is gone leaves neither series nor figures, its neighbours keep theirs, and it begins anew when it comes back', () => {
  const { nodeRequests, duration } = makeObserver().observer.metrics.families
  for (const node of ['a', 'a",outcome="ok', 'b']) nodeRequests.at(node, 'ok').value = 3
  nodeRequests.forget('node', 'a')
  duration.forget('node', 'a')
  const shown = (): (readonly [string | undefined, number])[] => [...nodeRequests.entries()].map(([{ value }, [node]]) => [node, value])
  expect(shown()).toEqual([
    ['a",outcome="ok', 3],
    ['b', 3],
  ])
  expect(renderFamily(nodeRequests, 'text')).not.toContain('{node="a",')
  nodeRequests.at('a', 'ok').value += 1
  expect(shown()).toContainEqual(['a', 1])
  expect(renderFamily(nodeRequests, 'text')).toContain('corral_node_requests_total{node="a",outcome="ok"} 1\n')
})
