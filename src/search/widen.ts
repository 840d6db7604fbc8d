/**
 * Hits widened to what stands around them: chunks before and after, or the section they are part of (the nearest chunks below the same
 * heading). Whole chunks are taken, nearest first, as long as all of it fits into a number of characters. What is given is the document's own
 * text between its offsets, with what stands between chunks, so that a quote of it can be found there.
 */
import { z } from 'zod'

import type { Transaction } from '../store/database.ts'

/** Chunks to each side. */
export const neighboursMax = 5
/** Chunks of a section that are looked at to each side. */
const sectionReach = 64
/** Characters of a widened hit: what is given where nothing else was asked for, and the most. */
export const passageCharacters = { default: 8_000, max: 20_000 } as const

/** A hit as it was found. */
export interface Middle {
  readonly document: string
  readonly ordinal: number
  readonly start: number
  readonly end: number
  readonly text: string
}

export interface Around {
  /** The document's text from the beginning of the passage to the chunk, and from the chunk to its end. */
  readonly before: string
  readonly after: string
  /** `document.text.slice(start, end)` is `before`, the chunk's text and `after`. */
  readonly passage: { readonly start: number; readonly end: number }
}

export interface Widening {
  readonly tenant: string
  /** Id. */
  readonly collection: string
  /** Chunks to each side, or the section. */
  readonly by: number | 'section'
  /** Of the whole passage. */
  readonly charactersMax: number
  readonly middles: readonly Middle[]
}

interface Range {
  readonly start: number
  readonly end: number
}

/** The chunk and nothing around it. */
export function unwidened({ start, end }: Range): Around {
  return { before: '', after: '', passage: { start, end } }
}

/** What stands around each of `middles`, in their order. A document that was changed meanwhile is not widened. */
export async function widenHits(transaction: Transaction, wish: Widening): Promise<Around[]> {
  const near = await readNear(transaction, wish)
  const ranges = wish.middles.map((middle, place) => rangeOf(middle, near[place] ?? new Map(), wish.charactersMax))
  const texts = await readTexts(transaction, wish, ranges)
  return wish.middles.map((middle, place) => {
    const range = ranges[place]
    const text = texts[place]
    if (range === undefined || text === undefined) return unwidened(middle)
    const from = middle.start - range.start
    const to = middle.end - range.start
    if (text.slice(from, to) !== middle.text) return unwidened(middle)
    return { before: text.slice(0, from), after: text.slice(to), passage: range }
  })
}

const nearRow = z.object({ place: z.number(), ordinal: z.number(), start_at: z.number(), end_at: z.number() })

/** Ranges of the chunks that may be taken, by ordinal, for each of the middles. */
async function readNear(
  { query }: Transaction,
  { tenant, collection, by, middles }: Widening,
): Promise<readonly ReadonlyMap<number, Range>[]> {
  const { rows } = await query(
    `select m.place::int as place, c.ordinal, c.start_at, c.end_at
      from unnest($3::text[], $4::int[]) with ordinality as m(document, ordinal, place)
      join rag_chunks own on own.tenant = $1 and own.collection = $2 and own.document = m.document and own.ordinal = m.ordinal
      join rag_chunks c on c.tenant = $1 and c.collection = $2 and c.document = m.document and c.ordinal between m.ordinal - $5 and m.ordinal + $5
      where not $6::boolean or c.headings[1:cardinality(own.headings)] = own.headings`,
    [
      tenant,
      collection,
      middles.map(({ document }) => document),
      middles.map(({ ordinal }) => ordinal),
      by === 'section' ? sectionReach : by,
      by === 'section',
    ],
  )
  const near = middles.map(() => new Map<number, Range>())
  for (const row of rows) {
    const { place, ordinal, start_at: start, end_at: end } = nearRow.parse(row)
    near[place - 1]?.set(ordinal, { start, end })
  }
  return near
}

/** Takes chunks by turns before and after; a side ends at a gap, or at the first chunk that does not fit. */
function rangeOf(middle: Middle, near: ReadonlyMap<number, Range>, charactersMax: number): Range {
  let range: Range = { start: middle.start, end: middle.end }
  let sides = [-1, 1]
  for (let distance = 1; sides.length > 0; distance += 1) {
    sides = sides.filter((side) => {
      const next = near.get(middle.ordinal + side * distance)
      if (next === undefined) return false
      const wider = { start: Math.min(range.start, next.start), end: Math.max(range.end, next.end) }
      if (wider.end - wider.start > charactersMax) return false
      range = wider
      return true
    })
  }
  return range
}

/** What takes two code units in JavaScript, where offsets are counted, and is one character to the database. */
const wide = String.raw`[\U00010000-\U0010FFFF]`
/** Stands behind each wide character, so that it takes two characters as well; half of one is stored as it too. */
const filler = '\ufffd'

/**
 * Each document is read once, up to the end of its last passage, and all its passages are cut from that. Where it holds wide characters, which
 * few documents do, fillers are put behind them first; `offset 0` keeps what is made of a document from being made again for each passage.
 */
const textsSql = `select cut.place, cut.text
  from (
    select document, array_agg(place::int) as places, array_agg(start_at) as starts, array_agg(end_at) as ends, max(end_at) as last
    from unnest($3::text[], $4::int[], $5::int[]) with ordinality as m(document, start_at, end_at, place)
    group by document) as p
  join rag_documents d on d.tenant = $1 and d.collection = $2 and d.id = p.document
  cross join lateral (select left(d.text, p.last) as text offset 0) as l
  cross join lateral (
    select case when l.text ~ '${wide}' then regexp_replace(l.text, '(${wide})', '\\1${filler}', 'g') else l.text end as text offset 0) as t
  cross join lateral (
    select m.place, substr(t.text, m.start_at + 1, m.end_at - m.start_at) as text
    from unnest(p.places, p.starts, p.ends) as m(place, start_at, end_at) offset 0) as cut`
const filled = new RegExp(String.raw`([\u{10000}-\u{10ffff}])${filler}`, 'gu')

const textRow = z.object({ place: z.number(), text: z.string() })

async function readTexts(
  { last }: Transaction,
  { tenant, collection, middles }: Widening,
  ranges: readonly Range[],
): Promise<readonly (string | undefined)[]> {
  const { rows } = await last(textsSql, [
    tenant,
    collection,
    middles.map(({ document }) => document),
    ranges.map(({ start }) => start),
    ranges.map(({ end }) => end),
  ])
  const texts: (string | undefined)[] = middles.map(() => undefined)
  for (const row of rows) {
    const { place, text } = textRow.parse(row)
    texts[place - 1] = text.replaceAll(filled, '$1')
  }
  return texts
}
