/**
 * What the gateway did lately, for a person who looks now: rates and percentiles as differences between samples of the counters,
 * one each five seconds, a quarter of an hour of them. Sampling goes on whether anybody looks or not and reads numbers in memory
 * only, so that a page that is opened during an outage shows how it began.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { firstTokenSeconds } from './buckets.ts'
import { defaultServiceLevel } from './service-level.ts'
import { type NodeTotals, type OverviewTotals, sumTotals } from './overview-totals.ts'

const sampleMs = 5_000
/** A quarter of an hour. */
const pointsMax = 180
/** Samples kept whole: what is shown as "now" looks back over a minute of them. */
const samplesMax = 12
const nowSamples = 2
/** Of fewer, one failure would be more than may fail. */
const budgetRequestsMin = 1_000

export interface OverviewPoint {
  /** Epoch milliseconds. */
  readonly atMs: number
  readonly requestsPerSecond: number
  /** Share of requests that failed through no fault of their client, 0 to 1; null without requests. */
  readonly errorShare: number | null
  readonly ttftP50Ms: number | null
  readonly ttftP95Ms: number | null
  readonly tokensPerSecond: number
  readonly queued: number
  readonly inFlight: number
}

/** One node over the last minute. */
export interface NodeRates {
  readonly node: string
  readonly requestsPerSecond: number
  readonly errorShare: number | null
  readonly ttftP95Ms: number | null
}

/** The same now, and what is left of the error budget since the start. */
export interface OverviewNow extends OverviewPoint {
  /** 1: all of what may fail of so many requests by the service level; below 0: more failed. Null: too few requests to tell. */
  readonly budgetLeft: number | null
}

/** Of all processes that make up this gateway, as far as they answered. One that comes, back or for the first time, is no rise. */
export type TotalsByProcess = ReadonlyMap<string, OverviewTotals>

export interface OverviewDeps {
  readonly clock: Clock
  readonly read: () => Promise<TotalsByProcess>
}

interface Sample {
  /** Monotonic. */
  readonly atMs: number
  readonly totals: TotalsByProcess
}

export class Overview {
  readonly #deps: OverviewDeps
  readonly #points: OverviewPoint[] = []
  readonly #samples: Sample[] = []
  #timer: Timer | null = null
  #stopped = false

  constructor(deps: OverviewDeps) {
    this.#deps = deps
  }

  async start(): Promise<void> {
    keepLast(this.#samples, this.#sampleOf(await this.#deps.read()), samplesMax)
    this.#wait()
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** One for each five seconds of the last quarter of an hour, oldest first. */
  points(): readonly OverviewPoint[] {
    return this.#points
  }

  /** With the present totals: the last five to ten seconds. */
  now(totals: TotalsByProcess): OverviewNow {
    const point = this.#point(this.#samples.at(-nowSamples) ?? this.#samples[0], this.#sampleOf(totals))
    return { ...point, budgetLeft: budgetLeftOf(sumTotals([...totals.values()])) }
  }

  /** With the present totals: each node that was asked in the last minute. */
  nodes(totals: TotalsByProcess): readonly NodeRates[] {
    const [before] = this.#samples
    if (before === undefined) return []
    const seconds = Math.max(1, (this.#deps.clock.nowMs() - before.atMs) / 1_000)
    const { from, to } = comparable(before.totals, totals)
    return Object.entries(to.nodes).map(([node, after]) => ratesOf(node, { before: from.nodes[node], after, seconds }))
  }

  #sampleOf(totals: TotalsByProcess): Sample {
    return { atMs: this.#deps.clock.nowMs(), totals }
  }

  #wait(): void {
    if (this.#stopped) return
    this.#timer = this.#deps.clock.after(sampleMs, () => void this.#sample())
  }

  async #sample(): Promise<void> {
    const sample = this.#sampleOf(await this.#deps.read())
    keepLast(this.#points, this.#point(this.#samples.at(-1), sample), pointsMax)
    keepLast(this.#samples, sample, samplesMax)
    this.#wait()
  }

  #point(before: Sample | undefined, { atMs, totals }: Sample): OverviewPoint {
    const { clock } = this.#deps
    const { from, to: after } = comparable(before?.totals ?? totals, totals)
    const { queued, inFlight } = sumTotals([...totals.values()])
    const ttft = rises(from.ttft, after.ttft)
    const requests = rise(from.requests, after.requests)
    const seconds = Math.max(0.001, (atMs - (before?.atMs ?? atMs)) / 1_000)
    return {
      atMs: Math.round(clock.wallMs()),
      requestsPerSecond: round(requests / seconds),
      errorShare: requests === 0 ? null : rise(from.failed, after.failed) / requests,
      ttftP50Ms: percentileMs(firstTokenSeconds, ttft, 0.5),
      ttftP95Ms: percentileMs(firstTokenSeconds, ttft, 0.95),
      tokensPerSecond: round(rise(from.outputTokens, after.outputTokens) / seconds),
      queued,
      inFlight,
    }
  }
}

/** The sums of those that are in both. */
function comparable(before: TotalsByProcess, after: TotalsByProcess): { readonly from: OverviewTotals; readonly to: OverviewTotals } {
  const both = [...after].flatMap(([process, to]) => {
    const from = before.get(process)
    return from === undefined ? [] : [{ from, to }]
  })
  return { from: sumTotals(both.map(({ from }) => from)), to: sumTotals(both.map(({ to }) => to)) }
}

function budgetLeftOf({ requests, failed }: OverviewTotals): number | null {
  return requests < budgetRequestsMin ? null : 1 - failed / (requests * (1 - defaultServiceLevel.availability))
}

function ratesOf(
  node: string,
  { before, after, seconds }: { readonly before: NodeTotals | undefined; readonly after: NodeTotals; readonly seconds: number },
): NodeRates {
  const tries = rise(before?.tries ?? 0, after.tries)
  return {
    node,
    requestsPerSecond: round(tries / seconds),
    errorShare: tries === 0 ? null : rise(before?.failed ?? 0, after.failed) / tries,
    ttftP95Ms: percentileMs(firstTokenSeconds, rises(before?.ttft ?? [], after.ttft), 0.95),
  }
}

function keepLast<T>(list: T[], item: T, most: number): void {
  list.push(item)
  if (list.length > most) list.shift()
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** What is forgotten with its model, or gone with its process, is counted no more. */
function rise(before: number, after: number): number {
  return Math.max(0, after - before)
}

function rises(before: readonly number[], after: readonly number[]): number[] {
  return after.map((count, index) => rise(before[index] ?? 0, count))
}

/** By linear interpolation inside the bucket, as `histogram_quantile` does; above the last bound, that bound. Null without counts. */
export function percentileMs(bounds: readonly number[], counts: readonly number[], share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total === 0) return null
  let below = 0
  for (const [index, count] of counts.entries()) {
    const upper = bounds[index]
    if (upper === undefined) break
    if (below + count >= share * total) {
      const lower = index === 0 ? 0 : (bounds[index - 1] ?? 0)
      return Math.round((lower + ((upper - lower) * (share * total - below)) / count) * 1_000)
    }
    below += count
  }
  return Math.round((bounds.at(-1) ?? 0) * 1_000)
}
