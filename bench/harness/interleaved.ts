/**
 * Several targets under the same load in short rounds, one after another in an order that turns, so that a noisy machine
 * disturbs all alike; ratios are taken within a round and the middle one counts. CPU is that of the target's process.
 */
import { systemClock } from '../../src/base/clock.ts'
import { wholeChat } from './bodies.ts'
import type { LoadSpec } from './load-spec.ts'
import { outcomeOf } from './outcome.ts'
import { cpuMs } from './process-stat.ts'
import type { BenchOptions } from './result.ts'
import { rounded } from './result.ts'
import { median } from './samples.ts'
import type { LoadDriver, Target } from './stage.ts'

const warmUpMs = 500

export interface Measure {
  readonly rps: number
  readonly cpuUs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly failed: number
  /** Failures by kind. */
  readonly failures: Readonly<Record<string, number>>
}

/** A target and what is sent to it, where that is not a plain chat. */
export interface AimedTarget extends Target {
  readonly load?: Partial<Pick<LoadSpec, 'body' | 'headers' | 'path'>>
}

/**
 * `rate` 0: each connection asks as soon as it is free. That favours whoever is faster twice: what comes in faster is read in larger
 * batches, and a driver that never sleeps costs nobody a wake-up. At a rate per second both do the same work.
 */
export interface Load {
  readonly connections: number
  readonly rate: number
}

interface Shape extends Load {
  readonly forMs: number
}

/** One window of load after a short warm-up. */
export async function measure(driver: LoadDriver, target: AimedTarget, { connections, rate, forMs }: Shape): Promise<Measure> {
  await driver.start({ body: wholeChat, ...target.load, port: target.port, connections, rate })
  await systemClock.sleep(warmUpMs)
  await driver.mark()
  const cpuBeforeMs = target.pid > 0 ? cpuMs(target.pid) : 0
  await systemClock.sleep(forMs)
  const usedMs = target.pid > 0 ? cpuMs(target.pid) - cpuBeforeMs : 0
  const window = await driver.mark()
  await driver.finish()
  const { ok, failed, okPerSecond, kinds: failures } = outcomeOf([window])
  const latency = window.latencyMs['ok']
  const done = { rps: okPerSecond, cpuUs: (usedMs * 1_000) / Math.max(1, ok) }
  return { ...done, p50Ms: latency?.p50 ?? Number.NaN, p99Ms: latency?.p99 ?? Number.NaN, failed, failures }
}

/** Measures by `NAME c=CONNECTIONS` or `NAME RATE/s`, one per round. */
export type Rounds = ReadonlyMap<string, readonly Measure[]>

export interface RoundsPlan {
  readonly targets: readonly AimedTarget[]
  readonly loads: readonly Load[]
  readonly rounds: number
  readonly forMs: number
}

/** Closed loops of so many connections. */
export function closed(...concurrencies: readonly number[]): Load[] {
  return concurrencies.map((connections) => ({ connections, rate: 0 }))
}

/** A steady rate, with connections to spare. */
export function steady(rate: number): Load {
  return { connections: 64, rate }
}

function loadName({ connections, rate }: Load): string {
  return rate > 0 ? `${rate}/s` : `c=${connections}`
}

export async function playRounds(driver: LoadDriver, plan: RoundsPlan, options: BenchOptions): Promise<Rounds> {
  const { targets, loads, forMs } = plan
  const found = new Map<string, Measure[]>()
  for (const target of targets) await measure(driver, target, { connections: 64, rate: 0, forMs: 1_500 })
  for (let round = 0; round < plan.rounds; round += 1) {
    const order = [...targets.slice(round % targets.length), ...targets.slice(0, round % targets.length)]
    for (const load of loads) {
      for (const target of order) {
        const measured = await measure(driver, target, { ...load, forMs })
        const key = `${target.name} ${loadName(load)}`
        found.set(key, [...(found.get(key) ?? []), measured])
        options.log(`round ${round} ${key}: ${rounded(measured.rps)} rps, ${rounded(measured.cpuUs)} µs, p99 ${rounded(measured.p99Ms)} ms`)
      }
    }
  }
  return found
}

/** The middle over the rounds of what `of` makes of two targets' measures in the same round. */
export function middleOf(found: Rounds, [own, other]: readonly [string, string], of: (own: Measure, other: Measure) => number): number {
  const others = found.get(other) ?? []
  return rounded(
    median(
      (found.get(own) ?? []).flatMap((measured, round) => {
        const beside = others[round]
        return beside === undefined ? [] : [of(measured, beside)]
      }),
    ),
  )
}

/** Middle figures by target and concurrency. */
export function roundsTable(found: Rounds): Record<string, unknown> {
  const middle = (measures: readonly Measure[], pick: (measured: Measure) => number): number => rounded(median(measures.map(pick)))
  const row = (measures: readonly Measure[]): Record<string, number> => ({
    rps: middle(measures, ({ rps }) => rps),
    cpuUs: middle(measures, ({ cpuUs }) => cpuUs),
    p50Ms: middle(measures, ({ p50Ms }) => p50Ms),
    p99Ms: middle(measures, ({ p99Ms }) => p99Ms),
    failed: measures.reduce((sum, { failed }) => sum + failed, 0),
  })
  return Object.fromEntries([...found].map(([key, measures]) => [key, row(measures)]))
}

/** Failed requests of the target with `name`, over all rounds. */
export function failedOf(found: Rounds, name: string): number {
  return [...found].flatMap(([key, measures]) => (key.startsWith(`${name} `) ? measures : [])).reduce((sum, { failed }) => sum + failed, 0)
}
