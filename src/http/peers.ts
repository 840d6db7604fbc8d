/**
 * The other workers of this machine, as far as an operator's question has to reach all of them: one answer for the whole, whichever worker
 * the connection came to. A worker that does not answer in time is left out of what is shown.
 */
import type { PurgeResult } from '../cache/layer.ts'
import type { PurgeSelector } from '../cache/tags.ts'
import type { Switch } from '../core/operator-settings.ts'
import type { FleetByHand } from '../fleet/by-hand.ts'
import type { NodeOptions } from '../fleet/options.ts'
import type { UsedSignature } from '../identity/signature.ts'
import type { ExplainedRequest } from '../observe/explained.ts'
import type { OverviewTotals } from '../observe/overview-totals.ts'
import type { FleetSnapshot, NodeSnapshot, PoolSnapshot, RunnerSnapshot } from '../fleet/snapshot.ts'
import type { CallSnapshot } from './admin/snapshot-call.ts'

export type PeerQuestion =
  /** With what the asking worker has counted itself: the watcher keeps it, should that worker die. */
  | { readonly kind: 'scrape'; readonly own: string }
  | { readonly kind: 'fleet' }
  | { readonly kind: 'requests' }
  | { readonly kind: 'totals' }
  /** All three of those. */
  | { readonly kind: 'live' }
  | { readonly kind: 'explain'; readonly id: string }
  | { readonly kind: 'by-hand' }
  | { readonly kind: 'cancel'; readonly id: string }
  | { readonly kind: 'add-node'; readonly node: NodeOptions }
  | { readonly kind: 'remove-node'; readonly name: string }
  | { readonly kind: 'drain'; readonly name: string; readonly draining: boolean }
  | { readonly kind: 'switch'; readonly name: string; readonly wanted: Switch | null }
  /** A signature was used first at the asking worker. */
  | { readonly kind: 'signed'; readonly signature: UsedSignature }
  | { readonly kind: 'purge'; readonly selector: PurgeSelector; readonly dryRun: boolean }

/** What operators changed in a worker since it started. */
export interface ChangedByHand {
  readonly fleet: FleetByHand
  readonly switches: readonly (readonly [name: string, wanted: Switch])[]
}

/** What one worker says; only what was asked for is there. */
export interface PeerAnswer {
  readonly scrape?: string
  /** The last scrapes of workers that are gone: what they counted goes on counting. */
  readonly gone?: string
  readonly fleet?: FleetSnapshot
  readonly requests?: readonly CallSnapshot[]
  readonly totals?: OverviewTotals
  readonly cancelled?: boolean
  readonly explained?: ExplainedRequest | null
  readonly byHand?: ChangedByHand
  readonly purged?: PurgeResult
  /** Workers that did not answer a purge in time. */
  readonly silent?: number
}

export interface Peers {
  /** The answers of the other workers; of none where this process is alone. */
  ask(question: PeerQuestion): Promise<readonly PeerAnswer[]>
}

/** A process that is the whole gateway. */
export const noPeers: Peers = { ask: () => Promise.resolve([]) }

/** One fleet of what each worker sees: counts are added, and what each learns for itself stays as `own` has it. */
export function wholeFleet(own: FleetSnapshot, others: readonly FleetSnapshot[]): FleetSnapshot {
  return {
    ...own,
    nodes: own.nodes.map((node) =>
      wholeNode(
        node,
        others.flatMap(({ nodes }) => nodes.filter(({ name }) => name === node.name)),
      ),
    ),
    pools: wholePools([own, ...others].flatMap(({ pools }) => pools)),
    activeAttempts: sum([own, ...others].map(({ activeAttempts }) => activeAttempts)),
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

/** Unbounded as soon as one of them is. */
function sumOrNull(numbers: readonly (number | null)[]): number | null {
  const known = numbers.filter((number) => number !== null)
  return known.length < numbers.length ? null : sum(known)
}

function byModel<T extends { readonly model: string }>(items: readonly T[]): T[][] {
  return [...Map.groupBy(items, ({ model }) => model).values()]
}

function wholeNode(own: NodeSnapshot, others: readonly NodeSnapshot[]): NodeSnapshot {
  const all = [own, ...others]
  return {
    ...own,
    inFlight: sum(all.map(({ inFlight }) => inFlight)),
    runners: byModel(all.flatMap(({ runners }) => runners)).flatMap(([first, ...rest]) =>
      first === undefined ? [] : [wholeRunner(first, rest)],
    ),
  }
}

function wholeRunner(own: RunnerSnapshot, others: readonly RunnerSnapshot[]): RunnerSnapshot {
  const all = [own, ...others]
  return {
    ...own,
    inFlight: sum(all.map(({ inFlight }) => inFlight)),
    streaming: sum(all.map(({ streaming }) => streaming)),
    standing: sum(all.map(({ standing }) => standing)),
    slots: sumOrNull(all.map(({ slots }) => slots)),
    loading: all.find(({ loading }) => loading !== null)?.loading ?? null,
  }
}

function wholePools(pools: readonly PoolSnapshot[]): PoolSnapshot[] {
  return byModel(pools).flatMap(([first, ...rest]) => {
    if (first === undefined) return []
    const all = [first, ...rest]
    return [
      {
        ...first,
        queued: sum(all.map(({ queued }) => queued)),
        queueMax: sum(all.map(({ queueMax }) => queueMax)),
        slots: sumOrNull(all.map(({ slots }) => slots)),
        etaMs: Math.max(...all.map(({ etaMs }) => etaMs)),
      },
    ]
  })
}
