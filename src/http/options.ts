/** Options of the HTTP front. `config/default.yaml` explains each key; the numbers' sources stand there. */
import { z } from 'zod'

import { byteSize, durationMs } from '../core/options.ts'
import { isAddressBlock } from './auth/client-address.ts'

export const httpOptions = z.strictObject({
  host: z.string().min(1).default('127.0.0.1'),
  port: z.int().min(0).max(65_535).default(11_435),
  /** Processes that serve this port together. */
  workers: z.int().min(1).max(64).default(1),
  /** Binding anything but loopback without authentication refuses to start unless this is set. */
  insecureNoAuth: z.boolean().default(false),
  keepAliveTimeoutMs: durationMs(75_000),
  headersTimeoutMs: durationMs(10_000),
  /** Longest pause between two pieces of a request body. */
  bodyPauseMsMax: durationMs(30_000),
  headerBytesMax: byteSize(16_384, { minBytes: 1_024, maxBytes: 1_048_576 }),
  bodyBytesMax: byteSize(128 * 1_048_576),
  /** Bytes of all bodies that are being read at the same time. */
  bodiesBytesMax: byteSize(1_073_741_824),
  /** Resident bytes of the process, the measure of the memory ladder; 0: what the container may use. */
  memoryBytesMax: byteSize(0),
  jsonDepthMax: z.int().min(16).max(100_000).default(10_000),
  jsonKeysMax: z.int().min(16).max(1_000_000).default(10_000),
  connectionsMax: z.int().min(1).max(1_000_000).default(20_000),
  /** A waiting stream gets its head and a first keep-alive byte after this long. */
  keepAliveBytesAfterMs: durationMs(15_000),
  keepAliveBytesEveryMs: durationMs(15_000),
  /** A client that takes no byte for this long is dropped. */
  stallMs: durationMs(60_000),
  drainMs: durationMs(30_000),
  /** How long new connections are still served after readiness said no. */
  drainDelayMs: durationMs(0, { maxMs: 600_000 }),
  origins: z.array(z.string()).default([]),
  hosts: z.array(z.string()).default([]),
  /** Proxies whose `X-Forwarded-For` is believed: addresses and blocks. */
  trustedProxies: z.array(z.string().refine(isAddressBlock, 'expected an address or a block such as 10.0.0.0/8')).max(1_000).default([]),
  routeHeaders: z.boolean().default(true),
})

export type HttpOptions = z.infer<typeof httpOptions>
