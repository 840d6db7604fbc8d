/**
 * Many token streams at once: 256 of 50 frames 20 ms apart, 1,000 of 50 frames 100 ms apart. Every stream must end
 * whole; CPU per frame and the delay of the hop (a frame's arrival minus the mock's write of it) are held against
 * the bare proxy's in the same round. Streams start spread over a second, so their frames do not beat together.
 */
import { systemClock } from '../src/base/clock.ts'
import { streamedChat } from './harness/bodies.ts'
import { manySlots } from './harness/gateway.ts'
import { outcomeOf } from './harness/outcome.ts'
import { cpuMs, memoryBytes } from './harness/process-stat.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, MockHerd, Target } from './harness/stage.ts'

interface Shape {
  readonly streams: number
  readonly intervalMs: number
}

const frames = 50
const rampMs = 1_000
const shapes: readonly Shape[] = [
  { streams: 256, intervalMs: 20 },
  { streams: 1_000, intervalMs: 100 },
]

interface Measure {
  readonly cpuUsPerFrame: number
  readonly delayP50Ms: number
  readonly delayP99Ms: number
  readonly firstFrameP99Ms: number
  readonly broken: number
  readonly whole: number
  readonly rssMb: number
}

/** Lets the first streams, which open the connections, pass unmeasured; they must be whole like all others. */
async function measure(driver: LoadDriver, target: Target, load: { shape: Shape; turns: number }): Promise<Measure> {
  const { shape, turns } = load
  const requestsMax = shape.streams * (turns + 1)
  await driver.start({ port: target.port, body: streamedChat, connections: shape.streams, requestsMax, rampMs })
  await systemClock.sleep(rampMs + frames * shape.intervalMs)
  const first = await driver.mark()
  const beforeMs = target.pid > 0 ? cpuMs(target.pid) : 0
  await driver.all()
  const usedMs = target.pid > 0 ? cpuMs(target.pid) - beforeMs : 0
  const rssMb = target.pid > 0 ? memoryBytes(target.pid).rssBytes / 1_000_000 : 0
  const window = await driver.finish()
  const outcome = outcomeOf([first, window])
  const { p50, p99 } = window.frameDelayMs
  const delays = { delayP50Ms: p50, delayP99Ms: p99, firstFrameP99Ms: first.firstFrameMs.p99 }
  return { cpuUsPerFrame: (usedMs * 1_000) / Math.max(1, window.frames), ...delays, broken: outcome.failed, whole: outcome.ok, rssMb }
}

interface Cast {
  readonly herd: MockHerd
  readonly driver: LoadDriver
  readonly targets: readonly Target[]
}

async function playShape(cast: Cast, shape: Shape, options: BenchOptions): Promise<Map<string, Measure[]>> {
  await cast.herd.set({ frames, frameIntervalMs: shape.intervalMs })
  const found = new Map<string, Measure[]>()
  const turns = options.isQuick ? 1 : 2
  for (let round = 0; round < (options.isQuick ? 2 : 4); round += 1) {
    for (const target of round % 2 === 0 ? cast.targets : cast.targets.toReversed()) {
      const measured = await measure(cast.driver, target, { shape, turns })
      found.set(target.name, [...(found.get(target.name) ?? []), measured])
      const figures = `${rounded(measured.cpuUsPerFrame)} µs/frame, p99 ${rounded(measured.delayP99Ms)} ms, broken ${measured.broken}`
      options.log(`${shape.streams} × ${shape.intervalMs} ms ${target.name}: ${figures}`)
    }
  }
  return found
}

function barsOf(name: string, found: ReadonlyMap<string, readonly Measure[]>): Bar[] {
  const own = found.get('corral') ?? []
  const bare = found.get('bare') ?? []
  const ratio = (pick: (measured: Measure) => number): number =>
    rounded(median(own.flatMap((measured, round) => (bare[round] === undefined ? [] : [pick(measured) / pick(bare[round])]))))
  const broken = own.reduce((sum, measured) => sum + measured.broken, 0)
  return [
    atMost(`${name}: broken streams`, broken, 0),
    atMost(
      `${name}: CPU per frame, × bare`,
      ratio((measured) => measured.cpuUsPerFrame),
      1.25,
    ),
    atMost(
      `${name}: frame delay p99, × bare`,
      ratio((measured) => measured.delayP99Ms),
      1.2,
    ),
  ]
}

function row(measures: readonly Measure[]): Record<keyof Measure, number> {
  const middle = (pick: (measured: Measure) => number): number => rounded(median(measures.map(pick)))
  return {
    cpuUsPerFrame: middle((one) => one.cpuUsPerFrame),
    delayP50Ms: middle((one) => one.delayP50Ms),
    delayP99Ms: middle((one) => one.delayP99Ms),
    firstFrameP99Ms: middle((one) => one.firstFrameP99Ms),
    broken: middle((one) => one.broken),
    whole: middle((one) => one.whole),
    rssMb: middle((one) => one.rssMb),
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const herd = await stage.mock(8)
    const targets: Target[] = [herd.direct(), await stage.bare(herd.ports), await stage.gateway(herd.ports, manySlots)]
    const driver = await stage.driver()
    const bars: Bar[] = []
    const data: Record<string, unknown> = {}
    for (const shape of shapes) {
      const name = `${shape.streams} streams`
      const found = await playShape({ herd, driver, targets }, shape, options)
      bars.push(...barsOf(name, found))
      for (const [target, measures] of found) data[`${name} ${target}`] = row(measures)
    }
    return benchResult('streams', options, { bars, data })
  })
}
