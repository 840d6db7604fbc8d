/**
 * Who used what: one record per request that reached the gateway's inside, written in batches (every `flushMs` or `rowsPerFlush`),
 * and the GPU budgets with them. A request never waits for it, and one of which nothing would be kept costs nothing. While the
 * store is away records wait in a bounded buffer; beyond it the oldest are dropped and counted. What a client did wrong before a
 * node was asked (denials by a limit among it) is not recorded: a flood of refusals must not push out rows of usage.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { toCorralError } from '../core/errors.ts'
import type { Principal } from '../core/principal.ts'
import type { Answer, InferenceRequest, Outcome, RelayLayer } from '../core/relay.ts'
import { type Database, isShared } from '../store/database.ts'
import { type Budgets, type StoredCounter, summed } from './budget.ts'
import { captureOf, type KeptText, sizeOf, type TextCapture, waitingTextBytesMax } from './kept-text.ts'
import { forgetBatches, readCounters, type RecordText, writeBatch, type UsageBatch } from './ledger-writer.ts'
import type { LimitsOptions } from './options.ts'
import type { BudgetLine } from './plan.ts'
import { type AnswerEnd, failureRecordOf, recordOf, type UsageRecord } from './usage-record.ts'

export interface LedgerStats {
  readonly written: number
  readonly dropped: number
  readonly buffered: number
  /** Attempts to write a batch that failed and are repeated. */
  readonly failures: number
}

export interface UsageLedger {
  readonly stats: LedgerStats
  /** Records what passes; put it outside the limits and the caches. */
  readonly layer: RelayLayer
  /** Writes from now on, and reads this day's and month's counters. Rejects when they cannot be read; writing goes on. */
  start(): Promise<void>
  /** Writes all that is buffered now; what comes meanwhile waits for its turn. Rejects when the store does not take it. */
  flush(): Promise<void>
  /** Writes what is left, if the store takes it. */
  close(): Promise<void>
}

export interface LedgerDeps {
  /** Null: nothing is kept, and budgets count in memory alone. */
  readonly database: Database | null
  readonly clock: Clock
  readonly options: () => LimitsOptions
  /** The model class of a canonical name; '' for none. */
  readonly classOf: (model: string | null) => string
  /** The GPU budgets that may stop this caller with this model. Asked for every request. */
  readonly budgetsOf: (principal: Principal, model: string | null) => readonly BudgetLine[]
  readonly budgets: Budgets
  /** Unique to this process and start: part of every batch's id. */
  readonly replica: string
  /** Told of a batch that could not be written (it is repeated) or is dropped. */
  readonly onTrouble?: (error: unknown, dropped: number) => void
}

interface Entry {
  /** Null where only the budgets are kept. */
  readonly record: UsageRecord | null
  readonly spent: readonly StoredCounter[]
  /** Null where no texts are kept, or too many wait. */
  readonly text: KeptText | null
}

/** Texts of one batch, in bytes, unless one alone is larger. */
const batchTextBytesMax = 4 * 1_048_576
const retryMsMax = 10_000
/** How often counters that other replicas changed are read, and how far back. */
const rereadMs = 5_000
const rereadSeconds = 30
const batchesBetweenCleaning = 1_000
/** A batch that fails this often while the store works is no use. */
const triesMax = 100

/** A ledger that writes to the store. */
export function createUsageLedger(deps: LedgerDeps): UsageLedger {
  return new BatchedLedger(deps)
}

class BatchedLedger implements UsageLedger {
  readonly #deps: LedgerDeps
  #entries: Entry[] = []
  #batch: UsageBatch | null = null
  /** Entries that left the buffer since the start, and how many they were before the batch. */
  #taken = 0
  #waitingTextBytes = 0
  #batchBegins = 0
  #tries = 0
  #batches = 0
  #written = 0
  #dropped = 0
  #failures = 0
  #timer: Timer | null = null
  #reread: Timer | null = null
  #writing: Promise<void> | null = null
  #closed = false

  constructor(deps: LedgerDeps) {
    this.#deps = deps
  }

  get stats(): LedgerStats {
    const buffered = this.#entries.length + (this.#batch?.records.length ?? 0)
    return { written: this.#written, dropped: this.#dropped, buffered, failures: this.#failures }
  }

  readonly layer: RelayLayer = (next) => (request, call) => {
    const capture = this.#captureOf(request)
    const answered = capture === null ? next(request, call) : next(request, call).then((answer) => capture.listen(answer))
    if (!this.#keeps(request, call)) return answered
    const fail = (thrown: unknown): void => this.#failed(request, call, { thrown, capture })
    answered.then((answer) => {
      if (answer.kind === 'whole') {
        this.#ended(request, answer, { outcome: answer.outcome, call, firstFrameAtMs: null, capture })
        return
      }
      const firstFrameAtMs = this.#deps.clock.nowMs()
      const end = (outcome: Outcome): void => this.#ended(request, answer, { outcome, call, firstFrameAtMs, capture })
      const settled = capture === null ? answer.outcome : answer.outcome.then((outcome) => this.#drained(capture, outcome))
      settled.then(end, fail)
    }, fail)
    return answered
  }

  #captureOf(request: InferenceRequest): TextCapture | null {
    const { database, options } = this.#deps
    const { enabled, texts } = options().usage
    return database === null || !enabled ? null : captureOf(request, texts)
  }

  async #drained(capture: TextCapture, outcome: Outcome): Promise<Outcome> {
    await capture.drained(this.#deps.clock)
    return outcome
  }

  /** Whether anything of the request would be kept: a row, or time in a budget. */
  #keeps({ model }: InferenceRequest, { principal }: Call): boolean {
    const { database, options, budgetsOf } = this.#deps
    return (database !== null && options().usage.enabled) || budgetsOf(principal, model).length > 0
  }

  async start(): Promise<void> {
    const { database, budgets, options } = this.#deps
    if (database === null) return
    this.#schedule(options().usage.flushMs)
    if (isShared(database)) this.#scheduleReread()
    budgets.synchronise([], await readCounters(database, budgets.periods()))
  }

  async flush(): Promise<void> {
    const end = this.#taken + this.#entries.length
    while (this.#taken < end || (this.#batch !== null && this.#batchBegins < end)) await (this.#writing ?? this.#write())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    this.#reread?.cancel()
    try {
      await this.flush()
    } catch (error) {
      this.#deps.onTrouble?.(error, this.stats.buffered)
    }
  }

  #ended(request: InferenceRequest, answer: Answer, { capture, ...end }: Ended): void {
    const { clock, budgetsOf } = this.#deps
    const record = recordOf(request, answer, { ...end, wallMs: clock.wallMs(), nowMs: clock.nowMs() })
    this.#add(record, capture, budgetsOf(end.call.principal, request.model))
  }

  #failed(request: InferenceRequest, call: Call, { thrown, capture }: { thrown: unknown; capture: TextCapture | null }): void {
    const { clock, budgetsOf } = this.#deps
    const error = toCorralError(thrown)
    if (error.fault === 'client' && call.progress.attempts === 0) return
    const record = failureRecordOf(request, error, { call, wallMs: clock.wallMs(), nowMs: clock.nowMs() })
    this.#add(record, capture, budgetsOf(call.principal, request.model))
  }

  #add(record: UsageRecord, capture: TextCapture | null, lines: readonly BudgetLine[]): void {
    const { budgets } = this.#deps
    const { enabled, rowsBufferedMax, rowsPerFlush } = this.#deps.options().usage
    if (record.gpu_us > 0 && lines.length > 0) budgets.watch(record.tenant, lines)
    const spent = budgets.spend(record.tenant, this.#placesOf(record), record.gpu_us)
    if (this.#deps.database === null) return budgets.keep(spent)
    if (!enabled && spent.length === 0) return
    if (this.#entries.length >= rowsBufferedMax) this.#dropOldest(rowsPerFlush)
    this.#entries.push({ record: enabled ? record : null, spent, text: capture === null ? null : this.#roomFor(capture.text) })
    if (this.#entries.length === rowsPerFlush && this.#writing === null && this.#tries === 0) this.#schedule(0)
  }

  /** The text, while those that wait are not too many. */
  #roomFor(text: KeptText): KeptText | null {
    const bytes = sizeOf(text)
    if (this.#waitingTextBytes + bytes > waitingTextBytesMax) return null
    this.#waitingTextBytes += bytes
    return text
  }

  #placesOf({ subject, model }: UsageRecord): string[] {
    const places = ['t']
    if (subject !== null) places.push(`c:${subject}`)
    const modelClass = this.#deps.classOf(model)
    if (modelClass !== '') places.push(`m:${modelClass}`)
    return places
  }

  /** A share at once, because shifting a long array costs its length. */
  #dropOldest(count: number): void {
    const dropped = this.#entries.splice(0, count)
    this.#taken += dropped.length
    this.#dropped += dropped.length
    for (const { spent, text } of dropped) {
      this.#deps.budgets.keep(spent)
      if (text !== null) this.#waitingTextBytes -= sizeOf(text)
    }
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel()
    if (this.#closed) return
    this.#timer = this.#deps.clock.after(delayMs, () => void this.#tick())
  }

  async #tick(): Promise<void> {
    const { flushMs, rowsPerFlush } = this.#deps.options().usage
    try {
      await (this.#writing ?? this.#write())
      this.#schedule(this.#entries.length >= rowsPerFlush ? 0 : flushMs)
    } catch (error) {
      this.#deps.onTrouble?.(error, 0)
      this.#schedule(Math.min(flushMs * 2 ** Math.min(this.#tries, 10), retryMsMax))
    }
  }

  #write(): Promise<void> {
    const writing = this.#writeNext().finally(() => {
      this.#writing = null
    })
    this.#writing = writing
    return writing
  }

  async #writeNext(): Promise<void> {
    const { budgets, database } = this.#deps
    if (database === null) return
    this.#batch ??= this.#nextBatch()
    if (this.#batch === null) return
    const { records, spent } = this.#batch
    try {
      budgets.synchronise(spent, await writeBatch(database, this.#batch))
      this.#written += records.length
      this.#batch = null
      this.#tries = 0
    } catch (error) {
      this.#failures += 1
      this.#tries += 1
      if (this.#tries >= triesMax && toCorralError(error).code !== 'store_unavailable') this.#giveUp(error, records.length)
      throw error
    }
    if (this.#batches % batchesBetweenCleaning === 0) await forgetBatches(database)
  }

  #giveUp(error: unknown, count: number): void {
    this.#deps.budgets.keep(this.#batch?.spent ?? [])
    this.#batch = null
    this.#tries = 0
    this.#dropped += count
    this.#deps.onTrouble?.(error, count)
  }

  #nextBatch(): UsageBatch | null {
    const entries = this.#entries.splice(0, this.#countOfNext())
    if (entries.length === 0) return null
    this.#batchBegins = this.#taken
    this.#taken += entries.length
    this.#batches += 1
    const id = `${this.#deps.replica}:${this.#batches}`
    const records = entries.flatMap(({ record }) => (record === null ? [] : [record]))
    return { id, records, texts: entries.flatMap(textsOf), spent: summed(entries.map(({ spent }) => spent)) }
  }

  /** How many entries fit into a batch, by rows and by texts. The texts of those stop waiting. */
  #countOfNext(): number {
    const most = Math.min(this.#entries.length, this.#deps.options().usage.rowsPerFlush)
    let bytes = 0
    for (let count = 0; count < most; count += 1) {
      const text = this.#entries[count]?.text ?? null
      if (text === null) continue
      const size = sizeOf(text)
      if (bytes > 0 && bytes + size > batchTextBytesMax) return count
      bytes += size
      this.#waitingTextBytes -= size
    }
    return most
  }

  #scheduleReread(): void {
    if (this.#closed) return
    this.#reread = this.#deps.clock.after(rereadMs, () => void this.#readAgain())
  }

  async #readAgain(): Promise<void> {
    const { database, budgets, onTrouble } = this.#deps
    if (database === null) return
    try {
      budgets.synchronise([], await readCounters(database, budgets.periods(), rereadSeconds))
    } catch (error) {
      onTrouble?.(error, 0)
    }
    this.#scheduleReread()
  }
}

/** What is needed to write a record of an answer. */
interface Ended extends Omit<AnswerEnd, 'wallMs' | 'nowMs'> {
  readonly capture: TextCapture | null
}

function textsOf({ record, text }: Entry): RecordText[] {
  if (record === null || text === null) return []
  const { tenant, request, at } = record
  return [{ tenant, request, at, ...text }]
}
