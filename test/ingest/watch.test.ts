// A folder as documents: what is taken and what is not, changes, deletions, links, files that grow over the limit.

import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { Submitted } from '../../src/ingest/documents.ts'
import type { Job } from '../../src/ingest/job.ts'
import { FolderWatch, type WatchedFolder } from '../../src/ingest/watch.ts'
import { manualClock } from '../fleet/manual-clock.ts'

const job = (document: string): Job => ({
  tenant: 't',
  id: document,
  collection: 'c',
  document,
  kind: 'upload',
  state: 'queued',
  stage: 'extract',
  counts: {},
  stageStartedAtMs: null,
  priority: 1,
  source: null,
  name: document,
  title: null,
  uri: null,
  metadata: {},
  isSearchableWithoutVectors: false,
  skipsDuplicates: false,
  contentHash: null,
  outcome: null,
  duplicateOf: null,
  attempts: 0,
  waits: 0,
  runAtMs: null,
  leaseOwner: null,
  heartbeatAtMs: null,
  error: null,
  createdAtMs: 0,
  startedAtMs: null,
  finishedAtMs: null,
})

class Play {
  readonly folder = mkdtempSync(join(tmpdir(), 'corral-watch-'))
  readonly held = new Map<string, string>()
  readonly given: string[] = []
  readonly skipped: [string, string][] = []
  readonly losses: string[] = []
  readonly watch: FolderWatch
  readonly clock: Clock

  constructor(more: Partial<WatchedFolder> = {}, clock: Clock = systemClock) {
    this.clock = clock
    const watched = {
      folder: this.folder,
      include: ['**/*.md', '**/*.txt'],
      exclude: ['**/drafts/**', '**/.*'],
      bytesMax: 100,
      removesDeleted: true,
      everyMs: 60_000,
      ...more,
    }
    this.watch = new FolderWatch(watched, {
      clock: this.clock,
      give: async (document, bytes): Promise<Submitted> => {
        const parts: Uint8Array[] = []
        for await (const part of bytes) parts.push(part)
        this.held.set(document, Buffer.concat(parts).toString())
        this.given.push(document)
        return { job: job(document), isNew: true }
      },
      remove: async (document) => this.held.delete(document),
      known: async () => new Map([...this.held].map(([document, text]) => [document, createHash('sha256').update(text).digest('hex')])),
      keep: async (documents) => documents.filter((document) => !this.held.has(document)),
      onSkipped: (document, reason) => this.skipped.push([document, reason]),
      onLoss: (reason) => this.losses.push(reason),
    })
    onTestFinished(async () => {
      await this.watch.close()
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  write(path: string, text: string): void {
    const whole = join(this.folder, path)
    mkdirSync(join(whole, '..'), { recursive: true })
    writeFileSync(whole, text)
  }
}

test('takes what the globs want, named by the path below the folder, and takes no file twice that did not change', async () => {
  const play = new Play()
  play.write('a.md', 'A')
  play.write('deep/er/b.txt', 'B')
  play.write('c.bin', 'C')
  play.write('drafts/d.md', 'D')
  play.write('.hidden.md', 'H')
  expect(await play.watch.pass()).toMatchObject({ unchanged: 0, removed: 0, skipped: 0 })
  expect(Object.fromEntries(play.held)).toEqual({ 'a.md': 'A', 'deep/er/b.txt': 'B' })
  play.write('a.md', 'A now')
  expect(await play.watch.pass()).toMatchObject({ unchanged: 1 })
  expect(play.held.get('a.md')).toBe('A now')
  expect(play.given).toHaveLength(3)
})

test('removes what is gone, and only where that is asked for', async () => {
  const play = new Play()
  play.write('a.md', 'A')
  play.write('b.md', 'B')
  await play.watch.pass()
  renameSync(join(play.folder, 'b.md'), join(play.folder, 'c.md'))
  expect(await play.watch.pass()).toMatchObject({ removed: 1 })
  expect([...play.held.keys()].toSorted()).toEqual(['a.md', 'c.md'])
  const keeping = new Play({ removesDeleted: false })
  keeping.write('a.md', 'A')
  await keeping.watch.pass()
  rmSync(join(keeping.folder, 'a.md'))
  expect(await keeping.watch.pass()).toMatchObject({ removed: 0 })
  expect(keeping.held.size).toBe(1)
})

test('after a start gives only what is not in the store as it is', async () => {
  const play = new Play()
  play.write('a.md', 'A')
  play.write('b.md', 'B')
  play.held.set('a.md', 'A')
  play.held.set('b.md', 'an older B')
  expect(await play.watch.pass()).toMatchObject({ unchanged: 1 })
  expect(play.given).toEqual(['b.md'])
})

test('follows no link, to a file or to a folder, and takes no file over the limit', async () => {
  const outside = new Play()
  outside.write('secret.md', 'Secret')
  const play = new Play()
  symlinkSync(join(outside.folder, 'secret.md'), join(play.folder, 'link.md'))
  symlinkSync(outside.folder, join(play.folder, 'linked'))
  play.write('big.md', 'x'.repeat(101))
  play.write('good.md', 'Good')
  expect(await play.watch.pass()).toMatchObject({ skipped: 1 })
  expect([...play.held.keys()]).toEqual(['good.md'])
  expect(play.skipped).toEqual([['big.md', '101 bytes are over the limit of 100']])
})

test('removes nothing when the folder itself is gone', async () => {
  const play = new Play()
  play.write('a.md', 'A')
  await play.watch.pass()
  rmSync(play.folder, { recursive: true })
  await expect(play.watch.pass()).rejects.toThrow('ENOENT')
  expect(play.held.size).toBe(1)
})

test('sees a new file soon after it was written, and a failed one again at the next look', async () => {
  const play = new Play({ everyMs: 200 })
  play.watch.start()
  play.write('a.md', 'A')
  await expect.poll(() => play.held.get('a.md'), { timeout: 5_000 }).toBe('A')
  play.write('a.md', 'A then')
  await expect.poll(() => play.held.get('a.md'), { timeout: 5_000 }).toBe('A then')
})

test('gives a file again whose document was removed by others, an hour later at most', async () => {
  const clock = manualClock()
  const play = new Play({}, clock)
  play.write('a.md', 'A')
  play.write('b.md', 'B')
  await play.watch.pass()
  play.held.delete('a.md')
  expect(await play.watch.pass()).toMatchObject({ given: [], unchanged: 2 })
  clock.advance(3_600_000)
  await play.watch.pass()
  await play.watch.pass()
  expect(play.held.get('a.md')).toBe('A')
  expect(play.given.toSorted()).toEqual(['a.md', 'a.md', 'b.md'])
})

function filled(clock: Clock, files: number): Play {
  const play = new Play({}, clock)
  for (let index = 0; index < files; index += 1) play.write(`${index}.md`, `File ${index}`)
  return play
}

function empty({ folder }: Play, keeps = 0): void {
  for (const name of readdirSync(folder).slice(keeps)) rmSync(join(folder, name))
}

test('a share that is not mounted takes no document with it, however long it is away, and nothing is given again when it is back', async () => {
  const clock = manualClock()
  const play = filled(clock, 3)
  await play.watch.pass()
  // What a share leaves behind is another folder at the same path.
  renameSync(play.folder, `${play.folder}-share`)
  mkdirSync(play.folder)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 3 })
  clock.advance(86_400_000)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 3 })
  expect(play.losses).toEqual([expect.stringContaining('3 of 3 files are gone at once')])
  rmSync(play.folder, { recursive: true })
  renameSync(`${play.folder}-share`, play.folder)
  expect(await play.watch.pass()).toMatchObject({ given: [], unchanged: 3, removed: 0, kept: 0 })
  expect(play.held.size).toBe(3)
})

test('after a start an empty folder removes nothing of what the store knows, however long it stays empty', async () => {
  const clock = manualClock()
  const play = new Play({}, clock)
  for (const name of ['a.md', 'b.md']) play.held.set(name, name)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 2 })
  clock.advance(86_400_000)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 2 })
  expect(play.losses).toHaveLength(1)
})

test('a great loss in the same folder is believed after an hour, a small one at once', async () => {
  const clock = manualClock()
  const play = filled(clock, 21)
  await play.watch.pass()
  empty(play, 10)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 11, unchanged: 10 })
  clock.advance(3_599_999)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 11 })
  clock.advance(1)
  expect(await play.watch.pass()).toMatchObject({ removed: 11, kept: 0 })
  empty(play, 1)
  expect(await play.watch.pass()).toMatchObject({ removed: 9, kept: 0 })
  empty(play)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 1 })
  expect(play.losses).toHaveLength(2)
})

test('files that came back in time start the hour anew', async () => {
  const clock = manualClock()
  const play = filled(clock, 1)
  await play.watch.pass()
  empty(play)
  await play.watch.pass()
  clock.advance(3_000_000)
  play.write('0.md', 'File 0')
  await play.watch.pass()
  empty(play)
  await play.watch.pass()
  clock.advance(3_000_000)
  expect(await play.watch.pass()).toMatchObject({ removed: 0, kept: 1 })
})
