/**
 * BM25 as Robertson and Zaragoza write it (The Probabilistic Relevance Framework, 2009), with Lucene's idf, which is never negative.
 * Only arithmetic; where its numbers come from is `keyword/score.ts`. Lengths are terms of a chunk, averages over all live chunks.
 */

/** How fast repeats of a term saturate. Of 0.9, 1.2, 1.5 and 2 the best over the six sets of `bench/retrieval.ts`, most of all where texts are long. */
export const k1 = 1.5
/** How much a long text is discounted, 0–1. */
export const b = 0.75

/** How much a term tells when `documentFrequency` of `documents` have it. */
export function idf(documentFrequency: number, documents: number): number {
  return Math.log(1 + (documents - documentFrequency + 0.5) / (documentFrequency + 0.5))
}

/** The part of the denominator that depends on a text's length alone. */
export function lengthNorm(length: number, averageLength: number): number {
  return k1 * (1 - b + (b * length) / averageLength)
}

/** What `frequency` occurrences are worth, below `k1 + 1`. */
export function saturation(frequency: number, norm: number): number {
  return (frequency * (k1 + 1)) / (frequency + norm)
}
