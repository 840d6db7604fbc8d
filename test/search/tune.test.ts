// Tuning on a small collection of both stores: what is measured, what is chosen, what is left behind.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { getCollection } from '../../src/search/collections.ts'
import { applyTuning, choose, pgvectorDefault, tuneGrid, type TuneRow, tuneVectors } from '../../src/search/tune.ts'
import { type VectorSet, vectorSets } from '../../src/search/vector/tables.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { randomText, seeded, tenant } from './keyword-corpus.ts'
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

  test('measures every way of the grid on a copy, leaves none of it, and applies a choice', async () => {
    await withVectors(database)
    const random = seeded(11)
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
    const index = { kind: 'ivfflat', lists: 4, probes: 2 } as const
    expect(await applyTuning({ set, name: 'docs', index }, deps)).toBe(true)
    expect(await liveSet()).toMatchObject({ index, vectors: chunkCount })
    const collection = await database.tx({ tenant }, (transaction) => getCollection(transaction, { tenant, name: 'docs' }))
    expect(collection?.settings.vectorIndex).toEqual(index)
  })
})
