/**
 * What the gateway costs per request, beside the bare proxy doing the same work: instant answers, 1, 10 and 64
 * requests at a time. Rounds are short and interleaved, in an order that turns, so that a noisy machine disturbs both
 * alike; every ratio is taken within its round and the bar is the median of them. "Added" latency is a target's own
 * minus the direct road's in the same round.
 */
import { manySlots } from './harness/gateway.ts'
import { closed, failedOf, type Measure, playRounds, type Rounds, roundsTable } from './harness/interleaved.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { onStage } from './harness/stage.ts'
import type { Stage } from './harness/stage.ts'

const concurrencies = [1, 10, 64] as const
const nodes = 8
/** Added latency below this is the machine's noise; a ratio of two such numbers says nothing. */
const noiseMs = 0.05

async function rounds(stage: Stage, options: BenchOptions): Promise<Rounds> {
  const herd = await stage.mock(nodes)
  const targets = [herd.direct(), await stage.bare(herd.ports), await stage.gateway(herd.ports, manySlots)]
  const plan = { targets, loads: closed(...concurrencies), rounds: options.isQuick ? 3 : 9, forMs: options.isQuick ? 1_500 : 2_500 }
  return playRounds(await stage.driver(), plan, options)
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

export async function run(options: BenchOptions): Promise<BenchResult> {
  const found = await onStage(options, (stage) => rounds(stage, options))
  const bars = [
    ...concurrencies.flatMap((connections) => barsAt(found, connections)),
    atMost('failed requests', failedOf(found, 'corral'), 0),
  ]
  return benchResult('overhead', options, { bars, data: roundsTable(found) })
}
