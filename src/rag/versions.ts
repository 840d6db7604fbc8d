/**
 * Committed versions of collections, read anew for every caller: a read begins after its caller asked. Callers of the same moment share
 * one, and while one is under way those who come wait for the next: so a crowd costs the store as little as a few.
 */
import { getCollections } from '../search/collections.ts'
import type { Database } from '../store/database.ts'

type Versions = Readonly<Record<string, number>>

interface Round {
  readonly names: Set<string>
  readonly read: Promise<Versions>
}

/** Embedders that are remembered, over all tenants. */
const embeddersMax = 10_000

interface Line {
  running: Promise<unknown>
  next: Round | null
}

export class CollectionVersions {
  readonly #database: Database
  readonly #lines = new Map<string, Line>()
  /** As the last read found them, by tenant and name. */
  readonly #embedders = new Map<string, { readonly embedder: string | null; readonly version: number }>()

  constructor(database: Database) {
    this.#database = database
  }

  /** By name; collections that are not there are missing. Rejects with what the store throws. */
  async read(tenant: string, names: readonly string[]): Promise<Versions> {
    let line = this.#lines.get(tenant)
    if (line === undefined) {
      line = { running: Promise.resolve(), next: null }
      this.#lines.set(tenant, line)
    }
    line.next ??= this.#planRound(tenant, line)
    for (const name of names) line.next.names.add(name)
    const all = await line.next.read
    return Object.fromEntries(names.flatMap((name) => (all[name] === undefined ? [] : [[name, all[name]]])))
  }

  /** The embedder of a collection as the last read found it; undefined before the first one. */
  embedderOf(tenant: string, name: string): string | null | undefined {
    return this.#embedders.get(keyOf(tenant, name))?.embedder
  }

  /** The embedders of collections by name, read anew where one has another version than the last read found; null: none, or no such collection. */
  async embeddersOf(tenant: string, versions: Versions): Promise<readonly (string | null)[]> {
    const names = Object.keys(versions)
    if (names.some((name) => this.#embedders.get(keyOf(tenant, name))?.version !== versions[name])) await this.read(tenant, names)
    return names.map((name) => this.embedderOf(tenant, name) ?? null)
  }

  /** Begins when the one before is over; takes whoever came until then. */
  #planRound(tenant: string, line: Line): Round {
    const names = new Set<string>()
    const read = line.running.then(() => {
      line.next = null
      return this.#query(tenant, [...names])
    })
    const settled = read.then(
      () => this.#leave(tenant, line),
      () => this.#leave(tenant, line),
    )
    line.running = settled
    return { names, read }
  }

  #leave(tenant: string, line: Line): void {
    if (line.next === null) this.#lines.delete(tenant)
  }

  async #query(tenant: string, names: readonly string[]): Promise<Versions> {
    const collections = await this.#database.tx({ tenant }, ({ last }) => getCollections({ query: last }, { tenant, names }), {
      name: 'read_versions',
      readOnly: true,
    })
    if (this.#embedders.size > embeddersMax) this.#embedders.clear()
    for (const { name, settings, version } of collections)
      this.#embedders.set(keyOf(tenant, name), { embedder: settings.embedder, version })
    return Object.fromEntries(collections.map(({ name, version }) => [name, version]))
  }
}

function keyOf(tenant: string, name: string): string {
  return `${tenant}\n${name}`
}
