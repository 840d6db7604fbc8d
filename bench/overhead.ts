/**
 * What the gateway costs per request, beside the bare proxy doing the same work: instant answers, 1, 10 and 64
 * requests at a time, rounds interleaved so that a noisy machine disturbs both alike, medians of the rounds.
 * "Added" latency is a target's own minus the direct road's in the same round.
 */
import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import { cpuMs } from './harness/process-stat.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, Stage, Target } from './harness/stage.ts'

const concurrencies = [1, 10, 64] as const
const nodes = 8
const warmUpMs = 500
/** Added latency below this is the machine's noise; a ratio of two such numbers says nothing. */
const noiseMs = 0.05

interface Measure {
  readonly rps: number
  readonly cpuUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
}

type Rounds = Map<string, Measure[]>

async function measure(driver: LoadDriver, target: Target, shape: { connections: number; forMs: number }): Promise<Measure> {
  await driver.start({ port: target.port, body: wholeChat, connections: shape.connections })
  await systemClock.sleep(warmUpMs)
  await driver.mark()
  const cpuBeforeMs = target.pid > 0 ? cpuMs(target.pid) : 0
  await systemClock.sleep(shape.forMs)
  const usedMs = target.pid > 0 ? cpuMs(target.pid) - cpuBeforeMs : 0
  const window = await driver.mark()
  await driver.finish()
  const { ok = 0, ...failures } = window.kinds
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0)
  const latency = window.latencyMs['ok']
  const rate = { rps: (ok * 1_000) / window.durationMs, cpuUs: (usedMs * 1_000) / Math.max(1, ok) }
  return { ...rate, p50Ms: latency?.p50 ?? Number.NaN, p99Ms: latency?.p99 ?? Number.NaN, failed }
}

async function rounds(stage: Stage, options: BenchOptions): Promise<Rounds> {
  const herd = await stage.mock(nodes)
  const targets: Target[] = [herd.direct(), await stage.bare(herd.ports), await stage.gateway(herd.ports)]
  const driver = await stage.driver()
  const found: Rounds = new Map()
  for (let round = 0; round < (options.isQuick ? 3 : 5); round += 1) {
    for (const connections of concurrencies) {
      for (const target of targets) {
        const measured = await measure(driver, target, { connections, forMs: options.isQuick ? 1_500 : 4_000 })
        const key = `${target.name} c=${connections}`
        found.set(key, [...(found.get(key) ?? []), measured])
        options.log(`round ${round} ${key}: ${rounded(measured.rps)} rps, ${rounded(measured.cpuUs)} µs, p99 ${rounded(measured.p99Ms)} ms`)
      }
    }
  }
  return found
}

/** Median over rounds of `pick` at one target and concurrency. */
function middle(found: Rounds, key: string, pick: (measured: Measure, round: number) => number): number {
  return median((found.get(key) ?? []).map(pick))
}

function added(found: Rounds, key: string, connections: number): { p50Ms: number; p99Ms: number } {
  const direct = found.get(`direct c=${connections}`) ?? []
  const over = (pick: (measured: Measure) => number): number =>
    middle(found, key, (measured, round) => {
      const base = direct[round]
      return base === undefined ? Number.NaN : pick(measured) - pick(base)
    })
  return { p50Ms: over((measured) => measured.p50Ms), p99Ms: over((measured) => measured.p99Ms) }
}

function barsAt(found: Rounds, connections: number): Bar[] {
  const own = `corral c=${connections}`
  const bare = `bare c=${connections}`
  const ratio = (pick: (measured: Measure) => number): number => rounded(middle(found, own, pick) / middle(found, bare, pick))
  const ownAdded = added(found, own, connections)
  const bareAdded = added(found, bare, connections)
  const latency = (part: 'p50Ms' | 'p99Ms'): number => rounded(Math.max(ownAdded[part], noiseMs) / Math.max(bareAdded[part], noiseMs))
  const cpu = connections === 10 ? [atMost('CPU per request c=10, × bare', ratio((measured) => measured.cpuUs), 1.5)] : []
  return [
    ...cpu,
    atLeast(`requests per second c=${connections}, × bare`, ratio((measured) => measured.rps), 0.6),
    atMost(`added p50 c=${connections}, × bare`, latency('p50Ms'), 1.5),
    atMost(`added p99 c=${connections}, × bare`, latency('p99Ms'), 1.5),
  ]
}

function table(found: Rounds): Record<string, unknown> {
  const row = (key: string): Record<string, number> => ({
    rps: rounded(middle(found, key, (measured) => measured.rps)),
    cpuUs: rounded(middle(found, key, (measured) => measured.cpuUs)),
    p50Ms: rounded(middle(found, key, (measured) => measured.p50Ms)),
    p99Ms: rounded(middle(found, key, (measured) => measured.p99Ms)),
    failed: (found.get(key) ?? []).reduce((sum, measured) => sum + measured.failed, 0),
  })
  return Object.fromEntries([...found.keys()].map((key) => [key, row(key)]))
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const found = await onStage((stage) => rounds(stage, options))
  const failed = [...found].flatMap(([key, measures]) => (key.startsWith('corral') ? measures : [])).reduce((sum, one) => sum + one.failed, 0)
  const bars = [...concurrencies.flatMap((connections) => barsAt(found, connections)), atMost('failed requests', failed, 0)]
  return benchResult('overhead', options, { bars, data: table(found) })
}
