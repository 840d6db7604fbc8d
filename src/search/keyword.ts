/**
 * The keyword leg: true BM25 over the postings of one collection, the same in both stores.
 */
import type { Transaction } from '../store/database.ts'

export interface KeywordQuery {
  readonly tenant: string
  readonly collection: { readonly id: string }
  readonly query: string
  /** Of `language.ts`, `none`, or `auto`: the languages of the collection's documents. */
  readonly language: string
  readonly limit: number
  /** Numbers of chunks that may be found; null: all. */
  readonly allowed: ReadonlySet<number> | null
}

export interface KeywordHit {
  readonly number: number
  readonly score: number
}

export interface KeywordAnswer {
  readonly hits: readonly KeywordHit[]
  readonly terms: readonly string[]
  readonly exact: boolean
  readonly why: string
}

export declare function searchKeyword(transaction: Transaction, query: KeywordQuery): Promise<KeywordAnswer>
