/**
 * One bad node of eight under steady load: 16 clients, 50 ms of service (1 s streams for the reset in mid-stream).
 * The fault lasts from 2 s to 11 s; a killed node is back at 7 s. All faults but the kill and the refused connection
 * leave the health paths of the bad node healthy: what a node says of itself must not be trusted. Counted are the
 * requests that end during the fault, over all rounds, and the bad node's part of all arrivals.
 */
import { systemClock } from '../src/base/clock.ts'
import { longPrefillChat, streamedChat, wholeChat } from './harness/bodies.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import type { MockFault, MockSettings } from './harness/mock-settings.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'
import type { MockHerd, Stage } from './harness/stage.ts'
import { lowDeadlines, prefillBars } from './faults-prefill.ts'

const nodes = 8
const badNode = 0
const clients = 16
const clientTimeoutMs = 5_000
const shareFromMs = 2_000
const returnMsMax = 1_100

interface Scenario {
  readonly name: string
  readonly fault: MockFault
  readonly settings: Partial<MockSettings>
  readonly body: string
  readonly failedPercentMax: number
  /** The node comes back during the load and must serve again soon. */
  readonly restarts: boolean
  /** Clients wait for as long as it takes, as Ollama's own do; a request that outlasts the fault by far has failed. */
  readonly patient: boolean
}

const whole = { settings: { serviceMs: 50 }, body: wholeChat, restarts: false, patient: false }
const streams = { settings: { frames: 20, frameIntervalMs: 50, rstAfterFrames: 5 }, body: streamedChat, restarts: false, patient: false }
/** Before the first frame every request can go elsewhere, so none may be lost however long it takes to notice. */
const patient = {
  settings: { serviceMs: 50, frames: 3, frameIntervalMs: 1 },
  body: streamedChat,
  fault: 'hang-inference',
  failedPercentMax: 0,
  restarts: false,
  patient: true,
} as const

const scenarios: readonly Scenario[] = [
  { ...whole, name: '503', fault: '503', failedPercentMax: 0 },
  { ...whole, name: 'refused', fault: 'refuse', failedPercentMax: 0 },
  { ...whole, name: 'killed', fault: 'refuse', failedPercentMax: 0, restarts: true },
  { ...whole, name: '404', fault: '404', failedPercentMax: 0 },
  { ...whole, name: 'reset before head', fault: 'rst-before-head', failedPercentMax: 0 },
  { ...whole, name: 'hang', fault: 'hang-inference', failedPercentMax: 0.1 },
  { ...patient, name: 'hang, patient clients' },
  { ...patient, name: 'hang, patient clients, longer prompts', body: longPrefillChat(100) },
  { ...streams, name: 'reset in mid-stream', fault: 'rst-at-frame', failedPercentMax: 5 },
]

interface Times {
  readonly beforeMs: number
  readonly faultMs: number
  readonly clientTimeoutMs: number
  /** Wait for requests still under way at the end. */
  readonly graceMs: number
}

/** The hang needs its full length even in a quick run: one timeout more or less is what it measures. */
function timesOf(scenario: Scenario, isQuick: boolean): Times {
  const beforeMs = isQuick ? 1_000 : 2_000
  if (scenario.patient) return { beforeMs, faultMs: isQuick ? 6_000 : 30_000, clientTimeoutMs: 300_000, graceMs: isQuick ? 10_000 : 60_000 }
  return { beforeMs, faultMs: isQuick && scenario.fault !== 'hang-inference' ? 6_000 : 9_000, clientTimeoutMs, graceMs: clientTimeoutMs }
}

interface Round {
  readonly before: LoadWindow
  readonly during: LoadWindow[]
  readonly badArrivals: number
  readonly arrivals: number
  readonly returnMs: number
}

/** Milliseconds until the bad node gets its next request. */
async function untilServed(herd: MockHerd): Promise<number> {
  const startMs = systemClock.nowMs()
  while (systemClock.nowMs() - startMs < 30_000) {
    const counters = await herd.counters()
    if ((counters[badNode]?.arrivals ?? 0) > 0) break
    await systemClock.sleep(10)
  }
  return systemClock.nowMs() - startMs
}

async function playRound(stage: Stage, scenario: Scenario, isQuick: boolean): Promise<Round> {
  const times = timesOf(scenario, isQuick)
  const herd = await stage.mock(nodes, scenario.settings)
  const gateway = await stage.gateway(herd.ports, scenario.patient && isQuick ? lowDeadlines : {})
  const driver = await stage.driver()
  await driver.start({ port: gateway.port, body: scenario.body, connections: clients, timeoutMs: times.clientTimeoutMs, rampMs: 200 })
  await systemClock.sleep(times.beforeMs)
  const before = await driver.mark()
  await herd.set({ fault: scenario.fault }, [badNode])
  await systemClock.sleep(shareFromMs)
  await herd.reset()
  await systemClock.sleep((scenario.restarts ? 5_000 : times.faultMs) - shareFromMs)
  const counters = await herd.counters()
  const during = scenario.restarts ? [] : [await driver.mark()]
  await herd.reset()
  await herd.set({ fault: 'none' }, [badNode])
  const returnMs = scenario.restarts ? await untilServed(herd) : 0
  if (scenario.restarts) {
    await systemClock.sleep(Math.max(0, times.faultMs - 5_000))
    during.push(await driver.mark())
  }
  const last = await driver.finish(times.graceMs)
  if (scenario.patient) during.push(last)
  const arrivals = counters.reduce((sum, node) => sum + node.arrivals, 0)
  return { before, during, badArrivals: counters[badNode]?.arrivals ?? 0, arrivals, returnMs }
}

function barsOf(scenario: Scenario, rounds: readonly Round[]): Bar[] {
  const during = outcomeOf(rounds.flatMap((round) => round.during))
  const total = rounds.reduce((sum, round) => sum + round.arrivals, 0)
  const bad = rounds.reduce((sum, round) => sum + round.badArrivals, 0)
  const silent = during.kinds['truncated-silent'] ?? 0
  return [
    atMost(`${scenario.name}: failed %`, rounded(100 * during.failedShare), scenario.failedPercentMax),
    atMost(`${scenario.name}: bad node's share after 2 s, %`, rounded((100 * bad) / Math.max(1, total)), 5),
    ...(scenario.fault === 'rst-at-frame' ? [atMost(`${scenario.name}: cut silently`, silent, 0)] : []),
    ...(scenario.restarts
      ? [atMost(`${scenario.name}: serves again after ms`, rounded(Math.max(...rounds.map((round) => round.returnMs))), returnMsMax)]
      : []),
  ]
}

function figures(rounds: readonly Round[]): Record<string, unknown> {
  const before = outcomeOf(rounds.map((round) => round.before))
  const during = outcomeOf(rounds.flatMap((round) => round.during))
  const p99Ms = rounds.flatMap((round) => round.during.map((window) => rounded(window.latencyMs['ok']?.p99 ?? Number.NaN)))
  return {
    okPerSecond: [rounded(before.okPerSecond), rounded(during.okPerSecond)],
    ended: during.ok + during.failed,
    failures: during.kinds,
    p99Ms,
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const scenario of scenarios.filter(({ name }) => name.includes(options.only))) {
    const rounds: Round[] = []
    for (let round = 0; round < (options.isQuick ? 1 : 3); round += 1)
      rounds.push(await onStage(options, (stage) => playRound(stage, scenario, options.isQuick)))
    const own = barsOf(scenario, rounds)
    bars.push(...own)
    data[scenario.name] = figures(rounds)
    for (const bar of own) options.log(`${bar.name}: ${bar.value} (${bar.limit})`)
  }
  const prefill = 'prefill'.includes(options.only) ? await prefillBars(options) : { bars: [], data: {} }
  return benchResult('faults', options, { bars: [...bars, ...prefill.bars], data: { ...data, prefill: prefill.data } })
}
