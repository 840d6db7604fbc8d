// The vector leg on both stores: what is written, kept, removed and found, against comparing with every vector by hand; indexes on Postgres.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import { deleteCollection } from '../../src/search/collections.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { MeasuredCost } from '../../src/search/measured-cost.ts'
import { deleteVectors, purgeVectors, writeVectors } from '../../src/search/vector-write.ts'
import { maintainVectors } from '../../src/search/vector-index.ts'
import { scanAll, scanIndex, searchVectors, type VectorAnswer } from '../../src/search/vector.ts'
import { heldVectors, lacksVectors } from '../../src/search/vector/held-vectors.ts'
import { type VectorSet, vectorSets, vectorText } from '../../src/search/vector/tables.ts'
import { writeDocument } from '../../src/search/write-document.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { type Database, goingOn } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { randomText, tenant } from './keyword-corpus.ts'
import { digest, makeCollection, put, vectorsOf, withVectors, writeOf } from './vector-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']

async function vectorOf(text: string): Promise<Float32Array> {
  const [vector] = await vectorsOf([text])
  if (vector === undefined) throw new Error('no vector')
  return vector
}

async function setsOf(database: Database, collection = 'c1'): Promise<VectorSet[]> {
  return database.tx({ tenant }, (transaction) => vectorSets(transaction, { tenant, collections: [collection] }))
}

async function liveSet(database: Database, collection = 'c1'): Promise<VectorSet> {
  const set = (await setsOf(database, collection)).find(({ isLive }) => isLive)
  if (set === undefined) throw new Error('no live set')
  return set
}

async function ask(
  database: Database,
  text: string,
  options: { limit?: number; allowed?: ReadonlySet<number> | null; collection?: string } = {},
): Promise<VectorAnswer> {
  const { limit = 5, allowed = null, collection = 'c1' } = options
  const set = await liveSet(database, collection)
  const vector = await vectorOf(text)
  const deps = { store: database.kind, costs: new MeasuredCost(), clock: systemClock }
  return database.tx({ tenant }, (transaction) => searchVectors(goingOn(transaction), { set, vector, limit, allowed, wanted: null }, deps))
}

const chunkRow = z.object({ number: z.number(), text: z.string() })

async function chunksOf(database: Database): Promise<z.infer<typeof chunkRow>[]> {
  const { rows } = await database.tx({ tenant }, ({ query }) => query('select number, text from rag_chunks'))
  return rows.map((row) => chunkRow.parse(row))
}

/** Numbers of the nearest chunks, every one compared. */
async function nearestByHand(database: Database, text: string, limit: number): Promise<number[]> {
  const asked = await vectorOf(text)
  const chunks = await chunksOf(database)
  const vectors = await vectorsOf(chunks.map((chunk) => chunk.text))
  return chunks
    .map(({ number }, at) => ({ number, score: asked.reduce((sum, value, index) => sum + value * (vectors[at]?.[index] ?? 0), 0) }))
    .toSorted((a, b) => b.score - a.score || a.number - b.number)
    .slice(0, limit)
    .map(({ number }) => number)
}

function texts(seed: number, count: number): string[] {
  const random = randomSequence(seed)
  return Array.from({ length: count }, () => randomText(random, 12))
}

let suffixes = 0
const newSuffix = (): string => (suffixes += 1).toString(16).padStart(8, '0')

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
  })
  afterAll(() => database.close())

  test('finds the nearest chunks in the order of their cosines', async () => {
    await withVectors(database)
    const chunks = texts(1, 60)
    await put(database, { id: 'a', chunks: chunks.slice(0, 40) })
    await put(database, { id: 'b', chunks: chunks.slice(40) })
    for (const text of chunks.slice(0, 10)) {
      const { hits } = await ask(database, text)
      expect(hits.map(({ number }) => number)).toEqual(await nearestByHand(database, text, 5))
      expect(hits[0]?.score).toBeCloseTo(1, 5)
    }
  })

  test('keeps the vectors of chunks that did not change and removes those that are gone', async () => {
    await withVectors(database)
    await put(database, { id: 'a', chunks: ['alpha beta', 'gamma delta', 'epsilon zeta'] })
    const write = await writeOf({ id: 'a', chunks: ['alpha beta', 'eta theta'] })
    const results: unknown[] = []
    await database.tx({ tenant }, (transaction) =>
      writeDocument(transaction, write, async (inner, vectors) => results.push(await writeVectors(inner, vectors))),
    )
    expect(results).toEqual([{ added: 1, removed: 2, isKept: true }])
    const set = await liveSet(database)
    expect(set.vectors).toBe(2)
    const { hits } = await ask(database, 'gamma delta')
    expect(hits).toHaveLength(2)
  })

  test('adds vectors to kept chunks when the embedder is back', async () => {
    await withVectors(database)
    await put(database, { id: 'a', chunks: ['alpha beta', 'gamma delta'], isEmbedded: false })
    expect(await setsOf(database)).toEqual([])
    await put(database, { id: 'a', chunks: ['alpha beta', 'gamma delta'] })
    expect((await liveSet(database)).vectors).toBe(2)
  })

  test('tells which chunks of a document have vectors of a digest, and whether one has none', async () => {
    await withVectors(database)
    const held = (document: string, by: string | null) =>
      database.tx({ tenant }, async (transaction) => {
        const place = { tenant, collection: 'c1', document }
        const { digest: of, hashes } = await heldVectors(transaction, place, by)
        return [of, hashes.size, await lacksVectors(transaction, place, by)]
      })
    await put(database, { id: 'words', chunks: ['one two'], isEmbedded: false })
    expect(await held('words', digest)).toEqual([null, 0, true])
    await put(database, { id: 'a', chunks: ['alpha beta', 'gamma delta'] })
    expect(await held('a', digest)).toEqual([digest, 2, false])
    expect(await held('a', null)).toEqual([digest, 2, false])
    expect(await held('a', 'sha256:two')).toEqual([null, 0, true])
    expect(await held('words', digest)).toEqual([digest, 0, true])
    expect(await held('nobody', digest)).toEqual([digest, 0, false])
    await put(database, { id: 'a', chunks: ['alpha beta', 'iota kappa'], isEmbedded: false })
    expect(await held('a', digest)).toEqual([digest, 1, true])
  })

  test('never compares vectors of two digests and forgets the old one of a document that is embedded again', async () => {
    await withVectors(database)
    await put(database, { id: 'a', chunks: ['alpha beta'] })
    await put(database, { id: 'b', chunks: ['gamma delta'] })
    await put(database, { id: 'a', chunks: ['alpha beta'], digest: 'sha256:two' })
    const sets = await setsOf(database)
    expect(sets.map((set) => [set.digest, set.vectors])).toEqual([
      [digest, 1],
      ['sha256:two', 1],
    ])
    expect(new Set(sets.map(({ name }) => name)).size).toBe(2)
  })

  test('compares only what is allowed', async () => {
    await withVectors(database)
    const chunks = texts(2, 30)
    await put(database, { id: 'a', chunks })
    const { hits } = await ask(database, chunks[0] ?? '', { allowed: new Set([3, 7]) })
    expect(hits.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual([3, 7])
    expect((await ask(database, 'anything', { allowed: new Set() })).hits).toEqual([])
  })

  test('leaves no vector of a removed document, and none of a removed collection', async () => {
    await withVectors(database)
    await makeCollection(database, { id: 'c2', name: 'others' })
    await put(database, { id: 'a', chunks: ['alpha beta', 'gamma delta'] })
    await put(database, { id: 'b', chunks: ['epsilon zeta'] })
    await put(database, { collection: 'c2', id: 'a', chunks: ['alpha beta'] })
    const { name } = await liveSet(database)
    const rows = async (): Promise<unknown[]> =>
      (await database.tx('system', ({ query }) => query(`select collection, number from ${name} order by collection, number`))).rows.map(
        ({ collection }) => collection,
      )
    await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { tenant, collection: 'c1', document: 'a' }, deleteVectors))
    expect(await rows()).toEqual(['c1', 'c2'])
    await database.tx({ tenant }, (transaction) => deleteCollection(transaction, { tenant, name: 'docs' }, purgeVectors))
    expect(await rows()).toEqual(['c2'])
    expect(await setsOf(database)).toEqual([])
  })

  test('shows a tenant no vector of another', async () => {
    await withVectors(database)
    await put(database, { id: 'a', chunks: ['alpha beta'] })
    const { name } = await liveSet(database)
    const seen = await database.tx({ tenant: 'other' }, ({ query }) => query(`select number from ${name}`))
    expect(seen.rows).toEqual([])
    await expect(
      database.tx({ tenant: 'other' }, ({ query }) =>
        query(`insert into ${name} select '${tenant}', 'c1', 9, '${vectorText(new Float32Array(64))}'`),
      ),
    ).rejects.toThrow()
  })

  test('stores 16-bit floats when the collection says so', async () => {
    await withVectors(database, { vectorStorage: 'half' })
    const chunks = texts(3, 40)
    await put(database, { id: 'a', chunks })
    const set = await liveSet(database)
    expect(set.storage).toBe('half')
    const { hits } = await ask(database, chunks[5] ?? '', { limit: 1 })
    expect(hits.map(({ number }) => number)).toEqual(await nearestByHand(database, chunks[5] ?? '', 1))
    expect(hits[0]?.score).toBeCloseTo(1, 2)
  })

  test('moves a large collection into an indexed table of its own, with what was written and removed meanwhile', async () => {
    await withVectors(database, { vectorIndex: { kind: 'hnsw', m: 8, efConstruction: 32, efSearch: 60 } })
    await makeCollection(database, { id: 'c2', name: 'small' })
    const chunks = texts(4, 400)
    await put(database, { id: 'a', chunks })
    await put(database, { collection: 'c2', id: 'a', chunks: chunks.slice(0, 5) })
    const before = await liveSet(database)
    const { built } = await maintainVectors(database, { newSuffix, indexFrom: 100 })
    expect(built).toEqual(['c1'])
    const set = await liveSet(database)
    expect(set.name).not.toBe(before.name)
    expect(set).toMatchObject({ vectors: 400, index: { kind: 'hnsw', m: 8 } })
    expect((await liveSet(database, 'c2')).name).toBe(before.name)
    await put(database, { id: 'b', chunks: ['alpha beta gamma'] })
    await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { tenant, collection: 'c1', document: 'a' }, deleteVectors))
    expect((await setsOf(database)).map(({ vectors }) => vectors)).toEqual([0, 1])
    expect((await maintainVectors(database, { newSuffix, indexFrom: 100 })).built).toEqual([])
  })

  test('finds by the index what comparing with all finds', async () => {
    await withVectors(database, { vectorIndex: { kind: 'hnsw', m: 16, efConstruction: 64, efSearch: 100 } })
    const chunks = texts(5, 600)
    await put(database, { id: 'a', chunks })
    await maintainVectors(database, { newSuffix, indexFrom: 100 })
    const set = await liveSet(database)
    let common = 0
    for (const text of chunks.slice(0, 20)) {
      const query = { set, vector: await vectorOf(text), limit: 10, allowed: null }
      const index = { kind: 'hnsw', m: 16, efConstruction: 64, efSearch: 100 } as const
      const [exact, near, plan] = await database.tx({ tenant }, async (transaction) => {
        const all = await scanAll(goingOn(transaction), query)
        const some = await scanIndex(goingOn(transaction), query, index)
        const { rows } = await transaction.query(
          `explain select number from ${set.name} where tenant = $1 and collection = $2 order by embedding <#> $3::vector(64) limit 10`,
          [tenant, 'c1', vectorText(query.vector)],
        )
        return [all, some, JSON.stringify(rows)]
      })
      expect(plan).toContain(`${set.name}_ann`)
      common += exact.filter(({ number }) => near.some((other) => other.number === number)).length
    }
    expect(common).toBeGreaterThanOrEqual(196)
  })

  test.each([{ kind: 'hnsw', m: 16, efConstruction: 64, efSearch: 10 } as const, { kind: 'ivfflat', lists: 20, probes: 1 } as const])(
    'goes on in the index until enough are found that a filter lets through: $kind',
    async (index) => {
      await withVectors(database, { vectorIndex: index })
      await put(database, { id: 'a', chunks: texts(9, 600) })
      await maintainVectors(database, { newSuffix, indexFrom: 100 })
      const set = await liveSet(database)
      const allowed = new Set((await chunksOf(database)).filter((_, at) => at % 20 === 0).map(({ number }) => number))
      const query = { set, vector: await vectorOf(texts(10, 1)[0] ?? ''), limit: 10, allowed }
      const found = await database.tx({ tenant }, (transaction) => scanIndex(goingOn(transaction), query, index))
      expect(found).toHaveLength(10)
      expect(found.every(({ number }) => allowed.has(number))).toBe(true)
    },
  )

  test('turns 32-bit vectors into 16-bit ones when the setting changes', async () => {
    await withVectors(database)
    await put(database, { id: 'a', chunks: texts(6, 20) })
    await database.tx({ tenant }, ({ query }) => query(`update rag_collections set settings = settings || '{"vectorStorage":"half"}'`))
    const { built } = await maintainVectors(database, { newSuffix })
    expect(built).toEqual(['c1'])
    expect(await liveSet(database)).toMatchObject({ storage: 'half', vectors: 20, index: null })
  })

  test('removes what a move left behind once no search can need it', async () => {
    await withVectors(database, { vectorIndex: { kind: 'ivfflat', lists: 4, probes: 4 } })
    await put(database, { id: 'a', chunks: texts(7, 200) })
    await maintainVectors(database, { newSuffix, indexFrom: 100 })
    expect((await maintainVectors(database, { newSuffix, indexFrom: 100 })).removed).toBe(0)
    await database.tx('system', ({ query }) =>
      query(`update rag_vector_sets set changed_at = now() - interval '1 hour' where state = 'retired'`),
    )
    expect((await maintainVectors(database, { newSuffix, indexFrom: 100 })).removed).toBe(200)
    expect(await setsOf(database)).toHaveLength(1)
  })
})
