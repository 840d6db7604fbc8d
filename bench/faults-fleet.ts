/**
 * Faults with a course of their own: a node that comes and goes every 2 s (F29 of reliability-security.md), all nodes
 * away and back (F30), half of a fleet gone while clients ask for all it can do (F31).
 */
import { systemClock } from '../src/base/clock.ts'
import { streamedChat, wholeChat } from './harness/bodies.ts'
import { castOf, untilServed } from './harness/fault-round.ts'
import type { Cast } from './harness/fault-round.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'
import type { Stage } from './harness/stage.ts'

type Part = Pick<BenchResult, 'bars' | 'data'>
type Play = (stage: Stage, isQuick: boolean) => Promise<Part>

const clients = 16
const patientMs = 300_000
const graceMs = 30_000

function seen(windows: Readonly<Record<string, LoadWindow>>): Record<string, unknown> {
  const rows = Object.entries(windows).map(([name, window]) => {
    const { ok, failed, okPerSecond } = outcomeOf([window])
    const { p50, p99, max } = window.latencyMs['ok'] ?? { p50: 0, p99: 0, max: 0 }
    return [
      name,
      { ok, failed, okPerSecond: rounded(okPerSecond), okMs: [p50, p99, max].map((ms) => rounded(ms)), failures: window.failures },
    ] as const
  })
  return Object.fromEntries(rows)
}

async function setAll({ bad, good }: Cast, fault: 'none' | 'refuse'): Promise<void> {
  await Promise.all([bad.set({ fault }), good.set({ fault })])
}

const flapMs = 2_000

/** Every time the node goes it cuts the streams it has, and every time it comes it looks healthy. */
async function flapping(stage: Stage, isQuick: boolean): Promise<Part> {
  const cast = await castOf(stage, { nodes: 8, badNodes: 1, settings: { frames: 10, frameIntervalMs: 20 }, gateway: {} })
  await cast.driver.start({ port: cast.port, body: streamedChat, connections: clients, timeoutMs: patientMs, rampMs: 200 })
  await systemClock.sleep(flapMs)
  const before = await cast.driver.mark()
  for (let turn = 0; turn < (isQuick ? 3 : 8); turn += 1) {
    await cast.bad.set({ fault: 'refuse' })
    await systemClock.sleep(flapMs)
    await cast.bad.set({ fault: 'none' })
    await systemClock.sleep(flapMs)
  }
  const during = await cast.driver.finish(graceMs)
  const outcome = outcomeOf([during])
  const bars = [
    atMost('flapping: failed %', rounded(100 * outcome.failedShare), 1),
    atMost('flapping: failed before the first frame', during.failures.beforeFirstFrame, 0),
    atMost('flapping: cut silently', outcome.kinds['truncated-silent'] ?? 0, 0),
  ]
  return { bars, data: seen({ before, during }) }
}

const settleMs = 2_000
const returnMsMax = 30_000

function rejectedP99Ms(window: LoadWindow): number {
  return window.latencyMs['http-503']?.p99 ?? 0
}

/**
 * With nobody to wait for, every request is turned away at once and told when to come again. Those under way when the last
 * node went were with a node and end as its failure (502).
 */
async function allDown(stage: Stage, isQuick: boolean): Promise<Part> {
  const cast = await castOf(stage, { nodes: 8, badNodes: 4, settings: { serviceMs: 50 }, gateway: {} })
  await cast.driver.start({ port: cast.port, body: wholeChat, connections: clients, timeoutMs: patientMs, rampMs: 200 })
  await systemClock.sleep(settleMs)
  const before = await cast.driver.mark()
  await setAll(cast, 'refuse')
  await systemClock.sleep(isQuick ? 4_000 : 10_000)
  const down = await cast.driver.mark()
  await setAll(cast, 'none')
  const backMs = Math.min(...(await Promise.all([untilServed(cast.bad, returnMsMax), untilServed(cast.good, returnMsMax)])))
  await systemClock.sleep(settleMs)
  await cast.driver.mark()
  await systemClock.sleep(settleMs)
  const after = await cast.driver.finish(graceMs)
  const [whileDown, later] = [outcomeOf([down]), outcomeOf([after])]
  const otherKinds = whileDown.failed - (whileDown.kinds['http-503'] ?? 0)
  const bars = [
    atLeast('all nodes down: requests turned away', whileDown.failed, 1),
    atMost('all nodes down: failed otherwise than by 503 (as many were under way)', otherKinds, clients),
    atMost('all nodes down: 503 without Retry-After', down.failures.retryAfterMissing, 0),
    atMost('all nodes down: p99 of a rejection, ms', rounded(rejectedP99Ms(down)), 50),
    atMost('all nodes down: serves again after ms', rounded(backMs), 1_100),
    atMost('all nodes down: failed from 2 s after their return', later.failed, 0),
    atLeast('all nodes down: rate then, × before', rounded(later.okPerSecond / outcomeOf([before]).okPerSecond), 0.9),
  ]
  return { bars, data: seen({ before, down, after }) }
}

const slots = 4
const serviceMs = 100
const capacityPerSecond = (8 * slots * 1_000) / serviceMs
/** As in `overload`: a short line, so that what cannot be served is turned away within the run. */
const queueMax = 200

/** Offered at a steady rate, whether or not answers come: all that the whole fleet can do, then twice what is left. */
async function halfGone(stage: Stage, isQuick: boolean): Promise<Part> {
  const gateway = { env: { CORRAL_FLEET__ADMISSION__QUEUE_MAX: String(queueMax) } }
  const cast = await castOf(stage, { nodes: 8, badNodes: 4, settings: { slots, serviceMs }, gateway })
  await cast.driver.start({ port: cast.port, body: wholeChat, connections: 1_000, rate: capacityPerSecond, timeoutMs: patientMs })
  await systemClock.sleep(settleMs * 2)
  const before = await cast.driver.mark()
  await cast.bad.set({ fault: 'refuse' })
  await systemClock.sleep(isQuick ? 6_000 : 15_000)
  const during = await cast.driver.mark()
  await cast.driver.finish(graceMs)
  const goodput = outcomeOf([during]).okPerSecond / (capacityPerSecond / 2)
  const otherKinds = outcomeOf([during]).failed - (outcomeOf([during]).kinds['http-503'] ?? 0)
  const bars = [
    atLeast('half the fleet gone at full load: goodput, × what is left', rounded(goodput), 0.95),
    atMost('half the fleet gone at full load: failed otherwise than by 503', otherKinds, 0),
    atMost('half the fleet gone at full load: 503 without Retry-After', during.failures.retryAfterMissing, 0),
  ]
  return { bars, data: { ...seen({ before, during }), rejectedP99Ms: rounded(rejectedP99Ms(during)) } }
}

const plays: Readonly<Record<string, Play>> = {
  flapping,
  'all nodes down': allDown,
  'half the fleet gone at full load': halfGone,
}

/** Plays those whose name holds `options.only`. */
export async function fleetBars(options: BenchOptions): Promise<Part> {
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const [name, play] of Object.entries(plays).filter(([own]) => own.includes(options.only))) {
    const part = await onStage(options, (stage) => play(stage, options.isQuick))
    bars.push(...part.bars)
    data[name] = part.data
    for (const bar of part.bars) options.log(`${bar.name}: ${bar.value} (${bar.limit})`)
  }
  return { bars, data }
}
