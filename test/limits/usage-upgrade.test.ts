// Records from before migration 203, which gave them their phases: in a store that is brought up, and in a backup that is restored.
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { UsageHistory } from '../../src/limits/usage-history.ts'
import { migrations } from '../../src/migrations.ts'
import { backup } from '../../src/store/backup.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { restore } from '../../src/store/restore.ts'
import { bareFolder, unusedFolder } from '../support/postgres-embedded.ts'
import { describeStores, embeddedOn, optionsWith, storeDeps, storeKinds } from '../store/stores.ts'

const phases = 203
/** What a Corral from before it knew. */
const older = migrations.filter(({ number }) => number !== phases)

async function writeOldRecord(database: Database): Promise<void> {
  await migrate(database, older, systemClock)
  await database.tx({ tenant: 'acme' }, (transaction) =>
    transaction.query(`insert into usage_records (tenant, request, at, model, node, route, status, outcome, prompt_tokens, output_tokens,
      cached_prompt_tokens, gpu_us, duration_ms, ttft_ms, stream, attempts)
      values ('acme', 'r-old', '2026-01-02T03:04:05Z', 'small', 'n1', '/api/chat', 200, 'ok', 9, 3, 0, 1500000, 40, 10, true, 1)`),
  )
}

async function expectOldRecord(database: Database): Promise<void> {
  const history = new UsageHistory(database, 'the secret of this test')
  const none = { reason: null, queueMs: null, retryMs: null, loadMs: null, promptMs: null, outputMs: null }
  const record = { id: 'r-old', at: '2026-01-02T03:04:05.000Z', durationMs: 40, ttftMs: 10, gpuSeconds: 1.5, ...none }
  expect((await history.read({ limit: 10 }, 'acme')).requests).toEqual([expect.objectContaining(record)])
  expect(await history.readOne('r-old', 'acme')).toMatchObject({ ...record, prompt: null, answer: null })
}

describeStores(storeKinds, (servers) => {
  test('a record from before phases were kept has none', async () => {
    const database = await servers.openBareForTest()
    await writeOldRecord(database)
    expect((await migrate(database, migrations, systemClock)).map(({ number }) => number)).toEqual([phases])
    await expectOldRecord(database)
  })
})

test('a Corral from before it refuses a store that has it, and changes nothing', async () => {
  const database = embeddedOn(await bareFolder())
  await database.open()
  onTestFinished(() => database.close())
  await writeOldRecord(database)
  await migrate(database, migrations, systemClock)
  await expect(migrate(database, older, systemClock)).rejects.toThrow(
    `the database has migration ${phases} (usage phases), which this Corral does not know: start the newer Corral that applied it`,
  )
  await expectOldRecord(database)
})

test('a backup from before it restores, with its records', async () => {
  const from = embeddedOn(await bareFolder())
  await from.open()
  onTestFinished(() => from.close())
  await writeOldRecord(from)
  const file = join(unusedFolder(), 'older.backup')
  await backup(from, file, older)
  const dataDir = unusedFolder()
  await restore({ ...optionsWith(), dataDir }, file, { ...storeDeps(), migrations })
  const restored = embeddedOn(dataDir)
  await restored.open()
  onTestFinished(() => restored.close())
  expect(await migrate(restored, migrations, systemClock)).toEqual([])
  await expectOldRecord(restored)
})
