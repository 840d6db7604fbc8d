/** Starts a gateway with the heap probe inside and reads what the probe wrote. */
import { existsSync, readFileSync } from 'node:fs'

import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import type { GatewaySettings } from './gateway.ts'

/** Time between two readings of the probe. */
export const probeEveryMs = 5_000

const reading = z.object({ heapBytes: z.number(), rssBytes: z.number(), timers: z.int(), sockets: z.int() })
export type Reading = z.infer<typeof reading>

/** Settings that load the probe; it writes to `file`. */
export function probeSettings(file: string): GatewaySettings {
  const probe = new URL(`./gc-probe.ts?${encodeURIComponent(file)}`, import.meta.url)
  return { nodeArgs: ['--expose-gc', '--import', probe.href] }
}

export function readingsOf(file: string): Reading[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => reading.parse(JSON.parse(line)))
}

/** The next reading the probe writes after now. */
export async function nextReading(file: string): Promise<Reading> {
  const known = readingsOf(file).length
  for (;;) {
    const fresh = readingsOf(file)[known]
    if (fresh !== undefined) return fresh
    await systemClock.sleep(100)
  }
}
