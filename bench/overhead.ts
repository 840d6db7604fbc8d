/**
 * What the gateway costs per request, beside the bare proxy doing the same work: instant answers, 1, 10 and 64
 * requests at a time. Rounds are short and interleaved, in an order that turns, so that a noisy machine disturbs both
 * alike; every ratio is taken within its round and the bar is the median of them. "Added" latency is a target's own
 * minus the direct road's in the same round.
 */
import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import { cpuMs } from './harness/process-stat.ts'
import { manySlots } from './harness/gateway.ts'
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
  const targets: Target[] = [herd.direct(), await stage.bare(herd.ports), await stage.gateway(herd.ports, manySlots)]
  const driver = await stage.driver()
  for (const target of targets) await measure(driver, target, { connections: 64, forMs: 1_500 })
  const found: Rounds = new Map()
  for (let round = 0; round < (options.isQuick ? 3 : 9); round += 1) {
    const order = targets.map((_, index) => targets[(index + round) % targets.length] ?? herd.direct())
    for (const connections of concurrencies) {
      for (const target of order) {
        const measured = await measure(driver, target, { connections, forMs: options.isQuick ? 1_500 : 2_500 })
        const key = `${target.name} c=${connections}`
        found.set(key, [...(found.get(key) ?? []), measured])
        options.log(`round ${round} ${key}: ${rounded(measured.rps)} rps, ${rounded(measured.cpuUs)} µs, p99 ${rounded(measured.p99Ms)} ms`)
      }
    }
  }
  return found
}

interface Round {
  readonly direct: Measure
  readonly bare: Measure
  readonly own: Measure
}

/** The rounds at one concurrency, the three targets side by side. */
function pairs(found: Rounds, connections: number): Round[] {
  const [direct = [], bare = [], own = []] = ['direct', 'bare', 'corral'].map((name) => found.get(`${name} c=${connections}`))
  return own.flatMap((measured, round) => {
    const beside = { direct: direct[round], bare: bare[round] }
    return beside.direct === undefined || beside.bare === undefined ? [] : [{ direct: beside.direct, bare: beside.bare, own: measured }]
  })
}

function addedRatio(round: Round, part: 'p50Ms' | 'p99Ms'): number {
  const added = (measured: Measure): number => Math.max(noiseMs, measured[part] - round.direct[part])
  return added(round.own) / added(round.bare)
}

function barsAt(found: Rounds, connections: number): Bar[] {
  const beside = pairs(found, connections)
  const middleOf = (ratio: (round: Round) => number): number => rounded(median(beside.map(ratio)))
  const cpu = middleOf(({ own, bare }) => own.cpuUs / bare.cpuUs)
  return [
    ...(connections === 10 ? [atMost('CPU per request c=10, × bare', cpu, 1.5)] : []),
    atLeast(
      `requests per second c=${connections}, × bare`,
      middleOf(({ own, bare }) => own.rps / bare.rps),
      0.6,
    ),
    atMost(
      `added p50 c=${connections}, × bare`,
      middleOf((round) => addedRatio(round, 'p50Ms')),
      1.5,
    ),
    atMost(
      `added p99 c=${connections}, × bare`,
      middleOf((round) => addedRatio(round, 'p99Ms')),
      1.5,
    ),
  ]
}

function table(found: Rounds): Record<string, unknown> {
  const middle = (key: string, pick: (measured: Measure) => number): number => rounded(median((found.get(key) ?? []).map(pick)))
  const row = (key: string): Record<string, number> => ({
    rps: middle(key, (measured) => measured.rps),
    cpuUs: middle(key, (measured) => measured.cpuUs),
    p50Ms: middle(key, (measured) => measured.p50Ms),
    p99Ms: middle(key, (measured) => measured.p99Ms),
    failed: (found.get(key) ?? []).reduce((sum, measured) => sum + measured.failed, 0),
  })
  return Object.fromEntries([...found.keys()].map((key) => [key, row(key)]))
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const found = await onStage(options, (stage) => rounds(stage, options))
  const failed = [...found]
    .flatMap(([key, measures]) => (key.startsWith('corral') ? measures : []))
    .reduce((sum, one) => sum + one.failed, 0)
  const bars = [...concurrencies.flatMap((connections) => barsAt(found, connections)), atMost('failed requests', failed, 0)]
  return benchResult('overhead', options, { bars, data: table(found) })
}
