// One process per folder: a second is refused by name, a live owner is never robbed, a dead one is.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { FolderInUseError } from '../../src/store/folder-lock.ts'
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
