/**
 * Compares routing policies on a fleet in virtual time (src/sim/virtual): how long until the first token, and how many loads.
 * Corral's policies run through the functions the gateway uses, fed by the gateway's own learner and eviction price.
 * Constants were tuned on seeds below 100; those reported here took no part in it. Nothing is calibrated
 * to hardware: the figures rank policies, they predict no machine.
 */
import { FleetLearner, FleetPricing, rankerOf } from '../src/cli/replay/live-parts.ts'
import { policies } from '../src/fleet/policy/index.ts'
import { baselines, type RankerFactory } from '../src/sim/virtual/baselines.ts'
import { simulate, type RunOptions } from '../src/sim/virtual/simulation.ts'
import { drawConversations, models, shapes, type Shape } from '../src/sim/virtual/workload.ts'
import { benchResult, rounded, type BenchOptions, type BenchResult } from './harness/result.ts'
import { compareOurs, judge } from './routing/judge.ts'

/** One policy on one shape, all seeds together. */
export interface Cell {
  readonly meanTtftMs: number
  readonly p95TtftMs: number
  readonly coldLoadsPerHour: number
  readonly requests: number
}

/** Shape name to cell, per contender. */
export type Table = Readonly<Record<string, Readonly<Record<string, Cell>>>>

interface Contender {
  readonly ranker: RankerFactory
  readonly binding: RunOptions['binding']
  /** Corral learns how many slots a node has; the others are told. */
  readonly learnsSlots: boolean
}

export const name = 'routing'

const reportSeeds = [201, 202, 203, 204, 205, 206]
const quickSeeds = [201]
const lengthMs = 3 * 3_600_000
const warmUpMs = 15 * 60_000

export async function run(options: BenchOptions): Promise<BenchResult> {
  const seeds = options.isQuick ? quickSeeds : reportSeeds
  const table: Record<string, Record<string, Cell>> = {}
  for (const [contender, how] of contenders()) {
    const row: Record<string, Cell> = {}
    for (const shape of shapes) row[shape.name] = measure(shape, how, seeds)
    table[contender] = row
    options.log(describe(contender, row))
    await Promise.resolve()
  }
  const overLeastLoaded = compareOurs(table)
  for (const [shape, { meanTtft, coldLoads }] of Object.entries(overLeastLoaded)) {
    options.log(`${shape}: expected-completion / least-loaded: ${meanTtft} of the mean TTFT, ${coldLoads} of the loads`)
  }
  return benchResult(name, options, { bars: judge(table), data: { seeds, overLeastLoaded, table: roundedTable(table) } })
}

/** Baselines send at once; Corral's policies are run that way too, and with the line per model that the gateway keeps. */
function contenders(): Map<string, Contender> {
  const all = new Map<string, Contender>()
  for (const [baseline, ranker] of Object.entries(baselines)) all.set(baseline, { ranker, binding: 'immediate', learnsSlots: false })
  for (const [policyName, policy] of Object.entries(policies)) {
    all.set(`${policyName}, sent at once`, { ranker: () => rankerOf(policy), binding: 'immediate', learnsSlots: true })
    all.set(policyName, { ranker: () => rankerOf(policy), binding: 'central', learnsSlots: true })
  }
  return all
}

function measure(shape: Shape, { ranker, binding, learnsSlots }: Contender, seeds: readonly number[]): Cell {
  const ttftMs: number[] = []
  let coldLoads = 0
  for (const seed of seeds) {
    const slots = { slotsConfigured: learnsSlots ? null : shape.slots, slotsAssumed: 1, slotsMax: 16 }
    const result = simulate({
      nodes: shape.nodes,
      models,
      conversations: drawConversations(shape, seed, lengthMs),
      slotsOf: () => shape.slots,
      seed,
      ranker: ranker(),
      pricing: new FleetPricing(),
      newLearner: () => new FleetLearner(slots),
      binding,
      waitingMax: Infinity,
      lengthMs,
      warmUpMs,
    })
    for (const ms of result.ttftMs) ttftMs.push(ms)
    coldLoads += result.coldLoadsPerHour
  }
  ttftMs.sort((a, b) => a - b)
  const sumMs = ttftMs.reduce((sum, ms) => sum + ms, 0)
  return {
    meanTtftMs: sumMs / ttftMs.length,
    p95TtftMs: ttftMs[Math.floor(ttftMs.length * 0.95)] ?? Number.NaN,
    coldLoadsPerHour: coldLoads / seeds.length,
    requests: ttftMs.length,
  }
}

function describe(contender: string, row: Readonly<Record<string, Cell>>): string {
  const cells = Object.values(row).map(({ meanTtftMs, p95TtftMs, coldLoadsPerHour }) => {
    return `${(meanTtftMs / 1_000).toFixed(1)} / ${(p95TtftMs / 1_000).toFixed(0)} s, ${coldLoadsPerHour.toFixed(0)}`.padStart(22)
  })
  return contender.padEnd(36) + cells.join('')
}

function roundedTable(table: Table): Record<string, Record<string, Record<string, number>>> {
  const rows = Object.entries(table).map(([contender, row]) => {
    const cells = Object.entries(row).map(([shape, cell]) => {
      return [shape, Object.fromEntries(Object.entries(cell).map(([figure, value]) => [figure, rounded(Number(value))]))] as const
    })
    return [contender, Object.fromEntries(cells)] as const
  })
  return Object.fromEntries(rows)
}
