// What each part of a request's way took, told apart by the boundaries that it crosses.

import { expect, test } from 'vitest'

import type { Relay } from '../../src/core/relay.ts'
import { Phases } from '../../src/observe/phases.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeCall, makeObserver, makeRequest, sample, scrapeOf } from './fixtures.ts'

test('the time between two boundaries is that of the part between; a call from inside counts from its first one', async () => {
  const { observer } = makeObserver()
  const clock = manualClock()
  const phases = new Phases({ clock, metrics: observer.metrics })
  const answer = Promise.reject(new Error('no node'))
  answer.catch(() => undefined)
  const innermost: Relay = () => answer
  const cache = phases.boundary('cache')(innermost)
  const limits = phases.boundary('limits')((request, call) => {
    clock.advance(2)
    return cache(request, call)
  })
  const call = makeCall()
  call.progress.boundaryAtMs = clock.nowMs()
  clock.advance(5)
  expect(limits(makeRequest(), call)).toBe(answer)
  void limits(makeRequest(), makeCall('from inside'))
  const body = await scrapeOf(observer)
  const of = (phase: string, what: string): number | null => sample(body, `corral_overhead_seconds_${what}{phase="${phase}"}`)
  expect([of('limits', 'count'), of('limits', 'sum')]).toEqual([1, 0.005])
  expect([of('cache', 'count'), of('cache', 'sum')]).toEqual([2, 0.004])
  expect(of('auth', 'count')).toBe(0)
})

test('what went by before a part began is not its time', async () => {
  const { observer } = makeObserver()
  const clock = manualClock()
  const phases = new Phases({ clock, metrics: observer.metrics })
  const innermost: Relay = () => new Promise(() => undefined)
  const limits = phases.begin((request, call) => {
    clock.advance(3)
    return phases.boundary('limits')(innermost)(request, call)
  })
  const call = makeCall()
  call.progress.boundaryAtMs = clock.nowMs()
  clock.advance(2_000)
  void limits(makeRequest(), call)
  expect(sample(await scrapeOf(observer), 'corral_overhead_seconds_sum{phase="limits"}')).toBe(0.003)
})
