/** What both legs find for the judged queries of a public set, in a collection of its documents. */
import type { JudgedQuery } from '../../src/search/fuse-learn.ts'
import { legDepth, type LegHit } from '../../src/search/fuse.ts'
import type { BenchVectors } from './bench-vectors.ts'
import type { TextRole } from './embedding-source.ts'
import type { BenchCollection } from './retrieval-index.ts'
import type { RetrievalSet, SetDocument } from './retrieval-sets.ts'

/** Hits asked of each leg, as a search for ten results asks. */
const depth = legDepth.min

export interface AskOptions {
  readonly queriesMax: number
  /** Null: words only. */
  readonly vectors: BenchVectors | null
}

export interface AskedQuery extends JudgedQuery {
  readonly id: string
}

/** Fills the collection with the set and asks its queries, at most `queriesMax`. */
export async function askSet(collection: BenchCollection, set: RetrievalSet, { queriesMax, vectors }: AskOptions): Promise<AskedQuery[]> {
  const vectorsOf = async (name: string, role: TextRole, rows: readonly SetDocument[]): Promise<readonly Float32Array[]> =>
    (await vectors?.of({ name, role, texts: rows.map(({ text }) => text) }, `.${name}`)) ?? []
  const documents = await vectorsOf(`${set.name}.documents`, 'document', set.documents)
  const questions = await vectorsOf(`${set.name}.queries`, 'query', set.queries)
  await collection.create('auto')
  await collection.addDocuments(set.documents, vectors === null ? null : { embedder: vectors.embedder, vectors: documents })
  const asked: AskedQuery[] = []
  for (const [at, { id, text }] of set.queries.slice(0, queriesMax).entries()) {
    const keyword = await collection.findScored(text, { language: 'auto', limit: depth })
    const vector = questions[at] === undefined ? [] : await collection.near(questions[at], depth)
    asked.push({ id, legs: { keyword: keyword.map(asHit), vector: vector.map(asHit) }, relevant: set.relevant.get(id) ?? new Set() })
  }
  return asked
}

function asHit({ id, score }: { readonly id: string; readonly score: number }): LegHit {
  return { key: id, score }
}
