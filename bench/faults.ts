/**
 * Nodes that fail under steady load, in the ways of fault-scenarios.ts (rounds of one pattern), faults-fleet.ts (courses
 * of their own) and faults-prefill.ts (a slow node that must not be taken for a failed one). All faults but the kill,
 * the refused connection and the signals leave the health paths of the bad nodes healthy: what a node says of itself
 * must not be trusted. Counted are the requests that end from the fault on, over all rounds, and the bad nodes' part of
 * all arrivals. A quick run plays each once with shorter faults, in about seven minutes; `--only TEXT` picks some.
 */
import type { Limits, Scenario } from './fault-scenarios.ts'
import { scenariosOf } from './fault-scenarios.ts'
import { fleetBars } from './faults-fleet.ts'
import { prefillBars } from './faults-prefill.ts'
import { playRound } from './harness/fault-round.ts'
import type { Round } from './harness/fault-round.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'

const roundsFull = 3

function countedOf({ countsBefore }: Scenario, rounds: readonly Round[]): LoadWindow[] {
  return rounds.flatMap((round) => (countsBefore ? [round.before, round.during] : [round.during]))
}

function worst(rounds: readonly Round[], of: (round: Round) => number): number {
  return rounded(Math.max(...rounds.map(of)))
}

/** Requests cut after their first frame, less those the bad node had when it failed. */
function cutBeyondInFlight({ during, badInFlight }: Round): number {
  return outcomeOf([during]).failed - during.failures.beforeFirstFrame - badInFlight
}

function badShare(rounds: readonly Round[]): number {
  const total = rounds.reduce((sum, round) => sum + round.arrivals, 0)
  return rounded((100 * rounds.reduce((sum, round) => sum + round.badArrivals, 0)) / Math.max(1, total))
}

type Figure = (rounds: readonly Round[], scenario: Scenario) => number

/** What each limit is held against, in the order of the report. */
const figures: Readonly<Record<keyof Limits, { readonly label: string; readonly of: Figure }>> = {
  failedPercent: { label: 'failed %', of: (rounds, scenario) => rounded(100 * outcomeOf(countedOf(scenario, rounds)).failedShare) },
  failedBeforeFirstFrame: {
    label: 'failed before the first frame',
    of: (rounds) => worst(rounds, ({ during }) => during.failures.beforeFirstFrame),
  },
  badSharePercent: { label: "bad nodes' share after 2 s, %", of: badShare },
  servesAgainMs: { label: 'serves again after ms', of: (rounds) => worst(rounds, ({ returnMs }) => returnMs) },
  worstTtfbMs: { label: 'worst time to the first frame, ms', of: (rounds) => worst(rounds, ({ during }) => during.firstFrameMs.max) },
  addedTtfbMs: {
    label: 'worst time to the first frame over the usual, ms',
    of: (rounds) => worst(rounds, ({ before, during }) => during.firstFrameMs.max - before.firstFrameMs.p50),
  },
  lastFailureMs: {
    label: 'last failure after the fault, ms',
    of: (rounds) => worst(rounds, ({ during }) => during.failures.lastAfterMs),
  },
  cutBeyondInFlight: { label: 'cut beyond those in flight there', of: (rounds) => worst(rounds, cutBeyondInFlight) },
}
const limitNames: readonly (keyof Limits)[] = [
  'failedPercent',
  'failedBeforeFirstFrame',
  'badSharePercent',
  'servesAgainMs',
  'worstTtfbMs',
  'addedTtfbMs',
  'lastFailureMs',
  'cutBeyondInFlight',
]

function barsOf(scenario: Scenario, rounds: readonly Round[]): Bar[] {
  const silent = outcomeOf(countedOf(scenario, rounds)).kinds['truncated-silent'] ?? 0
  const bars = limitNames.flatMap((name) => {
    const limit = scenario.limits[name]
    return limit === undefined ? [] : [atMost(`${scenario.name}: ${figures[name].label}`, figures[name].of(rounds, scenario), limit)]
  })
  return [...bars, atMost(`${scenario.name}: cut silently`, silent, 0)]
}

function dataOf(rounds: readonly Round[]): Record<string, unknown> {
  const before = outcomeOf(rounds.map((round) => round.before))
  const during = outcomeOf(rounds.map((round) => round.during))
  return {
    okPerSecond: [rounded(before.okPerSecond), rounded(during.okPerSecond)],
    ended: during.ok + during.failed,
    failures: during.kinds,
    causes: rounds.map((round) => round.during.failures.causes),
    lastFailureMs: rounds.map((round) => rounded(round.during.failures.lastAfterMs)),
    worstTtfbMs: rounds.map((round) => rounded(round.during.firstFrameMs.max)),
    p99Ms: rounds.map((round) => rounded(round.during.latencyMs['ok']?.p99 ?? Number.NaN)),
    badInFlight: rounds.map((round) => round.badInFlight),
  }
}

async function scenarioBars(scenario: Scenario, options: BenchOptions): Promise<Pick<BenchResult, 'bars' | 'data'>> {
  const rounds: Round[] = []
  for (let round = 0; round < (options.isQuick ? 1 : roundsFull); round += 1)
    rounds.push(await onStage(options, (stage) => playRound(stage, scenario.plan)))
  const bars = barsOf(scenario, rounds)
  for (const bar of bars) options.log(`${bar.name}: ${bar.value} (${bar.limit})`)
  return { bars, data: dataOf(rounds) }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const scenario of scenariosOf(options.isQuick).filter(({ name }) => name.includes(options.only))) {
    const part = await scenarioBars(scenario, options)
    bars.push(...part.bars)
    data[scenario.name] = part.data
  }
  const fleet = await fleetBars(options)
  const prefill = 'prefill'.includes(options.only) ? await prefillBars(options) : { bars: [], data: {} }
  return benchResult('faults', options, {
    bars: [...bars, ...fleet.bars, ...prefill.bars],
    data: { ...data, ...fleet.data, prefill: prefill.data },
  })
}
