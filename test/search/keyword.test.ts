// The keyword leg on both stores: equal to scoring everything, whatever was written, replaced, removed and joined before.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { createCollection } from '../../src/search/collections.ts'
import { compactCollection } from '../../src/search/keyword/compact.ts'
import { KeywordMemory } from '../../src/search/keyword/memory.ts'
import { type KeywordAnswer, searchKeyword } from '../../src/search/keyword.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { writeDocument } from '../../src/search/write-document.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import type { Database } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { documentOf, plainSettings, put, randomText, scoredByHand, tenant, withCollection } from './keyword-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']

interface Asked {
  readonly query: string
  readonly limit?: number
  readonly allowed?: ReadonlySet<number> | null
  readonly language?: string
  readonly memory?: KeywordMemory
}

function search(
  database: Database,
  { query, limit = 10, allowed = null, language = 'en', memory = new KeywordMemory() }: Asked,
): Promise<KeywordAnswer> {
  return database.tx({ tenant }, (transaction) =>
    searchKeyword(transaction, { tenant, collection: { id: 'c1' }, query, language, limit, allowed }, memory),
  )
}

async function storedTexts(database: Database): Promise<Map<number, string>> {
  const { rows } = await database.tx({ tenant }, ({ query }) => query('select number, lead || text as text from rag_chunks'))
  return new Map(rows.map((row) => z.object({ number: z.number(), text: z.string() }).parse(row)).map(({ number, text }) => [number, text]))
}

/** The best by hand; equal scores by number. */
function bestOf(scores: ReadonlyMap<number, number>, limit: number): { number: number; score: number }[] {
  return Array.from(scores, ([number, score]) => ({ number, score }))
    .toSorted((a, b) => (Math.abs(a.score - b.score) > 1e-9 ? b.score - a.score : a.number - b.number))
    .slice(0, limit)
}

async function expectExact(database: Database, asked: Asked): Promise<void> {
  const allowed = asked.allowed ?? null
  const texts = await storedTexts(database)
  const scores = scoredByHand(texts, asked.query)
  const wanted = bestOf(new Map([...scores].filter(([number]) => allowed === null || allowed.has(number))), asked.limit ?? 10)
  const { hits } = await search(database, asked)
  expect(hits.map(({ score }) => score.toFixed(6))).toEqual(wanted.map(({ score }) => score.toFixed(6)))
  expect(hits.map(({ number }) => number)).toEqual(wanted.map(({ number }) => number))
}

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open({ transactionTimeoutMs: 60_000, statementTimeoutMs: 30_000 })
  })
  afterAll(() => database.close())

  test('finds the same as scoring everything, through writes, replacements, removals and joins', async () => {
    await withCollection(database)
    const random = randomSequence(7)
    const memory = new KeywordMemory()
    for (let round = 0; round < 40; round += 1) {
      const id = `d${Math.floor(random() * 25)}`
      if (random() < 0.2)
        await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { tenant, collection: 'c1', document: id }))
      else
        await put(
          database,
          id,
          Array.from({ length: 1 + Math.floor(random() * 20) }, () => randomText(random, 5 + Math.floor(random() * 60))),
        )
      if (round % 5 !== 4) continue
      if (round % 10 === 9) await compactCollection(database, { tenant, collection: 'c1' }, { isPurging: round === 39, stepsMax: 100 })
      for (let asked = 0; asked < 4; asked += 1)
        await expectExact(database, { query: randomText(random, 1 + Math.floor(random() * 8)), memory })
    }
  })

  test('prunes long lists without a difference, with and without a filter', async () => {
    await withCollection(database)
    const random = randomSequence(11)
    for (let part = 0; part < 5; part += 1) {
      await put(
        database,
        `d${part}`,
        Array.from({ length: 1_200 }, () => randomText(random, 20 + Math.floor(random() * 20))),
      )
    }
    await compactCollection(database, { tenant, collection: 'c1' }, { isPurging: false, stepsMax: 200 })
    const memory = new KeywordMemory()
    const query = 'wdgax wjx wbx wcx wdx wex'
    const { why } = await search(database, { query, memory })
    const [, read, all] = /(\d+) of (\d+) postings/u.exec(why) ?? []
    expect(Number(read)).toBeLessThan(Number(all))
    await expectExact(database, { query, memory })
    await expectExact(database, { query, memory, limit: 100 })
    const few = new Set(Array.from({ length: 40 }, () => Math.floor(random() * 6_000)))
    const many = new Set(Array.from({ length: 3_000 }, () => Math.floor(random() * 6_000)))
    for (const allowed of [few, many]) await expectExact(database, { query, memory, allowed })
  })

  test('joins segments so that a query reads few, and leaves no trace of removed chunks when it purges', async () => {
    await withCollection(database)
    const random = randomSequence(3)
    const parts = Array.from({ length: 5 }, () => Array.from({ length: 1_600 }, () => randomText(random, 60)))
    for (const [part, chunks] of parts.entries()) await put(database, `d${part}`, chunks)
    const segments = async (): Promise<unknown> =>
      (
        await database.tx({ tenant }, ({ query }) =>
          query(`select count(*)::int as n, sum(dead)::int as dead, bool_and(state = 'live') as live from rag_segments`),
        )
      ).rows[0]
    expect(await segments()).toEqual({ n: 5, dead: 0, live: true })
    await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { tenant, collection: 'c1', document: 'd3' }))
    await put(database, 'd1', [...(parts[1] ?? []).slice(0, 800), 'wdgax wdgax wjx'])
    expect(await segments()).toEqual({ n: 6, dead: 2_400, live: true })
    await expectExact(database, { query: 'wdgax wjx wbx' })
    await compactCollection(database, { tenant, collection: 'c1' }, { isPurging: true, stepsMax: 200 })
    expect(await segments()).toEqual({ n: 2, dead: 0, live: true })
    const { rows } = await database.tx({ tenant }, ({ query }) =>
      query('select count(*)::int as n from rag_postings where segment not in (select id from rag_segments)'),
    )
    expect(rows).toEqual([{ n: 0 }])
    await expectExact(database, { query: 'wdgax wjx wbx' })
  })

  test('reads in the language of each document when the collection says auto', async () => {
    await withCollection(database, { language: 'auto' })
    await put(database, 'en', ['The connections were refused by the server while the clients were waiting for it.'])
    const memory = new KeywordMemory()
    const find = async (query: string): Promise<readonly number[]> =>
      (await search(database, { query, language: 'auto', memory })).hits.map(({ number }) => number)
    expect(await find('connection')).toEqual([0])
    await put(database, 'ru', ['Программисты написали документацию для всех пользователей системы, и она была понятна.'])
    await put(database, 'zh', ['黑豹队的防守只丢了 308分，在联赛中排名第六。'])
    expect(await find('документация пользователя')).toEqual([1])
    expect(await find('防守')).toEqual([2])
    expect(await find('connection')).toEqual([0])
  })

  test('shows nothing of one tenant to another, not even through what the process remembers', async () => {
    await withCollection(database)
    await put(database, 'a', ['the secret zanzibar'])
    const memory = new KeywordMemory()
    expect((await search(database, { query: 'zanzibar', memory })).hits).toHaveLength(1)
    const other = await database.tx({ tenant: 'other' }, (transaction) =>
      searchKeyword(transaction, { tenant, collection: { id: 'c1' }, query: 'zanzibar', language: 'en', limit: 10, allowed: null }, memory),
    )
    expect(other).toMatchObject({ hits: [], why: 'no such collection' })
  })

  test('scores by what its own collection holds alone, whatever others of the tenant or of another hold', async () => {
    await withCollection(database)
    await put(database, 'a', ['zanzibar lies far away', 'cows graze here', 'zanzibar and cows'])
    const scores = async (): Promise<number[]> => (await search(database, { query: 'zanzibar cows' })).hits.map(({ score }) => score)
    const before = await scores()
    expect(before).toHaveLength(3)
    const flood = Array.from({ length: 50 }, (_, at) => `zanzibar again, ${at} times as long as it was the time before`)
    for (const [owner, collection] of [[tenant, 'c2'] as const, ['other', 'c3'] as const]) {
      await database.tx({ tenant: owner }, (transaction) =>
        createCollection(transaction, { tenant: owner, id: collection, name: collection, settings: plainSettings }),
      )
      await database.tx({ tenant: owner }, (transaction) =>
        writeDocument(transaction, { ...documentOf(collection, 'b', flood), tenant: owner }),
      )
    }
    expect(await scores()).toEqual(before)
  })

  test('does not remember what a transaction wrote and took back', async () => {
    await withCollection(database)
    const memory = new KeywordMemory()
    const undone = database.tx({ tenant }, async (transaction) => {
      await writeDocument(transaction, documentOf('c1', 'a', ['one unicorn']))
      const { hits } = await searchKeyword(
        transaction,
        { tenant, collection: { id: 'c1' }, query: 'unicorn', language: 'en', limit: 10, allowed: null },
        memory,
      )
      throw new Error(`taken back after ${hits.length} hit`)
    })
    await expect(undone).rejects.toThrow('taken back after 1 hit')
    await put(database, 'b', ['two dragons'])
    expect((await search(database, { query: 'unicorn', memory })).hits).toEqual([])
    expect((await search(database, { query: 'dragon', memory })).hits).toHaveLength(1)
  })
})
