/**
 * Options of Redis. Without a URL there is no Redis: every replica limits and caches by itself. The numbers' sources stand in
 * `redis.ts`.
 */
import { z } from 'zod'

import { durationMs } from '../core/options.ts'
import { parseRedisAddress } from './redis-address.ts'

export const redisOptions = z.strictObject({
  /** `redis://`, `rediss://` (TLS), `redis+sentinel://h:p,h:p/name`, `redis+cluster://h:p,h:p`; absent: no Redis. */
  url: z
    .string()
    .refine(
      (url) => parseRedisAddress(url) !== null,
      'expected redis://, rediss://, redis+sentinel://h:p,h:p/name or redis+cluster://h:p,h:p',
    )
    .optional(),
  /** First part of every key and channel, so that two installations can share one Redis. */
  prefix: z
    .string()
    .regex(/^[A-Za-z0-9_.-]{1,32}$/, 'expected letters, digits, . _ - (at most 32)')
    .default('corral'),
  /** PEM file of a private certificate authority. */
  caFile: z.string().optional(),
  commandTimeoutMs: durationMs(25, { minMs: 1, maxMs: 10_000 }),
  connectTimeoutMs: durationMs(500, { minMs: 10, maxMs: 60_000 }),
  /** Calls under way at once; more are skipped, because a stalled Redis would let them pile up. */
  callsMax: z.int().min(1).max(100_000).default(256),
  /** How long Redis is left alone after it failed, until one probe. */
  probeAfterMs: durationMs(500, { minMs: 10 }),
  /** How long it is left alone when it failed again soon after it came back. */
  flappingHoldMs: durationMs(5_000),
})

export type RedisOptions = z.infer<typeof redisOptions>
