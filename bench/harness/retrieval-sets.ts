/** The public retrieval sets of `PATH/retrieval/<set>`: documents, queries and judgments as their README describes them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

export interface SetDocument {
  readonly id: string
  readonly text: string
}

/** A document or query as its file has it; '' where it has no title. */
export type SetLine = z.infer<typeof line>

export interface SetQuery {
  readonly id: string
  readonly text: string
}

export interface RetrievalSet {
  readonly name: string
  readonly documents: readonly SetDocument[]
  /** Judged ones only. */
  readonly queries: readonly SetQuery[]
  /** Ids of relevant documents by id of the query. */
  readonly relevant: ReadonlyMap<string, ReadonlySet<string>>
}

const line = z.object({ id: z.string(), title: z.string().default(''), text: z.string() })

export async function readLines(path: string): Promise<SetLine[]> {
  const content = await readFile(path, 'utf8')
  return content
    .split('\n')
    .filter((row) => row !== '')
    .map((row) => line.parse(JSON.parse(row)))
}

async function readJudgments(path: string): Promise<Map<string, Set<string>>> {
  const relevant = new Map<string, Set<string>>()
  const [, ...rows] = (await readFile(path, 'utf8')).split('\n')
  for (const row of rows) {
    const [query, document, grade] = row.split('\t')
    if (query === undefined || document === undefined || !(Number(grade) > 0)) continue
    relevant.set(query, (relevant.get(query) ?? new Set()).add(document))
  }
  return relevant
}

/** Queries without a relevant document are left out, so that they do not count in a mean. */
export async function readSet(dataPath: string, name: string): Promise<RetrievalSet> {
  const folder = join(dataPath, 'retrieval', name)
  const documents = await readLines(join(folder, 'corpus.jsonl'))
  const relevant = await readJudgments(join(folder, 'qrels.tsv'))
  const queries = (await readLines(join(folder, 'queries.jsonl'))).filter(({ id }) => relevant.has(id))
  return { name, documents, queries, relevant }
}

/** nDCG over the first `depth` with grades of 0 and 1 (Järvelin and Kekäläinen, 2002). */
export function ndcg(found: readonly string[], relevant: ReadonlySet<string>, depth = 10): number {
  const gain = (place: number): number => 1 / Math.log2(place + 2)
  let sum = 0
  for (const [place, id] of found.slice(0, depth).entries()) if (relevant.has(id)) sum += gain(place)
  let ideal = 0
  for (let place = 0; place < Math.min(depth, relevant.size); place += 1) ideal += gain(place)
  return sum / ideal
}

export function recall(found: readonly string[], relevant: ReadonlySet<string>, depth = 100): number {
  return found.slice(0, depth).filter((id) => relevant.has(id)).length / relevant.size
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1)
}
