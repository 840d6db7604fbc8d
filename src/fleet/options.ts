/** Options of the fleet. `config/default.yaml` explains each key; the numbers' sources stand there and in docs/. */
import { z } from 'zod'

import { byteSize, durationMs } from '../core/options.ts'

export const nodeOptions = z.strictObject({
  /** Origin of the Ollama server, with an optional path prefix. */
  url: z.url({ protocol: /^https?$/ }),
  /** Short name for logs, metrics and headers; host:port when absent. */
  name: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$/, 'expected letters, digits, . _ : - (at most 63)')
    .optional(),
  /** Headers sent with every request, e.g. a proxy's credential. */
  headers: z.record(z.string(), z.string()).default({}),
  /** PEM file of a private certificate authority. */
  caFile: z.string().optional(),
  /** Generations at once per model, when you know it; learned otherwise. */
  slots: z.int().min(1).max(4096).optional(),
  /** Callers whose key or token names this group are served by its nodes alone. */
  group: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'expected letters, digits, . _ - (at most 63)')
    .optional(),
})

export const fleetOptions = z.strictObject({
  nodes: z.array(nodeOptions).default([{ url: 'http://127.0.0.1:11434', headers: {} }]),
  aliases: z.record(z.string(), z.string()).default({}),
  cloudModels: z.boolean().default(false),
  policy: z.enum(['least-loaded', 'expected-completion']).default('least-loaded'),
  connectTimeoutMs: durationMs(1_000, { minMs: 10 }),
  probe: z
    .strictObject({
      intervalMs: durationMs(1_000, { minMs: 10 }),
      timeoutMs: durationMs(1_000, { minMs: 10 }),
      missesUntilDown: z.int().min(1).max(100).default(2),
      modelsIntervalMs: durationMs(5_000, { minMs: 10 }),
      loadedIntervalMs: durationMs(2_000, { minMs: 10 }),
    })
    .prefault({}),
  breaker: z
    .strictObject({
      enabled: z.boolean().default(true),
      consecutiveFailures: z.int().min(1).default(5),
      consecutiveBrokenStreams: z.int().min(1).default(2),
      failureRatio: z.number().min(0.01).max(1).default(0.2),
      failureRatioRequestsMin: z.int().min(1).default(10),
      windowMs: durationMs(30_000, { minMs: 100 }),
      ejectMs: durationMs(30_000),
      ejectMsMax: durationMs(300_000),
      ejectedShareMax: z.number().min(0).max(1).default(0.5),
      slowStartMs: durationMs(10_000),
    })
    .prefault({}),
  retry: z
    .strictObject({
      enabled: z.boolean().default(true),
      retriesMax: z.int().min(0).max(10).default(2),
      budgetRatio: z.number().min(0).max(1).default(0.2),
      budgetFloor: z.int().min(0).default(3),
    })
    .prefault({}),
  admission: z
    .strictObject({
      enabled: z.boolean().default(true),
      queueMax: z.int().min(0).max(100_000).default(512),
      deadlineMs: durationMs(600_000),
      slotsAssumed: z.int().min(1).max(4096).default(4),
      slotsMax: z.int().min(1).max(100_000).default(4096),
    })
    .prefault({}),
  deadlines: z
    .strictObject({
      firstFrameMsMin: durationMs(3_000),
      firstFrameMsMax: durationMs(600_000),
      lookupMsMax: durationMs(10_000),
      loadMsMax: durationMs(360_000),
      idleMsMin: durationMs(5_000),
      idleMsMax: durationMs(60_000),
      wholeBodyMsMax: durationMs(3_600_000),
      streamMsMax: durationMs(6 * 3_600_000),
      streamBytesMax: byteSize(256 * 1_048_576, { minBytes: 1_024 }),
    })
    .prefault({}),
  loads: z
    .strictObject({
      enabled: z.boolean().default(true),
      lease: z.boolean().default(true),
    })
    .prefault({}),
  watchdog: z
    .strictObject({
      enabled: z.boolean().default(true),
      wedgedAfterMs: durationMs(20_000, { minMs: 50 }),
      checkIntervalMs: durationMs(1_000, { minMs: 10 }),
    })
    .prefault({}),
  numCtx: z
    .strictObject({
      policy: z.enum(['pass', 'fixed', 'max', 'bucket']).default('pass'),
      value: z.int().min(4).optional(),
      buckets: z.array(z.int().min(4)).default([4096, 8192, 16384, 32768, 65536, 131072]),
    })
    .prefault({}),
  embed: z
    .strictObject({
      split: z.boolean().default(true),
      shardItemsMin: z.int().min(1).default(4),
      hedge: z.boolean().default(false),
      hedgeAfterMs: durationMs(2_000),
    })
    .prefault({}),
  operations: z
    .strictObject({
      timeoutMs: durationMs(3_000),
      changeTimeoutMs: durationMs(60_000),
      standstillMsMax: durationMs(30_000),
    })
    .prefault({}),
  bufferBytesMax: byteSize(1_048_576),
  frameBytesMax: byteSize(16 * 1_048_576),
  wholeBytesMax: byteSize(64 * 1_048_576),
})

export type FleetOptions = z.infer<typeof fleetOptions>
export type NodeOptions = z.infer<typeof nodeOptions>
