/** Which requests of a log ran at the same time. */
import type { LoggedRequest } from './log.ts'

/** Clocks, rounding and the way to the node blur the ends of a request: this share at either end does not count. */
const blurredShare = 0.1

interface Span {
  readonly startMs: number
  readonly endMs: number
}

/** Its time on the node, as far as the log tells. */
function spanOf({ arrivedAtMs, endedAtMs, queueMs, promptMs, outputMs }: LoggedRequest): Span {
  const startMs = promptMs === null || outputMs === null ? arrivedAtMs + (queueMs ?? 0) : endedAtMs - promptMs - outputMs
  return { startMs: Math.min(startMs, endedAtMs), endMs: endedAtMs }
}

/** For requests of one node: how many ran in the middle of one of them, itself included. */
export function crowdOf(requests: readonly LoggedRequest[]): (request: LoggedRequest) => number {
  const spans = requests.map(spanOf)
  const starts = spans.map(({ startMs }) => startMs).toSorted((a, b) => a - b)
  const ends = spans.map(({ endMs }) => endMs).toSorted((a, b) => a - b)
  return (request) => {
    const { startMs, endMs } = spanOf(request)
    const middleMs = (startMs + endMs) / 2
    return Math.max(1, countUpTo(starts, middleMs) - countUpTo(ends, middleMs))
  }
}

/** Most of these requests that ran at one moment. */
export function streamsAtOnce(requests: readonly LoggedRequest[]): number {
  const edges = requests.flatMap((request) => {
    const { startMs, endMs } = spanOf(request)
    const blurMs = (endMs - startMs) * blurredShare
    return [
      { atMs: startMs + blurMs, step: 1 },
      { atMs: endMs - blurMs, step: -1 },
    ]
  })
  let running = 0
  let most = 0
  for (const { step } of edges.toSorted((a, b) => a.atMs - b.atMs || a.step - b.step)) {
    running += step
    most = Math.max(most, running)
  }
  return most
}

/** How many of the sorted values are at most `limit`. */
function countUpTo(sorted: readonly number[], limit: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? Infinity) <= limit) low = middle + 1
    else high = middle
  }
  return low
}
