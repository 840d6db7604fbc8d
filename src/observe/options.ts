/** Options of logs, metrics and traces. `config/default.yaml` explains each key. */
import { z } from 'zod'

export const observeOptions = z.strictObject({
  log: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
      /** `auto`: readable on a terminal, JSON elsewhere. */
      format: z.enum(['auto', 'pretty', 'json']).default('auto'),
      /** File to append to instead of the standard output. */
      file: z.string().min(1).optional(),
      /** One line per request. Never holds prompts or answers. */
      access: z.boolean().default(true),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      enabled: z.boolean().default(true),
      /** Distinct values of one label (model, node, pool); later ones are counted as `other`. */
      labelValuesMax: z.int().min(1).max(10_000).default(200),
    })
    .prefault({}),
  trace: z
    .strictObject({
      /** Whether W3C trace context of a client is sent on to nodes and named in the log. */
      enabled: z.boolean().default(true),
    })
    .prefault({}),
})

export type ObserveOptions = z.infer<typeof observeOptions>
