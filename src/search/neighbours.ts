/** The text around a hit: chunks before and after it in its document, joined without what chunks repeat of each other. */
import { z } from 'zod'

import type { Transaction } from '../store/database.ts'

/** Chunks to each side. */
export const neighboursMax = 5

export interface Middle {
  readonly document: string
  readonly ordinal: number
}

interface Piece {
  readonly start: number
  readonly end: number
  readonly text: string
}

export interface Around {
  readonly before: string
  readonly after: string
}

const pieceRow = z.object({ place: z.number(), ordinal: z.number(), start_at: z.number(), end_at: z.number(), text: z.string() })

export interface NeighboursQuery {
  readonly tenant: string
  /** Id. */
  readonly collection: string
  /** Chunks to each side. */
  readonly reach: number
  readonly middles: readonly Middle[]
}

/** What stands around each of `middles`, in their order. One statement. */
export async function readNeighbours(
  transaction: Pick<Transaction, 'query'>,
  { tenant, collection, reach, middles }: NeighboursQuery,
): Promise<Around[]> {
  if (reach === 0 || middles.length === 0) return middles.map(() => ({ before: '', after: '' }))
  const { rows } = await transaction.query(
    `select m.place::int as place, c.ordinal, c.start_at, c.end_at, c.text
      from unnest($3::text[], $4::int[]) with ordinality as m(document, ordinal, place)
      join rag_chunks c on c.tenant = $1 and c.collection = $2 and c.document = m.document and c.ordinal between m.ordinal - $5 and m.ordinal + $5
      order by m.place, c.ordinal`,
    [tenant, collection, middles.map(({ document }) => document), middles.map(({ ordinal }) => ordinal), reach],
  )
  const pieces = middles.map((): { before: Piece[]; middle: Piece | null; after: Piece[] } => ({ before: [], middle: null, after: [] }))
  for (const row of rows) {
    const { place, ordinal, start_at: start, end_at: end, text } = pieceRow.parse(row)
    const own = pieces[place - 1]
    const at = middles[place - 1]?.ordinal
    if (own === undefined || at === undefined) continue
    if (ordinal === at) own.middle = { start, end, text }
    else (ordinal < at ? own.before : own.after).push({ start, end, text })
  }
  return pieces.map(({ before, middle, after }) => (middle === null ? { before: '', after: '' } : around(before, middle, after)))
}

/** What pieces before repeat of the next is cut from their end, what pieces after repeat of the one before from their begin. */
function around(before: readonly Piece[], middle: Piece, after: readonly Piece[]): Around {
  const heads = before.map((piece, place) => cutEnd(piece, before[place + 1] ?? middle))
  const tails = after.map((piece, place) => cutBegin(piece, after[place - 1] ?? middle))
  return { before: heads.join('\n').trim(), after: tails.join('\n').trim() }
}

function isVerbatim({ start, end, text }: Piece): boolean {
  return text.length === end - start
}

function cutEnd(piece: Piece, next: Piece): string {
  return isVerbatim(piece) && next.start < piece.end ? piece.text.slice(0, Math.max(next.start - piece.start, 0)) : piece.text
}

function cutBegin(piece: Piece, previous: Piece): string {
  return isVerbatim(piece) && previous.end > piece.start ? piece.text.slice(previous.end - piece.start) : piece.text
}
