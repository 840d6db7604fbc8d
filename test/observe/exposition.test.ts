// The two formats of a scrape: who gets which, and what only OpenMetrics may say.
import { expect, test } from 'vitest'

import { expositionOf } from '../../src/observe/exposition.ts'
import { mergeScrapes } from '../../src/observe/merge-scrapes.ts'
import { makeCall, makeObserver, makeRequest, outcome, sample } from './fixtures.ts'

const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'

function ended(sampled: boolean) {
  const { route: facts, model } = makeRequest()
  const made = makeCall()
  const call = { ...made, trace: made.trace === null ? null : { ...made.trace, sampled } }
  const firstFrameAtMs = call.receivedAtMs + 30
  return {
    facts,
    method: 'POST',
    model,
    call,
    status: 200,
    stream: true,
    outcome: outcome(),
    bytes: 0,
    node: 'a',
    reason: 'only',
    attempts: 1,
    firstFrameAtMs,
  }
}

test.for([
  [
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    true,
  ],
  ['text/plain, application/openmetrics-text', true],
  ['application/openmetrics-text;q=0', false],
  ['text/plain;version=0.0.4', false],
  ['*/*', false],
  [undefined, false],
] as const)('Accept: %s', ([accept, isOpen]) => {
  expect(expositionOf(accept)).toBe(isOpen ? 'openmetrics' : 'text')
})

test('OpenMetrics names counters without their ending in comments, has no empty line, and ends with its mark', async () => {
  const { observer } = makeObserver({}, true)
  observer.requestEnded(ended(true))
  const { contentType, body } = await observer.metrics.render('openmetrics')
  expect(contentType).toContain('application/openmetrics-text; version=1.0.0')
  expect(body.endsWith('\n# EOF\n')).toBe(true)
  expect(body).not.toMatch(/\n\n|^# (TYPE|HELP) \S+_total /m)
  expect(body).toContain('# TYPE corral_requests counter\n')
  expect(body).toContain('# TYPE process_cpu_seconds counter\n')
  expect(body).toMatch(/^process_cpu_seconds_total \d/m)
})

test('an exemplar names the trace of a request that a collector gets, in OpenMetrics only', async () => {
  const { observer } = makeObserver()
  observer.requestEnded(ended(true))
  const { body } = await observer.metrics.render('openmetrics')
  const exemplars = body.split('\n').filter((line) => line.includes(' # {'))
  expect(exemplars.map((line) => line.split('{')[0] ?? '')).toEqual([
    'corral_request_duration_seconds_bucket',
    'corral_time_to_first_token_seconds_bucket',
  ])
  const [, value, seconds] =
    exemplars
      .find((line) => line.includes('first_token'))
      ?.split(` # {trace_id="${traceId}"} `)[1]
      ?.match(/^(\S+) (\S+)$/) ?? []
  expect(Number(value)).toBeCloseTo(0.03)
  expect(Math.abs(Number(seconds) - Date.now() / 1_000)).toBeLessThan(600)
  expect((await observer.metrics.render()).body).not.toContain('trace_id')
})

test('a request whose spans nobody gets leaves no exemplar', async () => {
  const { observer } = makeObserver()
  observer.requestEnded(ended(false))
  expect((await observer.metrics.render('openmetrics')).body).not.toContain('trace_id')
})

test('workers together: counts are added, the later exemplar stands, and each format is told in its own way', async () => {
  const { observer } = makeObserver({}, true)
  observer.requestEnded(ended(true))
  const { body } = await observer.metrics.render('openmetrics')
  const later = body.replaceAll(traceId, 'f'.repeat(32)).replaceAll(/(# \{trace_id="f+"\} \S+) \S+$/gm, '$1 9999999999')
  const series = 'corral_requests_total{op="chat",model="qwen3:8b",outcome="ok"}'

  const open = mergeScrapes([later, body])
  expect(sample(open, series)).toBe(2)
  expect(open).toContain(`trace_id="${'f'.repeat(32)}"`)
  expect(open).not.toContain(traceId)
  expect(open.endsWith('\n# EOF\n')).toBe(true)
  expect(open).toContain('# TYPE corral_requests counter\n')

  const text = mergeScrapes([later, body], [], 'text')
  expect(text).not.toMatch(/trace_id|# EOF/)
  expect(text).toContain('# TYPE corral_requests_total counter\n')
  const namesOf = (scrape: string): Set<string | undefined> => new Set(scrape.split('\n').map((line) => /^# TYPE (.+)/.exec(line)?.[1]))
  expect(namesOf(text)).toEqual(namesOf((await observer.metrics.render()).body))
})
