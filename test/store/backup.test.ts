// Backup and restore: every row of every kind of column arrives, or nothing changes.

import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'

import { BackupError } from '../../src/store/backup-file.ts'
import { backup } from '../../src/store/backup.ts'
import { migrationStatus } from '../../src/store/migrate.ts'
import { type Migration } from '../../src/store/migration.ts'
import { restore } from '../../src/store/restore.ts'
import { unusedFolder } from '../support/postgres-embedded.ts'
import { digest, filled, later, migrations, parentCount } from './filled.ts'
import { embeddedOn, optionsWith, storeDeps } from './stores.ts'

const restoreInto = (dataDir: string, file: string, known: readonly Migration[] = migrations) =>
  restore({ ...optionsWith(), dataDir }, file, { ...storeDeps(), migrations: known })

test('a backup restores to the same rows, and the store goes on from there', async () => {
  const { database, dataDir } = await filled()
  const before = await digest(database)
  const file = join(unusedFolder(), 'corral.backup')
  const counts = [
    { name: 'log', rowCount: 1 },
    { name: 'parents', rowCount: parentCount },
    { name: 'a_children', rowCount: 701 },
  ]
  expect(await backup(database, file, migrations)).toEqual(counts)
  expect(statSync(file).mode & 0o777).toBe(0o600)

  await expect(restoreInto(dataDir, file)).rejects.toMatchObject({ name: 'FolderInUseError' })
  await database.tx('system', (transaction) => transaction.query('delete from a_children'))
  await database.close()

  const restored = await restoreInto(dataDir, file, [...migrations, later])
  expect(restored).toMatchObject({ tables: counts, before: expect.stringContaining('postgres.before-') })
  const again = embeddedOn(dataDir)
  await again.open()
  onTestFinished(() => again.close())
  expect(await digest(again)).toEqual(before)
  expect((await migrationStatus(again, [...migrations, later])).pending).toEqual([])
  const { rows } = await again.tx('system', (transaction) =>
    transaction.query(`insert into a_children (tenant, parent) values ('new', 1) returning key`),
  )
  expect(rows).toEqual([{ key: '702' }])
  await expect(again.tx('system', (transaction) => transaction.query('delete from log'))).rejects.toThrow('append only')
})

test('a file that is cut short, changed, or none of ours is refused, and what was there stays', async () => {
  const { database, dataDir } = await filled()
  const file = join(unusedFolder(), 'corral.backup')
  await backup(database, file, migrations)
  const before = await digest(database)
  await database.close()
  const whole = readFileSync(file)
  const lines = gunzipSync(whole).toString().split('\n')
  const variant = (name: string, bytes: Buffer): string => {
    const path = join(unusedFolder(), name)
    writeFileSync(path, bytes)
    return path
  }
  const cut = variant('cut', whole)
  truncateSync(cut, whole.length - 20)
  const files = [
    cut,
    variant('no-end', gzipSync(lines.slice(0, -2).join('\n'))),
    variant('not-ours', gzipSync('{"hello":1}\n')),
    variant('no-gzip', Buffer.from('hello')),
  ]
  for (const bad of files) await expect(restoreInto(dataDir, bad)).rejects.toBeInstanceOf(BackupError)
  const lost = variant('lost-row', gzipSync(lines.with(1, lines[1]?.replace(/\["seeded[^\]]*\]/, '') ?? '').join('\n')))
  await expect(restoreInto(dataDir, lost)).rejects.toThrow('table log has 1 rows, but 0 arrived')
  await expect(restoreInto(dataDir, file, [])).rejects.toThrow('needs migration 9001')
  expect(readdirSync(dataDir).toSorted()).toEqual(['postgres'])
  const again = embeddedOn(dataDir)
  await again.open()
  onTestFinished(() => again.close())
  expect(await digest(again)).toEqual(before)
})
