/** Whether Redis is used, and what came of the calls, copied at each scrape. */
import type { Metrics } from './metrics.ts'

const msPerSecond = 1_000

/** What a store of Redis tells. */
export interface RedisFigures {
  /** `up`: asked. */
  readonly state: string
  readonly stats: { readonly answered: number; readonly skipped: number; readonly dataErrors: number }
  onCommand: ((name: string, tookMs: number) => void) | null
}

/** Makes each scrape show Redis as it is then; nothing when there is none. */
export function addRedisMetrics(metrics: Metrics, redis: RedisFigures | null): void {
  if (redis === null) return
  const { redisUp, redisCalls, redisSeconds } = metrics.families
  redis.onCommand = (name, tookMs) => redisSeconds.at(name.toLowerCase()).observe(tookMs / msPerSecond)
  metrics.addSource(() => {
    const { answered, skipped, dataErrors } = redis.stats
    redisUp.child().value = redis.state === 'up' ? 1 : 0
    const results = { answered, skipped: skipped - dataErrors, 'data-error': dataErrors }
    for (const [result, count] of Object.entries(results)) redisCalls.at(result).value = count
  })
}
