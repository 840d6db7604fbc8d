/**
 * Explanations of requests that have ended, where replicas share a Redis: whichever of them is asked can tell. Names of nodes and models are
 * in them, words of clients are not. Without Redis, or while it is away, the process that served the request alone can tell.
 */
import { z } from 'zod'

import type { ExplainedRequest } from '../../observe/explained.ts'
import type { RedisStore } from '../../store/redis-store.ts'

const keptSeconds = 3_600
/** Anybody may ask for explanations with every request: what one process keeps in Redis is bounded by this many, some kilobytes each. */
const keptMax = 1_000

/** Of what this or another version wrote, as far as it decides who may read it. */
const shape = z.custom<ExplainedRequest>(
  (value) =>
    z.looseObject({ id: z.string(), tenant: z.string(), subject: z.string().nullable(), steps: z.array(z.unknown()) }).safeParse(value)
      .success,
)

export interface ExplanationShelf {
  /** Never waits, and never fails: what is lost is one explanation. */
  keep(explained: ExplainedRequest): void
  /** Null: none of that id, or Redis does not answer. */
  find(id: string): Promise<ExplainedRequest | null>
}

/** The shelf in `redis`; where there is none it keeps nothing. */
export function createExplanationShelf(redis: Pick<RedisStore, 'prefix' | 'run'> | null): ExplanationShelf {
  if (redis === null) return { keep: () => undefined, find: () => Promise.resolve(null) }
  const kept: string[] = []
  const keyOf = (id: string): string => `${redis.prefix}:explained:${id}`
  return {
    keep(explained) {
      kept.push(explained.id)
      const oldest = kept.length > keptMax ? kept.shift() : undefined
      void redis.run(async ({ command }) => {
        await command('SET', keyOf(explained.id), JSON.stringify(explained), 'EX', keptSeconds)
        if (oldest !== undefined) await command('DEL', keyOf(oldest))
      })
    },
    async find(id) {
      const text = await redis.run(({ command }) => command('GET', keyOf(id)))
      const parsed = typeof text === 'string' ? shape.safeParse(jsonOf(text)) : null
      return parsed?.success === true ? parsed.data : null
    },
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Somebody else's value under that key.
    return null
  }
}
