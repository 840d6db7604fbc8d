/**
 * Searches by many at once through the whole gateway (`/rag/search`, hybrid, on Postgres): 100 and 1,000 users who read for a second between two
 * searches, then a rising rate of arrivals, with 40 % of the searches asked before; at last as many repeats a second as it gives. Documents come in
 * through `/rag` too; simulated nodes embed them. Every new search is embedded, looked up by words and vectors, and fused.
 */
import { systemClock } from '../src/base/clock.ts'
import { fillCollection } from './harness/bench-collection.ts'
import type { Gateway } from './harness/gateway.ts'
import { type Summary, summaryOf } from './harness/outcome.ts'
import { cpuMs } from './harness/process-stat.ts'
import { atLeast, atMost, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'
import { type LoadDriver, onStage } from './harness/stage.ts'
import { storedGateway } from './harness/stored-gateway.ts'
import type { WorkloadSpec } from './harness/workload.ts'

const topics = 500
const documents = { full: 2_000, quick: 200 }
const repeatShare = 0.4
const rates = [50, 100, 200, 400, 800]

interface Phase {
  readonly name: string
  readonly connections: number
  readonly rate: number
  readonly thinkMs: number
  readonly repeatShare: number
  readonly seconds: number
  readonly seed: number
}

interface Played extends Summary {
  /** Of the gateway, for each search that the cache did not answer; null where it answered all. */
  readonly cpuMsPerNew: number | null
}

async function play(driver: LoadDriver, { port, pid }: Gateway, phase: Phase): Promise<Played> {
  const workload: WorkloadSpec = { kind: 'searches', seed: phase.seed, requests: 10_000_000, topics, repeatShare: phase.repeatShare }
  const { connections, rate, thinkMs } = phase
  await driver.start({ port, path: '/rag/search', connections, rate, thinkMs, rampMs: 1_000, timeoutMs: 30_000, body: '{}', workload })
  await systemClock.sleep(2_000)
  await driver.mark()
  const beforeMs = cpuMs(pid)
  await systemClock.sleep(phase.seconds * 1_000)
  const window = await driver.mark()
  const tookMs = cpuMs(pid) - beforeMs
  await driver.finish(5_000)
  const summary = summaryOf(window)
  const isNew = summary.requests * (1 - summary.hitShare)
  return { ...summary, cpuMsPerNew: isNew < 1 ? null : rounded(tookMs / isNew) }
}

/** Seeds differ, so that what is new in one phase is new; repeats alone stay within one closed set. */
function phasesOf(isQuick: boolean): Phase[] {
  const seconds = isQuick ? 4 : 15
  const users = [100, 1_000].map((connections, seed): Phase => {
    return { name: `${connections} users`, connections, rate: 0, thinkMs: 1_000, repeatShare, seconds, seed }
  })
  const rising = rates.map((rate, at): Phase => {
    return { name: `${rate} a second`, connections: 512, rate, thinkMs: 0, repeatShare, seconds: isQuick ? 3 : 8, seed: 10 + at }
  })
  const closed = { connections: 64, rate: 0, thinkMs: 0, repeatShare: 1, seed: 1 }
  return [...users, ...rising, { name: 'closed set, first time', ...closed, seconds }, { name: 'repeats alone', ...closed, seconds }]
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const { gateway } = await storedGateway(stage, { speed: 1_000, embedMsPerItem: 1 })
    await fillCollection(`http://127.0.0.1:${gateway.port}`, { documents: options.isQuick ? documents.quick : documents.full, topics })
    const driver = await stage.driver()
    const data: Record<string, Played> = {}
    for (const phase of phasesOf(options.isQuick)) data[phase.name] = await play(driver, gateway, phase)
    const of = (name: string): Summary => data[name] ?? measuredNothing
    return benchResult('search-load', options, {
      bars: [
        atMost('100 users: P95 ms', of('100 users').p95Ms, 90),
        atMost('100 users: failed', of('100 users').failedShare, 0.001),
        atMost('1,000 users: failed', of('1000 users').failedShare, 0.001),
        atMost('rising arrivals, the worst rate: failed', Math.max(...rates.map((rate) => of(`${rate} a second`).failedShare)), 0.001),
        atLeast('repeats alone: searches a second', of('repeats alone').perSecond, 1_000),
        atMost('repeats alone: failed', of('repeats alone').failedShare, 0.001),
      ],
      data: { ...data },
    })
  })
}

const measuredNothing: Summary = { requests: 0, perSecond: 0, p50Ms: Infinity, p95Ms: Infinity, failedShare: 1, hitShare: 0, kinds: {} }
