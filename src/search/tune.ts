/**
 * Which index serves a collection best, found out on its own vectors: they are copied into a table beside, every index of a grid is built
 * there and searched, and recall, latency, build time and size are measured. Searches go on meanwhile, on the old table; they are slower
 * while an index is built. The choice is the fastest way that finds no less than pgvector's defaults do.
 */
import { z } from 'zod'

import type { Clock } from '../base/clock.ts'
import type { VectorIndexSettings } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { type Database, goingOn, type Transaction } from '../store/database.ts'
import { updateCollection } from './collections.ts'
import { describeIndex } from './plan.ts'
import { buildIndex, copyVectors, rebuildVectors } from './vector-index.ts'
import { scanAll, scanIndex, type VectorHit } from './vector.ts'
import { ensureTable, tableName, type VectorSet } from './vector/tables.ts'

/** What recall is counted over. */
const recallDepth = 10
/** Questions that are asked each way, and how often; the first time warms up. */
const questionsMax = 200
const rounds = 3
const duelRounds = 6
/** What a way must be faster by to be worth a change. */
const gainMin = 0.05
/** Recall that may be lost: less is noise of the sample. */
const recallSlack = 0.001
const limits = { statementTimeoutMs: 1_800_000, transactionTimeoutMs: 1_900_000 }

/** pgvector's: m 16 and ef_construction 64 of the build, ef_search 40. */
export const pgvectorDefault = { kind: 'hnsw', m: 16, efConstruction: 64, efSearch: 40 } as const satisfies VectorIndexSettings

export interface TuneRow {
  readonly index: VectorIndexSettings
  /** Share of the 10 nearest that are found, mean over the questions. */
  readonly recall: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly buildMs: number
  readonly sizeBytes: number
}

export interface TuneResult {
  readonly vectors: number
  readonly questions: number
  readonly rows: readonly TuneRow[]
  readonly baseline: TuneRow
  readonly choice: TuneRow
  readonly why: string
}

export interface TuneOptions {
  readonly set: VectorSet
  /** Unit vectors of real questions; left out: vectors of the collection itself, each without itself in the answer. */
  readonly questions?: readonly Float32Array[]
  /** Hits asked of each search; default 100, as a leg of a hybrid search asks. */
  readonly depth?: number
  /** Progress for people. */
  readonly report?: (line: string) => void
}

export interface TuneDeps {
  readonly database: Database
  readonly clock: Clock
  /** 8 random hex digits. */
  readonly newSuffix: () => string
}

interface Question {
  readonly vector: Float32Array
  /** Left out of answers. */
  readonly own: number | null
  readonly nearest: ReadonlySet<number>
}

interface Run extends TuneDeps {
  readonly scratch: VectorSet
  readonly questions: readonly Question[]
  readonly depth: number
}

/** Builds of the grid, each with the ways it is searched. Those of one build share it. */
export function tuneGrid(vectors: number): readonly (readonly VectorIndexSettings[])[] {
  const root = Math.max(Math.round(Math.sqrt(vectors)), 1)
  const lists = [...new Set([Math.max(Math.round(vectors / 1_000), 1), root, root * 2])]
  const builds = [
    [16, 64],
    [8, 64],
    [12, 100],
    [24, 128],
  ] as const
  return [
    [{ kind: 'exact' }],
    ...builds.map(([m, efConstruction]) =>
      [20, 30, 40, 60, 80, 120, 200].map((efSearch) => ({ kind: 'hnsw' as const, m, efConstruction, efSearch })),
    ),
    ...lists.map((count) => ivfflatWays(count)),
  ]
}

function ivfflatWays(lists: number): readonly VectorIndexSettings[] {
  const root = Math.sqrt(lists)
  const probes = [1, root / 2, root, root * 2, root * 4].map((count) => Math.min(Math.max(Math.round(count), 1), lists))
  return [...new Set(probes)].map((count) => ({ kind: 'ivfflat', lists, probes: count }))
}

/**
 * Tries the grid, then its winner against the defaults once more, turn by turn, since the grid's builds are measured minutes apart on a machine
 * that has other work. Throws `invalid_request` for too few vectors. The scratch tables go whatever happens.
 */
export async function tuneVectors({ set, questions, depth = 100, report = () => {} }: TuneOptions, deps: TuneDeps): Promise<TuneResult> {
  if (set.vectors <= recallDepth) throw new CorralError('invalid_request', `${set.vectors} vectors are too few to tune with`)
  return withScratch(set, deps, async (scratch) => {
    const asked = await readQuestions(deps.database, { scratch, given: questions ?? null })
    const run = { ...deps, scratch, questions: asked, depth }
    const rows: TuneRow[] = []
    for (const ways of tuneGrid(set.vectors)) rows.push(...(await tryBuild(ways, run, report)))
    const first = choose(rows)
    if (first.choice === first.baseline) return { vectors: set.vectors, questions: asked.length, rows, ...first }
    const pair = await withScratch(set, deps, (other) => duel(first, run, other))
    const renewed = rows.map((row) => pair.find(({ index }) => index === row.index) ?? row)
    return { vectors: set.vectors, questions: asked.length, rows: renewed, ...choose(pair) }
  })
}

/** A copy of the set for as long as `work` takes. */
async function withScratch<T>(set: VectorSet, { database, newSuffix }: TuneDeps, work: (scratch: VectorSet) => Promise<T>): Promise<T> {
  const suffix = newSuffix()
  const scratch = { ...set, name: tableName(set, suffix), index: null }
  try {
    await database.tx(
      'system',
      async (transaction) => {
        await ensureTable(transaction, set, suffix)
        await copyVectors(transaction, { from: set, to: scratch })
      },
      limits,
    )
    return await work(scratch)
  } finally {
    await database.tx('system', ({ query }) => query('select rag_vector_drop($1)', [scratch.name]))
  }
}

/** Both again, each in a table of its own, asked in turns. */
async function duel({ baseline, choice }: Pick<TuneResult, 'baseline' | 'choice'>, run: Run, other: VectorSet): Promise<TuneRow[]> {
  const sides = [
    { row: baseline, run },
    { row: choice, run: { ...run, scratch: other } },
  ]
  for (const { row, run: side } of sides) await build(row.index, side)
  const times = sides.map((): number[] => [])
  for (let round = 0; round < duelRounds; round += 1) {
    for (const [at, { row, run: side }] of sides.entries()) {
      const { tookMs } = await askAll(row.index, side)
      if (round > 0) times[at]?.push(...tookMs)
    }
  }
  return sides.map(({ row }, at) => ({ ...row, ...latency(times[at] ?? []) }))
}

function build(index: VectorIndexSettings, { database, scratch: { name, vectors, dimensions } }: Run): Promise<void> {
  return database.tx('system', (transaction) => buildIndex(transaction, { name, index, vectors, dimensions }), limits)
}

const vectorRow = z.object({ number: z.number(), embedding: z.string() })

function parseVector(text: string): Float32Array {
  return Float32Array.from(text.slice(1, -1).split(','), Number)
}

async function readQuestions(
  database: Database,
  { scratch, given }: { readonly scratch: VectorSet; readonly given: readonly Float32Array[] | null },
): Promise<Question[]> {
  return database.tx(
    'system',
    async (transaction) => {
      const plain = given?.slice(0, questionsMax).map((vector) => ({ vector, own: null })) ?? (await ownVectors(transaction, scratch))
      const questions: Question[] = []
      for (const { vector, own } of plain) {
        const hits = await scanAll(goingOn(transaction), { set: scratch, vector, limit: recallDepth + 1, allowed: null })
        questions.push({ vector, own, nearest: new Set(firstTen(hits, own)) })
      }
      return questions
    },
    limits,
  )
}

/** A sample that is the same each time. */
async function ownVectors(
  transaction: Transaction,
  { name, tenant, collection }: VectorSet,
): Promise<{ vector: Float32Array; own: number }[]> {
  const { rows } = await transaction.query(
    `select number, embedding::text as embedding from ${name} where tenant = $1 and collection = $2 order by md5(number::text) limit $3`,
    [tenant, collection, questionsMax],
  )
  return rows.map((row) => vectorRow.parse(row)).map(({ number, embedding }) => ({ vector: parseVector(embedding), own: number }))
}

function firstTen(hits: readonly VectorHit[], own: number | null): number[] {
  return hits
    .map(({ number }) => number)
    .filter((number) => number !== own)
    .slice(0, recallDepth)
}

async function tryBuild(ways: readonly VectorIndexSettings[], run: Run, report: (line: string) => void): Promise<TuneRow[]> {
  const { database, clock, scratch } = run
  const [first] = ways
  if (first === undefined) return []
  const startedMs = clock.nowMs()
  await build(first, run)
  const buildMs = first.kind === 'exact' ? 0 : clock.nowMs() - startedMs
  const sizeBytes = first.kind === 'exact' ? 0 : await indexBytes(database, scratch.name)
  const times = new Map<VectorIndexSettings, number[]>(ways.map((way) => [way, []]))
  const recalls = new Map<VectorIndexSettings, number>()
  // Round by round over all ways, so that a busy moment falls on each of them.
  for (let round = 0; round < rounds; round += 1) {
    for (const way of ways) {
      const { recall, tookMs } = await askAll(way, run)
      recalls.set(way, recall)
      if (round > 0) times.get(way)?.push(...tookMs)
    }
  }
  const rows = ways.map((index): TuneRow => ({
    index,
    recall: recalls.get(index) ?? 0,
    ...latency(times.get(index) ?? []),
    buildMs,
    sizeBytes,
  }))
  report(`${describeIndex(first)} and its kin: built in ${Math.round(buildMs)} ms`)
  return rows
}

async function indexBytes(database: Database, name: string): Promise<number> {
  const { rows } = await database.tx('system', ({ query }) =>
    query(`select pg_relation_size($1::regclass)::text as bytes`, [`${name}_ann`]),
  )
  return Number(rows[0]?.['bytes'])
}

async function askAll(
  way: VectorIndexSettings,
  { database, clock, scratch, questions, depth }: Run,
): Promise<{ recall: number; tookMs: number[] }> {
  const tookMs: number[] = []
  let found = 0
  await database.tx(
    'system',
    async (transaction) => {
      const within = goingOn(transaction)
      for (const { vector, own, nearest } of questions) {
        const query = { set: scratch, vector, limit: depth + (own === null ? 0 : 1), allowed: null }
        const startedMs = clock.nowMs()
        const hits = way.kind === 'exact' ? await scanAll(within, query) : await scanIndex(within, query, way)
        tookMs.push(clock.nowMs() - startedMs)
        found += firstTen(hits, own).filter((number) => nearest.has(number)).length
      }
    },
    limits,
  )
  return { recall: found / (questions.length * recallDepth), tookMs }
}

function latency(values: readonly number[]): { readonly p50Ms: number; readonly p95Ms: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)] ?? 0
  return { p50Ms: at(0.5), p95Ms: at(0.95) }
}

function isDefault(index: VectorIndexSettings): boolean {
  const { m, efConstruction, efSearch } = pgvectorDefault
  return index.kind === 'hnsw' && index.m === m && index.efConstruction === efConstruction && index.efSearch === efSearch
}

/** The fastest row (median) that finds as much as pgvector's defaults; those defaults when nothing is faster by enough. */
export function choose(rows: readonly TuneRow[]): Pick<TuneResult, 'baseline' | 'choice' | 'why'> {
  const baseline = rows.find(({ index }) => isDefault(index))
  if (baseline === undefined) throw new Error('the grid lacks the defaults')
  const good = rows.filter(({ recall }) => recall >= baseline.recall - recallSlack)
  const fastest = good.reduce((best, row) => (row.p50Ms < best.p50Ms ? row : best), baseline)
  const gain = 1 - fastest.p50Ms / baseline.p50Ms
  if (gain < gainMin) return { baseline, choice: baseline, why: "no way of the grid is faster by 5 % at the recall of pgvector's defaults" }
  const why = `${Math.round(gain * 100)} % faster than pgvector's defaults at recall ${fastest.recall.toFixed(3)} (theirs ${baseline.recall.toFixed(3)})`
  return { baseline, choice: fastest, why }
}

export interface ApplyOptions {
  readonly set: VectorSet
  /** Of the collection. */
  readonly name: string
  readonly index: VectorIndexSettings
}

/**
 * Builds `index` beside the old one, searches going on, turns the collection to it, and then sets the collection to it. False when the collection is
 * gone or turned elsewhere meanwhile: then, and where the building throws what the store throws, the setting and the index in use are as they were.
 * A setting that cannot be written once the new index is in use throws too: the new index is then in use under the old setting.
 */
export async function applyTuning({ set, name, index }: ApplyOptions, { database, newSuffix }: TuneDeps): Promise<boolean> {
  if (index.kind !== 'exact' && !(await rebuildVectors(database, { set, index, storage: set.storage }, newSuffix()))) return false
  const changed = await database.tx({ tenant: set.tenant }, (transaction) =>
    updateCollection(transaction, { tenant: set.tenant, name, settings: { vectorIndex: index } }),
  )
  return changed !== null
}
