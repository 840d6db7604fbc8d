/** What several processes see of the fleet and of the requests, as the one gateway that an operator asks. */
import { circuitStates } from '../observe/circuit-states.ts'
import type { FleetSnapshot, NodeSnapshot, PoolSnapshot, RunnerSnapshot } from '../fleet/snapshot.ts'

/**
 * One fleet of what each process sees. Counts are added; of what each finds for itself of a node the trouble is shown: the worst state of the
 * breakers, the longest ejection, the latest failure. A node is up as soon as one reaches it, with the reason of one that does not, and
 * drained once all have it so. The rest stays as `own` has it.
 */
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

function firstKnown<T>(values: readonly (T | null)[]): T | null {
  return values.find((value) => value !== null) ?? null
}

function leastOrNull(numbers: readonly (number | null)[]): number | null {
  const known = numbers.filter((number) => number !== null)
  return known.length === 0 ? null : Math.min(...known)
}

function later(one: NodeSnapshot['lastFailure'], two: NodeSnapshot['lastFailure']): NodeSnapshot['lastFailure'] {
  if (one === null || two === null) return one ?? two
  return two.agoMs < one.agoMs ? two : one
}

function byModel<T extends { readonly model: string }>(items: readonly T[]): T[][] {
  return [...Map.groupBy(items, ({ model }) => model).values()]
}

function wholeNode(own: NodeSnapshot, others: readonly NodeSnapshot[]): NodeSnapshot {
  const all = [own, ...others]
  return {
    ...own,
    up: all.find(({ up }) => up === true)?.up ?? all.find(({ up }) => up !== null)?.up ?? null,
    downReason: firstKnown(all.map(({ downReason }) => downReason)),
    lastFailure: all.reduce<NodeSnapshot['lastFailure']>((latest, { lastFailure }) => later(latest, lastFailure), null),
    version: firstKnown(all.map(({ version }) => version)),
    draining: all.every(({ draining }) => draining),
    breaker: circuitStates.findLast((state) => all.some(({ breaker }) => breaker === state)) ?? own.breaker,
    ejectedForMs: Math.max(...all.map(({ ejectedForMs }) => ejectedForMs)),
    lastSeenAgoMs: leastOrNull(all.map(({ lastSeenAgoMs }) => lastSeenAgoMs)),
    overloadedForMs: Math.max(...all.map(({ overloadedForMs }) => overloadedForMs)),
    inFlight: sum(all.map(({ inFlight }) => inFlight)),
    models: firstKnown(all.map(({ models }) => models)),
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
