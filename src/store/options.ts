/** Options of the store. `config/default.yaml` explains each key. `src/config` resolves `dataDir` to a folder. */
import { z } from 'zod'

import { durationMs } from '../core/options.ts'

const postgresUrl = z
  .url({ protocol: /^postgres(ql)?$/ })
  .nullable()
  .default(null)

export const storeOptions = z.strictObject({
  enabled: z.boolean().default(true),
  /** Null: the embedded store. */
  url: postgresUrl,
  /** Past PgBouncer, for migrations. Null: `url`. */
  directUrl: postgresUrl,
  /** Folder of the embedded store. Null: the user's data folder. */
  dataDir: z.string().min(1).nullable().default(null),
  statementTimeoutMs: durationMs(1_500, { minMs: 10 }),
  lockTimeoutMs: durationMs(1_000, { minMs: 10 }),
  transactionTimeoutMs: durationMs(10_000, { minMs: 10 }),
  pool: z
    .strictObject({
      connectionsMax: z.int().min(1).max(1_000).default(20),
      acquireTimeoutMs: durationMs(500, { minMs: 10 }),
      connectTimeoutMs: durationMs(2_000, { minMs: 10 }),
      idleMs: durationMs(30_000, { minMs: 10 }),
      waitersMax: z.int().min(0).max(100_000).default(1_000),
    })
    .prefault({}),
  embedded: z
    .strictObject({
      queueMax: z.int().min(1).max(100_000).default(1_000),
      queueTimeoutMs: durationMs(2_000, { minMs: 10 }),
      openTimeoutMs: durationMs(60_000, { minMs: 100 }),
    })
    .prefault({}),
})

export type StoreOptions = z.infer<typeof storeOptions>
