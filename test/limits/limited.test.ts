// The layer around a relay that the test holds in its hand: what passes, what is refused, and when what was reserved is settled.
import { expect, test } from 'vitest'

import { ByteQueue } from '../../src/base/byte-queue.ts'
import { CorralError } from '../../src/core/errors.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import type { Answer, Outcome, Relay, StreamAnswer, Usage } from '../../src/core/relay.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { limited } from '../../src/limits/limited.ts'
import { createLimiter, type Limiter } from '../../src/limits/limiter.ts'
import { renderError } from '../../src/wire/render-error.ts'
import { manualClock, type ManualClock } from '../fleet/manual-clock.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { PlanBook } from '../../src/limits/plan.ts'
import { options, principal, type Who } from './plans.ts'

const messages = [{ role: 'user', content: 'hello there' }]
/** The scanner's estimate of that prompt. */
const estimate = makeRequest('/api/chat', { model: 'm', messages }).envelope.promptTokens

const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 }

function usageOf(promptTokens: number, outputTokens: number): Usage {
  return { promptTokens, outputTokens, cachedPromptTokens: null, loadMs: null, promptMs: 10, outputMs: 90, totalMs: 100 }
}

function outcomeOf(change: Partial<Outcome> = {}): Outcome {
  return { kind: 'ok', usage: usageOf(10, 20), frames: 1, bytes: 10, error: null, ...change }
}

function whole(outcome: Outcome = outcomeOf()): Answer {
  return { kind: 'whole', status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from('{}'), outcome, provenance }
}

interface Bench {
  readonly clock: ManualClock
  readonly limiter: Limiter
  readonly budgets: Budgets
  readonly asked: () => number
  ask(who: Who | null, body?: Readonly<Record<string, unknown>>, path?: string): Promise<Answer>
}

function bench(next: Relay = () => Promise.resolve(whole()), given: Readonly<Record<string, unknown>> = {}): Bench {
  const clock = manualClock(1_700_000_000_000)
  const parsed = options(given)
  const book = new PlanBook(parsed)
  const budgets = new Budgets(clock, () => 1_000)
  const limiter = createLimiter({ clock, options: () => parsed, budgets, redis: null, replica: 'r' })
  let asked = 0
  const relay = limited({ options: () => parsed, book: () => book, limiter, random: () => 0.5 })((request, call) => {
    asked += 1
    return next(request, call)
  })
  return {
    clock,
    limiter,
    budgets,
    asked: () => asked,
    ask: (who, body = {}, path = '/api/chat') => {
      const request = makeRequest(path, { model: 'm', messages, stream: false, ...body })
      return relay(request, makeCall({ principal: who === null ? openPrincipal : principal(who) }))
    },
  }
}

async function refusal(answered: Promise<Answer>): Promise<CorralError> {
  try {
    await answered
  } catch (error) {
    if (error instanceof CorralError) return error
    throw error
  }
  throw new Error('it was not refused')
}

test('without limits the very promise of the next layer is handed on', () => {
  const answered = Promise.resolve(whole())
  const parsed = options()
  const clock = manualClock()
  const book = new PlanBook(parsed)
  const limiter = createLimiter({ clock, options: () => parsed, budgets: new Budgets(clock, () => 10), redis: null, replica: 'r' })
  const relay = limited({ options: () => parsed, book: () => book, limiter, random: () => 0 })(() => answered)
  expect(relay(makeRequest('/api/chat', { model: 'm', messages: [] }), makeCall())).toBe(answered)
})

test('a refused request never reaches the next layer, and says when to come back', async () => {
  const { ask, asked } = bench()
  const who = { own: { requestsPerMinute: 2 } }
  await ask(who)
  await ask(who)
  const error = await refusal(ask(who))
  expect(asked()).toBe(2)
  expect(error).toMatchObject({ code: 'rate_limited', status: 429, message: "the credential's limit of 2 requests per minute is reached" })
  expect(error.retryAfterMs).toBeGreaterThanOrEqual(30_000)
  expect(error.headers).toEqual({
    'ratelimit-policy': '"requests";q=2;w=60',
    ratelimit: '"requests";r=0;t=60',
    'x-ratelimit-limit-requests': '2',
    'x-ratelimit-remaining-requests': '0',
    'x-ratelimit-reset-requests': '1m0s',
  })
})

test.each(['ollama', 'openai', 'anthropic', 'problem'] as const)(
  'a denial is a 429 with its headers in the dialect %s',
  async (dialect) => {
    const { ask } = bench()
    const who = { own: { requestsPerMinute: 1 } }
    await ask(who)
    const { status, headers, body } = renderError(dialect, await refusal(ask(who)), 'req_1')
    expect(status).toBe(429)
    expect(headers).toMatchObject({ 'ratelimit-policy': '"requests";q=1;w=60', 'x-ratelimit-remaining-requests': '0' })
    expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(60)
    expect(body.toString()).toContain('limit of 1 requests per minute is reached')
  },
)

test('an answer tells where the caller stands, besides its own headers', async () => {
  const { ask } = bench()
  const { headers } = await ask({ own: { requestsPerMinute: 60, tokensPerMinute: 10_000 } }, { options: { num_predict: 100 } })
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'ratelimit-policy': '"requests";q=60;w=60, "tokens";q=10000;w=60',
    'x-ratelimit-remaining-requests': '59',
    'x-ratelimit-reset-requests': '1s',
    'x-ratelimit-limit-tokens': '10000',
  })
  expect(Number(headers['x-ratelimit-remaining-tokens'])).toBeLessThan(9_901)
})

test('tokens never overshoot when each request has its maximum, however many run at once', async () => {
  const ends: ((outcome: Outcome) => void)[] = []
  const { ask } = bench(() => Promise.resolve(streamThatEnds(ends)))
  const who = { own: { tokensPerMinute: 1_000 } }
  const answers = await Promise.allSettled(Array.from({ length: 50 }, () => ask(who, { stream: true, options: { num_predict: 150 } })))
  const running = answers.filter(({ status }) => status === 'fulfilled').length
  expect(running).toBe(ends.length)
  expect(running * 150).toBeLessThanOrEqual(1_000)
  expect(running).toBeGreaterThan(4)
  for (const end of ends) end(outcomeOf({ usage: usageOf(3, 7) }))
  await Promise.resolve()
  const again = await Promise.allSettled(Array.from({ length: 50 }, () => ask(who, { stream: true, options: { num_predict: 150 } })))
  const charged = running * 10
  const admitted = again.filter(({ status }) => status === 'fulfilled').length
  expect(admitted).toBeGreaterThan(3)
  expect(charged + admitted * (estimate + 150)).toBeLessThanOrEqual(1_000)
})

function streamThatEnds(ends: ((outcome: Outcome) => void)[]): StreamAnswer {
  const outcome = new Promise<Outcome>((resolve) => {
    ends.push(resolve)
  })
  return { kind: 'stream', status: 200, headers: {}, frames: new ByteQueue(1_000), outcome, provenance }
}

test.each([
  ['reported', outcomeOf({ usage: usageOf(30, 70) }), 900],
  ['cached', outcomeOf({ usage: usageOf(30, 70), cached: true }), 1_000],
  ['cut short after 40 frames', outcomeOf({ kind: 'client_gone', usage: null, frames: 40 }), 960 - estimate],
  ['failed before anything', outcomeOf({ kind: 'node_error', usage: null, frames: 0 }), 1_000],
])('usage that is %s is charged as it was', async (_, outcome, remaining) => {
  const { ask } = bench(() => Promise.resolve(whole(outcome)))
  const who = { own: { tokensPerMinute: 1_000 } }
  await ask(who)
  const { headers } = await ask(who, { messages: [], options: { num_predict: 1 } })
  expect(headers['x-ratelimit-remaining-tokens']).toBe(String(remaining))
})

test('a failure gives the place and the tokens back', async () => {
  const { ask, asked } = bench(() => Promise.reject(new CorralError('no_node', 'none')))
  const who = { own: { concurrency: 1, tokensPerMinute: 2_000 } }
  for (let index = 0; index < 5; index += 1) expect((await refusal(ask(who))).code).toBe('no_node')
  expect(asked()).toBe(5)
})

test('a request that sets no maximum is not denied for ever by a small limit; one that sets it too high is told', async () => {
  const { ask } = bench()
  const who = { own: { tokensPerMinute: 200 } }
  await ask(who)
  const error = await refusal(ask(who, { options: { num_predict: 500 } }))
  expect(error.message).toContain('send a shorter prompt or a lower maximum')
  expect(error.retryAfterMs).toBeNull()
})

test('a used-up budget refuses until the period ends', async () => {
  const { ask, asked, budgets, clock } = bench()
  const who = { own: { gpuSecondsPerDay: 10 } }
  await ask(who)
  budgets.spend('acme', ['c:key_1'], 10_000_000)
  const error = await refusal(ask(who))
  expect(asked()).toBe(1)
  expect(error).toMatchObject({
    code: 'budget_exhausted',
    status: 429,
    message: "the credential's budget of 10 GPU seconds per day is used up",
  })
  const untilMidnightMs = 86_400_000 - (1_700_000_000_000 % 86_400_000)
  expect(error.retryAfterMs).toBe(untilMidnightMs + 30_000)
  clock.advance(untilMidnightMs)
  await ask(who)
  expect(asked()).toBe(2)
})

test('defaults limit who has no limits of their own, and switching off limits nobody', async () => {
  const { ask } = bench(undefined, { tenant: { requestsPerMinute: 1 } })
  await ask({})
  expect((await refusal(ask({}))).code).toBe('rate_limited')
  const off = bench(undefined, { enabled: false, tenant: { requestsPerMinute: 1 } })
  for (let index = 0; index < 5; index += 1) await off.ask({})
  expect(off.asked()).toBe(5)
})

test('clients that retry when told do not come back together (F64)', async () => {
  const waits = new Set<number>()
  const parsed = options({ tenant: { requestsPerMinute: 10 } })
  const clock = manualClock()
  const book = new PlanBook(parsed)
  const limiter = createLimiter({ clock, options: () => parsed, budgets: new Budgets(clock, () => 10), redis: null, replica: 'r' })
  let seed = 1
  const random = (): number => {
    seed = (seed * 16_807) % 2_147_483_647
    return seed / 2_147_483_647
  }
  let passed = 0
  const relay = limited({ options: () => parsed, book: () => book, limiter, random })(() => {
    passed += 1
    return Promise.resolve(whole())
  })
  const client = async (): Promise<void> => {
    const answered = relay(makeRequest('/api/chat', { model: 'm', messages: [] }), makeCall({ principal: principal() }))
    const error = await answered.then(
      () => null,
      (thrown: unknown) => thrown,
    )
    if (error instanceof CorralError && error.retryAfterMs !== null) waits.add(Math.ceil(error.retryAfterMs / 1_000))
  }
  await Promise.all(Array.from({ length: 200 }, client))
  expect(passed).toBe(10)
  expect(waits.size).toBeGreaterThanOrEqual(2)
})
