// What only the embedded store can suffer: a killed process, a killed worker, a second process, a first start that was cut off.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Database } from '../../src/store/database.ts'
import { createEmbedded, type Embedded } from '../../src/store/embedded.ts'
import { FolderInUseError } from '../../src/store/folder-lock.ts'
import { embeddedFolder, unusedFolder } from '../support/postgres-embedded.ts'
import { embeddedOn, optionsWith, storeDeps } from './stores.ts'

const reopenMsMax = 5_000

async function opened(dataDir: string): Promise<Embedded> {
  const database = embeddedOn(dataDir)
  await database.open()
  onTestFinished(() => database.close())
  return database
}

const count = async (database: Database): Promise<number> =>
  Number((await database.tx('system', (transaction) => transaction.query('select count(*) as count from written'))).rows[0]?.['count'])

/** Starts a process that writes to `dataDir`; `acknowledged` grows with what it says. */
function startWriter(dataDir: string): { child: ChildProcess; acknowledged: number[]; wrote: (rows: number) => Promise<void> } {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer-process.ts'), dataDir], { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const acknowledged: number[] = []
  const { stdout } = child
  if (stdout === null) throw new Error('no stdout')
  createInterface({ input: stdout }).on('line', (line) => acknowledged.push(Number(line)))
  const wrote = async (rows: number): Promise<void> => {
    await expect.poll(() => acknowledged.length, { timeout: 15_000, interval: 10 }).toBeGreaterThanOrEqual(rows)
  }
  return { child, acknowledged, wrote }
}

test('a first start makes the database, a second finds what was written', async () => {
  const dataDir = join(unusedFolder(), 'below', 'there')
  const first = embeddedOn(dataDir)
  await first.open()
  await first.tx('system', (transaction) => transaction.query('create table written as select 1 as key'))
  await first.close()
  expect(readdirSync(dataDir)).toEqual(['postgres'])
  expect(await count(await opened(dataDir))).toBe(1)
}, 40_000)

test('pgvector and pg_textsearch are there', async () => {
  const database = await opened(await embeddedFolder())
  await database.tx('system', (transaction) => transaction.query('create extension vector; create extension pg_textsearch'))
  const { rows } = await database.tx('system', (transaction) =>
    transaction.query(`select ('[1,2]'::vector <-> '[1,4]'::vector) as distance`),
  )
  expect(rows).toEqual([{ distance: 2 }])
})

test('kill -9 of a process that writes loses no acknowledged row, and the next process opens it within 5 s', async () => {
  const dataDir = await embeddedFolder()
  let written = 0
  for (const rows of [30, 60]) {
    const { child, acknowledged, wrote } = startWriter(dataDir)
    await wrote(rows)
    child.kill('SIGKILL')
    await once(child, 'close')
    written += acknowledged.length
  }
  const startMs = performance.now()
  const database = await opened(dataDir)
  expect(performance.now() - startMs).toBeLessThan(reopenMsMax)
  // One more may have been committed whose acknowledgement the kill swallowed, per kill.
  expect(await count(database)).toBeGreaterThanOrEqual(written)
  expect(await count(database)).toBeLessThanOrEqual(written + 2)
}, 40_000)

test('a second process on the same folder is refused by name and pid, and harms nothing', async () => {
  const dataDir = await embeddedFolder()
  const { child, wrote } = startWriter(dataDir)
  await wrote(3)
  const refused = embeddedOn(dataDir).open()
  await expect(refused).rejects.toBeInstanceOf(FolderInUseError)
  await expect(refused).rejects.toMatchObject({
    pid: child.pid,
    message: expect.stringContaining(`${dataDir} is in use by process ${child.pid}`),
  })
  await wrote(20)
})

test('a blocked owner keeps its folder', async () => {
  const dataDir = await embeddedFolder()
  const { child, wrote } = startWriter(dataDir)
  await wrote(1)
  child.kill('SIGSTOP')
  const wallMs = systemClock.wallMs() + 3_600_000
  const late = createEmbedded({ ...optionsWith(), dataDir }, { ...storeDeps(), clock: { ...systemClock, wallMs: () => wallMs } })
  await expect(late.open()).rejects.toBeInstanceOf(FolderInUseError)
  child.kill('SIGCONT')
  await wrote(10)
})

test('a second store in the same process is refused', async () => {
  const dataDir = await embeddedFolder()
  await opened(dataDir)
  await expect(embeddedOn(dataDir).open()).rejects.toMatchObject({ pid: process.pid })
})

test('the lock of a pid that another process has now is taken over', async () => {
  const dataDir = await embeddedFolder()
  const file = join(dataDir, 'store.lock')
  const holder = embeddedOn(dataDir)
  await holder.open()
  const content: Record<string, unknown> = JSON.parse(readFileSync(file, 'utf8'))
  await holder.close()
  // This process bears the pid, but started later: as process 1 of a container that was started anew.
  writeFileSync(file, JSON.stringify({ ...content, startedAt: 'another boot:1', token: 'gone' }))
  await opened(dataDir)
})

test('a lock from another machine is kept while it is fresh, and taken over once it has been silent', async () => {
  const dataDir = await embeddedFolder()
  writeFileSync(join(dataDir, 'store.lock'), JSON.stringify({ pid: 1, startedAt: '', place: 'elsewhere', token: 'x' }))
  await expect(embeddedOn(dataDir).open()).rejects.toThrow('process 1 on elsewhere')
  const wallMs = systemClock.wallMs() + 61_000
  const late = createEmbedded({ ...optionsWith(), dataDir }, { ...storeDeps(), clock: { ...systemClock, wallMs: () => wallMs } })
  await late.open()
  await late.close()
})

test('what a first start that was killed left behind is removed', async () => {
  const dataDir = await embeddedFolder()
  mkdirSync(join(dataDir, 'postgres.new-1'))
  writeFileSync(join(dataDir, 'postgres.new-1', 'PG_VERSION'), '18')
  await opened(dataDir)
  expect(existsSync(join(dataDir, 'postgres.new-1'))).toBe(false)
})

test('a first start that is killed while it makes the database leaves a folder that the next start can use', async () => {
  const dataDir = unusedFolder()
  const { child } = startWriter(dataDir)
  await expect
    .poll(() => readdirSync(dataDir).some((name) => name.startsWith('postgres.new-')), { timeout: 10_000, interval: 5 })
    .toBe(true)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(existsSync(join(dataDir, 'postgres'))).toBe(false)
  const database = await opened(dataDir)
  await database.tx('system', (transaction) => transaction.query('create table written as select 1 as key'))
  expect(await count(database)).toBe(1)
}, 40_000)

test('files of another Postgres are refused with what to do', async () => {
  const dataDir = unusedFolder()
  mkdirSync(join(dataDir, 'postgres'))
  writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '17\n')
  await expect(embeddedOn(dataDir).open()).rejects.toThrow('files of Postgres 17, this Corral needs 18')
  expect(readdirSync(dataDir)).toEqual(['postgres'])
})

test('a statement that does not end costs its worker, not the process: Postgres is back with all that was committed', async () => {
  const dataDir = await embeddedFolder()
  const database = embeddedOn(dataDir, { statementTimeoutMs: 100, embedded: { queueTimeoutMs: 500 } })
  await database.open()
  onTestFinished(() => database.close())
  await database.tx('system', (transaction) => transaction.query('create table written as select 1 as key'), { statementTimeoutMs: 5_000 })
  const startMs = performance.now()
  await expect(database.tx('system', (transaction) => transaction.query('select pg_sleep(60)'))).rejects.toMatchObject({
    code: 'store_timeout',
  })
  await expect(database.tx('system', (transaction) => transaction.query('select 1'))).rejects.toMatchObject({ code: 'store_unavailable' })
  await expect.poll(() => count(database).catch(() => null), { timeout: 15_000 }).toBe(1)
  expect(performance.now() - startMs).toBeLessThan(12_000)
})

test('the log of writes is kept short by checkpoints', async () => {
  const database = await opened(await embeddedFolder())
  await database.tx('system', (transaction) => transaction.query('create table big (text text)'))
  const fill = `insert into big select repeat(md5(n::text), 40) from generate_series(1, 800) n`
  for (let round = 0; round < 100; round += 1) await database.tx('system', (transaction) => transaction.query(fill))
  const size = 'select pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn)::int as bytes from pg_control_checkpoint()'
  const { rows } = await database.tx('system', (transaction) => transaction.query(size), { readOnly: true })
  expect(Number(rows[0]?.['bytes'])).toBeLessThan(80 * 1_048_576)
})
