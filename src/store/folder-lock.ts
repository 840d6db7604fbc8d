/**
 * One process per data folder, since PGlite itself lets two open one and destroy it. The lock is a file with the owner's pid, the start
 * time of that pid, and the place where pids are counted (host and pid namespace), touched by a heartbeat.
 *
 * In the same place the pid decides and the heartbeat does not, for a process whose loop is blocked looks dead and is not: a live owner is
 * never robbed. A pid that was given to another process since, or to this one after a restart of its container, is told by the start time.
 * From another place (a shared volume) only the heartbeat can tell.
 */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

import { type Clock, type Timer } from '../base/clock.ts'
import { ensureDataFolder } from './data-folder.ts'
import { isCode, isRunning, ownPlace, startOf } from './process-identity.ts'

const heartbeatMs = 5_000
/** From another place: an owner that has not been heard of for so long is gone. */
const silentOwnerMs = 60_000
/** A lock without readable content is one that is being written just now. */
const unreadableOwnerMs = 5_000
const takeTriesMax = 5

const ownerText = z.object({ pid: z.int(), startedAt: z.string(), place: z.string(), token: z.string() })
type Owner = Readonly<z.infer<typeof ownerText>>

/** Another process has the folder. The message names both, for the person at the terminal. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'
  readonly folder: string
  readonly pid: number | null

  constructor(folder: string, owner: Owner | null) {
    const who = owner === null ? 'another process' : `process ${owner.pid}${owner.place === ownPlace() ? '' : ` on ${owner.place}`}`
    super(`${folder} is in use by ${who}: stop it, or choose another folder (store.dataDir) or a Postgres server (store.url)`)
    this.folder = folder
    this.pid = owner?.pid ?? null
  }
}

export interface FolderLock {
  /** Gives the folder back. */
  release(): void
}

export interface FolderLockDeps {
  readonly clock: Clock
  /** Makes the token by which the owner knows its lock. */
  readonly random: () => number
  /** The lock was taken away, which only hands or a broken clock can do: writing on would destroy the data. */
  readonly onLost: () => void
}

/** Locks `folder`, which is made when it does not exist. Throws `FolderInUseError`, or `DataFolderError`. */
export function lockFolder(folder: string, deps: FolderLockDeps): FolderLock {
  ensureDataFolder(folder)
  const file = join(folder, 'store.lock')
  const token = `${process.pid}-${deps.random().toString(36).slice(2)}`
  for (let tries = 0; tries < takeTriesMax; tries += 1) {
    if (writeLock(file, token)) return new HeldLock(file, token, deps)
    const content = readLock(file)
    if (content === null) continue
    const owner = ownerOf(content)
    if (isAlive(owner, file, deps.clock)) throw new FolderInUseError(folder, owner)
    removeStale(file, content, token)
  }
  throw new FolderInUseError(folder, null)
}

class HeldLock implements FolderLock {
  readonly #file: string
  readonly #token: string
  readonly #deps: FolderLockDeps
  #timer: Timer

  constructor(file: string, token: string, deps: FolderLockDeps) {
    this.#file = file
    this.#token = token
    this.#deps = deps
    this.#timer = this.#schedule()
  }

  #schedule(): Timer {
    return this.#deps.clock.after(heartbeatMs, () => this.#beat())
  }

  #beat(): void {
    if (!this.#isOurs()) {
      this.#deps.onLost()
      return
    }
    const nowSeconds = this.#deps.clock.wallMs() / 1_000
    utimesSync(this.#file, nowSeconds, nowSeconds)
    this.#timer = this.#schedule()
  }

  #isOurs(): boolean {
    const content = readLock(this.#file)
    return content !== null && ownerOf(content)?.token === this.#token
  }

  release(): void {
    this.#timer.cancel()
    if (this.#isOurs()) rmSync(this.#file, { force: true })
  }
}

/** Makes the file; false when there is one. */
function writeLock(file: string, token: string): boolean {
  let handle: number
  try {
    handle = openSync(file, 'wx', 0o600)
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false
    throw error
  }
  const owner: Owner = { pid: process.pid, startedAt: startOf(process.pid) ?? '', place: ownPlace(), token }
  writeSync(handle, JSON.stringify(owner))
  closeSync(handle)
  return true
}

function readLock(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null
    throw error
  }
}

/** Null when it is no lock of ours: then its age decides. */
function ownerOf(content: string): Owner | null {
  try {
    return ownerText.safeParse(JSON.parse(content)).data ?? null
  } catch {
    return null // not JSON, or not yet all of it
  }
}

function isAlive(owner: Owner | null, file: string, clock: Clock): boolean {
  if (owner === null) return ageMs(file, clock) < unreadableOwnerMs
  if (owner.place !== ownPlace()) return ageMs(file, clock) < silentOwnerMs
  if (!isRunning(owner.pid)) return false
  const startedAt = startOf(owner.pid)
  return startedAt === null || owner.startedAt === '' || startedAt === owner.startedAt
}

function ageMs(file: string, clock: Clock): number {
  try {
    return clock.wallMs() - statSync(file).mtimeMs
  } catch (error) {
    if (isCode(error, 'ENOENT')) return Infinity
    throw error
  }
}

/** Takes a stale lock away, unless somebody else did and wrote a new one meanwhile: that one is put back. */
function removeStale(file: string, content: string, token: string): void {
  const aside = `${file}.${token}`
  try {
    renameSync(file, aside)
  } catch (error) {
    if (isCode(error, 'ENOENT')) return
    throw error
  }
  if (readLock(aside) === content) rmSync(aside)
  else renameSync(aside, file)
}
