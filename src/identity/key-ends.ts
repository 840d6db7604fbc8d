/**
 * How many API keys are about to end, for an alert that comes before their users are locked out. Every few minutes one look over all tenants,
 * and never at a scrape; nothing in it names a key. Keys that nobody need renew do not count: revoked ones, those of suspended
 * tenants, those with a successor in use (a rotation leaves the old one a day), and those that were made to end soon.
 */
import { z } from 'zod'

import type { Clock, Timer } from '../base/clock.ts'
import type { Database } from '../store/database.ts'

const kinds = ['secret', 'ed25519'] as const

export interface EndsOfKind {
  readonly kind: (typeof kinds)[number]
  /** Keys that end within seven days. */
  readonly expiring: number
  /** When the first key ends, however far away; null: none does. */
  readonly firstEndsAtWallMs: number | null
}

export interface KeyEndsDeps {
  readonly database: Database
  readonly clock: Clock
  /** A look came to nothing; what was known stands. */
  readonly onFailure: (error: Error) => void
}

const everyMs = 300_000
const dayMs = 86_400_000
const soonMs = 7 * dayMs
/** A key made for two weeks or less was made to end, as those of a build are. */
const shortLifeDays = 14

const rowsShape = z.array(
  z.object({ kind: z.enum(kinds), expiring: z.coerce.number().int(), first_ends_at: z.coerce.date().transform((date) => date.getTime()) }),
)

const endsText = `
select k.kind, count(*) filter (where k.expires_at <= $2::timestamptz) as expiring, min(k.expires_at) as first_ends_at
from api_keys k join tenants t on t.tenant = k.tenant
where k.revoked_at is null and t.suspended_at is null and k.expires_at > $1::timestamptz
  and k.expires_at - k.created_at > make_interval(days => ${shortLifeDays})
  and not exists (
    select 1 from api_keys later
    where later.rotated_from = k.id and later.revoked_at is null and (later.expires_at is null or later.expires_at > k.expires_at)
  )
group by k.kind`

/** The ends of keys of every kind at `nowWallMs`. Throws what the store throws. */
export async function readKeyEnds(database: Database, nowWallMs: number): Promise<readonly EndsOfKind[]> {
  const times = [nowWallMs, nowWallMs + soonMs].map((wallMs) => new Date(wallMs).toISOString())
  const { rows } = await database.tx('system', ({ last }) => last(endsText, times), { name: 'read_key_ends', readOnly: true })
  const found = new Map(rowsShape.parse(rows).map((row) => [row.kind, row]))
  return kinds.map((kind) => {
    const row = found.get(kind)
    return { kind, expiring: row?.expiring ?? 0, firstEndsAtWallMs: row?.first_ends_at ?? null }
  })
}

/** Keeps knowing them. */
export class KeyEndsWatch {
  readonly #deps: KeyEndsDeps
  #ends: readonly EndsOfKind[] | null = null
  #timer: Timer | null = null
  #reading: Promise<void> = Promise.resolve()
  #closed = false

  constructor(deps: KeyEndsDeps) {
    this.#deps = deps
  }

  /** As of the last look; null before the first. */
  get ends(): readonly EndsOfKind[] | null {
    return this.#ends
  }

  /** Looks now and from then on. */
  start(): void {
    this.#reading = this.#read().then(() => {
      if (!this.#closed) this.#timer = this.#deps.clock.after(everyMs, () => this.start())
    })
  }

  /** Resolves when the look under way is over. */
  close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    return this.#reading
  }

  async #read(): Promise<void> {
    const { database, clock, onFailure } = this.#deps
    try {
      this.#ends = await readKeyEnds(database, clock.wallMs())
    } catch (thrown) {
      onFailure(thrown instanceof Error ? thrown : new Error(String(thrown)))
    }
  }
}
