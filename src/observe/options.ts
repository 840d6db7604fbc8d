/** Options of logs, metrics and traces. `config/default.yaml` explains each key. */
import { z } from 'zod'

import { durationMs } from '../core/options.ts'
import { samplerNames } from './sampler.ts'

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
      /** Distinct values of one label (model, pool; node: at least 100); later ones are counted as `other`. */
      labelValuesMax: z.int().min(1).max(10_000).default(25),
    })
    .prefault({}),
  trace: z
    .strictObject({
      /** Whether W3C trace context of a client is sent on to nodes and named in the log. */
      enabled: z.boolean().default(true),
      /** Collector that takes spans by OTLP over HTTP; left out: none are made. */
      endpoint: z.url({ protocol: /^https?$/ }).optional(),
      /** Sent with every delivery. */
      headers: z.record(z.string(), z.string()).default({}),
      /** `service.name` of the spans. */
      service: z.string().min(1).max(255).default('corral'),
      sampler: z.enum(samplerNames).default('parentbased_always_on'),
      /** Share of traces that a ratio sampler takes. */
      ratio: z.number().min(0).max(1).default(1),
      /** Version of the GenAI conventions whose attribute names are used. */
      genAi: z.enum(['off', '1.41', 'latest']).default('1.41'),
      /** Spans that may wait for delivery; more are dropped and counted. */
      queueSpansMax: z.int().min(1).max(1_000_000).default(8_192),
      /** How long a span waits for others at most. */
      everyMs: durationMs(2_000),
      /** How long one delivery may take. */
      timeoutMs: durationMs(10_000),
    })
    .prefault({}),
})

export type ObserveOptions = z.infer<typeof observeOptions>
