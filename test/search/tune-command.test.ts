// `corral tune` as a person runs it: the whole program on an embedded store.
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { createCollection } from '../../src/search/collections.ts'
import { writeVectors } from '../../src/search/vector-write.ts'
import { writeDocument } from '../../src/search/write-document.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { migrate } from '../../src/store/migrate.ts'
import { embeddedOn } from '../store/stores.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { plainSettings, randomText } from './keyword-corpus.ts'
import { writeOf } from './vector-corpus.ts'

const program = join(import.meta.dirname, '../../src/main.ts')
const tenant = 'local'

/** A folder with a store of 15 vectors in the collection `docs`, and a configuration that names it. */
async function storeWithVectors(): Promise<string> {
  const dataDir = await embeddedFolder()
  const database = embeddedOn(dataDir)
  await database.open()
  await migrate(database, migrations, systemClock)
  const random = randomSequence(5)
  const write = { ...(await writeOf({ id: 'a', chunks: Array.from({ length: 15 }, () => randomText(random, 8)) })), tenant }
  await database.tx({ tenant }, async (transaction) => {
    await createCollection(transaction, { tenant, id: 'c1', name: 'docs', settings: plainSettings })
    await writeDocument(transaction, write, writeVectors)
  })
  await database.close()
  const file = join(dataDir, 'corral.yaml')
  writeFileSync(file, `store:\n  dataDir: ${JSON.stringify(dataDir)}\n`)
  return file
}

function tune(
  file: string,
  ...args: readonly string[]
): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
  return spawnSync(process.execPath, [program, 'tune', ...args, '--config', file], { encoding: 'utf8' })
}

const printed = z.object({
  collection: z.string(),
  applied: z.boolean(),
  vectors: z.number(),
  rows: z.array(z.object({ recall: z.number() })),
  choice: z.object({ index: z.object({ kind: z.string() }) }),
})

test('prints the grid as JSON, applies the choice, and names a collection that is not there', async () => {
  const file = await storeWithVectors()
  const { status, stdout, stderr } = tune(file, 'docs', '--json', '--apply')
  expect(status, stderr).toBe(0)
  const result = printed.parse(JSON.parse(stdout))
  expect(result).toMatchObject({ collection: 'docs', applied: true, vectors: 15 })
  expect(result.rows.length).toBeGreaterThan(20)
  const table = tune(file, 'docs')
  expect(table.stdout).toMatch(/^INDEX +RECALL@10 +P50 ms +P95 ms +BUILD s +SIZE MiB/)
  const figures = String.raw` +\d\.\d{3} +\d+\.\d\d +\d+\.\d\d +\d+\.\d +\d+\.\d`
  for (const kind of ['exact', 'HNSW', 'IVFFlat']) expect(table.stdout).toMatch(new RegExp(`^${kind}.*?${figures}`, 'mi'))
  expect(table.stdout).toContain("pgvector's defaults")
  const missing = tune(file, 'nothing')
  expect([missing.status, missing.stderr]).toEqual([1, expect.stringContaining('tenant local has no collection nothing')])
})
