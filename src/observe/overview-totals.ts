/** What the counters say in sum, as a person's overview needs it. Those of several processes add up; they travel between them as JSON. */
import type { createFamilies } from './metric-list.ts'

type Families = Pick<ReturnType<typeof createFamilies>, 'requests' | 'firstToken' | 'requestOutput' | 'nodeRequests' | 'nodeFirstToken'>

/** Tries on one node since the start. `ttft`: counts of `node_time_to_first_token`'s buckets. */
export interface NodeTotals {
  readonly tries: number
  readonly failed: number
  readonly ttft: readonly number[]
}

/** Since the start, but for what is queued and in flight now. */
export interface OverviewTotals {
  readonly requests: number
  /** Through no fault of their client. */
  readonly failed: number
  readonly outputTokens: number
  /** Counts of `time_to_first_token`'s buckets. */
  readonly ttft: readonly number[]
  readonly nodes: Readonly<Record<string, NodeTotals>>
  readonly queued: number
  readonly inFlight: number
}

/** Outcomes that are not the gateway's or a node's failure. */
const blameless = new Set(['ok', 'client_error', 'client_gone'])
const noTries: NodeTotals = { tries: 0, failed: 0, ttft: [] }

/** Those of this process. */
export function readTotals(
  { requests, firstToken, requestOutput, nodeRequests, nodeFirstToken }: Families,
  now: Pick<OverviewTotals, 'queued' | 'inFlight'>,
): OverviewTotals {
  const ended = [...requests.entries()].map(([{ value }, [, , outcome = '']]) => ({ value, isBlameless: blameless.has(outcome) }))
  const nodes = [
    ...[...nodeRequests.entries()].map(([{ value }, [node = '', outcome = '']]) => ({
      [node]: { tries: value, failed: blameless.has(outcome) ? 0 : value, ttft: [] },
    })),
    ...[...nodeFirstToken.entries()].map(([{ counts }, [node = '']]) => ({ [node]: { ...noTries, ttft: [...counts] } })),
  ]
  return {
    requests: sum(ended.map(({ value }) => value)),
    failed: sum(ended.filter(({ isBlameless }) => !isBlameless).map(({ value }) => value)),
    outputTokens: sum([...requestOutput.entries()].map(([cell]) => cell.sum)),
    ttft: [...firstToken.entries()].map(([{ counts }]) => [...counts]).reduce(addCounts, []),
    nodes: nodes.reduce(addNodes, {}),
    ...now,
  }
}

/** Those of several processes as one. */
export function sumTotals(all: readonly OverviewTotals[]): OverviewTotals {
  return {
    requests: sum(all.map(({ requests }) => requests)),
    failed: sum(all.map(({ failed }) => failed)),
    outputTokens: sum(all.map(({ outputTokens }) => outputTokens)),
    ttft: all.map(({ ttft }) => ttft).reduce(addCounts, []),
    nodes: all.map(({ nodes }) => nodes).reduce(addNodes, {}),
    queued: sum(all.map(({ queued }) => queued)),
    inFlight: sum(all.map(({ inFlight }) => inFlight)),
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function addCounts(left: readonly number[], right: readonly number[]): readonly number[] {
  const [longer, shorter] = left.length > right.length ? [left, right] : [right, left]
  return longer.map((count, index) => count + (shorter[index] ?? 0))
}

function addNodes(left: OverviewTotals['nodes'], right: OverviewTotals['nodes']): OverviewTotals['nodes'] {
  const added = Object.entries(right).map(([node, { tries, failed, ttft }]) => {
    const known = left[node] ?? noTries
    return [node, { tries: known.tries + tries, failed: known.failed + failed, ttft: addCounts(known.ttft, ttft) }] as const
  })
  return { ...left, ...Object.fromEntries(added) }
}
