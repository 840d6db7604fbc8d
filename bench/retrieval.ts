/**
 * How well searches find: the keyword leg on public sets (`--data PATH`, read in `PATH/retrieval`), nDCG@10 and R@100 over judged queries,
 * every document one chunk in a collection that is set to `auto`; and exact terms (test/data/exact-terms), where the one passage with an
 * identifier must come first before its next of kin. On the embedded store and on Postgres; `--only` takes a store's name or a set's.
 * Rankings of the two stores must be equal, as both score the same postings.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { readFile } from 'node:fs/promises'

import { hasPostgres } from '../test/support/postgres.ts'
import { BenchCollection, type BenchStore, openBenchStore } from './harness/retrieval-index.ts'
import { mean, ndcg, readLines, readSet, recall } from './harness/retrieval-sets.ts'
import { atLeast, type Bar, benchResult, type BenchOptions, type BenchResult, rounded } from './harness/result.ts'

/** nDCG@10 of the keyword leg that each set must reach. */
const keywordBars: Readonly<Record<string, number>> = {
  'anthropic-docs': 0.735,
  cacm: 0.48,
  cranfield: 0.38,
  'xquad-en': 0.96,
  'xquad-ru': 0.95,
  'xquad-zh': 0.95,
}
const stores: readonly BenchStore[] = ['embedded', 'postgres']
const quickQueries = 50

interface Outcome {
  readonly bars: Bar[]
  readonly data: Record<string, unknown>
  /** The first ten of each query, by name of the set and the query, to compare stores. */
  readonly firstTen: Map<string, string>
}

async function measureSet(
  collection: BenchCollection,
  name: string,
  options: BenchOptions & { readonly dataPath: string },
): Promise<Outcome> {
  const set = await readSet(options.dataPath, name)
  await collection.create('auto')
  await collection.addDocuments(set.documents)
  const queries = options.isQuick ? set.queries.slice(0, quickQueries) : set.queries
  const gains: number[] = []
  const recalls: number[] = []
  const firstTen = new Map<string, string>()
  for (const { id, text } of queries) {
    const relevant = set.relevant.get(id) ?? new Set()
    const found = await collection.find(text, 'auto')
    gains.push(ndcg(found, relevant))
    recalls.push(recall(found, relevant))
    firstTen.set(`${name} ${id}`, found.slice(0, 10).join(' '))
  }
  const score = rounded(mean(gains))
  const data = { [name]: { ndcg10: score, recall100: rounded(mean(recalls)), queries: queries.length } }
  return { bars: [atLeast(`${name}, keyword, nDCG@10`, score, keywordBars[name] ?? 0)], data, firstTen }
}

const exactQuery = z.object({ id: z.string(), text: z.string(), term: z.string(), answer: z.string() })

async function measureExactTerms(collection: BenchCollection): Promise<Outcome> {
  const folder = join(import.meta.dirname, '../test/data/exact-terms')
  const lines = (await readFile(join(folder, 'queries.jsonl'), 'utf8')).trim().split('\n')
  await collection.create('auto')
  await collection.addDocuments(await readLines(join(folder, 'corpus.jsonl')))
  const missed: string[] = []
  const firstTen = new Map<string, string>()
  for (const { id, text, answer } of lines.map((line) => exactQuery.parse(JSON.parse(line)))) {
    const found = await collection.find(text, 'auto')
    if (found[0] !== answer) missed.push(text)
    firstTen.set(`exact ${id}`, found.slice(0, 10).join(' '))
  }
  const share = 1 - missed.length / lines.length
  return {
    bars: [atLeast('exact terms, recall@1', share, 1)],
    data: { 'exact-terms': { recall1: share, queries: lines.length, missed } },
    firstTen,
  }
}

async function measureStore(kind: BenchStore, options: BenchOptions): Promise<Outcome> {
  const { dataPath, only } = options
  const store = await openBenchStore(kind)
  const whole: Outcome = { bars: [], data: {}, firstTen: new Map() }
  const isWanted = (name: string): boolean => stores.some((one) => only === one) || name.includes(only)
  const take = ({ bars, data, firstTen }: Outcome): void => {
    whole.bars.push(...bars.map((bar) => ({ ...bar, name: `${kind}: ${bar.name}` })))
    Object.assign(whole.data, data)
    for (const [query, found] of firstTen) whole.firstTen.set(query, found)
    options.log(`${kind} ${JSON.stringify(data)}`)
  }
  try {
    if (isWanted('exact-terms')) take(await measureExactTerms(new BenchCollection(store.database, 'exact-terms')))
    if (dataPath === undefined) options.log('the public sets need --data PATH')
    else {
      for (const name of Object.keys(keywordBars).filter(isWanted)) {
        take(await measureSet(new BenchCollection(store.database, name), name, { ...options, dataPath }))
      }
    }
    return whole
  } finally {
    await store.close()
  }
}

function equalShare(a: Outcome, b: Outcome): number {
  const same = [...a.firstTen].filter(([query, found]) => b.firstTen.get(query) === found)
  return same.length / Math.max(a.firstTen.size, 1)
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const kinds = stores.filter((kind) =>
    stores.some((one) => one === options.only) ? kind === options.only : kind === 'embedded' || hasPostgres(),
  )
  const outcomes: Outcome[] = []
  for (const kind of kinds) outcomes.push(await measureStore(kind, options))
  const [first, second] = outcomes
  const bars = outcomes.flatMap((outcome) => outcome.bars)
  if (first !== undefined && second !== undefined)
    bars.push(atLeast('share of queries with the same first ten on both stores', equalShare(first, second), 1))
  return benchResult('retrieval', options, { bars, data: Object.fromEntries(kinds.map((kind, index) => [kind, outcomes[index]?.data])) })
}
