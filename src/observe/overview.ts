/**
 * What the gateway did lately, for a person who looks now: rates and percentiles as differences between samples of the counters,
 * one each five seconds, a quarter of an hour of them. Sampling goes on whether anybody looks or not and reads numbers in memory
 * only, so that a page that is opened during an outage shows how it began.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Distribution } from './families.ts'
import type { Metrics } from './metrics.ts'

const sampleMs = 5_000
/** A quarter of an hour. */
const pointsMax = 180
/** Samples kept whole: what is shown as "now" looks back over a minute of them. */
const samplesMax = 12
const nowSamples = 2

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

export interface OverviewDeps {
  readonly metrics: Pick<Metrics, 'families'>
  readonly clock: Clock
  readonly queued: () => number
  readonly inFlight: () => number
}

interface NodeTotals {
  tries: number
  failed: number
  ttft: Distribution | null
  ttftCounts: Float64Array
}

interface Totals {
  readonly atMs: number
  readonly requests: number
  readonly failed: number
  readonly tokens: number
  readonly ttft: Float64Array
  readonly nodes: ReadonlyMap<string, NodeTotals>
}

/** Outcomes that are not the gateway's or a node's failure. */
const blameless = new Set(['ok', 'client_error', 'client_gone'])
const none = new Float64Array(0)

export class Overview {
  readonly #deps: OverviewDeps
  readonly #points: OverviewPoint[] = []
  readonly #samples: Totals[] = []
  #timer: Timer | null = null

  constructor(deps: OverviewDeps) {
    this.#deps = deps
  }

  start(): void {
    keepLast(this.#samples, this.#read(), samplesMax)
    this.#wait()
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** One for each five seconds of the last quarter of an hour, oldest first. */
  points(): readonly OverviewPoint[] {
    return this.#points
  }

  /** The last five to ten seconds. */
  now(): OverviewPoint {
    return this.#point(this.#samples.at(-nowSamples) ?? this.#samples[0], this.#read())
  }

  /** Each node that was asked in the last minute. */
  nodes(): readonly NodeRates[] {
    const [before] = this.#samples
    const after = this.#read()
    if (before === undefined) return []
    return [...after.nodes].map(([node, totals]) =>
      nodeRates(node, totals, { before: before.nodes.get(node), ms: after.atMs - before.atMs }),
    )
  }

  #wait(): void {
    this.#timer = this.#deps.clock.after(sampleMs, () => {
      const totals = this.#read()
      keepLast(this.#points, this.#point(this.#samples.at(-1), totals), pointsMax)
      keepLast(this.#samples, totals, samplesMax)
      this.#wait()
    })
  }

  #point(before: Totals | undefined, after: Totals): OverviewPoint {
    const { clock, queued, inFlight } = this.#deps
    const bounds = this.#bounds()
    const ttft = difference(before?.ttft ?? none, after.ttft)
    // What is forgotten with its model is counted no more.
    const requests = Math.max(0, after.requests - (before?.requests ?? after.requests))
    const seconds = Math.max(0.001, (after.atMs - (before?.atMs ?? after.atMs)) / 1_000)
    return {
      atMs: Math.round(clock.wallMs()),
      requestsPerSecond: round(requests / seconds),
      errorShare: requests === 0 ? null : (after.failed - (before?.failed ?? after.failed)) / requests,
      ttftP50Ms: percentileMs(bounds, ttft, 0.5),
      ttftP95Ms: percentileMs(bounds, ttft, 0.95),
      tokensPerSecond: round((after.tokens - (before?.tokens ?? after.tokens)) / seconds),
      queued: queued(),
      inFlight: inFlight(),
    }
  }

  #bounds(): readonly number[] {
    for (const [{ bounds }] of this.#deps.metrics.families.firstToken.entries()) return bounds
    return []
  }

  #read(): Totals {
    const { requests, firstToken, requestOutput } = this.#deps.metrics.families
    let asked = 0
    let failed = 0
    for (const [cell, [, , outcome = '']] of requests.entries()) {
      asked += cell.value
      if (!blameless.has(outcome)) failed += cell.value
    }
    let tokens = 0
    for (const [{ sum }] of requestOutput.entries()) tokens += sum
    let ttft: Float64Array = none
    for (const [{ counts }] of firstToken.entries()) ttft = sumOf(ttft, counts)
    return { atMs: this.#deps.clock.nowMs(), requests: asked, failed, tokens, ttft, nodes: this.#readNodes() }
  }

  #readNodes(): Map<string, NodeTotals> {
    const { nodeRequests, nodeFirstToken } = this.#deps.metrics.families
    const nodes = new Map<string, NodeTotals>()
    const totalsOf = (node: string): NodeTotals => {
      const known = nodes.get(node)
      if (known !== undefined) return known
      const made = { tries: 0, failed: 0, ttft: null, ttftCounts: none }
      nodes.set(node, made)
      return made
    }
    for (const [cell, [node = '', outcome = '']] of nodeRequests.entries()) {
      const totals = totalsOf(node)
      totals.tries += cell.value
      if (!blameless.has(outcome)) totals.failed += cell.value
    }
    for (const [cell, [node = '']] of nodeFirstToken.entries()) {
      const totals = totalsOf(node)
      totals.ttft = cell
      totals.ttftCounts = cell.counts.slice()
    }
    return nodes
  }
}

function nodeRates(node: string, after: NodeTotals, { before, ms }: { before: NodeTotals | undefined; ms: number }): NodeRates {
  const tries = after.tries - (before?.tries ?? 0)
  return {
    node,
    requestsPerSecond: round(tries / Math.max(1, ms / 1_000)),
    errorShare: tries === 0 ? null : (after.failed - (before?.failed ?? 0)) / tries,
    ttftP95Ms: percentileMs(after.ttft?.bounds ?? [], difference(before?.ttftCounts ?? none, after.ttftCounts), 0.95),
  }
}

function keepLast<T>(list: T[], item: T, most: number): void {
  list.push(item)
  if (list.length > most) list.shift()
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

function sumOf(left: Float64Array, right: Float64Array): Float64Array {
  return right.map((count, index) => count + (left[index] ?? 0))
}

function difference(before: Float64Array, after: Float64Array): Float64Array {
  return after.map((count, index) => count - (before[index] ?? 0))
}

/** By linear interpolation inside the bucket, as `histogram_quantile` does; above the last bound, that bound. Null without counts. */
export function percentileMs(bounds: readonly number[], counts: Float64Array, share: number): number | null {
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
