/**
 * The audit log: every act of an operator, in the transaction of the act itself, and every denial, gathered for a second (one by a limit
 * for a minute) so that a flood of them costs one row per kind and pushes out no act. Rows are never changed; each holds the hash of the
 * one before, so a row that was altered or taken out behind the database's back is found by `verify`. Never credentials, bodies or paths.
 */
import { hash } from 'node:crypto'

import { z } from 'zod'

import type { Clock, Timer } from '../base/clock.ts'
import type { Principal } from '../core/principal.ts'
import type { Database, Row, Transaction, TransactionScope } from '../store/database.ts'
import { type AuditEntry, type Gathered, GatheredDenials } from './gathered-denials.ts'

/** A stored entry. `count`: how many alike it stands for. */
export interface AuditRow extends AuditEntry {
  readonly seq: number
  /** ISO 8601, UTC. */
  readonly at: string
  readonly count: number
  /** SHA-256 over the row and the hash before it, in hex. */
  readonly hash: string
}

/** Acts that wait to be written; they are the operator's own, and none is folded into another. More are reported and lost. */
const actsMax = 10_000
const flushMs = 1_000
/** Limits exist to be met: a client that runs into one does so again and again. */
const limitsFlushMs = 60_000
/** Rows per page of an export. */
const pageRows = 500
const textMax = 200

const rowShape = z.object({
  seq: z.coerce.number(),
  tenant: z.string(),
  at: z.string(),
  actor: z.string(),
  action: z.string(),
  target: z.string(),
  decision: z.enum(['allowed', 'denied']),
  request_id: z.string(),
  address: z.string(),
  count: z.number(),
  hash: z.string(),
})

const headShape = z.object({ seq: z.coerce.number(), hash: z.string() })

/** Who did something: an `Act` of the key store. */
export interface AuditedAct {
  readonly by: Principal
  readonly requestId: string
  readonly address: string
}

/** Whose request met which limit. */
export interface LimitDenial {
  readonly principal: Principal
  readonly requestId: string
  /** What was used up: `requests`, `tokens`, `concurrency`, `gpu`. */
  readonly dimension: string
  /** Whose limit it was: `tenant`, `credential`, `class`. */
  readonly scope: string
}

export class AuditLog {
  readonly #database: Database
  readonly #clock: Clock
  readonly #onFailure: (error: Error) => void
  readonly #denials = new GatheredDenials()
  readonly #byLimits = new GatheredDenials()
  #acts: Gathered[] = []
  /** Acts that are not stored yet, those being written among them. */
  #actsWaiting = 0
  #timer: Timer | null = null
  #limitsTimer: Timer | null = null
  #writing: Promise<void> = Promise.resolve()

  constructor(deps: { readonly database: Database; readonly clock: Clock; readonly onFailure: (error: Error) => void }) {
    this.#database = deps.database
    this.#clock = deps.clock
    this.#onFailure = deps.onFailure
  }

  /** Writes an act in the transaction of the act; it must be a system transaction. */
  async append(transaction: Transaction, entry: AuditEntry): Promise<void> {
    await this.#insert(transaction, [{ entry, at: this.#now(), count: 1 }])
  }

  /** Notes an act that was done outside of the store, in the actor's own tenant. It gets a row of its own. Never fails. */
  noteAct(action: string, target: string, { by, requestId, address }: AuditedAct): void {
    if (this.#actsWaiting >= actsMax) {
      this.#onFailure(new Error(`${actsMax} acts wait to be written; not kept: ${action} by ${by.subject ?? by.method}`))
      return
    }
    this.#actsWaiting += 1
    const entry = { tenant: by.tenant, actor: by.subject ?? by.method, action, target, decision: 'allowed' as const, requestId, address }
    this.#acts.push({ entry, at: this.#now(), count: 1 })
    this.#schedule()
  }

  /** Notes a denial. Costs no query by itself and never fails. */
  deny(entry: AuditEntry): void {
    this.#denials.add(entry, this.#now())
    this.#schedule()
  }

  /** Notes a denial by a limit: one row for each caller and limit in a minute, written at its end. Never fails. */
  denyByLimit({ principal, requestId, dimension, scope }: LimitDenial): void {
    const { tenant, subject, method } = principal
    const entry = { tenant, actor: subject ?? method, action: `limit ${dimension}`, target: scope, requestId, address: '' }
    this.#byLimits.add({ ...entry, decision: 'denied' }, this.#now())
    this.#scheduleLimits()
  }

  /** Writes what was gathered, but what limits denied in a minute that is not over; on failure it is kept for the next time. */
  flush(): Promise<void> {
    return this.#flushWith(null)
  }

  #flushWith(byLimits: GatheredDenials | null): Promise<void> {
    this.#timer?.cancel()
    this.#timer = null
    this.#writing = this.#writing.then(() => this.#write(byLimits))
    return this.#writing
  }

  async #write(byLimits: GatheredDenials | null): Promise<void> {
    const denials = this.#denials.take()
    const limits = byLimits?.take() ?? new Map<string, Gathered>()
    const acts = this.#acts
    if (denials.size + limits.size + acts.length === 0) return
    this.#acts = []
    const batch = [...acts, ...denials.values(), ...limits.values()].toSorted(byTime)
    try {
      await this.#database.tx('system', (transaction) => this.#insert(transaction, batch), { name: 'write_audit' })
      this.#actsWaiting -= acts.length
    } catch (thrown) {
      this.#acts = [...acts, ...this.#acts]
      this.#denials.putBack(denials)
      this.#schedule()
      byLimits?.putBack(limits)
      if (limits.size > 0) this.#scheduleLimits()
      this.#onFailure(thrown instanceof Error ? thrown : new Error(String(thrown)))
    }
  }

  #schedule(): void {
    this.#timer ??= this.#clock.after(flushMs, () => void this.flush())
  }

  #scheduleLimits(): void {
    this.#limitsTimer ??= this.#clock.after(limitsFlushMs, () => {
      this.#limitsTimer = null
      void this.#flushWith(this.#byLimits)
    })
  }

  async #insert(transaction: Transaction, batch: readonly Gathered[]): Promise<void> {
    const { rows } = await transaction.query('select seq, hash from audit_head for update')
    let head = headShape.parse(rows[0])
    const stored: AuditRow[] = []
    for (const { entry, at, count } of batch) {
      const row = link(shorten(entry), { at, count, seq: head.seq + 1, before: head.hash })
      stored.push(row)
      head = row
    }
    await transaction.query(insertText, [JSON.stringify(stored)])
    await transaction.query('update audit_head set seq = $1, hash = $2', [head.seq, head.hash])
  }

  /** Stored entries in order, beginning behind `after`, of one tenant or of all. */
  async *read(scope: TransactionScope, after = 0): AsyncGenerator<readonly AuditRow[]> {
    let last = after
    for (;;) {
      const { rows } = await this.#database.tx(scope, (transaction) => transaction.query(pageText, [last, pageRows]), {
        name: 'read_audit',
        readOnly: true,
      })
      if (rows.length === 0) return
      const page = rows.map(decodeRow)
      yield page
      last = page.at(-1)?.seq ?? last
      if (page.length < pageRows) return
    }
  }

  /** The number of the first entry that does not fit the one before it; null when all up to now do. */
  async verify(): Promise<number | null> {
    const { rows } = await this.#database.tx('system', (transaction) => transaction.query('select seq, hash from audit_head'), {
      name: 'verify_audit',
    })
    const head = headShape.parse(rows[0])
    let before = ''
    let expected = 1
    for await (const page of this.read('system')) {
      for (const row of page) {
        if (expected > head.seq) return null
        if (row.seq !== expected || link(row, { ...row, before }).hash !== row.hash) return expected
        before = row.hash
        expected += 1
      }
    }
    return head.seq === expected - 1 && head.hash === before ? null : expected
  }

  async close(): Promise<void> {
    await this.#flushWith(this.#byLimits)
    this.#timer?.cancel()
    this.#limitsTimer?.cancel()
  }

  #now(): string {
    return new Date(this.#clock.wallMs()).toISOString()
  }
}

const insertText = `
insert into audit_log (seq, tenant, at, actor, action, target, decision, request_id, address, count, hash)
select e.seq, e.tenant, e.at, e.actor, e.action, e.target, e.decision, e."requestId", e.address, e.count, e.hash
from jsonb_to_recordset($1::jsonb) as e (seq bigint, tenant text, at text, actor text, action text, target text, decision text,
  "requestId" text, address text, count integer, hash text)`

const pageText = `
select seq, tenant, at, actor, action, target, decision, request_id, address, count, hash
from audit_log where seq > $1 order by seq limit $2`

function byTime(one: Gathered, other: Gathered): number {
  return one.at < other.at ? -1 : Number(one.at > other.at)
}

/** Texts from outside are cut, and lose what Postgres cannot store. */
function shorten(entry: AuditEntry): AuditEntry {
  const cut = (text: string): string => text.slice(0, textMax).replaceAll('\0', '').toWellFormed()
  return { ...entry, actor: cut(entry.actor), target: cut(entry.target), address: cut(entry.address) }
}

interface Position {
  readonly seq: number
  readonly at: string
  readonly count: number
  /** Hash of the entry before; empty for the first. */
  readonly before: string
}

function link({ tenant, actor, action, target, decision, requestId, address }: AuditEntry, { seq, at, count, before }: Position): AuditRow {
  const framed = JSON.stringify([before, seq, at, tenant, actor, action, target, decision, requestId, address, count])
  return { tenant, actor, action, target, decision, requestId, address, seq, at, count, hash: hash('sha256', framed, 'hex') }
}

function decodeRow(row: Row): AuditRow {
  const { request_id: requestId, ...rest } = rowShape.parse(row)
  return { ...rest, requestId }
}
