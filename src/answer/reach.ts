/**
 * What of a document a passage holds: the chunk that was found, with what the search gave around it. Passages of one document hold the same text
 * twice only where their chunks overlap: what is around one gives way to those that were found before it.
 */
import type { SearchHit } from '../core/corpus.ts'

/** A range of the document with its text. */
export interface Reach {
  /** Offset in the document. */
  readonly start: number
  readonly text: string
}

export interface Taken {
  readonly hit: SearchHit
  readonly reach: Reach
}

/** The chunk alone. */
export function chunkReach({ chunk }: SearchHit): Reach {
  return { start: chunk.start, text: chunk.text }
}

/** The chunk with what stands around it, as far as none of `taken` holds it already; null: one of them holds the chunk. */
export function wideReach(hit: SearchHit, taken: readonly Taken[]): Reach | null {
  const { chunk, before, after, passage } = hit
  let { start, end } = passage
  for (const { reach } of taken.filter((other) => other.hit.collection === hit.collection && other.hit.document.id === hit.document.id)) {
    const reachEnd = reach.start + reach.text.length
    if (reach.start <= chunk.start && reachEnd >= chunk.end) return null
    if (reach.start <= chunk.start) start = Math.max(start, Math.min(reachEnd, chunk.start))
    if (reachEnd >= chunk.end) end = Math.min(end, Math.max(reach.start, chunk.end))
  }
  return { start, text: (before + chunk.text + after).slice(start - passage.start, end - passage.start) }
}
