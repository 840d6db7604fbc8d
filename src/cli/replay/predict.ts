/** What a log's requests would have met under a policy: the simulator of fleets, run with the gateway's own learner, price and policy. */
import type { SlotOptions } from '../../fleet/learning.ts'
import type { RankerFactory } from '../../sim/virtual/baselines.ts'
import { simulate, type RunOptions, type RunResult } from '../../sim/virtual/simulation.ts'
import type { Conversation } from '../../sim/virtual/workload.ts'
import { isColdLoad, type LearnedFleet } from './fleet.ts'
import { FleetLearner, FleetPricing } from './live-parts.ts'
import type { LoggedRequest } from './log.ts'

/** Of requests that a node served. Null: the log does not say. */
export interface Figures {
  readonly requests: number
  readonly meanTtftMs: number | null
  readonly p95TtftMs: number | null
  /** From arrival until a slot takes it. */
  readonly p95WaitMs: number | null
  readonly coldLoads: number | null
  /** Requests of the busiest node over those of the mean one. */
  readonly busiestShare: number
  readonly refused: number
}

export interface Gateway {
  readonly ranker: RankerFactory
  readonly binding: RunOptions['binding']
  readonly waitingMax: number
  readonly slots: Omit<SlotOptions, 'slotsConfigured'>
  /** As configured; null: the gateway learns it. */
  readonly slotsConfigured: (node: string) => number | null
}

const seed = 1

/** The log's requests at their times, each on its own. Nothing is in memory at the start. */
export function predict(fleet: LearnedFleet, requests: readonly LoggedRequest[], gateway: Gateway): Figures {
  const startMs = requests[0]?.arrivedAtMs ?? 0
  const slots = new Map(fleet.nodes.map((node) => [node.name, node.slots]))
  const result = simulate({
    nodes: fleet.nodes,
    models: fleet.models,
    conversations: conversationsOf(fleet, requests, startMs),
    slotsOf: (node) => slots.get(node) ?? 1,
    seed,
    ranker: gateway.ranker(),
    pricing: new FleetPricing(),
    newLearner: (node) => new FleetLearner({ ...gateway.slots, slotsConfigured: gateway.slotsConfigured(node) }),
    binding: gateway.binding,
    waitingMax: gateway.waitingMax,
    lengthMs: (requests.at(-1)?.arrivedAtMs ?? 0) - startMs + 1,
    warmUpMs: 0,
  })
  return figuresOf(result, fleet)
}

function conversationsOf(
  { models, readTokens }: LearnedFleet,
  requests: readonly LoggedRequest[],
  startMs: number,
): readonly Conversation[] {
  const byName = new Map(models.map((model) => [model.name, model]))
  return requests.flatMap((request, id) => {
    const { model, arrivedAtMs, outputTokens } = request
    const spec = byName.get(model)
    if (spec === undefined) return []
    const turn = { promptTokens: readTokens.get(request) ?? request.promptTokens, outputTokens: Math.max(1, outputTokens), thinkMs: 0 }
    return [{ id, model: spec, startsAtMs: arrivedAtMs - startMs, turns: [turn] }]
  })
}

function figuresOf({ ttftMs, waitMs, coldLoads, refused, requestsByNode }: RunResult, { nodes }: LearnedFleet): Figures {
  return {
    requests: ttftMs.length,
    meanTtftMs: meanOf(ttftMs),
    p95TtftMs: p95Of(ttftMs),
    p95WaitMs: p95Of(waitMs),
    coldLoads,
    busiestShare: busiestShareOf([...requestsByNode.values()], nodes.length),
    refused,
  }
}

/** What the log itself says, to hold the prediction for the present policy against. */
export function loggedFigures(requests: readonly LoggedRequest[], nodes: number): Figures {
  const ttftMs = requests.flatMap((request) => request.ttftMs ?? [])
  const counts = [...Map.groupBy(requests, ({ node }) => node).values()].map(({ length }) => length)
  return {
    requests: requests.length,
    meanTtftMs: meanOf(ttftMs),
    p95TtftMs: p95Of(ttftMs),
    p95WaitMs: p95Of(requests.flatMap((request) => request.queueMs ?? [])),
    coldLoads: requests.some(({ loadMs }) => loadMs !== null) ? requests.filter(isColdLoad).length : null,
    busiestShare: busiestShareOf(counts, Math.max(nodes, counts.length)),
    refused: 0,
  }
}

function meanOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length
}

function p95Of(values: readonly number[]): number | null {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * 0.95)] ?? null
}

function busiestShareOf(counts: readonly number[], nodes: number): number {
  const sum = counts.reduce((total, count) => total + count, 0)
  return sum === 0 ? 0 : (Math.max(...counts) * nodes) / sum
}
