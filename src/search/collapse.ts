/**
 * Leaves out results that say what a better one said already: chunks of the same content, or that share nearly all of their words with it.
 * Works on the few best candidates, so comparing each with each is cheap.
 */

/** Share of common words from which two texts count as the same (Jaccard). */
const sameShare = 0.9
/** Words of a text that are looked at. */
const wordsMax = 400
/** Short texts are the same only when equal: two words in common mean little. */
const wordsMin = 8

export interface Candidate {
  readonly hash: string
  readonly text: string
}

interface Seen {
  readonly hash: string
  readonly words: ReadonlySet<string>
}

function wordsOf(text: string): Set<string> {
  return new Set(
    text
      .toLowerCase()
      .split(/\s+/u, wordsMax)
      .filter((word) => word !== ''),
  )
}

function isSame(a: Seen, b: Seen): boolean {
  if (a.hash === b.hash) return true
  const [small, large] = a.words.size < b.words.size ? [a.words, b.words] : [b.words, a.words]
  if (small.size < wordsMin || small.size < large.size * sameShare) return false
  let common = 0
  for (const word of small) if (large.has(word)) common += 1
  return common >= (small.size + large.size - common) * sameShare
}

/** The candidates without later near-duplicates of earlier ones, at most `limit`. */
export function withoutDuplicates<T extends Candidate>(candidates: Iterable<T>, limit: number): T[] {
  const kept: { readonly candidate: T; readonly seen: Seen }[] = []
  for (const candidate of candidates) {
    if (kept.length >= limit) break
    const seen = { hash: candidate.hash, words: wordsOf(candidate.text) }
    if (!kept.some((other) => isSame(other.seen, seen))) kept.push({ candidate, seen })
  }
  return kept.map(({ candidate }) => candidate)
}
