/**
 * Connections at rest. First 5,000 that made one request and stay silent, while others send 200 requests a second:
 * what each costs in memory, and that none is dropped. Then 10,000 silent ones beside 2,000 streams of one frame a
 * second. At last gateways that do nothing, console, RAG and store on: the embedded store after a restart, and Postgres.
 * The gateway and the drivers need as many file descriptors; too low a limit fails the bench at its start.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../src/base/clock.ts'
import { streamedChat, wholeChat } from './harness/bodies.ts'
import { manySlots } from './harness/gateway.ts'
import type { Gateway } from './harness/gateway.ts'
import { outcomeOf } from './harness/outcome.ts'
import { cpuMs, memoryBytes } from './harness/process-stat.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { hasPostgres } from '../test/support/postgres.ts'
import { startPooledPostgres } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { MockHerd, Stage } from './harness/stage.ts'

const filesNeeded = 15_000
const megabyte = 1_000_000

function requireFiles(): void {
  const limit = Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1] ?? 0)
  if (limit < filesNeeded) throw new Error(`this bench needs ${filesNeeded} open files, the limit is ${limit}: raise it with ulimit -n`)
}

interface Part {
  readonly bars: Bar[]
  readonly data: Record<string, unknown>
}

/** Lets a gateway reach its working size, so that the connections alone make the difference. */
async function warm(stage: Stage, gateway: Gateway): Promise<void> {
  const driver = await stage.driver()
  await driver.start({ port: gateway.port, body: wholeChat, connections: 64 })
  await systemClock.sleep(4_000)
  await driver.finish()
  await systemClock.sleep(2_000)
}

async function silentOnes(stage: Stage, herd: MockHerd, holdMs: number): Promise<Part> {
  const count = 5_000
  const gateway = await stage.gateway(herd.ports, manySlots)
  await warm(stage, gateway)
  const active = await stage.driver()
  await active.start({ port: gateway.port, body: wholeChat, connections: 64, rate: 200 })
  await systemClock.sleep(2_000)
  const before = memoryBytes(gateway.pid)
  const resting = await stage.driver()
  await resting.openIdle(gateway.port, count)
  await active.mark()
  await systemClock.sleep(holdMs)
  const after = memoryBytes(gateway.pid)
  const window = await active.finish()
  const open = await resting.idleOpen()
  await gateway.stop()
  const outcome = outcomeOf([window])
  const kilobytesEach = (after.rssBytes - before.rssBytes) / 1_000 / count
  const bars = [
    atLeast('5,000 idle: still open', open, count),
    atMost('5,000 idle: KB each', rounded(kilobytesEach), 17),
    atMost('5,000 idle: failed requests', outcome.failed, 0),
  ]
  const latency = window.latencyMs['ok']
  const data = {
    rssMb: [before, after].map(({ rssBytes }) => rounded(rssBytes / megabyte)),
    p50Ms: latency?.p50,
    p99Ms: latency?.p99,
    holdMs,
  }
  return { bars, data }
}

async function slowStreams(stage: Stage, herd: MockHerd, holdMs: number): Promise<Part> {
  const count = 10_000
  const streams = 2_000
  await herd.set({ frames: Math.ceil(holdMs / 1_000), frameIntervalMs: 1_000 })
  const gateway = await stage.gateway(herd.ports, manySlots)
  const resting = await stage.driver()
  await resting.openIdle(gateway.port, count)
  const active = await stage.driver()
  await active.start({ port: gateway.port, body: streamedChat, connections: streams, requestsMax: streams, rampMs: 2_000 })
  await systemClock.sleep(holdMs * 0.8)
  const { rssBytes } = memoryBytes(gateway.pid)
  await active.all()
  const window = await active.finish()
  const open = await resting.idleOpen()
  const outcome = outcomeOf([window])
  const bars = [
    atLeast('10,000 idle and 2,000 streams: idle still open', open, count),
    atLeast('10,000 idle and 2,000 streams: streams whole', outcome.ok, streams),
    atMost('10,000 idle and 2,000 streams: RSS, MB', rounded(rssBytes / megabyte), 350),
  ]
  return { bars, data: { failures: outcome.kinds, frameDelayP99Ms: rounded(window.frameDelayMs.p99), holdMs } }
}

/** A gateway to which nobody comes: what it holds after a minute, and what its probes and upkeep cost meanwhile. */
async function restOf(stage: Stage, herd: MockHerd, { env, restMs }: { env: Readonly<Record<string, string>>; restMs: number }) {
  const gateway = await stage.gateway(herd.ports, { env })
  await systemClock.sleep(restMs / 2)
  const beforeMs = cpuMs(gateway.pid)
  await systemClock.sleep(restMs)
  const cpuShare = (cpuMs(gateway.pid) - beforeMs) / restMs
  const { rssBytes, pssBytes } = memoryBytes(gateway.pid)
  await gateway.stop()
  return { rssMb: rounded(rssBytes / megabyte), pssMb: rounded(pssBytes / megabyte), cpuPercent: rounded(cpuShare * 100) }
}

async function atRest(stage: Stage, herd: MockHerd, restMs: number): Promise<Part> {
  const secret = { CORRAL_STORE__ENABLED: 'true', CORRAL_SECRET: 'a secret of this bench, thirty-two characters' }
  const dataDir = mkdtempSync(join(tmpdir(), 'corral-bench-idle-'))
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  const take = async (name: string, rssMbMax: number, env: Readonly<Record<string, string>>): Promise<void> => {
    const rest = await restOf(stage, herd, { env: { ...secret, ...env }, restMs })
    bars.push(atMost(`at rest, ${name}: RSS, MB`, rest.rssMb, rssMbMax), atMost(`at rest, ${name}: CPU, %`, rest.cpuPercent, 1))
    data[name] = rest
  }
  try {
    const embedded = { CORRAL_STORE__DATA_DIR: dataDir }
    // The first start makes the database, which holds more memory than those after it.
    await restOf(stage, herd, { env: { ...secret, ...embedded }, restMs: 10_000 })
    await take('embedded', 320, embedded)
  } finally {
    rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 })
  }
  if (hasPostgres()) {
    const postgres = await stage.service(startPooledPostgres({ poolSize: 10 }))
    await take('Postgres', 130, { DATABASE_URL: postgres.pooledUrl, CORRAL_STORE__DIRECT_URL: postgres.directUrl })
  }
  return { bars, data }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  requireFiles()
  const holdMs = options.isQuick ? 8_000 : 60_000
  return onStage(options, async (stage) => {
    const herd = await stage.mock(8)
    const parts: Record<string, (stage: Stage, herd: MockHerd, holdMs: number) => Promise<Part>> = {
      silent: silentOnes,
      slow: slowStreams,
      rest: atRest,
    }
    const bars: Bar[] = []
    const data: Record<string, unknown> = {}
    for (const [name, measure] of Object.entries(parts).filter(([one]) => one.includes(options.only))) {
      const part = await measure(stage, herd, holdMs)
      for (const bar of part.bars) options.log(`${bar.name}: ${bar.value}`)
      bars.push(...part.bars)
      data[name] = part.data
    }
    return benchResult('idle', options, { bars, data })
  })
}
