/**
 * The durable layer: vectors, and answers that took long to generate. It answers within a fixed budget or not at all, refuses
 * at once while the database fails, and is bounded in bytes: a sweep deletes what expired, then what would expire first.
 *
 * Every statement about an entry runs in its tenant's own transaction, so row-level security holds here too. The checksum is
 * over key and bytes. Ages are counted by the clock of the database. Nothing is asked before `start`.
 */
import { crc32 } from 'node:zlib'

import type { Clock, Timer } from '../base/clock.ts'
import type { Database, Row, Transaction } from '../store/database.ts'
import { LayerGate } from './layer-gate.ts'
import { ReadDeadline } from './read-deadline.ts'
import type { FoundEntry, KeyedBytes, SecondLayer, StoredFacts } from './second-layer.ts'
import type { ResolvedSelector, Tags } from './tags.ts'

/** A lookup of many may take this many times as long as one: 500 vectors take about 20 ms (caching.md §5). */
const manyFactor = 3
const writeMsMax = 10_000
const readsMax = 8
const writesMax = 4
const keysPerRead = 512
const rowsPerWrite = 64
const sweepEveryMs = 60_000
const rowsPerSweep = 1_000
const sweepsMax = 20
/** What a row takes beside its value, estimated from tuple headers, the key and two indexes. */
const rowOverheadBytes = 300

export interface PostgresLayerDeps {
  readonly database: Database
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** How much may lie in the table; default 1 GiB. Checked by the sweep, so it may be exceeded for a minute. */
  readonly bytesMax?: number
  /** Answers that took less to make are not kept; default 2 s. Vectors are always kept. */
  readonly originMsMin?: number
  /** How long a lookup of one entry may take at most, in ms, and how long while nothing is known of others; default 50. */
  readonly readMsMax?: number
  /** Hears when the database is left alone because it failed. */
  readonly report?: (message: string, cause: unknown) => void
}

export interface PostgresLayer extends SecondLayer {
  /** The schema is there: begins to answer and to sweep. */
  start(): void
  /** Deletes what expired and what is too much; resolves with how many entries that were. Rejects when the database fails. */
  sweep(): Promise<number>
  close(): void
}

/** The layer on `database`, which its owner opens, migrates and closes. */
export function createPostgresLayer(deps: PostgresLayerDeps): PostgresLayer {
  return new TableLayer(deps)
}

class TableLayer implements PostgresLayer {
  readonly name = 'postgres'
  readonly #deps: PostgresLayerDeps
  readonly #reads: LayerGate
  readonly #writes: LayerGate
  readonly #deadline: ReadDeadline
  #state: 'new' | 'started' | 'closed' = 'new'
  #timer: Timer | null = null
  #evictions = 0

  constructor(deps: PostgresLayerDeps) {
    this.#deps = deps
    const { clock, report, readMsMax = 50 } = deps
    this.#deadline = new ReadDeadline(readMsMax)
    const onShut = (cause: unknown): void => report?.('the cache leaves the database alone for a while: it failed three times', cause)
    this.#reads = new LayerGate({ clock, callsMax: readsMax, onShut })
    this.#writes = new LayerGate({ clock, callsMax: writesMax, onShut })
  }

  get evictions(): number {
    return this.#evictions
  }

  start(): void {
    if (this.#state !== 'new') return
    this.#state = 'started'
    this.#schedule()
  }

  close(): void {
    this.#state = 'closed'
    this.#timer?.cancel()
  }

  get(key: string, tags: Tags): Promise<FoundEntry | null> | null {
    return this.#read([key], tags, 1)?.then((found) => found.get(key) ?? null) ?? null
  }

  getMany(keys: readonly string[], tags: Tags): Promise<ReadonlyMap<string, FoundEntry>> | null {
    return this.#read(keys.slice(0, keysPerRead), tags, manyFactor)
  }

  /** Within `times` the time that one entry may take. */
  #read(keys: readonly string[], { tenant }: Tags, times: number): Promise<ReadonlyMap<string, FoundEntry>> | null {
    if (this.#state !== 'started') return null
    const { clock } = this.#deps
    const startedAtMs = clock.nowMs()
    const withinMs = times * this.#deadline.ms
    const rows = this.#reads.run(
      () =>
        this.#deps.database.tx({ tenant }, ({ last }) => readRows(last, tenant, keys), {
          name: 'read_cached',
          readOnly: true,
          statementTimeoutMs: withinMs,
          transactionTimeoutMs: withinMs,
        }),
      withinMs,
    )
    return (
      rows?.then((read) => {
        if (read === null) this.#deadline.failed()
        else this.#deadline.succeeded((clock.nowMs() - startedAtMs) / times)
        return new Map((read ?? []).map((row) => openRow(row)))
      }) ?? null
    )
  }

  put(key: string, bytes: Buffer, facts: StoredFacts): Promise<boolean> | null {
    return this.putMany([{ key, bytes }], facts)
  }

  putMany(entries: readonly KeyedBytes[], facts: StoredFacts): Promise<boolean> | null {
    const { originMsMin = 2_000 } = this.#deps
    if (this.#state !== 'started') return null
    const isWorthIt = facts.tags.kind === 'embedding' || facts.originMs >= originMsMin
    if (!isWorthIt || facts.freshForMs + facts.staleMs <= 0) return Promise.resolve(false)
    const written = this.#writes.run(() => this.#write(entries, facts), writeMsMax)
    return (
      written?.then((done) => {
        if (done === null) throw new Error('the database did not take the entries', { cause: this.#writes.cause })
        return done
      }) ?? null
    )
  }

  async #write(entries: readonly KeyedBytes[], facts: StoredFacts): Promise<true> {
    const { tenant } = facts.tags
    for (let at = 0; at < entries.length; at += rowsPerWrite) {
      const rows = entries.slice(at, at + rowsPerWrite)
      await this.#deps.database.tx({ tenant }, (transaction) => insertRows(transaction, rows, facts), { name: 'write_cached' })
    }
    return true
  }

  delete(key: string, { tenant }: Tags): Promise<void> | null {
    if (this.#state !== 'started') return null
    const done = this.#writes.run(
      () =>
        this.#deps.database.tx(
          { tenant },
          (transaction) => transaction.query('delete from cache_entries where tenant = $1 and key = $2', [tenant, key]),
          { name: 'delete_cached' },
        ),
      writeMsMax,
    )
    return done?.then(() => undefined) ?? null
  }

  purge(selector: ResolvedSelector): Promise<number | null> | null {
    if (this.#state !== 'started') return null
    const { where, values } = conditions(selector)
    return this.#writes.run(() => this.#deleteWhere(where, values), writeMsMax)
  }

  async sweep(): Promise<number> {
    const { bytesMax = 1_073_741_824 } = this.#deps
    let deleted = await this.#deleteWhere('drop_at <= now()', [])
    for (let round = 0; round < sweepsMax && (await this.#storedBytes()) > bytesMax; round += 1) {
      const evicted = await this.#deleteRound('true', [])
      this.#evictions += evicted
      deleted += evicted
    }
    return deleted
  }

  /** Deletes in rounds, so that no transaction holds many rows for long. */
  async #deleteWhere(where: string, values: readonly unknown[]): Promise<number> {
    let deleted = 0
    for (let round = 0; round < sweepsMax; round += 1) {
      const count = await this.#deleteRound(where, values)
      deleted += count
      if (count < rowsPerSweep) break
    }
    return deleted
  }

  async #deleteRound(where: string, values: readonly unknown[]): Promise<number> {
    const chosen = `select tenant, key from cache_entries where ${where} order by drop_at limit ${rowsPerSweep} for update skip locked`
    const text = `delete from cache_entries where (tenant, key) in (${chosen})`
    const { rowCount } = await this.#deps.database.tx('system', (transaction) => transaction.query(text, values), { name: 'sweep_cached' })
    return rowCount
  }

  async #storedBytes(): Promise<number> {
    const text = `select coalesce(sum(size::bigint + ${rowOverheadBytes}), 0)::float8 as bytes from cache_entries`
    const { rows } = await this.#deps.database.tx('system', ({ last }) => last(text), {
      name: 'count_cached_bytes',
      readOnly: true,
    })
    return Number(rows[0]?.['bytes'])
  }

  #schedule(): void {
    const delayMs = sweepEveryMs * (0.5 + this.#deps.random())
    this.#timer = this.#deps.clock.after(delayMs, () => {
      // A sweep that failed is made up for by the next one.
      void this.#writes.run(() => this.sweep(), writeMsMax * sweepsMax)
      if (this.#state === 'started') this.#schedule()
    })
  }
}

async function readRows(last: Transaction['last'], tenant: string, keys: readonly string[]): Promise<readonly Row[]> {
  const text = `select key, bytes, checksum,
    (extract(epoch from clock_timestamp() - born_at) * 1000)::float8 as age_ms,
    (extract(epoch from stale_at - clock_timestamp()) * 1000)::float8 as fresh_ms
    from cache_entries where tenant = $1 and key = any($2::text[]) and drop_at > clock_timestamp()`
  return (await last(text, [tenant, keys])).rows
}

/** One that does not check out is found empty, which its reader counts and deletes. */
function openRow(row: Row): [string, FoundEntry] {
  const key = String(row['key'])
  const bytes = Buffer.isBuffer(row['bytes']) ? row['bytes'] : Buffer.alloc(0)
  if (Number(row['checksum']) !== checksum(key, bytes)) return [key, { bytes: Buffer.alloc(0), ageMs: 0, freshForMs: 0 }]
  return [key, { bytes, ageMs: Math.max(0, Number(row['age_ms'])), freshForMs: Number(row['fresh_ms']) }]
}

function checksum(key: string, bytes: Buffer): number {
  return crc32(bytes, crc32(key))
}

const columns = '(tenant, key, kind, digest, bytes, size, checksum, born_at, stale_at, drop_at)'
const fixedValues = 7
const valuesPerRow = 4

/** The first writer wins, unless what it wrote is over or is to be replaced. */
async function insertRows(transaction: Transaction, entries: readonly KeyedBytes[], facts: StoredFacts): Promise<void> {
  const { tags, ageMs, freshForMs, staleMs, replaces } = facts
  const values: unknown[] = [tags.tenant, tags.kind, tags.digest, ageMs, freshForMs, freshForMs + staleMs, replaces]
  const tuples = entries.map(({ key, bytes }, index) => {
    const at = fixedValues + index * valuesPerRow
    values.push(key, bytes, bytes.length, checksum(key, bytes))
    const times = [`now() - ${interval(4)}`, `now() + ${interval(5)}`, `now() + ${interval(6)}`].join(', ')
    return `($1, $${at + 1}, $2, $3, $${at + 2}::bytea, $${at + 3}::integer, $${at + 4}::bigint, ${times})`
  })
  await transaction.query(
    `insert into cache_entries ${columns} values ${tuples.join(', ')}
    on conflict (tenant, key) do update set bytes = excluded.bytes, size = excluded.size, checksum = excluded.checksum,
      kind = excluded.kind, digest = excluded.digest, born_at = excluded.born_at, stale_at = excluded.stale_at, drop_at = excluded.drop_at
    where $7::boolean or cache_entries.drop_at <= now()`,
    values,
  )
}

function interval(parameter: number): string {
  return `$${parameter}::float8 * interval '1 millisecond'`
}

function conditions({ tenant, kind, digest, key }: ResolvedSelector): { readonly where: string; readonly values: readonly unknown[] } {
  const parts = ['true']
  const values: string[] = []
  const add = (column: string, value: string | null): void => {
    if (value === null) return
    values.push(value)
    parts.push(`${column} = $${values.length}`)
  }
  add('tenant', tenant)
  add('kind', kind)
  add('digest', digest)
  // A key and its forms, which are one letter each.
  if (key !== null) {
    values.push(key)
    parts.push(`(key = $${values.length} or left(key, -1) = $${values.length})`)
  }
  return { where: parts.join(' and '), values }
}
