/**
 * The counters of purges in Redis, for replicas that share a Redis and no database. Redis may lose them (eviction, a flush, a
 * failover), and that must not bring purged entries back. So a counter's value is the time of Redis's own clock in ms, or one
 * more than before where that is larger: after a loss the next raise is still beyond all earlier ones. And where all of them are
 * gone, the one for everything is raised: what was stored until then is out of reach, a cold cache instead of a wrong answer.
 *
 * A message tells replicas to look at once; who misses it looks by itself (`epoch-sync.ts`).
 */
import { type RedisStore, skipped } from '../store/redis-store.ts'
import type { EpochStore } from './epochs.ts'

const channel = 'cache:epochs'

/** ARGV: counters to raise. Answers all of them, as names and values by turns. The counter for everything is that of `epochs.ts`. */
const script = `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function raise(name)
  local value = tonumber(redis.call('HGET', KEYS[1], name) or '0') + 1
  redis.call('HSET', KEYS[1], name, string.format('%.0f', math.max(value, now)))
end
if redis.call('EXISTS', KEYS[1]) == 0 then raise('all') end
for _, name in ipairs(ARGV) do raise(name) end
return redis.call('HGETALL', KEYS[1])`

/** The counters in `redis`, which its owner starts and closes. */
export function createRedisEpochStore(redis: Pick<RedisStore, 'prefix' | 'script' | 'publish' | 'subscribe'>): EpochStore {
  const counters = redis.script(script)
  const key = `${redis.prefix}:cache:epochs`
  return {
    mayComeLate: true,
    lookEveryMs: 1_000,
    load: async () => toCounters(await counters.run([key], [])),
    async raise(names) {
      const raised = toCounters(await counters.run([key], names))
      // Who misses it looks by itself.
      void redis.publish(channel, '')
      return raised
    },
    watch: (onMoved) => redis.subscribe(channel, { onMessage: onMoved, onGap: onMoved }),
  }
}

/** Throws when Redis did not answer. */
function toCounters(answer: unknown): Record<string, number> {
  if (answer === skipped || !Array.isArray(answer)) throw new Error('Redis did not tell the counters of purges')
  const counters: Record<string, number> = {}
  for (let index = 0; index + 1 < answer.length; index += 2) counters[String(answer[index])] = Number(answer[index + 1])
  return counters
}
