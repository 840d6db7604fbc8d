/**
 * How well searches find, on the embedded store and on Postgres: public sets (`--data PATH`, read in `PATH/retrieval`), every document one
 * chunk in a collection that is set to `auto`, nDCG@10 and R@100 over judged queries by words; with `--vectors FILE` or `--ollama URL
 * --embed-model NAME` (see `harness/bench-vectors.ts`) also of the vectors, of both fused at the default weight and at weights learned on half
 * of the queries, and of reciprocal ranks beside. Exact terms (test/data/exact-terms): the one passage with an identifier comes first, before
 * its next of kin. Injection: no passage of the public sets is suspected to command a model. `--only` takes a store's name, a set's,
 * `exact-terms` or `injection`.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

import { hasPostgres } from '../test/support/postgres.ts'
import { type BenchVectors, hasVectors, setForMiniLm, withVectors } from './harness/bench-vectors.ts'
import { exactTermFiles, exactTermsFolder } from './harness/retrieval-exact-terms.ts'
import { agreementBars, byDefault, type Figures, hybridFigures, idsOf, keywordFigures, setNames } from './harness/retrieval-figures.ts'
import { BenchCollection, type BenchStore, openBenchStore } from './harness/retrieval-index.ts'
import { measureInjection } from './harness/retrieval-injection.ts'
import { askSet } from './harness/retrieval-legs.ts'
import { readLines, readSet } from './harness/retrieval-sets.ts'
import { atLeast, type Bar, benchResult, type BenchOptions, type BenchResult } from './harness/result.ts'

const stores: readonly BenchStore[] = ['embedded', 'postgres']
const quickQueries = 50

interface StoreOptions extends BenchOptions {
  /** Null: words only. */
  readonly vectors: BenchVectors | null
}

/** Rankings found so far are added to `rankings`. */
interface Measurement {
  readonly collection: BenchCollection
  readonly name: string
  readonly rankings: Map<string, readonly string[]>
}

async function measureSet(
  { collection, name, rankings }: Measurement,
  { dataPath, vectors, ...options }: StoreOptions & { readonly dataPath: string },
): Promise<Figures> {
  const queriesMax = options.isQuick ? quickQueries : Number.POSITIVE_INFINITY
  const queries = await askSet(collection, await readSet(dataPath, name), { vectors, queriesMax })
  for (const query of queries) {
    rankings.set(`${name} words ${query.id}`, idsOf(query.legs.keyword))
    if (vectors !== null) rankings.set(`${name} hybrid ${query.id}`, idsOf(byDefault(query)))
  }
  const words = keywordFigures(name, queries)
  if (vectors === null) return words
  const hybrid = hybridFigures(name, queries)
  return { bars: [...words.bars, ...setForMiniLm(hybrid.bars, options)], data: { ...words.data, ...hybrid.data } }
}

const exactQuery = z.object({ id: z.string(), text: z.string(), answer: z.string() })

async function measureExactTerms({ collection, rankings }: Measurement): Promise<Figures> {
  const lines = (await readFile(join(exactTermsFolder, 'queries.jsonl'), 'utf8')).trim().split('\n')
  await collection.create('auto')
  await collection.addDocuments(await readLines(join(exactTermsFolder, 'corpus.jsonl')))
  let first = 0
  for (const { id, text, answer } of lines.map((line) => exactQuery.parse(JSON.parse(line)))) {
    const found = await collection.find(text, 'auto')
    if (found[0] === answer) first += 1
    rankings.set(`exact ${id}`, found)
  }
  const share = first / lines.length
  return { bars: [atLeast('exact terms, recall@1', share, 1)], data: { queries: lines.length, recall1: share } }
}

interface StoreOutcome {
  readonly bars: readonly Bar[]
  readonly data: Readonly<Record<string, unknown>>
  readonly rankings: ReadonlyMap<string, readonly string[]>
}

async function measureStore(kind: BenchStore, options: StoreOptions): Promise<StoreOutcome> {
  const { dataPath, only, log } = options
  const store = await openBenchStore(kind)
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  const rankings = new Map<string, readonly string[]>()
  const isWanted = (name: string): boolean => stores.some((one) => only === one) || name.includes(only)
  const take = async (name: string, measure: (measurement: Measurement) => Promise<Figures>): Promise<void> => {
    if (!isWanted(name)) return
    const found = await measure({ collection: new BenchCollection(store.database, name), name, rankings })
    bars.push(...found.bars.map((bar) => ({ ...bar, name: `${kind}: ${bar.name}` })))
    data[name] = found.data
    log(`${kind}, ${name}: ${JSON.stringify(found.data)}`)
  }
  try {
    await take('exact-terms', measureExactTerms)
    if (dataPath === undefined) log('the public sets need --data PATH')
    else for (const name of setNames) await take(name, (measurement) => measureSet(measurement, { ...options, dataPath }))
    return { bars, data, rankings }
  } finally {
    await store.close()
  }
}

/** Whether the exact terms that are held are those that their seed gives. */
async function heldBar(dataPath: string): Promise<Bar> {
  const made = Object.entries(await exactTermFiles(dataPath))
  const held = await Promise.all(made.map(([name]) => readFile(join(exactTermsFolder, name), 'utf8')))
  const same = made.filter(([, content], at) => content === held[at])
  return atLeast('exact terms, files that are as their seed gives them', same.length, made.length)
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const { dataPath, only } = options
  const kinds = stores.filter((kind) => (stores.some((one) => one === only) ? kind === only : kind === 'embedded' || hasPostgres()))
  const data: Record<string, unknown> = {}
  const measureAll = async (vectors: BenchVectors | null): Promise<StoreOutcome[]> => {
    if (vectors !== null) data['embedder'] = vectors.embedder.model
    const outcomes: StoreOutcome[] = []
    for (const kind of kinds) outcomes.push(await measureStore(kind, { ...options, vectors }))
    return outcomes
  }
  const needsVectors = dataPath !== undefined && hasVectors(options)
  const outcomes = await (needsVectors ? withVectors(options, measureAll) : measureAll(null))
  const bars = outcomes.flatMap((outcome) => outcome.bars)
  const [first, second] = outcomes
  if (first !== undefined && second !== undefined && first.rankings.size > 0) bars.push(...agreementBars(first.rankings, second.rankings))
  if (dataPath !== undefined && 'exact-terms'.includes(only)) bars.push(await heldBar(dataPath))
  for (const [at, kind] of kinds.entries()) data[kind] = outcomes[at]?.data
  if (dataPath !== undefined && 'injection'.includes(only)) {
    const injection = await measureInjection(dataPath)
    bars.push(...injection.bars)
    data['injection'] = injection.data
  }
  return benchResult('retrieval', options, { bars, data })
}
