/**
 * The keyword leg: true BM25 over the postings of one collection, the same in both stores. Statistics are those of the collection's
 * live chunks alone, exact after every write (removed chunks are neither counted nor found). One round trip in the usual case; two when
 * the process has not seen the collection's languages yet.
 */
import { z } from 'zod'

import type { Transaction } from '../store/database.ts'
import { type FetchedIndex, fetchIndex, languagesOf } from './keyword/fetch.ts'
import { KeywordMemory, type Owner } from './keyword/memory.ts'
import { queryTerms, type QueryTerm } from './keyword/query-terms.ts'
import { type Scored, scoreChunks } from './keyword/score.ts'

export interface KeywordQuery {
  readonly tenant: string
  readonly collection: { readonly id: string }
  readonly query: string
  /** Of `languages` in `language.ts`; `auto`: each language of the collection's documents. */
  readonly language: string
  readonly limit: number
  /** Numbers of chunks that may be found; null: all. They change what is found, not what a term weighs. */
  readonly allowed: ReadonlySet<number> | null
}

export interface KeywordHit {
  readonly number: number
  /** BM25: above 0, without an upper bound. */
  readonly score: number
}

export interface KeywordAnswer {
  /** Best first, of equal scores the lower number. */
  readonly hits: readonly KeywordHit[]
  /** What was looked for, for highlights (`highlight.ts`). */
  readonly terms: readonly string[]
  /** Equal to scoring every chunk: always, as this leg prunes only what cannot win. */
  readonly exact: boolean
  readonly why: string
}

/** Languages in which one query is stemmed at most. */
const queryLanguagesMax = 4

const sharedMemory = new KeywordMemory()

/**
 * The chunks of a collection that fit `query` best by words. An unknown collection has no hits. `memory` is the process's own unless a
 * test brings another.
 */
export async function searchKeyword(
  transaction: Transaction,
  query: KeywordQuery,
  memory: KeywordMemory = sharedMemory,
): Promise<KeywordAnswer> {
  const owner = { tenant: query.tenant, collection: query.collection.id }
  let languages = await languagesFor(transaction, { owner, query, memory })
  let found = await termsAndIndex(transaction, { owner, query, memory, languages })
  if (query.language === 'auto' && found.index !== null && !isSame(searched(found.index.languages), languages)) {
    // A document in another language came since.
    languages = searched(found.index.languages)
    found = await termsAndIndex(transaction, { owner, query, memory, languages })
  }
  if (found.index === null) return { hits: [], terms: [], exact: true, why: 'no such collection' }
  const { chunks, totalLength, segments } = found.index
  const averageLength = Math.max(totalLength / Math.max(chunks, 1), 1)
  const { limit, allowed } = query
  const scored = await scoreChunks({ segments, terms: found.terms, chunks, averageLength, limit: Math.max(limit, 1), allowed })
  return { hits: scored.hits, terms: found.terms.map(({ term }) => term), exact: true, why: whyOf(found.index, scored, languages) }
}

interface Search {
  readonly owner: Owner
  readonly query: KeywordQuery
  readonly memory: KeywordMemory
}

async function termsAndIndex(
  transaction: Transaction,
  { owner, query, memory, languages }: Search & { readonly languages: readonly string[] },
): Promise<{ terms: readonly QueryTerm[]; index: FetchedIndex | null }> {
  const terms = queryTerms(query.query, languages)
  return { terms, index: await fetchIndex(transaction, { owner, terms: terms.map(({ term }) => term), memory }) }
}

const languagesRow = z.object({ languages: z.record(z.string(), z.number()) })

async function languagesFor(transaction: Transaction, { owner, query, memory }: Search): Promise<readonly string[]> {
  if (query.language !== 'auto') return [query.language]
  const seen = memory.seen(owner)
  if (seen !== null) return searched(seen.languages)
  const { rows } = await transaction.query('select languages from rag_collections where tenant = $1 and id = $2', [
    owner.tenant,
    owner.collection,
  ])
  return searched(rows[0] === undefined ? [] : languagesOf(languagesRow.parse(rows[0]).languages))
}

function searched(languages: readonly string[]): readonly string[] {
  return languages.length === 0 ? ['none'] : languages.slice(0, queryLanguagesMax)
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}

function whyOf({ chunks, segments }: FetchedIndex, { postings, read, wholeTerms }: Scored, languages: readonly string[]): string {
  const stems = languages.join(', ')
  return `BM25, exact: ${chunks} chunks in ${segments.length} segments, stems ${stems}, ${read} of ${postings} postings read, ${wholeTerms} terms whole`
}
