/** Limits of one gateway as the application puts them together, on a real Redis and a store, before a node that works as long as it is told. */
import { onTestFinished } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import { type Answer, through } from '../../src/core/relay.ts'
import { createLimits, type Limits } from '../../src/limits/limits.ts'
import type { Database } from '../../src/store/database.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { createRedis } from '../../src/store/redis.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { until } from '../support/gateway.ts'
import { options, principal, type Who } from './plans.ts'

export interface SharedGateway {
  readonly limits: Limits
  readonly redis: RedisStore
  /** One request that takes so many GPU milliseconds; false: a budget refused it. Rejects with any other failure. */
  ask(who: Who, gpuMs: number): Promise<boolean>
  /** The same, and everything about it is in Redis, unless that is away. */
  askAndTell(who: Who, gpuMs: number): Promise<boolean>
}

export interface SharedGatewayOptions {
  readonly database?: Database | null
  readonly clock?: Clock
  /** Of `limits`. */
  readonly given?: Readonly<Record<string, unknown>>
  readonly flushMs?: number
  readonly budgetsApart?: () => void
}

let gatewaysMade = 0

export async function sharedGateway(
  url: string,
  { database = null, clock = systemClock, given = {}, flushMs = 60_000, budgetsApart = () => undefined }: SharedGatewayOptions = {},
): Promise<SharedGateway> {
  gatewaysMade += 1
  const redis = createRedis(redisOptions.parse({ url, commandTimeoutMs: 2_000, flappingHoldMs: 0 }), {
    clock: systemClock,
    random: () => 0.5,
  })
  const parsed = options({ usage: { flushMs }, ...given })
  const events = { limited: () => undefined, usageTrouble: () => undefined, budgetsApart }
  const deps = { options: () => parsed, clock, random: () => 0.5, database, redis, events, audit: null }
  const limits = createLimits({ ...deps, replica: `gateway-${gatewaysMade}-${systemClock.nowMs()}` })
  onTestFinished(async () => {
    await limits.close()
    await redis.close()
  })
  redis.start()
  await until(() => redis.state === 'up', 'Redis is up')
  await limits.start()
  const ask = (who: Who, gpuMs: number): Promise<boolean> => {
    const node = async (): Promise<Answer> => {
      await systemClock.sleep(2)
      return answerOf(gpuMs)
    }
    const relay = through([limits.recording, limits.limiting], node)
    const answered = relay(makeRequest('/api/chat', { model: 'm', messages: [] }), makeCall({ principal: principal(who) }))
    return answered.then(
      () => true,
      (error: unknown) => {
        if (error instanceof CorralError && error.code === 'budget_exhausted') return false
        throw error
      },
    )
  }
  return {
    limits,
    redis,
    ask,
    async askAndTell(who, gpuMs) {
      const passed = await ask(who, gpuMs)
      await until(() => redis.stats.underWay === 0, 'all is told')
      return passed
    },
  }
}

function answerOf(gpuMs: number): Answer {
  const usage = { promptTokens: 1, outputTokens: 1, cachedPromptTokens: null, loadMs: 5, promptMs: gpuMs, outputMs: 0, totalMs: gpuMs }
  const outcome = { kind: 'ok' as const, usage, frames: 1, bytes: 2, error: null }
  const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 }
  return { kind: 'whole', status: 200, headers: {}, body: Buffer.from('{}'), outcome, provenance }
}
