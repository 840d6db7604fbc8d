/**
 * What a load driver is told to send and what it reports. A window is the time between two marks; its figures
 * hold the requests that ended inside it.
 */
import { z } from 'zod'

import { workloadSpec } from './workload.ts'

export const loadSpec = z.strictObject({
  port: z.int(),
  path: z.string().default('/api/chat'),
  body: z.string().default(''),
  /** Connections, each with one request at a time. */
  connections: z.int().min(1),
  /** Requests per second, sent whether or not earlier ones have ended. 0: each connection sends when it is free. */
  rate: z.number().min(0).default(0),
  /** Mean time that a connection rests after an answer, as people do who read it (exponential). Only where `rate` is 0. */
  thinkMs: z.number().min(0).default(0),
  /** Requests in all; 0: until `finish`. */
  requestsMax: z.int().min(0).default(0),
  /** A request without its last byte after this long counts as failed. */
  timeoutMs: z.number().default(120_000),
  /** First requests of the connections are spread over this time. */
  rampMs: z.number().min(0).default(0),
  headers: z.record(z.string(), z.string()).default({}),
  /** Values of `authorization` that the connections take in turn, one each; none when empty. */
  credentials: z.array(z.string()).default([]),
  /** Bodies that differ from request to request, in order, instead of `body`; its end ends the load. */
  workload: workloadSpec.optional(),
})
export type LoadSpec = z.infer<typeof loadSpec>

const spread = z.strictObject({ count: z.int(), p50: z.number(), p90: z.number(), p95: z.number(), p99: z.number(), max: z.number() })
export type Spread = z.infer<typeof spread>

/** What is known of the requests that did not end `ok`. */
const failures = z.strictObject({
  /** Those whose client had not had a frame yet: the gateway could still have gone elsewhere. */
  beforeFirstFrame: z.int(),
  /** Milliseconds from the window's start to the end of its last failure; 0 for none. */
  lastAfterMs: z.number(),
  /** Answers 429 and 503 that do not say when to come back. */
  retryAfterMissing: z.int(),
  /** By kind and first words of the error, numbers removed. */
  causes: z.record(z.string(), z.int()),
})
export type Failures = z.infer<typeof failures>

export const loadWindow = z.strictObject({
  durationMs: z.number(),
  /** Requests by how they ended: ok, http-NNN, refused, reset, truncated-visible, truncated-silent, in-band-error, timeout. */
  kinds: z.record(z.string(), z.int()),
  /** Milliseconds from sending (open loop: from when it was due) to the last byte, by kind. */
  latencyMs: z.record(z.string(), spread),
  /** Milliseconds until the first frame of a stream. */
  firstFrameMs: spread,
  /** Milliseconds from the mock's write of a frame to its arrival here. */
  frameDelayMs: spread,
  failures,
  /** Milliseconds to the last byte of the answers that were `ok`, by what their header `x-corral-cache` says. */
  cache: z.record(z.string(), spread),
  /** Bytes of those answers' bodies, by the same. */
  cacheBytes: z.record(z.string(), z.int()),
  frames: z.int(),
  inFlight: z.int(),
})
export type LoadWindow = z.infer<typeof loadWindow>
