/**
 * Repeatable random numbers and the few distributions a workload is drawn from. The same seed gives the same run on every
 * machine.
 */

/** Numbers in [0, 1) from a 32-bit Weyl sequence whose terms are scrambled (splitmix construction). */
export function seededRandom(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) | 0
  return () => {
    state = (state + 0x9e3779b9) | 0
    let word = state ^ (state >>> 16)
    word = Math.imul(word, 0x21f0aaad)
    word ^= word >>> 15
    word = Math.imul(word, 0x735a2d97)
    word ^= word >>> 15
    return (word >>> 0) / 2 ** 32
  }
}

/** Exponential with the given mean. */
export function exponential(random: () => number, mean: number): number {
  return -mean * Math.log(1 - random())
}

/** Log-normal with the given mean; `spread` is the deviation of the logarithm. */
export function logNormal(random: () => number, mean: number, spread: number): number {
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return mean * Math.exp(spread * normal - (spread * spread) / 2)
}

/** Number of trials until success: at least 1, with the given mean. */
export function geometric(random: () => number, mean: number): number {
  return 1 + Math.floor(Math.log(1 - random()) / Math.log(1 - 1 / mean))
}

/** Index drawn with probability proportional to its weight. */
export function weightedIndex(random: () => number, weights: readonly number[]): number {
  let left = random() * weights.reduce((sum, weight) => sum + weight, 0)
  for (const [index, weight] of weights.entries()) {
    left -= weight
    if (left < 0) return index
  }
  return weights.length - 1
}
