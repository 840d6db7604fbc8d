// Collections on both stores: names, settings, pages, and that tenants do not meet.
import { afterAll, beforeAll, expect, test } from 'vitest'

import {
  createCollection,
  deleteCollection,
  getCollection,
  getCollections,
  listCollections,
  updateCollection,
} from '../../src/search/collections.ts'
import type { Database } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { plainSettings, tenant, withCollection } from './keyword-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']

function create(database: Database, name: string, settings: object = {}, owner = tenant): Promise<{ readonly name: string }> {
  return database.tx({ tenant: owner }, (transaction) =>
    createCollection(transaction, { tenant: owner, id: `${owner}-${name}`, name, settings: { ...plainSettings, ...settings } }),
  )
}

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
  })
  afterAll(() => database.close())

  test('a name is small letters, digits, dots, dashes and underscores', async () => {
    await withCollection(database)
    for (const name of ['a', '0.b_c-d', 'x'.repeat(63)]) expect((await create(database, name)).name).toBe(name)
    for (const name of ['', 'A', '-a', '.a', 'a b', 'a/b', 'x'.repeat(64), 'é', 'a\n']) {
      await expect(create(database, name)).rejects.toMatchObject({
        code: 'invalid_request',
        message: expect.stringContaining('small letters'),
      })
    }
  })

  test('settings are checked, with what is wrong and what is possible', async () => {
    await withCollection(database)
    await expect(create(database, 'a', { language: 'klingon' })).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringContaining('auto'),
    })
    await expect(create(database, 'a', { fusionWeight: 2 })).rejects.toMatchObject({ message: expect.stringContaining('fusionWeight') })
    await expect(create(database, 'a', { chunking: { targetTokens: 500, maxTokens: 100, overlapTokens: 0 } })).rejects.toMatchObject({
      code: 'invalid_request',
    })
  })

  test('a taken name is a conflict, but each tenant has its own names', async () => {
    await withCollection(database)
    await expect(create(database, 'docs')).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('docs') })
    await create(database, 'docs', {}, 'other')
    const seen = await database.tx({ tenant: 'other' }, (transaction) => getCollection(transaction, { tenant, name: 'docs' }))
    expect(seen).toBeNull()
    const gone = await database.tx({ tenant: 'other' }, (transaction) => deleteCollection(transaction, { tenant, name: 'docs' }))
    expect(gone).toBe(false)
  })

  test('lists page by page, in the order of names', async () => {
    await withCollection(database)
    for (const name of ['b', 'a', 'c-1', 'c_1']) await create(database, name)
    const page = (after?: string): Promise<string[]> =>
      database.tx({ tenant }, async (transaction) =>
        (await listCollections(transaction, { tenant, limit: 2, ...(after === undefined ? {} : { after }) })).map(({ name }) => name),
      )
    expect([await page(), await page('b'), await page('c_1')]).toEqual([['a', 'b'], ['c-1', 'c_1'], ['docs']])
    const several = await database.tx({ tenant }, (transaction) => getCollections(transaction, { tenant, names: ['a', 'docs', 'none'] }))
    expect(several.map(({ name }) => name).toSorted()).toEqual(['a', 'docs'])
  })

  test('changed settings raise the version and keep the others', async () => {
    await withCollection(database)
    const change = (settings: object) =>
      database.tx({ tenant }, (transaction) => updateCollection(transaction, { tenant, name: 'docs', settings }))
    expect(await change({ fusionWeight: 0.9 })).toMatchObject({ version: 2, settings: { ...plainSettings, fusionWeight: 0.9 } })
    await expect(change({ retentionDays: 0 })).rejects.toMatchObject({ code: 'invalid_request' })
    const none = await database.tx({ tenant }, (transaction) => updateCollection(transaction, { tenant, name: 'none', settings: {} }))
    expect(none).toBeNull()
  })
})
