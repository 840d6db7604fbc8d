/** Options of the caches. `config/default.yaml` explains each key; the numbers' sources stand there and in docs/. */
import { z } from 'zod'

import { byteSize, durationMs } from '../core/options.ts'

const mode = z.enum(['auto', 'on', 'off'])
const memoryShare = z.number().min(1).max(1_000)

export const cacheOptions = z.strictObject({
  enabled: z.boolean().default(true),
  kinds: z
    .strictObject({
      inference: z.boolean().default(true),
      embedding: z.boolean().default(true),
      retrieval: z.boolean().default(true),
    })
    .prefault({}),
  layers: z
    .strictObject({
      memory: z.boolean().default(true),
      flight: z.boolean().default(true),
      redis: z.boolean().default(true),
      postgres: z.boolean().default(true),
    })
    .prefault({}),
  mode: mode.default('auto'),
  routes: z.record(z.string(), mode).default({}),
  clientControl: z.boolean().default(true),
  memoryBytes: byteSize(256 * 1_048_576, { minBytes: 1_048_576 }),
  memoryShares: z
    .strictObject({
      inference: memoryShare.default(6),
      answer: memoryShare.default(3),
      retrieval: memoryShare.default(1),
      embedding: memoryShare.default(1),
    })
    .prefault({}),
  entryBytesMax: byteSize(1_048_576, { minBytes: 1_024 }),
  bodyBytesMax: byteSize(4 * 1_048_576, { minBytes: 1_024 }),
  ttlMs: z
    .strictObject({
      inference: durationMs(7 * 86_400_000, { minMs: 1_000 }),
      embedding: durationMs(7 * 86_400_000, { minMs: 1_000 }),
      retrieval: durationMs(3_600_000, { minMs: 1_000 }),
      answer: durationMs(7 * 86_400_000, { minMs: 1_000 }),
    })
    .prefault({}),
  staleMs: durationMs(0),
  flight: z
    .strictObject({
      graceMs: durationMs(250, { maxMs: 60_000 }),
      bytesMax: byteSize(4 * 1_048_576, { minBytes: 1_024 }),
      lagBytesMax: byteSize(8 * 1_048_576, { minBytes: 1_024 }),
      failureMs: durationMs(250, { maxMs: 60_000 }),
      lease: z.boolean().default(true),
    })
    .prefault({}),
  replay: z
    .strictObject({
      paced: z.boolean().default(false),
      fresh: z.boolean().default(true),
    })
    .prefault({}),
})

export type CacheOptions = z.infer<typeof cacheOptions>
