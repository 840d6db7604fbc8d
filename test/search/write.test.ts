// Writing and deleting documents: what stays the same keeps its number, versions rise, and nothing of what was removed is left anywhere.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import type { Collection } from '../../src/core/corpus.ts'
import { deleteCollection, getCollection, purgeCollection } from '../../src/search/collections.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { compactCollection } from '../../src/search/keyword/compact.ts'
import { KeywordMemory } from '../../src/search/keyword/memory.ts'
import { searchKeyword } from '../../src/search/keyword.ts'
import { type DocumentWritten, type VectorsWrite, writeDocument } from '../../src/search/write-document.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import type { Database } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { chunkOf, documentOf, put, randomText, tenant, withCollection } from './keyword-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']
const owner = { tenant, collection: 'c1' }

function write(database: Database, id: string, chunks: readonly string[], seen: VectorsWrite[] = []): Promise<DocumentWritten> {
  return database.tx({ tenant }, (transaction) =>
    writeDocument(transaction, documentOf('c1', id, chunks), async (_transaction, vectors) => {
      seen.push(vectors)
    }),
  )
}

async function collection(database: Database): Promise<Collection> {
  const found = await database.tx({ tenant }, (transaction) => getCollection(transaction, { tenant, name: 'docs' }))
  if (found === null) throw new Error('the collection is gone')
  return found
}

async function numbersOf(database: Database, document: string): Promise<Record<string, number>> {
  const { rows } = await database.tx({ tenant }, ({ query }) =>
    query('select number, text from rag_chunks where document = $1 order by ordinal', [document]),
  )
  return Object.fromEntries(
    rows.map((row) => z.object({ number: z.number(), text: z.string() }).parse(row)).map(({ number, text }) => [text, number]),
  )
}

async function numbersFound(database: Database, query: string): Promise<number[]> {
  const { hits } = await database.tx({ tenant }, (transaction) =>
    searchKeyword(
      transaction,
      { ...owner, collection: { id: 'c1' }, query, language: 'en', limit: 10, allowed: null },
      new KeywordMemory(),
    ),
  )
  return hits.map(({ number }) => number)
}

/** Every table of the schema with a row that holds `text`, as text or in bytes. */
async function tablesWith(database: Database, text: string): Promise<string[]> {
  return database.tx('system', async ({ query }) => {
    const { rows } = await query(
      "select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'",
    )
    const holding: string[] = []
    for (const { name } of rows) {
      const hex = Buffer.from(text).toString('hex')
      const row = await query(`select 1 from ${String(name)} t where t::text ilike $1 or t::text ilike $2 limit 1`, [
        `%${text}%`,
        `%${hex}%`,
      ])
      if (row.rows.length > 0) holding.push(String(name))
    }
    return holding
  })
}

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open({ transactionTimeoutMs: 60_000, statementTimeoutMs: 30_000 })
  })
  afterAll(() => database.close())

  test('a new revision keeps the numbers of what did not change', async () => {
    await withCollection(database)
    const seen: VectorsWrite[] = []
    expect(await write(database, 'a', ['red fox', 'blue whale', 'green frog'], seen)).toMatchObject({
      revision: 1,
      added: 3,
      kept: 0,
      removed: 0,
    })
    const before = await numbersOf(database, 'a')
    const second = await write(database, 'a', ['green frog', 'red fox', 'black cat'], seen)
    expect(second).toMatchObject({ revision: 2, added: 1, kept: 2, removed: 1 })
    const after = await numbersOf(database, 'a')
    expect(after).toEqual({ 'green frog': before['green frog'], 'red fox': before['red fox'], 'black cat': 3 })
    expect(seen[1]?.removed).toEqual([before['blue whale']])
    expect(seen[1]?.chunks.map(({ isKept }) => isKept)).toEqual([true, true, false])
    expect(await numbersFound(database, 'whale')).toEqual([])
    expect(await numbersFound(database, 'cat')).toEqual([3])
    expect(await collection(database)).toMatchObject({ documents: 1, chunks: 3 })
  })

  test('what an earlier tokeniser cut is cut anew when it is given again, though its text did not change', async () => {
    await withCollection(database)
    await write(database, 'a', ['a node.js server', 'green frog'])
    expect(await write(database, 'a', ['a node.js server', 'green frog'])).toMatchObject({ added: 0, kept: 2 })
    await database.tx('system', ({ query }) => query('update rag_documents set tokeniser = 1'))
    expect(await write(database, 'a', ['a node.js server', 'green frog'])).toMatchObject({ added: 2, kept: 0, removed: 2 })
    expect(await write(database, 'a', ['a node.js server', 'green frog'])).toMatchObject({ added: 0, kept: 2 })
    expect(await numbersFound(database, 'nodejs')).toHaveLength(1)
  })

  test('every change raises the version, and a transaction that is taken back changes nothing', async () => {
    await withCollection(database)
    const { version } = await collection(database)
    await write(database, 'a', ['one'])
    await write(database, 'a', ['one'])
    await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { ...owner, document: 'a' }))
    expect((await collection(database)).version).toBe(version + 3)
    const undone = database.tx({ tenant }, async (transaction) => {
      await writeDocument(transaction, documentOf('c1', 'b', ['two']))
      throw new Error('taken back')
    })
    await expect(undone).rejects.toThrow('taken back')
    expect(await collection(database)).toMatchObject({ version: version + 3, documents: 0, chunks: 0 })
    expect(await numbersFound(database, 'two')).toEqual([])
  })

  test('nothing of a deleted document is left in any table', async () => {
    await withCollection(database)
    const random = randomSequence(1)
    // Enough for postings in rows beside the packed ones.
    await put(database, 'large', [...Array.from({ length: 2_000 }, () => randomText(random, 60)), 'the zanzibarium secret'])
    await put(database, 'small', ['the quxotically secret', 'plain words'])
    await put(database, 'other', ['the secret of others'])
    expect(await tablesWith(database, 'zanzibarium')).toEqual(expect.arrayContaining(['rag_chunks', 'rag_documents', 'rag_postings']))
    expect(await tablesWith(database, 'quxot')).toEqual(expect.arrayContaining(['rag_chunks', 'rag_segments']))
    const deletedRows: unknown[] = []
    for (const document of ['large', 'small']) {
      await database.tx({ tenant }, (transaction) =>
        deleteDocument(transaction, { ...owner, document }, async (_transaction, { numbers }) => deletedRows.push(numbers.length)),
      )
    }
    expect(deletedRows).toEqual([2_001, 2])
    expect(await tablesWith(database, 'zanzibar')).toEqual([])
    expect(await tablesWith(database, 'quxot')).toEqual([])
    expect(await numbersFound(database, 'secret')).toHaveLength(1)
    await compactCollection(database, owner, { isPurging: true, stepsMax: 100 })
    const left = await database.tx({ tenant }, ({ query }) =>
      query('select (select count(*)::int from rag_postings) as postings, (select sum(chunks)::int from rag_segments) as chunks'),
    )
    expect(left.rows).toEqual([{ postings: 0, chunks: 1 }])
  })

  test('a purged collection is empty and goes on; a deleted one leaves no row', async () => {
    await withCollection(database)
    await put(database, 'a', ['some zanzibar'])
    const purged = await database.tx({ tenant }, (transaction) => purgeCollection(transaction, { tenant, name: 'docs' }))
    expect(purged).toMatchObject({ documents: 0, chunks: 0 })
    expect(await tablesWith(database, 'zanzibar')).toEqual([])
    await put(database, 'a', ['more zanzibar'])
    expect(await numbersFound(database, 'zanzibar')).toEqual([1])
    let purgedVectors = 0
    const isDeleted = await database.tx({ tenant }, (transaction) =>
      deleteCollection(transaction, { tenant, name: 'docs' }, async () => {
        purgedVectors += 1
      }),
    )
    expect([isDeleted, purgedVectors]).toEqual([true, 1])
    expect(await tablesWith(database, 'zanzibar')).toEqual([])
    expect(await tablesWith(database, 'docs')).toEqual([])
    await expect(put(database, 'a', ['late'])).rejects.toMatchObject({ code: 'conflict' })
  })

  test('a document may be empty, and hold what Postgres cannot', async () => {
    await withCollection(database)
    await write(database, 'empty', [])
    await write(database, 'odd', ['nul \0 here', 'half \ud83d pair'])
    expect(await numbersFound(database, 'nul')).toEqual([0])
    expect(await numbersFound(database, 'half')).toEqual([1])
    expect(await collection(database)).toMatchObject({ documents: 2, chunks: 2 })
  })

  test('what is read before the text is found, too, and removed with it', async () => {
    await withCollection(database)
    await database.tx({ tenant }, (transaction) =>
      writeDocument(transaction, { ...documentOf('c1', 'a', []), chunks: [chunkOf('plain text', 0, 'Handbook > Zanzibar\n')] }),
    )
    expect(await numbersFound(database, 'zanzibar')).toEqual([0])
    await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { ...owner, document: 'a' }))
    expect(await tablesWith(database, 'zanzibar')).toEqual([])
  })

  test('writers at the same time wait for each other', async () => {
    await withCollection(database)
    await Promise.all(Array.from({ length: 8 }, (_, index) => write(database, `d${index}`, [`shared word${index}`, 'shared again'])))
    expect(await collection(database)).toMatchObject({ documents: 8, chunks: 16, version: 9 })
    expect(await numbersFound(database, 'shared')).toHaveLength(10)
    const { rows } = await database.tx({ tenant }, ({ query }) =>
      query('select count(distinct number)::int as n, max(number) as last from rag_chunks'),
    )
    expect(rows).toEqual([{ n: 16, last: 15 }])
  })
})
