/**
 * The best chunks for a query over decoded postings: exact BM25, term at a time. Terms come by what they can give at most; once the
 * rest together could lift no new chunk into the answer, only the chunks that still can get there are looked up in the remaining lists
 * (Turtle and Flood, Query evaluation: strategies and optimizations, 1995). The answer equals that of scoring everything; equal scores
 * are ordered by number. The event loop gets its turn every `postingsPerTurn`.
 */
import { idf, lengthNorm, saturation, k1 } from '../bm25.ts'
import { BestScores } from './best-scores.ts'
import type { ChunkMap, Postings } from './codec.ts'
import type { QueryTerm } from './query-terms.ts'
import { giveScratch, type Scratch, takeScratch } from './scratch.ts'
import { lowerBound, ordinalOf, othersTurn } from './segment.ts'

/** About 2 ms of work. */
const postingsPerTurn = 400_000
/** A compound that so many chunks have is rare enough to be what the query is about. */
const rareMax = 3
/** Below this many postings the search for a threshold costs more than it saves. */
const pruneFromPostings = 20_000

/** One segment as a query sees it: postings by place of the query's term, null where the segment has none. */
export interface ScoredSegment {
  readonly map: ChunkMap
  /** Numbers of removed chunks, ascending. */
  readonly dead: Int32Array
  readonly lists: readonly (Postings | null)[]
  /** Of each list, how many postings are of removed chunks. */
  readonly deadIn: readonly number[]
}

export interface ScoreInput {
  readonly segments: readonly ScoredSegment[]
  readonly terms: readonly QueryTerm[]
  /** Live chunks of the collection and their mean length. */
  readonly chunks: number
  readonly averageLength: number
  readonly limit: number
  readonly allowed: ReadonlySet<number> | null
}

export interface Scored {
  readonly hits: readonly { readonly number: number; readonly score: number }[]
  /** Postings of the query's terms, and how many were read. */
  readonly postings: number
  readonly read: number
  /** Terms that were read whole; the others only for chunks that could still win. */
  readonly wholeTerms: number
}

interface PreparedTerm {
  readonly place: number
  /** `idf` × weight: what one unit of saturation gives. */
  readonly factor: number
  /** What presence alone gives. */
  readonly floor: number
  readonly bound: number
  readonly postings: number
}

export async function scoreChunks(input: ScoreInput): Promise<Scored> {
  const prepared = prepare(input)
  const scoring = new Scoring(input)
  let wholeTerms = 0
  let restBound = prepared.reduce((sum, { bound }) => sum + bound, 0)
  let restPostings = prepared.reduce((sum, { postings }) => sum + postings, 0)
  const postings = restPostings
  let candidates: Int32Array | null = scoring.fewAllowed(restPostings)
  for (const term of prepared) {
    if (candidates === null && restPostings > Math.max(pruneFromPostings, scoring.touched)) candidates = await scoring.candidates(restBound)
    if (candidates === null) {
      await scoring.addAll(term)
      wholeTerms += 1
    } else await scoring.addFor(term, candidates)
    restBound -= term.bound
    restPostings -= term.postings
  }
  const hits = scoring.best(candidates)
  scoring.end(candidates)
  return { hits, postings, read: scoring.read, wholeTerms }
}

/** Terms that any live chunk has, by what they can give, most first. */
function prepare({ segments, terms, chunks }: ScoreInput): PreparedTerm[] {
  const prepared: PreparedTerm[] = []
  for (const [place, term] of terms.entries()) {
    let postings = 0
    let live = 0
    for (const { lists, deadIn } of segments) {
      const count = lists[place]?.ordinals.length ?? 0
      postings += count
      live += count - (deadIn[place] ?? 0)
    }
    if (live <= 0) continue
    const isSure = term.sureWeight > 0 && live <= rareMax
    const factor = idf(live, Math.max(chunks, live)) * (isSure ? Math.max(term.sureWeight, term.weight) : term.weight)
    const floor = isSure ? (factor * (k1 + 1)) / live : 0
    prepared.push({ place, factor, floor, bound: floor + factor * (k1 + 1), postings })
  }
  return prepared.toSorted((a, b) => b.bound - a.bound || a.place - b.place)
}

class Scoring {
  readonly #input: ScoreInput
  /** Where each segment's ordinals begin in the arrays over all chunks. */
  readonly #offsets: readonly number[]
  readonly #scratch: Scratch
  readonly #scores: Float64Array
  /** 1: may be in the answer; null: all may. */
  readonly #usable: Uint8Array | null
  /** `lengthNorm` by length: lengths are few, chunks are many. */
  readonly #norms: Float64Array
  /** Places with a score, in the order in which they got it. */
  readonly #touched: Int32Array
  #sinceTurn = 0
  /** What the last of the best can have by now: its score when it was looked at, and all that could be added since. */
  #thresholdMax = 0
  touched = 0
  read = 0

  constructor(input: ScoreInput) {
    this.#input = input
    let total = 0
    const offsets: number[] = []
    for (const { map } of input.segments) {
      offsets.push(total)
      total += map.numbers.length
    }
    this.#offsets = offsets
    this.#scratch = takeScratch(total)
    this.#scores = this.#scratch.scores
    this.#touched = this.#scratch.places
    this.#usable = this.#mask(total)
    this.#norms = normTable(input)
  }

  #mask(total: number): Uint8Array | null {
    const { segments, allowed } = this.#input
    if (allowed === null && segments.every(({ dead }) => dead.length === 0)) return null
    const usable = new Uint8Array(total)
    for (const [index, { map, dead }] of segments.entries()) {
      const offset = this.#offsets[index] ?? 0
      if (allowed === null) usable.fill(1, offset, offset + map.numbers.length)
      else markAllowed(usable, { offset, map, allowed })
      for (const number of dead) {
        const ordinal = ordinalOf(map, number)
        if (ordinal >= 0) usable[offset + ordinal] = 0
      }
    }
    return usable
  }

  /** The allowed chunks as candidates, when they are far fewer than the postings; else null. */
  fewAllowed(postings: number): Int32Array | null {
    const { allowed } = this.#input
    if (allowed === null || this.#usable === null || allowed.size * 16 > postings) return null
    return placesOf(this.#usable)
  }

  /** Reads the term's postings whole. */
  async addAll(term: PreparedTerm): Promise<void> {
    this.#thresholdMax += term.bound
    for (const [index, { map, lists }] of this.#input.segments.entries()) {
      const list = lists[term.place]
      if (list === null || list === undefined) continue
      for (let from = 0; from < list.ordinals.length; from += postingsPerTurn) {
        this.#addSlice(term, { list, map, offset: this.#offsets[index] ?? 0, from })
        await this.#turn(Math.min(postingsPerTurn, list.ordinals.length - from))
      }
    }
  }

  #addSlice(
    { factor, floor }: PreparedTerm,
    { list, map, offset, from }: { list: Postings; map: ChunkMap; offset: number; from: number },
  ): void {
    const { ordinals, frequencies } = list
    const { lengths } = map
    const scores = this.#scores
    const norms = this.#norms
    const reached = this.#touched
    let touched = this.touched
    const end = Math.min(from + postingsPerTurn, ordinals.length)
    for (let at = from; at < end; at += 1) {
      const ordinal = ordinals[at] ?? 0
      const norm = norms[lengths[ordinal] ?? 0] ?? 0
      const place = offset + ordinal
      const score = scores[place] ?? 0
      // What a term gives is above 0.
      if (score === 0) reached[touched++] = place
      scores[place] = score + (floor + factor * saturation(frequencies[at] ?? 0, norm))
    }
    this.touched = touched
  }

  /** Looks the candidates (ascending places) up in the term's postings. */
  async addFor({ place, factor, floor }: PreparedTerm, candidates: Int32Array): Promise<void> {
    for (const [index, { map, lists }] of this.#input.segments.entries()) {
      const list = lists[place]
      if (list === null || list === undefined) continue
      const offset = this.#offsets[index] ?? 0
      const end = offset + map.numbers.length
      let at = 0
      for (let next = lowerBound(candidates, offset); next < candidates.length; next += 1) {
        const candidate = candidates[next] ?? 0
        if (candidate >= end) break
        at = gallop(list.ordinals, candidate - offset, at)
        if (list.ordinals[at] !== candidate - offset) continue
        const norm = this.#norms[map.lengths[candidate - offset] ?? 0] ?? 0
        this.#scores[candidate] = (this.#scores[candidate] ?? 0) + (floor + factor * saturation(list.frequencies[at] ?? 0, norm))
      }
      await this.#turn(Math.min(candidates.length, list.ordinals.length))
    }
  }

  /** Chunks that can still be among the best when the rest gives `restBound` at most; null: any chunk could. */
  async candidates(restBound: number): Promise<Int32Array | null> {
    if (this.#thresholdMax <= restBound) return null
    const heap = new BestScores(this.#input.limit)
    const touched = this.#touched.subarray(0, this.touched)
    this.#offerAll(heap, touched)
    // A threshold below what the rest gives keeps out nobody who was not seen yet. The margin covers the rounding of sums.
    const threshold = heap.worst() * (1 - 1e-9)
    this.#thresholdMax = heap.worst()
    await this.#turn(touched.length, 0)
    if (!heap.isFull || threshold <= restBound) return null
    const able: number[] = []
    for (let index = 0; index < touched.length; index += 1) {
      const place = touched[index] ?? 0
      if ((this.#scores[place] ?? 0) + restBound >= threshold && this.#isUsable(place)) able.push(place)
    }
    return Int32Array.from(able).toSorted()
  }

  #isUsable(place: number): boolean {
    return this.#usable === null || this.#usable[place] === 1
  }

  #offerAll(heap: BestScores, places: Int32Array): void {
    const scores = this.#scores
    for (let index = 0; index < places.length; index += 1) {
      const place = places[index] ?? 0
      const score = scores[place] ?? 0
      if (score > 0 && score >= heap.worst() && this.#isUsable(place)) heap.offer(place, score)
    }
  }

  /** Books `steps` of work, `read` of them postings, and lets others go on when they are many. */
  async #turn(steps: number, read = steps): Promise<void> {
    this.read += read
    this.#sinceTurn += steps
    if (this.#sinceTurn < postingsPerTurn) return
    this.#sinceTurn = 0
    await othersTurn()
  }

  /** The best of `candidates`; null: of all. */
  best(candidates: Int32Array | null): { number: number; score: number }[] {
    const heap = new BestScores(this.#input.limit)
    this.#offerAll(heap, candidates ?? this.#touched.subarray(0, this.touched))
    return heap.sorted().map(({ place, score }) => ({ number: this.#numberAt(place), score }))
  }

  /** Ends the scoring; nothing may be asked after. `candidates`: those that were looked up, if any. */
  end(candidates: Int32Array | null): void {
    for (const place of candidates ?? []) this.#scores[place] = 0
    giveScratch(this.#scratch, this.#touched.subarray(0, this.touched))
  }

  #numberAt(place: number): number {
    const index = this.#offsets.findLastIndex((offset) => offset <= place)
    return this.#input.segments[index]?.map.numbers[place - (this.#offsets[index] ?? 0)] ?? -1
  }
}

function normTable({ segments, averageLength }: ScoreInput): Float64Array {
  const longest = Math.max(0, ...segments.map(({ map }) => map.longest))
  return Float64Array.from({ length: longest + 1 }, (_, length) => lengthNorm(length, averageLength))
}

function markAllowed(usable: Uint8Array, { offset, map, allowed }: { offset: number; map: ChunkMap; allowed: ReadonlySet<number> }): void {
  if (allowed.size < map.numbers.length) {
    for (const number of allowed) {
      const ordinal = ordinalOf(map, number)
      if (ordinal >= 0) usable[offset + ordinal] = 1
    }
    return
  }
  for (const [ordinal, number] of map.numbers.entries()) if (allowed.has(number)) usable[offset + ordinal] = 1
}

function placesOf(usable: Uint8Array): Int32Array {
  const places: number[] = []
  for (let place = 0; place < usable.length; place += 1) if (usable[place] === 1) places.push(place)
  return Int32Array.from(places)
}

/** As `lowerBound` from `from`, by doubling steps: candidates and lists go up together. */
function gallop(values: Int32Array, wanted: number, from: number): number {
  let step = 1
  let low = from
  while (low + step < values.length && (values[low + step] ?? 0) < wanted) {
    low += step
    step *= 2
  }
  let high = Math.min(low + step + 1, values.length)
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((values[middle] ?? 0) < wanted) low = middle + 1
    else high = middle
  }
  return low
}
