/**
 * The other processes of this gateway, as far as an operator's question has to reach all of them: one answer for the whole, whichever process
 * the connection came to. They are the workers of this machine, and the replicas that share a Redis (`replica-peers.ts`). One that does not
 * answer in time is left out of what is shown, and counted.
 */
import type { PurgeResult } from '../cache/layer.ts'
import type { PurgeSelector } from '../cache/tags.ts'
import type { Switch } from '../core/operator-settings.ts'
import type { NodeChange } from '../fleet/by-hand.ts'
import type { UsedSignature } from '../identity/signature.ts'
import type { ExplainedRequest } from '../observe/explained.ts'
import type { OverviewTotals } from '../observe/overview-totals.ts'
import type { FleetSnapshot } from '../fleet/snapshot.ts'
import type { CallSnapshot } from './admin/snapshot-call.ts'

/** What a process tells of a change of nodes by hand. */
export interface ToldChange {
  /** Null: the store has them. */
  readonly changes: readonly (readonly [name: string, change: NodeChange | null])[] | null
  /** The node that was put back: its breaker closes. */
  readonly putBack: string | null
}

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
  | ({ readonly kind: 'node-changed' } & ToldChange)
  | { readonly kind: 'switch'; readonly name: string; readonly wanted: Switch | null }
  /** A signature was used first at the asking worker. */
  | { readonly kind: 'signed'; readonly signature: UsedSignature }
  | { readonly kind: 'purge'; readonly selector: PurgeSelector; readonly dryRun: boolean }

/** What operators changed in a worker since it started. */
export interface ChangedByHand {
  readonly nodes: readonly (readonly [name: string, change: NodeChange])[]
  readonly switches: readonly (readonly [name: string, wanted: Switch])[]
}

/** The counters of one process. */
export interface ProcessTotals {
  /** Unique to the process, so that counters of one that comes and goes are told from a rise. */
  readonly process: string
  readonly totals: OverviewTotals
}

/** What one process says; only what was asked for is there. */
export interface PeerAnswer {
  readonly scrape?: string
  /** The last scrapes of workers that are gone: what they counted goes on counting. */
  readonly gone?: string
  readonly fleet?: FleetSnapshot
  readonly requests?: readonly CallSnapshot[]
  /** Further requests, too many to be told. */
  readonly requestsLeftOut?: number
  readonly counted?: ProcessTotals
  readonly cancelled?: boolean
  readonly explained?: ExplainedRequest | null
  readonly byHand?: ChangedByHand
  readonly purged?: PurgeResult
  /** Stands for processes that are known and did not answer in time: so many. */
  readonly silent?: number
  /** Stands for the replicas while Redis is away: nobody knows how many there are. */
  readonly redisAway?: true
}

export interface Peers {
  /** The answers of the others; of none where this process is alone. Never rejects. */
  ask(question: PeerQuestion): Promise<readonly PeerAnswer[]>
}

/** A process that is the whole gateway. */
export const noPeers: Peers = { ask: () => Promise.resolve([]) }

/** Both as one. */
export function joinPeers(workers: Peers, replicas: Peers): Peers {
  return { ask: async (question) => (await Promise.all([workers.ask(question), replicas.ask(question)])).flat() }
}

/** How much of the gateway a view shows. */
export interface Coverage {
  /** Processes whose part is in it, the asked one included. */
  readonly processes: number
  /** Processes that are known and did not answer in time. */
  readonly silent: number
  /** Redis is away: other replicas, if there are any, are not in it. */
  readonly redisAway: boolean
}

/** The coverage of a view that is made of one's own part and of `others`. */
export function coverageOf(others: readonly PeerAnswer[]): Coverage {
  const silent = others.reduce((count, answer) => count + (answer.silent ?? 0), 0)
  const redisAway = others.some((answer) => answer.redisAway === true)
  const answered = others.filter((answer) => answer.silent === undefined && answer.redisAway === undefined)
  return { processes: 1 + answered.length, silent, redisAway }
}
