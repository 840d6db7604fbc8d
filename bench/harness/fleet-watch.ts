/**
 * Looks at a gateway's `/admin/fleet` once a second while a load runs, so that a bench can tell failures for want of
 * room from failures of the gateway: how many nodes took requests, how many places they had, who waited.
 */
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import { rounded } from './result.ts'

const everyMs = 1_000
const samplesMax = 36_000

const fleet = z.object({
  nodes: z.array(
    z.object({
      up: z.boolean().nullable(),
      breaker: z.enum(['closed', 'open', 'half_open']),
      ejectedForMs: z.number(),
      inFlight: z.int(),
      runners: z.array(z.object({ slots: z.int().nullable() })),
    }),
  ),
  pools: z.array(z.object({ queued: z.int() })),
  activeAttempts: z.int(),
})
type Fleet = z.infer<typeof fleet>

async function fleetOf(port: number): Promise<Fleet> {
  const response = await fetch(`http://127.0.0.1:${port}/admin/fleet`)
  return fleet.parse(await response.json())
}

/** Requests in flight, attempts and queued requests the gateway holds. */
export async function heldByFleet(port: number): Promise<number> {
  const { nodes, pools, activeAttempts } = await fleetOf(port)
  return nodes.reduce((sum, node) => sum + node.inFlight, 0) + activeAttempts + queuedIn({ pools })
}

function queuedIn({ pools }: Pick<Fleet, 'pools'>): number {
  return pools.reduce((sum, pool) => sum + pool.queued, 0)
}

interface Sample {
  readonly usable: number
  readonly ejected: number
  readonly slots: number
  readonly inFlight: number
  readonly queued: number
}

function sampleOf(seen: Fleet): Sample {
  const usable = seen.nodes.filter((node) => node.up !== false && node.breaker === 'closed')
  const slots = usable.reduce((sum, node) => sum + node.runners.reduce((own, runner) => own + (runner.slots ?? 0), 0), 0)
  const inFlight = seen.nodes.reduce((sum, node) => sum + node.inFlight, 0)
  return {
    usable: usable.length,
    ejected: seen.nodes.filter((node) => node.breaker !== 'closed').length,
    slots,
    inFlight,
    queued: queuedIn(seen),
  }
}

interface Range {
  readonly mean: number
  readonly min: number
  readonly max: number
}

export type FleetSeen = Readonly<Record<keyof Sample, Range>>

function rangeOf(values: readonly number[]): Range {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
  return { mean: rounded(mean), min: Math.min(...values), max: Math.max(...values) }
}

/** Begins to watch; the returned call ends it and says what was seen. */
export function watchFleet(port: number): () => FleetSeen {
  const samples: Sample[] = []
  const stop = new AbortController()
  const look = async (): Promise<void> => {
    while (!stop.signal.aborted && samples.length < samplesMax) {
      samples.push(sampleOf(await fleetOf(port)))
      await systemClock.sleep(everyMs)
    }
  }
  look().catch((error: unknown) => process.stderr.write(`the fleet cannot be watched: ${String(error)}\n`))
  return () => {
    stop.abort()
    const of = (key: keyof Sample): Range => rangeOf(samples.map((sample) => sample[key]))
    return { usable: of('usable'), ejected: of('ejected'), slots: of('slots'), inFlight: of('inFlight'), queued: of('queued') }
  }
}
