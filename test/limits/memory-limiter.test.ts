// Limits of one process: together or not at all, never reset by a flood, never off when shared.
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { MemoryLimiter, type Hold } from '../../src/limits/memory-limiter.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { options, planOf, type Who } from './plans.ts'

function limiterWith({ placesMax = 1_000 } = {}) {
  const clock = manualClock()
  return { clock, limiter: new MemoryLimiter(clock, () => placesMax) }
}

function countAdmitted(limiter: MemoryLimiter, who: Who, times: number, { tokens = 0, shares = 1 } = {}): number {
  const plan = planOf(who)
  let admitted = 0
  for (let index = 0; index < times; index += 1) if (limiter.admit(plan, tokens, shares).verdict.admitted) admitted += 1
  return admitted
}

test('a request takes every meter or none', () => {
  const { limiter } = limiterWith()
  const tight = { own: { requestsPerMinute: 2 }, ofTenant: { requestsPerMinute: 10, concurrency: 100 } }
  expect(countAdmitted(limiter, tight, 50)).toBe(2)
  const other = { subject: 'key_2', ofTenant: tight.ofTenant }
  expect(countAdmitted(limiter, other, 50)).toBe(8)
})

test('the denial names the meter that lasts longest and the exact wait', () => {
  const { limiter, clock } = limiterWith()
  const who = { own: { requestsPerMinute: 60 }, ofTenant: { requestsPerMinute: 6 } }
  expect(countAdmitted(limiter, who, 6)).toBe(6)
  const plan = planOf(who)
  const { verdict } = limiter.admit(plan, 0)
  expect(verdict).toMatchObject({ admitted: false, dimension: 'requests', waitMs: 10_000, meter: { scope: 'tenant' } })
  clock.advance(9_999)
  expect(limiter.admit(plan, 0).verdict.admitted).toBe(false)
  clock.advance(1)
  expect(limiter.admit(plan, 0).verdict.admitted).toBe(true)
})

test('tokens are held until they are settled, then charged as used', () => {
  const { limiter } = limiterWith()
  const plan = planOf({ own: { tokensPerMinute: 1_000 } })
  const first = limiter.admit(plan, 600)
  expect(limiter.admit(plan, 600).verdict).toMatchObject({
    admitted: false,
    dimension: 'tokens',
    standings: { tokens: { remaining: 400 } },
  })
  if (first.hold !== null) limiter.settle(first.hold, 100)
  const second = limiter.admit(plan, 900)
  expect(second.verdict).toMatchObject({ admitted: true, standings: { tokens: { limit: 1_000, remaining: 0 } } })
})

test('what was charged never exceeds the limit plus what drained, when nobody uses more than reserved', () => {
  const step = fc.record({
    afterMs: fc.nat({ max: 20_000 }),
    tokens: fc.nat({ max: 400 }),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (sequence) => {
      const { limiter, clock } = limiterWith()
      const plan = planOf({ own: { tokensPerMinute: 1_000 } })
      const running: { hold: Hold; used: number }[] = []
      let charged = 0
      let elapsedMs = 0
      for (const { afterMs, tokens, share } of sequence) {
        clock.advance(afterMs)
        elapsedMs += afterMs
        const { hold } = limiter.admit(plan, tokens)
        if (hold !== null) running.push({ hold, used: Math.floor(tokens * share) })
        const ended = running.length > 3 ? running.shift() : undefined
        if (ended === undefined) continue
        limiter.settle(ended.hold, ended.used)
        charged += ended.used
        expect(charged).toBeLessThanOrEqual(1_000 + (1_000 * elapsedMs) / 60_000)
      }
    }),
  )
})

test('a request over the token limit by itself is told that no wait helps', () => {
  const { limiter } = limiterWith()
  expect(limiter.admit(planOf({ own: { tokensPerMinute: 100 } }), 101).verdict).toMatchObject({
    admitted: false,
    waitMs: Number.POSITIVE_INFINITY,
  })
})

test('places under way are given back at the end', () => {
  const { limiter } = limiterWith()
  const plan = planOf({ own: { concurrency: 2 } })
  const holds = [limiter.admit(plan, 0).hold, limiter.admit(plan, 0).hold]
  expect(limiter.admit(plan, 0).verdict).toMatchObject({ admitted: false, dimension: 'concurrency' })
  if (holds[0] !== null && holds[0] !== undefined) limiter.settle(holds[0], 0)
  expect(limiter.admit(plan, 0).verdict.admitted).toBe(true)
  expect(limiter.admit(plan, 0).verdict.admitted).toBe(false)
})

test('a flood of new places stays within the table and resets no limit in force', () => {
  const { limiter, clock } = limiterWith({ placesMax: 200 })
  const victim = { subject: 'victim', own: { requestsPerMinute: 5 } }
  expect(countAdmitted(limiter, victim, 10)).toBe(5)
  for (let index = 0; index < 5_000; index += 1) countAdmitted(limiter, { subject: `k${index}`, own: { requestsPerMinute: 5 } }, 1)
  expect(limiter.stats.places).toBeLessThanOrEqual(200)
  expect(limiter.stats.shared).toBeGreaterThan(0)
  expect(countAdmitted(limiter, victim, 10)).toBe(0)
  clock.advance(60_000)
  expect(countAdmitted(limiter, { subject: 'new', own: { requestsPerMinute: 5 } }, 10)).toBe(5)
  expect(countAdmitted(limiter, victim, 10)).toBe(5)
})

test('with four replicas each admits its share, and at least one', () => {
  const { limiter } = limiterWith()
  expect(countAdmitted(limiter, { own: { requestsPerMinute: 100 } }, 200, { shares: 4 })).toBe(25)
  expect(countAdmitted(limiter, { subject: 'small', own: { requestsPerMinute: 2 } }, 50, { shares: 4 })).toBe(1)
  expect(countAdmitted(limiter, { subject: 'big', own: { tokensPerMinute: 1_000 } }, 5, { tokens: 600, shares: 4 })).toBe(1)
})

test('a model class counts per tenant over all its models', () => {
  const { limiter } = limiterWith()
  const given = options({ modelClasses: [{ name: 'large', models: ['llama3:70b', 'qwen*:72b'], limits: { requestsPerMinute: 3 } }] })
  const plans = ['llama3:70b', 'qwen2.5:72b', 'qwen3:72b', 'llama3:70b'].map((model) => planOf({}, model, given))
  expect(plans.map((plan) => limiter.admit(plan, 0).verdict.admitted)).toEqual([true, true, true, false])
  expect(limiter.admit(planOf({ tenant: 'other' }, 'llama3:70b', given), 0).verdict.admitted).toBe(true)
})
