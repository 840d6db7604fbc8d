/** Options of limits, budgets and the usage ledger. `config/default.yaml` explains each key. */
import { z } from 'zod'

import { limitSetShape, perMinuteMax } from '../core/limit-set.ts'
import { byteSize, durationMs } from '../core/options.ts'
import { canonicalModelPattern } from '../wire/model-name.ts'

const modelClass = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'expected lower-case letters, digits and - (at most 32)'),
  /** Names of models, in any spelling; `*` stands for any text. */
  models: z.array(z.string().min(1).max(256).transform(canonicalModelPattern)).min(1).max(64),
  limits: limitSetShape.prefault({}),
})

export const limitsOptions = z.strictObject({
  enabled: z.boolean().default(true),
  /** For every tenant that has none of its own. */
  tenant: limitSetShape.prefault({}),
  /** For every credential that has none of its own. */
  credential: limitSetShape.prefault({}),
  /** The first class that covers a model counts it, per tenant. */
  modelClasses: z.array(modelClass).max(32).prefault([]),
  /** Output tokens reserved for a request that sets no maximum. */
  outputTokensAssumed: z.int().min(1).max(1_000_000).default(1_024),
  /** Places (tenants, credentials, classes) counted at once. */
  placesMax: z.int().min(100).max(10_000_000).default(100_000),
  /** After this long without a sign of its replica a reservation in Redis is given back. */
  reservationMs: durationMs(60_000, { minMs: 200 }),
  address: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** Requests per minute from one address without a valid credential. */
      unauthenticatedPerMinute: z.int().min(1).max(perMinuteMax).default(120),
      addressesMax: z.int().min(100).max(10_000_000).default(50_000),
    })
    .prefault({}),
  usage: z
    .strictObject({
      enabled: z.boolean().default(true),
      flushMs: durationMs(1_000, { minMs: 10, maxMs: 60_000 }),
      rowsPerFlush: z.int().min(1).max(2_000).default(500),
      rowsBufferedMax: z.int().min(1).max(1_000_000).default(20_000),
      /** Records older than this are deleted. */
      keepMs: durationMs(30 * 86_400_000, { minMs: 60_000, maxMs: 3_660 * 86_400_000 }),
      /** What was asked and answered, in words. */
      texts: z
        .strictObject({
          /** Nothing; what was asked; that and the answers. */
          keep: z.enum(['off', 'prompts', 'all']).default('off'),
          /** Of each text; the rest is cut off. */
          bytesMax: byteSize(16_384, { minBytes: 256, maxBytes: 1_048_576 }),
          /** Texts older than this are deleted. */
          keepMs: durationMs(7 * 86_400_000, { minMs: 60_000, maxMs: 3_660 * 86_400_000 }),
        })
        .prefault({}),
    })
    .prefault({}),
})

export type LimitsOptions = z.infer<typeof limitsOptions>
