/**
 * A folder as documents: what is in it is given, what changed is given again, and what is gone is removed where that is asked for. The
 * document's id is the path below the folder. The folder is looked through now and then, and soon after the system says that something
 * changed, since such messages get lost. Links are never followed; a file that changes while it is read is read again.
 */
import { createHash } from 'node:crypto'
import { constants, type FSWatcher, watch as watchFolder } from 'node:fs'
import { open, stat } from 'node:fs/promises'

import type { Clock, Timer } from '../base/clock.ts'
import type { Submitted } from './documents.ts'
import { type FoundFile, filesBelow, type WantedFiles } from './folder-files.ts'
import { FolderLoss } from './folder-loss.ts'

export interface WatchedFolder extends WantedFiles {
  readonly bytesMax: number
  readonly removesDeleted: boolean
  readonly everyMs: number
}

export interface WatchFolderDeps<Given> {
  readonly clock: Clock
  /** Gives a file; its bytes are read while it runs. */
  readonly give: (document: string, bytes: AsyncIterable<Uint8Array>) => Promise<Given>
  readonly remove: (document: string) => Promise<unknown>
  /** What this folder gave before, as the store knows it: document to SHA-256 of its bytes, hex. */
  readonly known: () => Promise<ReadonlyMap<string, string>>
  /** Hears now and then of files that are as they were given, so that time does not remove them; gives those whose documents are gone. */
  readonly keep: (documents: readonly string[]) => Promise<readonly string[]>
  /** A file was not taken, or something failed. */
  readonly onSkipped: (document: string, reason: string) => void
  /** So many files are gone at once that their documents are kept (`folder-loss.ts`). Called once per loss. */
  readonly onLoss: (reason: string) => void
}

/** What one look through the folder did. */
export interface FolderPass<Given> {
  readonly given: readonly Given[]
  readonly unchanged: number
  readonly removed: number
  /** Documents that stay although their files are gone, since too many went at once. */
  readonly kept: number
  readonly skipped: number
}

const settleMs = 300
const keepEveryMs = 3_600_000
const lossHelp =
  'their documents stay until the files are back, or for an hour where the folder is still the same one; ' +
  'is a share not mounted? What was deleted on purpose goes at once with "corral documents rm"'

/** Looks through a folder; remembers sizes and times, so that only what changed is read again. */
export class FolderWatch<Given = Submitted> {
  readonly #watched: WatchedFolder
  readonly #deps: WatchFolderDeps<Given>
  /** Size and time of each file as it was given. */
  #seen = new Map<string, string>()
  #watcher: FSWatcher | null = null
  #timer: Timer | null = null
  #passing: Promise<unknown> = Promise.resolve()
  #isFirst = true
  readonly #loss = new FolderLoss()
  #keptAtMs = Number.NEGATIVE_INFINITY
  #isClosed = false

  constructor(watched: WatchedFolder, deps: WatchFolderDeps<Given>) {
    this.#watched = watched
    this.#deps = deps
  }

  /** Looks through the folder now, then again and again. */
  start(): void {
    try {
      this.#watcher = watchFolder(this.#watched.folder, { recursive: true, persistent: false }, () => this.#schedule(settleMs))
      this.#watcher.on('error', (error) => this.#deps.onSkipped('', `the system tells no more of changes: ${error.message}`))
    } catch (error) {
      this.#deps.onSkipped('', `the system does not tell of changes, looking every ${this.#watched.everyMs} ms: ${messageOf(error)}`)
    }
    this.#schedule(0)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#watcher?.close()
    this.#timer?.cancel()
    await this.#passing
  }

  #schedule(delayMs: number): void {
    if (this.#isClosed) return
    this.#timer?.cancel()
    this.#timer = this.#deps.clock.after(delayMs, () => {
      const before = this.#passing
      this.#passing = before
        .then(() => (this.#isClosed ? undefined : this.pass()))
        .catch((error: unknown) => this.#deps.onSkipped('', messageOf(error)))
        .finally(() => this.#schedule(this.#watched.everyMs))
    })
  }

  /** One look through the folder. Rejects when the folder itself cannot be read; then nothing is removed. */
  async pass(): Promise<FolderPass<Given>> {
    const known = this.#isFirst || this.#watched.removesDeleted ? await this.#deps.known() : new Map<string, string>()
    // Those given since the start may not be in the store yet.
    const before = new Set([...known.keys(), ...this.#seen.keys()])
    const found = new Set<string>()
    const given: Given[] = []
    let unchanged = 0
    let skipped = 0
    for await (const file of filesBelow(this.#watched)) {
      found.add(file.document)
      const taken = await this.#take(file, known)
      if (taken === 'unchanged') unchanged += 1
      else if (taken === 'skipped') skipped += 1
      else given.push(taken)
    }
    const { removed, kept } = this.#watched.removesDeleted ? await this.#removeGone(found, before) : { removed: 0, kept: 0 }
    this.#isFirst = false
    // Files of documents that are kept may come back as they were.
    if (kept === 0) this.#seen = new Map([...this.#seen].filter(([document]) => found.has(document)))
    await this.#keep()
    return { given, unchanged, removed, kept, skipped }
  }

  /** What was removed behind the folder's back is given again with the next look. */
  async #keep(): Promise<void> {
    const { clock, keep } = this.#deps
    if (clock.nowMs() - this.#keptAtMs < keepEveryMs) return
    for (const document of await keep([...this.#seen.keys()])) this.#seen.delete(document)
    this.#keptAtMs = clock.nowMs()
  }

  async #take({ path, document }: FoundFile, known: ReadonlyMap<string, string>): Promise<Given | 'unchanged' | 'skipped'> {
    const { bytesMax } = this.#watched
    try {
      // Not following a link that took the file's place since the folder was listed.
      await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
      const now = await handle.stat()
      const mark = `${now.size} ${now.mtimeMs}`
      if (this.#seen.get(document) === mark) return 'unchanged'
      if (!now.isFile()) return this.#skip(document, 'not a plain file')
      if (now.size > bytesMax) return this.#skip(document, `${now.size} bytes are over the limit of ${bytesMax}`)
      const read = (): AsyncIterable<Uint8Array> => handle.createReadStream({ autoClose: false, start: 0, end: bytesMax })
      // After a start nothing was seen yet, but most files are what the store has.
      if (this.#isFirst && known.has(document) && (await hashOf(read())) === known.get(document)) {
        this.#seen.set(document, mark)
        return 'unchanged'
      }
      const submitted = await this.#deps.give(document, read())
      this.#seen.set(document, mark)
      return submitted
    } catch (error) {
      return this.#skip(document, messageOf(error))
    }
  }

  #skip(document: string, reason: string): 'skipped' {
    this.#deps.onSkipped(document, reason)
    return 'skipped'
  }

  async #removeGone(found: ReadonlySet<string>, before: ReadonlySet<string>): Promise<{ removed: number; kept: number }> {
    const gone = [...before].filter((document) => !found.has(document))
    const { dev, ino } = await stat(this.#watched.folder)
    const look = { place: `${dev} ${ino}`, found: found.size, foundAgain: before.size - gone.length, gone: gone.length }
    const judged = this.#loss.judge(look, this.#deps.clock.nowMs())
    if (judged === 'new') this.#deps.onLoss(`${gone.length} of ${before.size} files are gone at once: ${lossHelp}`)
    if (judged !== 'believed') return { removed: 0, kept: gone.length }
    for (const document of gone) await this.#deps.remove(document)
    return { removed: gone.length, kept: 0 }
  }
}

async function hashOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of bytes) hash.update(part)
  return hash.digest('hex')
}

/** Why, without the folder's own path, which is nothing to show. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && 'syscall' in error ? `${String(error.code)} at ${String(error.syscall)}` : error.message
}
