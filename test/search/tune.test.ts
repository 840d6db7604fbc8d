// Tuning on a small collection of both stores: what is measured, what is chosen, what is left behind.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { getCollection } from '../../src/search/collections.ts'
import { applyTuning, choose, pgvectorDefault, tuneGrid, type TuneRow, tuneVectors } from '../../src/search/tune.ts'
import { type VectorSet, vectorSets } from '../../src/search/vector/tables.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { randomText, tenant } from './keyword-corpus.ts'
import { put, withVectors } from './vector-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']

const row = (index: TuneRow['index'], recall: number, p50Ms: number): TuneRow => ({
  index,
  recall,
  p50Ms,
  p95Ms: p50Ms * 2,
  buildMs: 1,
  sizeBytes: 1,
})
const exact = { kind: 'exact' } as const
const lists = { kind: 'ivfflat', lists: 9, probes: 3 } as const

test('chooses the fastest way that finds as much as the defaults', () => {
  expect(
    choose([row(pgvectorDefault, 0.95, 10), row(lists, 0.95, 8), row({ ...lists, probes: 1 }, 0.8, 2), row(exact, 1, 9)]).choice.index,
  ).toEqual(lists)
})

test('keeps the defaults where nothing is faster by enough', () => {
  const { choice, why } = choose([row(exact, 1, 9.8), row(pgvectorDefault, 0.95, 10)])
  expect(choice.index).toEqual(pgvectorDefault)
  expect(why).toContain('no way of the grid')
})

test('the grid holds exact, the defaults, and no more probes than lists', () => {
  const ways = tuneGrid(20_000).flat()
  expect(ways).toContainEqual(exact)
  expect(ways).toContainEqual(pgvectorDefault)
  for (const way of tuneGrid(50).flat()) if (way.kind === 'ivfflat') expect(way.probes).toBeLessThanOrEqual(way.lists)
})

/** Each is a question to each of some forty ways, three times and more. */
const chunkCount = 40

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
  })
  afterAll(() => database.close())

  const liveSet = async (): Promise<VectorSet> => {
    const sets = await database.tx({ tenant }, (transaction) => vectorSets(transaction, { tenant, collections: ['c1'] }))
    const live = sets.find(({ isLive }) => isLive)
    if (live === undefined) throw new Error('no live set')
    return live
  }

  test('measures every way of the grid on a copy, and leaves none of it', async () => {
    await withVectors(database)
    const random = randomSequence(11)
    await put(database, { id: 'a', chunks: Array.from({ length: chunkCount }, () => randomText(random, 10)) })
    const set = await liveSet()
    let suffixes = 0
    const newSuffix = (): string => (suffixes += 1).toString(16).padStart(8, '0')
    const deps = { database, clock: systemClock, newSuffix }
    const result = await tuneVectors({ set, depth: 10 }, deps)
    expect(result.rows).toHaveLength(tuneGrid(chunkCount).flat().length)
    expect(result.rows.find(({ index }) => index.kind === 'exact')?.recall).toBe(1)
    expect(result.rows.every(({ index, buildMs, sizeBytes }) => index.kind === 'exact' || (buildMs > 0 && sizeBytes > 0))).toBe(true)
    const tables = await database.tx('system', ({ query }) => query('select name from rag_vector_tables'))
    expect(tables.rows).toEqual([{ name: set.name }])
  })

  const settingNow = async (): Promise<unknown> =>
    (await database.tx({ tenant }, (transaction) => getCollection(transaction, { tenant, name: 'docs' })))?.settings.vectorIndex

  /** The index of vectors in the database, and whether the planner takes it. */
  async function indexOf({ name, dimensions }: VectorSet): Promise<{ readonly definition: string | undefined; readonly isTaken: boolean }> {
    return database.tx('system', async ({ query }) => {
      const { rows } = await query(`select indexdef from pg_indexes where tablename = $1 and indexname = $1 || '_ann'`, [name])
      await query(
        `select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)`,
      )
      const vector = `[${Array.from({ length: dimensions }, (_, at) => (at === 0 ? 1 : 0)).join(',')}]`
      const plan = await query(
        `explain select number from ${name} where tenant = $1 order by embedding <#> $2::vector(${dimensions}) limit 5`,
        [tenant, vector],
      )
      return {
        definition: rows[0] === undefined ? undefined : String(rows[0]['indexdef']),
        isTaken: JSON.stringify(plan.rows).includes(`Index Scan using ${name}_ann`),
      }
    })
  }

  let applied = 0x100
  const applyDeps = () => ({ database, clock: systemClock, newSuffix: () => (applied += 1).toString(16).padStart(8, '0') })
  const ivfflat = { kind: 'ivfflat', lists: 4, probes: 2 } as const
  const hnsw = { kind: 'hnsw', m: 8, efConstruction: 40, efSearch: 30 } as const

  test('a choice is the index in the database, which the planner takes; another one after it puts the first back', async () => {
    for (const [index, definition] of [
      [ivfflat, /USING ivfflat .*lists='4'/],
      [hnsw, /USING hnsw .*m='8', ef_construction='40'/],
      [ivfflat, /USING ivfflat .*lists='4'/],
    ] as const) {
      expect(await applyTuning({ set: await liveSet(), name: 'docs', index }, applyDeps())).toBe(true)
      const set = await liveSet()
      expect([set.index, set.vectors, await settingNow()]).toEqual([index, chunkCount, index])
      expect(await indexOf(set)).toEqual({ definition: expect.stringMatching(definition), isTaken: true })
    }
    expect(await applyTuning({ set: await liveSet(), name: 'docs', index: exact }, applyDeps())).toBe(true)
    expect(await settingNow()).toEqual(exact)
  })

  test('a choice that cannot be built, or that comes too late, leaves settings and index as they were', async () => {
    const old = await liveSet()
    expect(await applyTuning({ set: old, name: 'docs', index: hnsw }, applyDeps())).toBe(true)
    const before = await liveSet()
    const wrong = { ...ivfflat, lists: 40_000 }
    await expect(applyTuning({ set: before, name: 'docs', index: wrong }, applyDeps())).rejects.toThrow(/lists/)
    expect(await applyTuning({ set: old, name: 'docs', index: ivfflat }, applyDeps()), 'of a table that is no longer used').toBe(false)
    expect([await liveSet(), await settingNow()]).toEqual([before, hnsw])
    expect(await indexOf(before)).toEqual({ definition: expect.stringContaining('USING hnsw'), isTaken: true })
  })
})
