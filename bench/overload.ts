/**
 * More than the herd can do: 2 and 10 times its capacity, offered at a steady rate whether or not answers come. What
 * the herd serves must not fall below its peak, and who is turned away must learn it at once. Figures are taken once
 * the waiting line is full.
 */
import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver } from './harness/stage.ts'

const nodes = 4
const slots = 4
const serviceMs = 100
const capacityPerSecond = (nodes * slots * 1_000) / serviceMs
const factors = [2, 10] as const
/** A short line fills within the settling time even at twice the capacity. */
const queueMax = 200
const settleMs = 4_000

function rejectedP99Ms(window: LoadWindow): number {
  return Math.max(0, ...Object.entries(window.latencyMs).map(([kind, spread]) => (kind === 'ok' ? 0 : spread.p99)))
}

async function measure(driver: LoadDriver, load: { port: number; connections: number; rate: number }, forMs: number): Promise<LoadWindow> {
  await driver.start({ ...load, body: wholeChat })
  await systemClock.sleep(load.rate > 0 ? settleMs : 1_000)
  await driver.mark()
  await systemClock.sleep(forMs)
  const window = await driver.mark()
  await driver.finish()
  return window
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const forMs = options.isQuick ? 5_000 : 20_000
    const herd = await stage.mock(nodes, { slots, serviceMs })
    const { port } = await stage.gateway(herd.ports, { env: { CORRAL_FLEET__ADMISSION__QUEUE_MAX: String(queueMax) } })
    const driver = await stage.driver()
    const peak = outcomeOf([await measure(driver, { port, connections: nodes * slots * 2, rate: 0 }, forMs)])
    const bars: Bar[] = [atLeast('peak goodput, × what the nodes can do', rounded(peak.okPerSecond / capacityPerSecond), 0.95)]
    const data: Record<string, unknown> = { peak: { okPerSecond: rounded(peak.okPerSecond), failures: peak.kinds } }
    for (const factor of factors) {
      const window = await measure(driver, { port, connections: 2_000, rate: capacityPerSecond * factor }, forMs)
      const outcome = outcomeOf([window])
      const p99Ms = rejectedP99Ms(window)
      options.log(`${factor} ×: ${rounded(outcome.okPerSecond)} answers/s, rejected p99 ${rounded(p99Ms)} ms`)
      bars.push(atLeast(`${factor} × offered: goodput, × peak`, rounded(outcome.okPerSecond / peak.okPerSecond), 0.95))
      bars.push(atMost(`${factor} × offered: rejection p99, ms`, rounded(p99Ms), 10))
      bars.push(atLeast(`${factor} × offered: requests rejected`, outcome.failed, 1))
      data[`${factor} ×`] = {
        okPerSecond: rounded(outcome.okPerSecond),
        failures: outcome.kinds,
        okP50Ms: rounded(window.latencyMs['ok']?.p50 ?? Number.NaN),
      }
    }
    return benchResult('overload', options, { bars, data })
  })
}
