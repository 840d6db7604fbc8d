/**
 * The signatures that were used at any replica, in Redis: one key per signature, which Redis alone dates, so that the clocks of replicas
 * do not matter. Who cannot ask it goes by what this process and its neighbours know.
 */
import { hash } from 'node:crypto'

import { type RedisStore, skipped } from '../store/redis-store.ts'
import type { SharedSignatures } from './signature.ts'

/** Notes a signature for ARGV[1] ms. Answers how many ms ago it was noted first; 0: now. */
const script = `
if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then return 0 end
return tonumber(ARGV[1]) - redis.call('PTTL', KEYS[1])`

/** A signature can be from the far end of the window, and the clocks of two replicas a whole window apart. */
const windowsKept = 3

/** The signatures in `redis`, which its owner starts and closes. */
export function createRedisSignatures(redis: Pick<RedisStore, 'prefix' | 'script'>, windowMs: number): SharedSignatures {
  const noted = redis.script(script)
  return {
    async usedForMs({ fingerprint, text }) {
      const name = hash('sha256', `${fingerprint} ${text}`, 'hex')
      const answer = await noted.run([`${redis.prefix}:signature:${name}`], [windowsKept * windowMs])
      return answer === skipped || typeof answer !== 'number' ? null : answer
    },
  }
}
