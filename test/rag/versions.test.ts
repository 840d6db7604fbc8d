// What is known of collections between reads of them.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { CollectionVersions } from '../../src/rag/versions.ts'
import { deleteCollection, getCollection, updateCollection } from '../../src/search/collections.ts'
import type { Database } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { tenant, withCollection } from '../search/keyword-corpus.ts'
import { describeStores } from '../store/stores.ts'

describeStores(['embedded'], (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
  })
  afterAll(() => database.close())

  const versionOf = async (at: Database): Promise<number> => {
    const found = await at.tx({ tenant }, (transaction) => getCollection(transaction, { tenant, name: 'docs' }))
    return found?.version ?? Number.NaN
  }

  const embedWith = (embedder: string) =>
    database.tx({ tenant }, (transaction) => updateCollection(transaction, { tenant, name: 'docs', settings: { embedder } }))

  test('an embedder that was changed, or is that of another collection of the name by now, is known to who saw that version', async () => {
    await withCollection(database)
    await embedWith('all-minilm')
    const versions = new CollectionVersions(database)
    const seen = async () => versions.embeddersOf(tenant, { docs: await versionOf(database) })
    expect(await seen()).toEqual(['all-minilm'])
    await embedWith('bge-m3')
    expect(await seen()).toEqual(['bge-m3'])
    await database.tx({ tenant }, (transaction) => deleteCollection(transaction, { tenant, name: 'docs' }))
    await withCollection(database)
    expect(await seen()).toEqual([null])
  })
})
