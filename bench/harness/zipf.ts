/**
 * Zipf's law over a catalogue. Rank 1 is the most popular. The sampler inverts the cumulative distribution, so it is exact for every α,
 * unlike rejection methods whose result depends on how many numbers they draw.
 */

/** Draws ranks from 1 to `catalogue` with a chance proportional to rank^-alpha. */
export function zipfSampler(catalogue: number, alpha: number, random: () => number): () => number {
  const upTo = new Float64Array(catalogue)
  let sum = 0
  for (let index = 0; index < catalogue; index += 1) {
    sum += (index + 1) ** -alpha
    upTo[index] = sum
  }
  return () => {
    const wanted = random() * sum
    let low = 0
    let high = catalogue - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((upTo[middle] ?? 0) > wanted) high = middle
      else low = middle + 1
    }
    return low + 1
  }
}

/** Ranks that the fit looks at; further down the counts are too small for a logarithm to mean anything. */
const fittedRanksMax = 1_000

/** α as measured: the slope of log(count) over log(rank) by least squares; NaN when fewer than ten keys came twice. */
export function measuredAlpha(counts: readonly number[]): number {
  const sorted = counts
    .filter((count) => count > 1)
    .toSorted((a, b) => b - a)
    .slice(0, fittedRanksMax)
  if (sorted.length < 10) return Number.NaN
  const points = sorted.map((count, index) => ({ x: Math.log(index + 1), y: Math.log(count) }))
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / points.length
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / points.length
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0)
  return -points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread
}
