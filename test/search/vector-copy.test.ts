// A move to a server, a backup and its restore carry the tables of vectors, which no migration makes: what was found before is found after.
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { search } from '../../src/search/search.ts'
import { maintainVectors, rebuildVectors } from '../../src/search/vector-index.ts'
import { vectorSets } from '../../src/search/vector/tables.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { backup } from '../../src/store/backup.ts'
import type { Database } from '../../src/store/database.ts'
import { moveTo } from '../../src/store/move.ts'
import { restore } from '../../src/store/restore.ts'
import { describeStores, embeddedOn, optionsWith, postgresOn, storeDeps } from '../store/stores.ts'
import { embeddedFolder, unusedFolder } from '../support/postgres-embedded.ts'
import { asSuperuser, hasPostgres } from '../support/postgres.ts'
import { randomText, tenant } from './keyword-corpus.ts'
import { depsOf, makeCollection, put, requestOf, withVectors } from './vector-corpus.ts'

const index = { kind: 'hnsw', m: 8, efConstruction: 32, efSearch: 40 } as const
const questions = ['alpha beta', 'gamma', 'delta epsilon zeta']

/** A collection in the shared table, and one whose half-size vectors lie in a table of its own under an index. */
async function fill(database: Database): Promise<void> {
  await withVectors(database)
  await makeCollection(database, { id: 'c2', name: 'own', settings: { vectorIndex: index, vectorStorage: 'half' } })
  const random = randomSequence(7)
  for (const collection of ['c1', 'c2']) {
    for (let document = 0; document < 6; document += 1) {
      const chunks = Array.from({ length: 5 }, () => randomText(random, 6))
      await put(database, { collection, id: `${collection}-d${document}`, chunks })
    }
  }
  for (const set of await setsOf(database, 'c2')) await rebuildVectors(database, { set, index, storage: 'half' }, '0123abcd')
}

function setsOf(database: Database, collection: string) {
  return database.tx({ tenant }, (transaction) => vectorSets(transaction, { tenant, collections: [collection] }))
}

/** What is found by vectors, with its scores. */
async function found(database: Database): Promise<unknown> {
  const answers = []
  for (const name of ['docs', 'own']) {
    for (const question of questions) {
      const answer = await search(requestOf(question, { collections: [name], mode: 'vector' }), depsOf(database))
      expect(answer.degraded).toBeNull()
      answers.push(answer.results.map(({ chunk, scores }) => [chunk.id, scores.vector?.toFixed(4)]))
    }
  }
  return answers
}

/** Vectors are there, can be added to, and the index comes back. */
async function goesOn(database: Database): Promise<void> {
  expect((await setsOf(database, 'c2')).map((set) => [set.isLive, set.index])).toContainEqual([true, null])
  await put(database, { id: 'new', chunks: ['omega psi'] })
  const answer = await search(requestOf('omega psi', { mode: 'vector', limit: 1 }), depsOf(database))
  expect(answer.results.map(({ chunk }) => chunk.id)).toEqual(['new#0'])
  const { built } = await maintainVectors(database, { newSuffix: () => 'fedcba98', indexFrom: 30 })
  expect(built).toContain('c2')
  expect((await setsOf(database, 'c2')).filter(({ isLive }) => isLive)).toMatchObject([{ index, vectors: 30, storage: 'half' }])
}

async function filledEmbedded() {
  const database = embeddedOn(await embeddedFolder())
  await database.open()
  onTestFinished(() => database.close())
  await fill(database)
  return database
}

async function restored(from: Database) {
  const file = join(unusedFolder(), 'corral.backup')
  await backup(from, file, migrations)
  const dataDir = unusedFolder()
  await restore({ ...optionsWith(), dataDir }, file, { ...storeDeps(), migrations })
  const database = embeddedOn(dataDir)
  await database.open()
  onTestFinished(() => database.close())
  return database
}

test('a backup of an embedded store holds its vectors', async () => {
  const database = await filledEmbedded()
  const before = await found(database)
  const again = await restored(database)
  expect(await found(again)).toEqual(before)
  await goesOn(again)
})

describeStores(hasPostgres() ? ['postgres'] : [], (servers) => {
  test('a move to a server takes the vectors along, and a backup of that server brings them back', async () => {
    const database = await filledEmbedded()
    const before = await found(database)
    const server = postgresOn(servers.urlOf(await servers.postgres.createDatabase()))
    onTestFinished(() => server.close())
    const moved = await moveTo(database, server, { clock: systemClock, migrations })
    // The shared tables of either storage, and the collection's own.
    expect(moved.filter(({ name }) => name.startsWith('rag_vectors_')).map(({ rowCount }) => rowCount)).toEqual([30, 30, 30])
    expect(await found(server)).toEqual(before)
    expect(await found(await restored(server))).toEqual(before)
    await goesOn(server)
  })

  test('a server without pgvector gets no half of a store', async () => {
    const database = await filledEmbedded()
    const place = await servers.postgres.createDatabase()
    await asSuperuser(place.superuserUrl, 'drop extension vector')
    const server = postgresOn(place.url)
    onTestFinished(() => server.close())
    await expect(moveTo(database, server, { clock: systemClock, migrations })).rejects.toThrow('an admin runs "create extension vector"')
    await asSuperuser(place.superuserUrl, 'create extension vector')
    await moveTo(database, server, { clock: systemClock, migrations })
    expect(await found(server)).toEqual(await found(database))
  })
})
