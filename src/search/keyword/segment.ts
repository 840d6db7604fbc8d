/**
 * A segment: the inverted index of some chunks whose numbers no other segment lies between. Built in memory from what is written,
 * never changed after; a removed chunk is a tombstone beside it until a merge leaves it out. Terms and lengths of a text are counted
 * here, so that writing, deleting and merging agree.
 */
import { tokenise } from '../tokenise.ts'
import { type ChunkMap, chunkMap, frequencyMax, type Postings } from './codec.ts'

/** A text to be indexed under the chunk's number. */
export interface IndexedText {
  readonly number: number
  readonly text: string
}

export interface BuiltSegment {
  readonly map: ChunkMap
  readonly terms: ReadonlyMap<string, Postings>
  /** Pairs of a term and a chunk. */
  readonly postings: number
}

export interface CountedText {
  readonly frequencies: ReadonlyMap<string, number>
  /** Words and compounds; their parts and spares are ways to find them and make a text no longer. */
  readonly length: number
}

/** Texts are cut in slices of about this size between which others get their turn: some 3 ms. */
const sliceCharacters = 20_000

/** Terms of one text. */
export function countTerms(text: string, language: string): CountedText {
  const frequencies = new Map<string, number>()
  let length = 0
  for (const { term, role } of tokenise(text, language)) {
    frequencies.set(term, Math.min((frequencies.get(term) ?? 0) + 1, frequencyMax))
    if (role === 'word' || role === 'whole') length += 1
  }
  return { frequencies, length }
}

interface Growing {
  readonly ordinals: number[]
  readonly frequencies: number[]
}

/** Lets the event loop take its turn. */
export function othersTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Indexes `texts`, which come by ascending number. */
export async function buildSegment(texts: readonly IndexedText[], language: string): Promise<BuiltSegment> {
  const growing = new Map<string, Growing>()
  const numbers = Int32Array.from(texts, ({ number }) => number)
  const lengths = new Int32Array(texts.length)
  let sinceTurn = 0
  for (const [ordinal, { text }] of texts.entries()) {
    const counted = countTerms(text, language)
    lengths[ordinal] = counted.length
    for (const [term, frequency] of counted.frequencies) add(growing, term, [ordinal, frequency])
    sinceTurn += text.length
    if (sinceTurn < sliceCharacters) continue
    sinceTurn = 0
    await othersTurn()
  }
  let postings = 0
  const terms = new Map<string, Postings>()
  for (const [term, { ordinals, frequencies }] of growing) {
    terms.set(term, { ordinals: Int32Array.from(ordinals), frequencies: Uint16Array.from(frequencies) })
    postings += ordinals.length
  }
  return { map: chunkMap(numbers, lengths), terms, postings }
}

function add(growing: Map<string, Growing>, term: string, [ordinal, frequency]: readonly [number, number]): void {
  let entry = growing.get(term)
  if (entry === undefined) {
    entry = { ordinals: [], frequencies: [] }
    growing.set(term, entry)
  }
  entry.ordinals.push(ordinal)
  entry.frequencies.push(frequency)
}

/** Where `wanted` stands in ascending `values` from `from` on, or where it would: the first index whose value is not below it. */
export function lowerBound(values: Int32Array, wanted: number, from = 0): number {
  let low = from
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((values[middle] ?? 0) < wanted) low = middle + 1
    else high = middle
  }
  return low
}

/** The ordinal of chunk `number`; -1 when it is not of this segment. */
export function ordinalOf({ numbers }: ChunkMap, number: number): number {
  const first = numbers[0]
  if (first === undefined || number < first) return -1
  // Without gaps, the usual, the ordinal follows from the number.
  if (numbers[number - first] === number) return number - first
  const at = lowerBound(numbers, number)
  return numbers[at] === number ? at : -1
}
