/**
 * The workloads W1 and W3 to W6 against a gateway with its caches on (W2 needs retrieval). Each is held against its own ceiling: the
 * share of requests that came before, 1 − D/N. Saved is what no node had to work for, hits and joined requests; the
 * nodes' own count of arrivals is the witness, and a share over the ceiling would mean that two different
 * requests shared an answer. Requests are made from seeds; a quick run has shorter files over smaller catalogues.
 */
import { cachedAnswers, play } from './harness/cache-play.ts'
import type { Played } from './harness/cache-play.ts'
import { atLeast, atMost, benchResult, rounded, within } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'
import type { WorkloadSpec } from './harness/workload.ts'

interface Case {
  readonly name: string
  /** Played first against a fresh cache; counted unless only the passes after it are of interest. */
  readonly cold: WorkloadSpec
  readonly warm?: WorkloadSpec
  /** N of the workload's definition, where it has one. */
  readonly definedRequests?: number
  readonly novelShare: number
  bars(cold: Played, warm: Played | undefined): readonly Bar[]
}

function percent(share: number): number {
  return rounded(share * 100)
}

/** The suite that is repeated and the corpus that is read again reach exactly what is possible. */
function exactly(name: string, share: number, wanted: number): Bar {
  return within(name, percent(share), [wanted - 0.05, wanted + 0.05])
}

function casesOf(isQuick: boolean): Case[] {
  const scale = isQuick ? 20 : 1
  const faq = { kind: 'faq', seed: 1, requests: 200_000 / scale, catalogue: 2_000 / scale, alpha: 1 } as const
  const chunks = isQuick ? 3_200 : 64_000
  return [
    {
      name: 'W1 closed FAQ',
      cold: faq,
      warm: { ...faq, requests: faq.requests / 4 },
      definedRequests: 200_000,
      novelShare: 0,
      bars: (cold, warm) => [
        atLeast('W1 cold, % of requests', percent(cold.savedShare), 98.9),
        atLeast('W1 warm, % of requests', percent(warm?.savedShare ?? 0), 99.9),
      ],
    },
    {
      name: 'W3 mixed support',
      cold: { kind: 'support', seed: 3, requests: isQuick ? 3_000 : 40_000, repeatShare: 0.18, paraphraseShare: 0.47 },
      novelShare: 0.35,
      bars: () => [],
    },
    {
      name: 'W4 CI replay',
      cold: { kind: 'suite', cases: isQuick ? 100 : 800, repeats: 50 },
      novelShare: 0,
      bars: (cold) => [exactly('W4 R=50, % of requests', cold.savedShare, 98)],
    },
    {
      name: 'W5 re-ingest',
      cold: { kind: 'ingest', chunks, batch: 64, changedEvery: 0 },
      warm: { kind: 'ingest', chunks, batch: 64, changedEvery: 50 },
      novelShare: 0.02,
      bars: (_, warm) => [exactly('W5 2 % changed, % of chunks', warm?.savedShare ?? 0, 98)],
    },
    {
      name: 'W6 open chat',
      cold: { kind: 'open', seed: 6, requests: isQuick ? 3_000 : 60_000, catalogue: 1_000_000, alpha: 0.8, novelShare: 0.6 },
      novelShare: 0.6,
      bars: () => [],
    },
  ]
}

/** What every pass is held to, whatever it is. */
function ceilingBars(name: string, played: Played): Bar[] {
  const efficiency = played.ceiling === 0 ? [] : [atLeast(`${name}: efficiency`, rounded(played.savedShare / played.ceiling), 0.995)]
  return [
    ...efficiency,
    atMost(`${name}: saved over the ceiling, requests`, Math.max(0, played.distinct - played.upstream), 0),
    atMost(`${name}: failed`, played.failed, 0),
    atMost(`${name}: saved by its own account, but not by the nodes'`, Math.abs(played.accounted - played.saved), 0),
  ]
}

async function playCase(one: Case, options: BenchOptions): Promise<Pick<BenchResult, 'bars' | 'data'>> {
  return onStage(options, async (stage) => {
    const herd = await stage.mock(4)
    const { port } = await stage.gateway(herd.ports, cachedAnswers)
    const driver = await stage.driver()
    const cold = await play({ herd, driver, port, options }, one.cold, [])
    const warm = one.warm === undefined ? undefined : await play({ herd, driver, port, options }, one.warm, [one.cold])
    const defined = one.definedRequests
    const note = defined === undefined || cold.requests >= defined ? {} : { belowDefinedN: defined }
    const facts = { ...note, novelShare: one.novelShare, ttl: '24h', churn: 0, instances: 1 }
    const passes = warm === undefined ? { cold: cold.report } : { cold: cold.report, warm: warm.report }
    const held = [...ceilingBars(`${one.name}, cold`, cold), ...(warm === undefined ? [] : ceilingBars(`${one.name}, again`, warm))]
    return { bars: [...one.bars(cold, warm), ...held], data: { [one.name]: { ...facts, ...passes } } }
  })
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const one of casesOf(options.isQuick).filter(({ name }) => name.includes(options.only))) {
    const part = await playCase(one, options)
    bars.push(...part.bars)
    Object.assign(data, part.data)
    options.log(`${one.name}: ${JSON.stringify(part.data[one.name])}`)
  }
  return benchResult('cache', options, { bars, data })
}
