/**
 * Building blocks of option schemas. Each module declares its own schema with them; `src/config` composes the whole.
 * A key that holds a duration ends in `Ms` and takes a number or a text with a unit (`30s`); one that holds a size ends in
 * `Bytes` and takes a number or `64MiB`.
 */
import { z } from 'zod'

import { parseBytes, parseDurationMs } from '../base/units.ts'

/** A duration in milliseconds, at least `minMs` and at most `maxMs`. */
export function durationMs(defaultMs: number, { minMs = 0, maxMs = 30 * 86_400_000 } = {}) {
  return z
    .union([z.number(), z.string()])
    .transform((value, context) => {
      const parsed = typeof value === 'number' ? value : parseDurationMs(value)
      if (parsed === null || parsed < minMs || parsed > maxMs) {
        context.addIssue({ code: 'custom', message: `expected a duration from ${minMs}ms to ${maxMs}ms, such as 30s or 5m` })
        return z.NEVER
      }
      return parsed
    })
    .prefault(defaultMs)
}

/** A size in bytes. */
export function byteSize(defaultBytes: number, { minBytes = 0, maxBytes = 2 ** 40 } = {}) {
  return z
    .union([z.number(), z.string()])
    .transform((value, context) => {
      const parsed = typeof value === 'number' ? value : parseBytes(value)
      if (parsed === null || parsed < minBytes || parsed > maxBytes) {
        context.addIssue({ code: 'custom', message: `expected a size from ${minBytes} to ${maxBytes} bytes, such as 64MiB` })
        return z.NEVER
      }
      return parsed
    })
    .prefault(defaultBytes)
}
