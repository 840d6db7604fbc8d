/** The three ways to a database, so that one suite runs on each: embedded, a real Postgres, and the same through PgBouncer. */
import { afterAll, beforeAll, describe, onTestFinished } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { storeOptions, type StoreOptions } from '../../src/store/options.ts'
import { createPostgres } from '../../src/store/postgres.ts'
import { type OpenableDatabase, type StoreDeps } from '../../src/store/openable.ts'
import { bareFolder, embeddedFolder } from '../support/postgres-embedded.ts'
import { startPgbouncer, type TestPgbouncer } from '../support/postgres-pgbouncer.ts'
import { hasPostgres, startPostgres, type TestDatabase, type TestPostgres } from '../support/postgres.ts'

export type Overrides = Partial<Omit<StoreOptions, 'pool' | 'embedded'>> & {
  readonly pool?: Partial<StoreOptions['pool']>
  readonly embedded?: Partial<StoreOptions['embedded']>
}

export type StoreKind = 'embedded' | 'postgres' | 'pgbouncer'
export const serverKinds: readonly ('postgres' | 'pgbouncer')[] = hasPostgres() ? ['postgres', 'pgbouncer'] : []
export const storeKinds: readonly StoreKind[] = ['embedded', ...serverKinds]

/** The dependencies of a store under test; what it reports is collected. */
export function storeDeps(): StoreDeps & { readonly reports: string[] } {
  const reports: string[] = []
  return { clock: systemClock, random: Math.random, report: (message) => reports.push(message), reports }
}

/** Other tests share the machine: waiting is no failure here unless the test says so. */
const busyMs = 5_000

export function optionsWith({ pool = {}, embedded = {}, ...rest }: Overrides = {}): StoreOptions {
  const defaults = storeOptions.parse({})
  return {
    ...defaults,
    ...rest,
    pool: { ...defaults.pool, acquireTimeoutMs: busyMs, ...pool },
    embedded: { ...defaults.embedded, queueTimeoutMs: busyMs, ...embedded },
  }
}

export function embeddedOn(dataDir: string, overrides: Overrides = {}) {
  return createEmbedded({ ...optionsWith(overrides), dataDir }, storeDeps())
}

export function postgresOn(url: string, overrides: Overrides = {}) {
  return createPostgres({ ...optionsWith(overrides), url }, storeDeps())
}

/** The servers of a `describe` block, started once for it. */
export class Servers {
  readonly kind: StoreKind
  #postgres: TestPostgres | null = null
  #pgbouncer: TestPgbouncer | null = null

  constructor(kind: StoreKind) {
    this.kind = kind
  }

  async start(): Promise<void> {
    if (this.kind === 'embedded') return
    this.#postgres = await startPostgres()
    if (this.kind === 'pgbouncer') this.#pgbouncer = await startPgbouncer(this.#postgres)
  }

  async remove(): Promise<void> {
    await this.#pgbouncer?.remove()
    await this.#postgres?.remove()
  }

  get postgres(): TestPostgres {
    if (this.#postgres === null) throw new Error('no Postgres in this block')
    return this.#postgres
  }

  get pgbouncer(): TestPgbouncer {
    if (this.#pgbouncer === null) throw new Error('no PgBouncer in this block')
    return this.#pgbouncer
  }

  urlOf(database: TestDatabase): string {
    return this.kind === 'pgbouncer' ? this.pgbouncer.through(database) : database.url
  }

  /** A new database, opened, with all tables where that costs nothing (else `migrate` makes them). The caller closes it. */
  async open(overrides: Overrides = {}): Promise<OpenableDatabase> {
    return this.#opened(await this.#place(embeddedFolder), overrides)
  }

  /** The same until the end of the test. */
  async openForTest(overrides: Overrides = {}): Promise<OpenableDatabase> {
    return closedWithTest(await this.open(overrides))
  }

  /** A new database without tables, opened. The caller closes it. */
  async openBare(overrides: Overrides = {}): Promise<OpenableDatabase> {
    return this.#opened(await this.#place(bareFolder), overrides)
  }

  /** The same until the end of the test. */
  async openBareForTest(overrides: Overrides = {}): Promise<OpenableDatabase> {
    return closedWithTest(await this.openBare(overrides))
  }

  /** Where a new database is: a folder made by `makeFolder`, or an address. */
  async #place(makeFolder: () => Promise<string>): Promise<string> {
    return this.kind === 'embedded' ? makeFolder() : this.urlOf(await this.postgres.createDatabase())
  }

  async #opened(place: string, overrides: Overrides): Promise<OpenableDatabase> {
    const database = this.kind === 'embedded' ? embeddedOn(place, overrides) : postgresOn(place, overrides)
    await database.open()
    return database
  }
}

function closedWithTest(database: OpenableDatabase): OpenableDatabase {
  onTestFinished(() => database.close())
  return database
}

/** Runs `body` once for each of `kinds`, with its servers running. */
export function describeStores(kinds: readonly StoreKind[], body: (servers: Servers) => void): void {
  describe.each(kinds)('%s', (kind) => {
    const servers = new Servers(kind)
    beforeAll(() => servers.start())
    afterAll(() => servers.remove())
    body(servers)
  })
}
