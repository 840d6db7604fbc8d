/**
 * What both legs find for the judged queries of a public set, in a collection of its documents. Vectors are MiniLM's (int8), of each set in two
 * files whose names begin with `--vectors FILE`; they are made at the first run, from the model in `PATH/../models`.
 */
import { join } from 'node:path'

import type { JudgedQuery } from '../../src/search/fuse-learn.ts'
import type { LegHit } from '../../src/search/fuse.ts'
import type { BenchCollection } from './retrieval-index.ts'
import type { RetrievalSet } from './retrieval-sets.ts'
import { continueVectors, openEmbedder, readVectors } from './search-vectors.ts'

/** Hits asked of each leg, as a search for ten results asks. */
const depth = 100

export interface SetPaths {
  readonly dataPath: string
  /** Undefined: words only. */
  readonly vectorsPath: string | undefined
}

export interface AskedQuery extends JudgedQuery {
  readonly id: string
}

/** Fills the collection with the set and asks its queries, at most `queriesMax`. */
export async function askSet(
  collection: BenchCollection,
  set: RetrievalSet,
  { queriesMax, ...paths }: SetPaths & { readonly queriesMax: number },
): Promise<AskedQuery[]> {
  const documents = await vectorsOf(set.documents, { ...paths, part: `${set.name}.documents` })
  const questions = await vectorsOf(set.queries, { ...paths, part: `${set.name}.queries` })
  await collection.create('auto')
  await collection.addDocuments(set.documents, documents)
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

async function vectorsOf(
  texts: readonly { readonly text: string }[],
  { dataPath, vectorsPath, part }: SetPaths & { readonly part: string },
): Promise<Float32Array[]> {
  if (vectorsPath === undefined) return []
  const path = `${vectorsPath}.${part}`
  const held = await readVectors(path, texts.length)
  if (held.length === texts.length) return held
  const whole = texts.map(({ text }) => text)
  await continueVectors(path, whole, { embedder: await openEmbedder(join(dataPath, '../models')), untilMs: Number.POSITIVE_INFINITY })
  return readVectors(path, texts.length)
}
