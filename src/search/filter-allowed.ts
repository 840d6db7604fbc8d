/**
 * Which chunks a filter lets through, as a set of numbers that both legs take. Remembered by collection and version, so that the same filter
 * costs nothing until the collection changes; bounded by the numbers held.
 */
import type { Collection, FilterCondition } from '../core/corpus.ts'
import type { Transaction } from '../store/database.ts'
import { candidateIds } from './filter-candidates.ts'
import { filterSql, SqlParameters } from './filter.ts'

/** Numbers held over all filters: some 64 MB. */
const numbersMax = 2_000_000
/** What a filter itself counts as, in numbers. */
const entryNumbers = 32

export class FilterMemory {
  readonly #sets = new Map<string, ReadonlySet<number>>()
  #held = 0

  get(key: string): ReadonlySet<number> | undefined {
    const found = this.#sets.get(key)
    if (found !== undefined) {
      this.#sets.delete(key)
      this.#sets.set(key, found)
    }
    return found
  }

  put(key: string, numbers: ReadonlySet<number>): void {
    if (this.#sets.has(key)) return
    this.#sets.set(key, numbers)
    this.#held += numbers.size + entryNumbers
    for (const [oldest, { size }] of this.#sets) {
      if (this.#held <= numbersMax) break
      this.#sets.delete(oldest)
      this.#held -= size + entryNumbers
    }
  }
}

export interface AllowedQuery {
  readonly tenant: string
  readonly collection: Collection
  readonly filter: readonly FilterCondition[]
}

/** Numbers of the chunks whose documents pass; null without a filter: all. Throws `invalid_request` for a bad filter. */
export async function allowedNumbers(
  transaction: Transaction,
  { tenant, collection, filter }: AllowedQuery,
  memory: FilterMemory,
): Promise<ReadonlySet<number> | null> {
  if (filter.length === 0) return null
  const key = JSON.stringify([tenant, collection.id, collection.version, filter])
  const known = memory.get(key)
  if (known !== undefined) return known
  const parameters = new SqlParameters([tenant, collection.id])
  const condition = filterSql(filter, parameters)
  const ids = await candidateIds(transaction, { tenant, collection, filter })
  const from = ids === null ? everyDocument(condition) : someDocuments(condition, parameters.add(ids))
  // Packed into one value: a row per number would cost some 100 bytes each.
  const { rows } = await transaction.query(`select string_agg(int4send(c.number), '') as numbers from ${from}`, parameters.values)
  const numbers = unpacked(rows[0]?.['numbers'])
  memory.put(key, numbers)
  return numbers
}

function everyDocument(condition: string): string {
  return `rag_documents d join rag_chunks c on c.tenant = d.tenant and c.collection = d.collection and c.document = d.id
    where d.tenant = $1 and d.collection = $2 and ${condition}`
}

/** One after the other by their keys: `offset 0` keeps a planner without statistics from reading whole tables for a few of them. */
function someDocuments(condition: string, ids: string): string {
  return `unnest(${ids}::text[]) as candidate(id)
    cross join lateral (select d.id from rag_documents d where d.tenant = $1 and d.collection = $2 and d.id = candidate.id and ${condition} offset 0) as d
    cross join lateral (select c.number from rag_chunks c where c.tenant = $1 and c.collection = $2 and c.document = d.id offset 0) as c`
}

function unpacked(value: unknown): Set<number> {
  const numbers = new Set<number>()
  if (!Buffer.isBuffer(value)) return numbers
  for (let at = 0; at < value.length; at += 4) numbers.add(value.readInt32BE(at))
  return numbers
}
