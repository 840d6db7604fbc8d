/**
 * Do equal nodes get equal work, and unequal ones work by what they can do? Eight nodes of four slots, closed loop
 * and open loop; then the same with one node twice as slow, saturated, where a fair share is the share of capacity.
 */
import { wholeChat } from './harness/bodies.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atMost, benchResult, rounded, within } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, MockHerd } from './harness/stage.ts'
import type { Gateway } from './harness/gateway.ts'

const nodes = 8
const slots = 4
const serviceMs = 25
const slowNode = 0
const capacityPerSecond = (nodes * slots * 1_000) / serviceMs
/** What the slow node can do, as a part of what all can. */
const slowShare = 0.5 / (nodes - 0.5)

interface Cast {
  readonly herd: MockHerd
  readonly gateway: Gateway
  readonly driver: LoadDriver
}

interface Load {
  readonly name: string
  readonly connections: number
  /** Requests per second; 0 for a closed loop. */
  readonly rate: number
}

/** Requests each node got while `requests` were served. */
async function play(cast: Cast, load: Load, requests: number): Promise<{ arrivals: number[]; failed: number }> {
  await cast.herd.reset()
  const { connections, rate } = load
  await cast.driver.start({ port: cast.gateway.port, body: wholeChat, connections, rate, requestsMax: requests })
  await cast.driver.all()
  const outcome = outcomeOf([await cast.driver.finish()])
  const counters = await cast.herd.counters()
  return { arrivals: counters.map((node) => node.arrivals), failed: outcome.failed }
}

function busiestToMean(arrivals: readonly number[]): number {
  const mean = arrivals.reduce((sum, count) => sum + count, 0) / arrivals.length
  return rounded(Math.max(...arrivals) / mean)
}

const equalLoads: readonly Load[] = [
  { name: 'equal nodes, closed loop of 8', connections: 8, rate: 0 },
  { name: 'equal nodes, closed loop of 24', connections: 24, rate: 0 },
  { name: 'equal nodes, open loop at 60 %', connections: 512, rate: capacityPerSecond * 0.6 },
]

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const herd = await stage.mock(nodes, { serviceMs, slots })
    const cast: Cast = { herd, gateway: await stage.gateway(herd.ports), driver: await stage.driver() }
    const bars: Bar[] = []
    const data: Record<string, unknown> = {}
    let failed = 0
    for (const load of equalLoads) {
      const played = await play(cast, load, 2_000)
      failed += played.failed
      data[load.name] = played.arrivals
      bars.push(atMost(`${load.name}: busiest to mean after 2,000`, busiestToMean(played.arrivals), 1.05))
    }
    await herd.set({ serviceMs: serviceMs * 2 }, [slowNode])
    const saturated: Load = { name: 'one node twice as slow', connections: nodes * slots * 2, rate: 0 }
    await play(cast, saturated, 1_000)
    const played = await play(cast, saturated, options.isQuick ? 4_000 : 12_000)
    const total = played.arrivals.reduce((sum, count) => sum + count, 0)
    data[saturated.name] = played.arrivals
    bars.push(
      within(
        `${saturated.name}: its share to its share of capacity`,
        rounded((played.arrivals[slowNode] ?? 0) / total / slowShare),
        [0.8, 1.2],
      ),
    )
    bars.push(atMost('failed requests', failed + played.failed, 0))
    return benchResult('balance', options, { bars, data })
  })
}
