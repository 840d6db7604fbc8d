/**
 * The bars of the routing bench: what `expected-completion` owes against the strongest common rule and against the best score
 * with weights fixed beforehand, what the default policy owes, and whether the simulator ranks the common rules as an
 * independent simulation did (docs of the design name it).
 */
import { fixedScores } from '../../src/sim/virtual/baselines.ts'
import { shapes } from '../../src/sim/virtual/workload.ts'
import { atLeast, atMost, rounded, type Bar } from '../harness/result.ts'
import type { Table } from '../routing.ts'

/**
 * Mean time to first token in seconds of the earlier simulation, in the order of `shapes`. It knew neither our models nor
 * our speeds, so only the order of the rules is compared.
 */
const earlierMeans: Readonly<Record<string, readonly number[]>> = {
  random: [18.1, 130, 18.7, 27.8, 25.4],
  'round-robin': [15.1, 120, 16.6, 25.2, 24.7],
  'least-connections': [9.2, 21.5, 12.8, 15.2, 21.7],
  'least-conn + sticky': [8.9, 18.3, 10.4, 11.3, 17.6],
  'warm-first': [15.9, 193, 11.1, 33.7, 3.5],
  'warm + free slot': [6.8, 23.1, 13.7, 3.1, 3.7],
  'weighted score': [5.0, 11.4, 5.1, 1.7, 1.6],
}

/** Means closer than this are called equal: both simulations scatter more than that between seeds. */
const clearRatio = 1.5

export function judge(table: Table): readonly Bar[] {
  const bars: Bar[] = []
  for (const [index, { name: shape }] of shapes.entries()) {
    const mean = (contender: string): number => table[contender]?.[shape]?.meanTtftMs ?? Number.NaN
    const loads = (contender: string): number => table[contender]?.[shape]?.coldLoadsPerHour ?? Number.NaN
    const bestFixed = Math.min(...fixedScores.map(mean))
    const figures = [
      ['TTFT of expected-completion / least-connections', mean('expected-completion') / mean('least-connections'), 0.5],
      ['loads of expected-completion / least-connections', loads('expected-completion') / loads('least-connections'), 0.25],
      ['TTFT of expected-completion / best fixed score', mean('expected-completion') / bestFixed, 1.1],
      ['TTFT of least-loaded / least-connections', mean('least-loaded') / mean('least-connections'), 0.5],
      ['loads of least-loaded / least-connections', loads('least-loaded') / loads('least-connections'), 0.25],
    ] as const
    for (const [what, value, limit] of figures) bars.push(atMost(`${shape}: ${what}`, rounded(value), limit))
    bars.push(atLeast(`${shape}: pairs of common rules in the known order`, rounded(agreement(index, mean)), 0.8))
  }
  return bars
}

/** What one policy of ours is to the other on a shape: below 1 `expected-completion` is the better one. */
export interface Ratio {
  readonly meanTtft: number
  readonly coldLoads: number
}

/** `expected-completion` over `least-loaded` per shape: the default is the other one where it wins in all of them. */
export function compareOurs(table: Table): Readonly<Record<string, Ratio>> {
  const [one, other] = [table['expected-completion'], table['least-loaded']]
  const over = (shape: string, figure: 'meanTtftMs' | 'coldLoadsPerHour'): number =>
    rounded((one?.[shape]?.[figure] ?? Number.NaN) / (other?.[shape]?.[figure] ?? Number.NaN))
  return Object.fromEntries(
    shapes.map(({ name: shape }) => [shape, { meanTtft: over(shape, 'meanTtftMs'), coldLoads: over(shape, 'coldLoadsPerHour') }]),
  )
}

/** Share of the pairs of rules which the earlier simulation told clearly apart that stand in the same order here. */
function agreement(shapeIndex: number, mean: (contender: string) => number): number {
  let clear = 0
  let same = 0
  for (const [better, betterMeans] of Object.entries(earlierMeans)) {
    for (const [worse, worseMeans] of Object.entries(earlierMeans)) {
      const ratio = (worseMeans[shapeIndex] ?? 0) / (betterMeans[shapeIndex] ?? Infinity)
      if (ratio < clearRatio) continue
      clear += 1
      if (mean(better) < mean(worse)) same += 1
    }
  }
  return same / clear
}
