/**
 * The embedded Postgres: PGlite in a worker thread, behind the lock of its folder. It has one connection, so transactions take turns
 * in a bounded queue, each with a deadline. It ignores `statement_timeout` and hangs when an idle timeout strikes, so it gets none of
 * them: a statement over its deadline is given some seconds more for itself, then the worker is ended and Postgres started anew, as
 * after a crash. Its only user is a superuser, so tenants' transactions step down to another role (tenancy.ts). It has no
 * checkpointer, so this file asks for checkpoints.
 *
 * Durable against the end of the process at any moment; not against power loss, since PGlite does not flush the disk's cache.
 */
import { CorralError } from '../core/errors.ts'
import { type Transaction, type TransactionOptions, type TransactionScope } from './database.ts'
import { databaseFolder, ensureDatabase } from './embedded-folder.ts'
import { checkpointWhenDue, connected, type Line, rolledBack } from './embedded-line.ts'
import { EmbeddedThread } from './embedded-thread.ts'
import { type FolderLock, lockFolder } from './folder-lock.ts'
import { type StoreOptions } from './options.ts'
import { abandon, OneWriteClient } from './one-write.ts'
import { limitsOf, type TransactSettings } from './open-transaction.ts'
import { retried } from './retried.ts'
import { unavailable } from './sql-errors.ts'
import { type Connections, type OpenableDatabase, type StoreDeps } from './openable.ts'
import { transact, type TransactVerdict } from './transact.ts'
import { TurnQueue } from './turn-queue.ts'

export type EmbeddedOptions = Omit<StoreOptions, 'dataDir'> & { readonly dataDir: string }

/** The maker's own type: it has the folder besides. */
export interface Embedded extends OpenableDatabase {
  readonly kind: 'embedded'
  readonly dataDir: string
}

/** How long a statement over its deadline may go on before its worker is ended. */
const stuckGraceMs = 5_000
/** How long `close` waits for the running transaction, and then for a clean shutdown. */
const closeGraceMs = 5_000
/** Pause after a start that failed. */
const restartPauseMs = 1_000
/** initdb takes longer than a start: 9 s were seen where a start took 1.6. */
const initdbShare = 3
/** How often, in writing transactions, the size of the log is looked at. */
const checkpointCheckEvery = 100

class EmbeddedDatabase implements Embedded {
  readonly kind = 'embedded'
  readonly dataDir: string
  readonly #options: EmbeddedOptions
  readonly #deps: StoreDeps
  readonly #turns: TurnQueue
  #lock: FolderLock | null = null
  #opening: Promise<void> | null = null
  /** Resolves when the files are there. */
  #made: Promise<void> = Promise.resolve()
  #line: Promise<Line> | null = null
  #thread: EmbeddedThread | null = null
  #lastStart: Promise<unknown> = Promise.resolve()
  #isRecovering = false
  #failedAtMs = -Infinity
  #writes = 0
  #closing: Promise<void> | null = null
  /** Why it could not be opened: the operator is told, callers are not. */
  #openFailure: unknown = null

  constructor(options: EmbeddedOptions, deps: StoreDeps) {
    this.#options = options
    this.#deps = deps
    this.dataDir = options.dataDir
    const { queueMax, queueTimeoutMs } = options.embedded
    this.#turns = new TurnQueue({ clock: deps.clock, waitersMax: queueMax, waitMs: queueTimeoutMs })
  }

  /** There is one. */
  connections(): Connections {
    const { taken, waiting } = this.#turns
    return { used: taken ? 1 : 0, idle: taken ? 0 : 1, waiting }
  }

  /** It is in this process. */
  tlsPeers(): readonly [] {
    return []
  }

  open(): Promise<void> {
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open(): Promise<void> {
    const { clock, random, report } = this.#deps
    const onLost = (): void => {
      report(`the lock of ${this.dataDir} was taken away: the store is closed`, null)
      void this.close()
    }
    try {
      this.#lock = lockFolder(this.dataDir, { clock, random, onLost })
      this.#made = ensureDatabase(this.dataDir, { clock, timeoutMs: this.#options.embedded.openTimeoutMs * initdbShare })
      await this.#made
      await this.#connected()
    } catch (error) {
      this.#lock?.release()
      this.#lock = null
      this.#openFailure = error
      throw error
    }
  }

  async tx<T>(scope: TransactionScope, work: (transaction: Transaction) => Promise<T>, options: TransactionOptions = {}): Promise<T> {
    const { readOnly = false } = options
    const { clock, random } = this.#deps
    const settings: TransactSettings = { scope, limits: limitsOf(this.#options, options), readOnly, hasServerTimeouts: false, clock }
    await this.#turns.take()
    try {
      return await retried(() => this.#attempt(work, settings), { readOnly, clock, random })
    } finally {
      this.#turns.next()
    }
  }

  async #attempt<T>(work: (transaction: Transaction) => Promise<T>, settings: TransactSettings): Promise<TransactVerdict<T>> {
    const line = await this.#lineInTime()
    const verdict = await transact(new OneWriteClient(line.client), work, settings)
    if (verdict.kind === 'failed' && !verdict.usable) {
      if (!line.thread.hasEnded) this.#replace(this.#recovered(line))
    } else if (!settings.readOnly) await this.#checkpoint(line)
    return verdict
  }

  /** The line to Postgres, waited for as long as a turn is. */
  async #lineInTime(): Promise<Line> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    const { queueTimeoutMs } = this.#options.embedded
    const timer = this.#deps.clock.after(queueTimeoutMs, () => reject(unavailable('the embedded database is starting')))
    try {
      if (this.#lock === null) throw unavailable('the embedded database is not open', this.#openFailure)
      // A worker before that would make a database of its own at the place of the one that is being made.
      return await Promise.race([this.#made.then(() => this.#connected()), late])
    } finally {
      timer.cancel()
    }
  }

  #connected(): Promise<Line> {
    if (this.#line === null) {
      if (this.#deps.clock.nowMs() - this.#failedAtMs < restartPauseMs) throw unavailable('the embedded database does not start')
      this.#line = this.#start()
    }
    return this.#line
  }

  /** Two workers on one folder would destroy it: starts come one after the other, each after the end of the worker before. */
  #start(): Promise<Line> {
    const next = this.#lastStart.then(() => this.#startNow())
    this.#lastStart = next.catch(() => {})
    return next
  }

  async #startNow(): Promise<Line> {
    const { clock } = this.#deps
    try {
      await this.#thread?.terminate()
      if (this.#closing !== null) throw unavailable('the database is being closed')
      const timeoutMs = this.#options.embedded.openTimeoutMs
      const onExit = (error: Error): void => this.#onExit(error)
      this.#thread = await EmbeddedThread.start(databaseFolder(this.dataDir), { clock, timeoutMs, onExit })
      return await connected(this.#thread)
    } catch (error) {
      this.#failedAtMs = clock.nowMs()
      this.#line = null
      throw error instanceof CorralError ? error : unavailable('the embedded database does not start', error)
    }
  }

  /** A worker that ended by itself is started anew at once, not only when somebody asks; a recovery under way does that itself. */
  #onExit(error: Error): void {
    if (this.#closing !== null || this.#isRecovering) return
    this.#deps.report('the embedded database ended and is started anew', error)
    this.#replace(this.#start())
  }

  /** The next line, which nobody may be waiting for yet. */
  #replace(line: Promise<Line>): void {
    this.#line = line
    line.catch((problem: unknown) => {
      if (this.#line === line) this.#line = null
      this.#deps.report('the embedded database does not start', problem)
    })
  }

  /** A line whose driver gave up: the worker keeps running when it answers and has rolled back, else another takes its place. */
  async #recovered({ client, thread }: Line): Promise<Line> {
    this.#isRecovering = true
    abandon(client)
    try {
      return (await rolledBack(thread, { clock: this.#deps.clock, timeoutMs: stuckGraceMs })) ?? (await this.#start())
    } finally {
      this.#isRecovering = false
    }
  }

  async #checkpoint({ client }: Line): Promise<void> {
    this.#writes += 1
    if (this.#writes % checkpointCheckEvery !== 0) return
    try {
      await checkpointWhenDue(client)
    } catch (error) {
      this.#deps.report('a checkpoint of the embedded database failed', error)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const { clock } = this.#deps
    this.#turns.close()
    await this.#line?.catch(() => {})
    await this.#lastStart
    await this.#thread?.close(clock, closeGraceMs)
    this.#lock?.release()
    this.#lock = null
  }
}

/** The embedded store in `options.dataDir`. Touches nothing before `open`. */
export function createEmbedded(options: EmbeddedOptions, deps: StoreDeps): Embedded {
  return new EmbeddedDatabase(options, deps)
}
