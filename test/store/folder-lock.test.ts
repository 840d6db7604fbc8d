// One process per folder: a second is refused by name, a live owner is never robbed, a dead one is.

import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { FolderInUseError, lockFolder } from '../../src/store/folder-lock.ts'
import { HandClock } from '../identity/fixture.ts'
import { bareFolder } from '../support/postgres-embedded.ts'
import { embeddedOn, optionsWith, storeDeps } from './stores.ts'
import { opened, startWriter } from './writer.ts'

test('a second process on the same folder is refused by name and pid, and harms nothing', async () => {
  const dataDir = await bareFolder()
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
  const dataDir = await bareFolder()
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
  const dataDir = await bareFolder()
  await opened(dataDir)
  await expect(embeddedOn(dataDir).open()).rejects.toMatchObject({ pid: process.pid })
})

test('the lock of a pid that another process has now is taken over', async () => {
  const dataDir = await bareFolder()
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
  const dataDir = await bareFolder()
  writeFileSync(join(dataDir, 'store.lock'), JSON.stringify({ pid: 1, startedAt: '', place: 'elsewhere', token: 'x' }))
  await expect(embeddedOn(dataDir).open()).rejects.toThrow('process 1 on elsewhere')
  const wallMs = systemClock.wallMs() + 61_000
  const late = createEmbedded({ ...optionsWith(), dataDir }, { ...storeDeps(), clock: { ...systemClock, wallMs: () => wallMs } })
  await late.open()
  await late.close()
})

/** A lock held in a folder of its own, with a clock moved by hand, and how often it was lost. */
async function held() {
  const folder = await bareFolder()
  const clock = new HandClock()
  const told = { lost: 0 }
  const lock = lockFolder(folder, { clock, random: Math.random, onLost: () => void (told.lost += 1) })
  return { file: join(folder, 'store.lock'), clock, told, lock }
}

test('its owner touches the lock every five seconds, so that another machine sees that he lives', async () => {
  const { file, clock, told, lock } = await held()
  for (let beat = 0; beat < 3; beat += 1) {
    clock.pass(5_000)
    expect(statSync(file).mtimeMs).toBe(clock.wallMs())
  }
  clock.pass(4_999)
  expect(statSync(file).mtimeMs).toBe(clock.wallMs() - 4_999)
  lock.release()
  expect([told.lost, clock.timers]).toEqual([0, 0])
})

test('an owner whose lock was taken away hears of it once, and leaves the new one alone', async () => {
  const { file, clock, told, lock } = await held()
  const theirs = JSON.stringify({ pid: 1, startedAt: '', place: 'elsewhere', token: 'theirs' })
  writeFileSync(file, theirs)
  clock.pass(5_000)
  clock.pass(60_000)
  lock.release()
  expect([told.lost, readFileSync(file, 'utf8')]).toEqual([1, theirs])
})

test('a store whose lock was taken away writes no more', async () => {
  const dataDir = await bareFolder()
  const clock = new HandClock()
  const database = createEmbedded({ ...optionsWith(), dataDir }, { ...storeDeps(), clock })
  await database.open()
  const ask = () => database.tx('system', (transaction) => transaction.query('select 1 as one'))
  expect((await ask()).rows).toEqual([{ one: 1 }])
  rmSync(join(dataDir, 'store.lock'))
  clock.pass(5_000)
  await expect(ask()).rejects.toMatchObject({ code: 'store_unavailable' })
  await database.close()
})
