/**
 * The other side of finding hung nodes: under the same settings as the fault scenarios, a node that reads a long
 * prompt for 60 s before its first token is left alone. The herd has served shorter prompts for a while, so the
 * gateway has learned what a token of prompt takes; only the prompt's length says that this one takes longer. Quick: 6 s, with the
 * deadline's floor lowered in the same proportion.
 */
import { systemClock } from '../src/base/clock.ts'
import { longPrefillChat } from './harness/bodies.ts'
import type { GatewaySettings } from './harness/gateway.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'

const usualPrefillMs = 400

/** Deadlines for quick runs, lowered as the prompt is. */
const lowDeadlines: GatewaySettings = {
  env: { CORRAL_FLEET__DEADLINES__FIRST_FRAME_MS_MIN: '2s', CORRAL_FLEET__WATCHDOG__WEDGED_AFTER_MS: '2s' },
}

export async function prefillBars(options: BenchOptions): Promise<Pick<BenchResult, 'bars' | 'data'>> {
  const prefillMs = options.isQuick ? 6_000 : 60_000
  return onStage(options, async (stage) => {
    const herd = await stage.mock(8, { serviceMs: 50, frames: 5 })
    const gateway = await stage.gateway(herd.ports, options.isQuick ? lowDeadlines : {})
    const short = await stage.driver()
    await short.start({ port: gateway.port, body: longPrefillChat(usualPrefillMs), connections: 16, requestsMax: 200 })
    await short.all()
    await short.finish()
    await herd.reset()
    const long = await stage.driver()
    const startMs = systemClock.nowMs()
    await long.start({ port: gateway.port, body: longPrefillChat(prefillMs), connections: 1, requestsMax: 1, timeoutMs: prefillMs * 2 })
    await long.all()
    const tookMs = Math.round(systemClock.nowMs() - startMs)
    const outcome = outcomeOf([await long.finish()])
    const paths = (await herd.counters()).map((node) => node.paths)
    const sum = (path: string): number => paths.reduce((total, counts) => total + (counts[path] ?? 0), 0)
    const bars: Bar[] = [
      atLeast(`${prefillMs / 1_000} s prefill: served`, outcome.ok, 1),
      atMost(`${prefillMs / 1_000} s prefill: attempts`, sum('/api/chat'), 1),
      atMost(`${prefillMs / 1_000} s prefill: unloads the gateway sent meanwhile`, sum('/api/generate'), 0),
    ]
    return { bars, data: { prefillMs, tookMs, failures: outcome.kinds } }
  })
}
