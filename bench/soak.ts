/**
 * Half an hour (quick: two minutes; `--minutes N`: so many) of mixed load over a herd that never stops failing: streams, whole answers and
 * clients that leave. Afterwards nothing may be held: no slot, no queued request, no socket more than at rest before and no timer but
 * those of probes; and the heap after forced collections may not grow. A quick run is too short to say anything about
 * the heap, so it reports the slope without a bar. Failures are listed by kind of client and cause, beside what the
 * fleet had to offer meanwhile. The load never needs more than about 20 places at once, which half of the herd has, so a
 * 503 is the gateway's to explain. Streams on a node that resets, and whole answers on one that hangs, are lost to any.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../src/base/clock.ts'
import { streamedChat, wholeChat } from './harness/bodies.ts'
import { heldByFleet, watchFleet } from './harness/fleet-watch.ts'
import type { FleetSeen } from './harness/fleet-watch.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import { outcomeOf } from './harness/outcome.ts'
import { nextReading, probeEveryMs, probeSettings, readingsOf } from './harness/probe-readings.ts'
import type { Reading } from './harness/probe-readings.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { rotateFaults } from './harness/rotating-faults.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, Stage } from './harness/stage.ts'
import { trendOf } from './harness/trend.ts'

const megabyte = 1_000_000
/** Long enough for idle upstream connections to be given back. */
const restMs = 15_000
const warmShare = 0.2
const heapMbPerHourMax = 10
/** Probes of nodes and the log's flush come and go: the fewest of so many readings is what is there at rest. */
const restReadings = 8
/** A round of probes that is under way has no timer, and there are three kinds: the fewest before may be so many too few. */
const roundTimersMax = 3

/** Starts the three kinds of client. */
async function startClients(stage: Stage, port: number): Promise<LoadDriver[]> {
  const [streaming, whole, leaving] = [await stage.driver(), await stage.driver(), await stage.driver()]
  await streaming.start({ port, body: streamedChat, connections: 16, timeoutMs: 30_000 })
  await whole.start({ port, body: wholeChat, connections: 64, rate: 50, timeoutMs: 30_000 })
  await leaving.start({ port, body: streamedChat, connections: 2, timeoutMs: 150 })
  return [streaming, whole, leaving]
}

async function finishAll(drivers: readonly LoadDriver[]): Promise<LoadWindow[]> {
  return Promise.all(drivers.map((driver) => driver.finish(30_000)))
}

/** Shorter runs say nothing about the heap. */
const heapMinutesMin = 20

function minutesOf(options: BenchOptions): number {
  return options.minutes ?? (options.isQuick ? 2 : 30)
}

interface Soaked {
  readonly before: Reading
  readonly after: Reading
  readonly readings: readonly Reading[]
  readonly windows: readonly LoadWindow[]
  readonly held: number
  readonly fleet: FleetSeen
  readonly faults: number
}

/** The fewest of everything that is there at rest. */
async function readAtRest(file: string): Promise<Reading> {
  await systemClock.sleep(restMs)
  let fewest = await nextReading(file)
  for (let count = 1; count < restReadings; count += 1) {
    const next = await nextReading(file)
    fewest = {
      heapBytes: Math.min(fewest.heapBytes, next.heapBytes),
      rssBytes: Math.min(fewest.rssBytes, next.rssBytes),
      timers: Math.min(fewest.timers, next.timers),
      sockets: Math.min(fewest.sockets, next.sockets),
    }
  }
  return fewest
}

async function soak(stage: Stage, file: string, options: BenchOptions): Promise<Soaked> {
  const herd = await stage.mock(8, { frames: 20, frameIntervalMs: 20, serviceMs: 20, slowMs: 1_000 })
  const gateway = await stage.gateway(herd.ports, probeSettings(file))
  await finishAll(await startClients(stage, gateway.port))
  // The connection by which the fleet is watched stays open: it belongs to what is there at rest.
  await heldByFleet(gateway.port)
  const before = await readAtRest(file)
  const first = readingsOf(file).length
  const drivers = await startClients(stage, gateway.port)
  options.log(`the gateway listens on ${gateway.port}`)
  const fleetSeen = watchFleet(gateway.port)
  const faults = await rotateFaults(herd, systemClock.nowMs() + minutesOf(options) * 60_000)
  const fleet = fleetSeen()
  const readings = readingsOf(file).slice(first)
  const windows = await finishAll(drivers)
  const after = await readAtRest(file)
  return { before, after, readings, windows, held: await heldByFleet(gateway.port), fleet, faults }
}

function barsOf(soaked: Soaked, highMbPerHour: number, options: BenchOptions): Bar[] {
  const { before, after } = soaked
  const silent = outcomeOf(soaked.windows).kinds['truncated-silent'] ?? 0
  return [
    atMost('slots and requests still held', soaked.held, 0),
    atMost('sockets more than at rest before', after.sockets - before.sockets, 0),
    atMost('timers more than at rest before', after.timers - before.timers, roundTimersMax),
    atMost('streams cut silently', silent, 0),
    ...(minutesOf(options) < heapMinutesMin
      ? []
      : [atMost('heap growth, upper end of 95 %, MB/h', rounded(highMbPerHour), heapMbPerHourMax)]),
  ]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-soak-'))
  try {
    const soaked = await onStage(options, (stage) => soak(stage, join(folder, 'readings'), options))
    const settled = soaked.readings.slice(Math.floor(soaked.readings.length * warmShare))
    const trend = trendOf(settled.map(({ heapBytes }, index) => ({ atMs: index * probeEveryMs, value: heapBytes / megabyte })))
    const [streaming, whole, leaving] = soaked.windows.map((window) => ({ ...outcomeOf([window]), causes: window.failures.causes }))
    const data = {
      heapMbPerHour: { slope: rounded(trend.perHour), low: rounded(trend.low), high: rounded(trend.high), readings: settled.length },
      heapMb: [soaked.before.heapBytes, soaked.after.heapBytes].map((bytes) => rounded(bytes / megabyte)),
      atRest: { before: soaked.before, after: soaked.after },
      clients: { streaming, whole, leaving },
      fleet: soaked.fleet,
      faults: soaked.faults,
    }
    return benchResult('soak', options, { bars: barsOf(soaked, trend.high, options), data })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
