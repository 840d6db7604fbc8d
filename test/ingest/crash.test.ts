// kill -9 of the process that ingests, at random moments: what was accepted is there in the end, once, and nothing is ever half there.
// Each kill in a part of the time of its own; `npm run bench -- crash` kills two hundred times.

import { expect, onTestFinished, test } from 'vitest'

import { bareFolder } from '../support/postgres-embedded.ts'
import { hasPostgres, startPostgres } from '../support/postgres.ts'
import { embeddedOn, postgresOn } from '../store/stores.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { crashDocuments, documentOf, leftovers, visible } from './crash-revisions.ts'
import { crashRounds, type CrashReport } from './crash-rounds.ts'

async function expectWhole(database: OpenableDatabase, { accepted, broken }: CrashReport): Promise<void> {
  await database.open()
  onTestFinished(() => database.close())
  expect(broken).toEqual([])
  const newest = new Map(Array.from({ length: crashDocuments }, (_, back) => [documentOf(accepted - back), accepted - back]))
  const seen = await visible(database)
  expect(new Map([...seen].map(([id, { revision }]) => [id, revision]))).toEqual(newest)
  expect(await leftovers(database)).toEqual({ parts: 0, vectors: 0, orphans: 0, doubled: 0 })
}

/** In [0, 1): one random moment of each of `kills` equal parts, early ones first. */
function spread(kills: number): () => number {
  let index = 0
  return () => ((index++ % kills) + Math.random()) / kills
}

test.runIf(hasPostgres())(
  'twenty kills on Postgres lose nothing, double nothing and show nothing by halves',
  async () => {
    const server = await startPostgres()
    onTestFinished(() => server.remove())
    const { url } = await server.createDatabase()
    const report = await crashRounds({ kind: 'postgres', place: url, kills: 20, random: spread(20) })
    await expectWhole(postgresOn(url), report)
  },
  240_000,
)

test('eight kills on the embedded store lose nothing, double nothing and show nothing by halves', async () => {
  const place = await bareFolder()
  const report = await crashRounds({ kind: 'embedded', place, kills: 8, random: spread(8) })
  await expectWhole(embeddedOn(place), report)
}, 240_000)
