/**
 * What a second worker (`http.workers`) is worth. Requests per second of one and of two workers in turns, and what the two cost: CPU per request
 * of all workers together, and how evenly they share it. Where load driver and mock nodes have cores of their own the throughput is the
 * figure. On two cores they take what the second worker would need, so there the ceiling counts: two workers that never wait for a core do
 * 2 × (CPU per request of one ÷ of two) × (mean ÷ largest share of the CPU) of what one does.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import { manySlots } from './harness/gateway.ts'
import { outcomeOf } from './harness/outcome.ts'
import { cpuMs } from './harness/process-stat.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, Stage, Target } from './harness/stage.ts'

const nodes = 8
const connections = 64
const warmUpMs = 1_000
/** Driver, mock nodes and watcher beside two workers. */
const coresNeeded = 5

interface Measure {
  readonly rps: number
  /** Of all processes of the gateway. */
  readonly cpuUs: number
  /** Mean of the workers' CPU over that of the busiest. */
  readonly evenness: number
  readonly failed: number
}

/** The processes that serve: the children of the watcher, or the gateway itself. */
function serving(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number)
  return children.length > 1 ? children : [pid]
}

async function measure(driver: LoadDriver, target: Target, forMs: number): Promise<Measure> {
  await driver.start({ port: target.port, body: wholeChat, connections })
  await systemClock.sleep(warmUpMs)
  const pids = serving(target.pid)
  const watcher = pids.includes(target.pid) ? [] : [target.pid]
  await driver.mark()
  const before = [...pids, ...watcher].map(cpuMs)
  await systemClock.sleep(forMs)
  const used = [...pids, ...watcher].map((pid, index) => cpuMs(pid) - (before[index] ?? 0))
  const window = await driver.mark()
  await driver.finish()
  const { ok, failed, okPerSecond } = outcomeOf([window])
  const all = used.reduce((sum, ms) => sum + ms, 0)
  const workers = used.slice(0, pids.length)
  const mean = workers.reduce((sum, ms) => sum + ms, 0) / workers.length
  return {
    rps: okPerSecond,
    cpuUs: (all * 1_000) / Math.max(1, ok),
    evenness: mean / Math.max(1, ...workers),
    failed,
  }
}

interface Round {
  readonly one: Measure
  readonly two: Measure
}

async function rounds(stage: Stage, options: BenchOptions): Promise<Round[]> {
  const herd = await stage.mock(nodes)
  const two = { env: { ...manySlots.env, CORRAL_HTTP__WORKERS: '2' } }
  const [single, double] = [await stage.gateway(herd.ports, manySlots), await stage.gateway(herd.ports, two)]
  const driver = await stage.driver()
  const forMs = options.isQuick ? 2_000 : 4_000
  for (const target of [single, double]) await measure(driver, target, 1_500)
  const found: Round[] = []
  for (let round = 0; round < (options.isQuick ? 3 : 9); round += 1) {
    // In turns, so that a noisy machine disturbs both alike.
    const first = await measure(driver, round % 2 === 0 ? single : double, forMs)
    const second = await measure(driver, round % 2 === 0 ? double : single, forMs)
    const pair = round % 2 === 0 ? { one: first, two: second } : { one: second, two: first }
    options.log(
      `round ${round}: ${rounded(pair.one.rps)} and ${rounded(pair.two.rps)} rps, ${rounded(pair.one.cpuUs)} and ${rounded(pair.two.cpuUs)} µs`,
    )
    found.push(pair)
  }
  return found
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const found = await onStage(options, (stage) => rounds(stage, options))
  const middle = (of: (round: Round) => number): number => rounded(median(found.map(of)))
  const throughput = middle(({ one, two }) => two.rps / one.rps)
  const ceiling = middle(({ one, two }) => 2 * (one.cpuUs / two.cpuUs) * two.evenness)
  const failed = found.reduce((sum, { one, two }) => sum + one.failed + two.failed, 0)
  const cores = availableParallelism()
  const scaling =
    cores >= coresNeeded
      ? atLeast('requests per second of 2 workers, × 1 worker', throughput, 1.7)
      : atLeast('ceiling of 2 workers by their CPU, × 1 worker', ceiling, 1.7)
  const data = {
    cores,
    throughput,
    ceiling,
    cpuUs: { one: middle(({ one }) => one.cpuUs), two: middle(({ two }) => two.cpuUs) },
    rps: { one: middle(({ one }) => one.rps), two: middle(({ two }) => two.rps) },
    evenness: middle(({ two }) => two.evenness),
  }
  return benchResult('workers', options, { bars: [scaling, atMost('failed requests', failed, 0)], data })
}
