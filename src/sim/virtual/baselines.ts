/**
 * The ways of choosing a node that other gateways use, for comparison. Each ranks the views, best first.
 */
import type { NodeView } from './node-view.ts'

export interface RouteQuestion {
  readonly promptTokens: number
  readonly outputTokens: number
  /** Requests of the same model that wait before this one; 0 when requests wait in the nodes. */
  readonly queuedAhead: number
  /** Node of the conversation's turn before. */
  readonly stickyNode: string | null
}

export type Ranker = (views: readonly NodeView[], question: RouteQuestion, random: () => number) => readonly NodeView[]

/** A ranker with state of its own starts anew in every run. */
export type RankerFactory = () => Ranker

export const baselines: Readonly<Record<string, RankerFactory>> = {
  random: () => byCost(() => 0),
  'round-robin': roundRobin,
  'least-connections': () => byCost((view) => view.nodeInFlight),
  'least-conn + sticky': () => byCost((view, { stickyNode }) => (view.node === stickyNode ? -1 : view.nodeInFlight)),
  'warm-first': () => byCost((view) => (view.residency === 'cold' ? 1 + view.nodeInFlight : 0)),
  'warm + free slot': () => byCost((view) => (isWarm(view) && view.inFlight < view.slots ? -1 : view.nodeInFlight)),
  'weighted score': () => byCost((view) => -score(view, { warm: 50, perRequest: 10, perSecond: 1 })),
  'weighted score, load first': () => byCost((view) => -score(view, { warm: 30, perRequest: 15, perSecond: 1 })),
}

/** The baselines with weights fixed beforehand: the ones a cost model has to beat. */
export const fixedScores: readonly string[] = ['weighted score', 'weighted score, load first']

/** Smallest cost first, equals in random order. */
export function byCost(cost: (view: NodeView, question: RouteQuestion) => number): Ranker {
  return (views, question, random) =>
    views
      .map((view) => ({ view, cost: cost(view, question), tie: random() }))
      .toSorted((a, b) => a.cost - b.cost || a.tie - b.tie)
      .map(({ view }) => view)
}

function roundRobin(): Ranker {
  let turn = 0
  return (views) => {
    turn += 1
    return views.map((_, index) => views[(index + turn) % views.length]).filter((view) => view !== undefined)
  }
}

function isWarm(view: NodeView): boolean {
  return view.residency !== 'cold'
}

/** Points for a warm model, room for it and a fast node; points off per request under way per slot and for expected waiting. */
function score(view: NodeView, weights: { warm: number; perRequest: number; perSecond: number }): number {
  const queueing = Math.max(0, view.inFlight + 1 - view.slots)
  const tempo = view.decodeMsPerToken === null ? 0 : 10 / (1 + view.decodeMsPerToken / 20)
  const room = view.evictionMs === 0 ? 10 : 0
  const warm = view.residency === 'resident' ? weights.warm : view.residency === 'loading' ? weights.warm * 0.6 : 0
  const waitSeconds = (queueing * view.pendingMs) / Math.max(1, view.inFlight) / view.slots / 1_000
  return warm + room + tempo - (weights.perRequest * view.nodeInFlight) / view.slots - weights.perSecond * Math.min(25, waitSeconds)
}
