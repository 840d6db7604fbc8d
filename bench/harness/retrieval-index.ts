/** A database of a bench with one collection, filled through the gateway's own writes and asked through its own legs. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { createCollection } from '../../src/search/collections.ts'
import { compactCollection } from '../../src/search/keyword/compact.ts'
import { KeywordMemory } from '../../src/search/keyword/memory.ts'
import { type KeywordAnswer, searchKeyword } from '../../src/search/keyword.ts'
import { MeasuredCost } from '../../src/search/measured-cost.ts'
import { writeVectors } from '../../src/search/vector-write.ts'
import { searchVectors, type VectorHit } from '../../src/search/vector.ts'
import { vectorSets } from '../../src/search/vector/tables.ts'
import { writeDocument } from '../../src/search/write-document.ts'
import { type Database, goingOn } from '../../src/store/database.ts'
import { createEmbedded } from '../../src/store/embedded.ts'
import { migrate } from '../../src/store/migrate.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { storeOptions } from '../../src/store/options.ts'
import { createPostgres } from '../../src/store/postgres.ts'
import { chunkOf, documentOf, plainSettings, tenant } from '../../test/search/keyword-corpus.ts'
import { startPostgres } from '../../test/support/postgres.ts'
import type { EmbedderIdentity } from './embedding-source.ts'
import type { SetDocument } from './retrieval-sets.ts'

const documentsPerTransaction = 50

export type BenchStore = 'embedded' | 'postgres'

export interface OpenBenchStore {
  readonly database: Database
  close(): Promise<void>
}

const storeDeps = { clock: systemClock, random: Math.random, report: () => {} }

/** Long statements are no failure here. */
function options() {
  const defaults = storeOptions.parse({})
  return { ...defaults, statementTimeoutMs: 120_000, transactionTimeoutMs: 300_000 }
}

async function opened(database: OpenableDatabase, close: () => Promise<void>): Promise<OpenBenchStore> {
  await database.open()
  await migrate(database, migrations, systemClock)
  return {
    database,
    close: async () => {
      await database.close()
      await close()
    },
  }
}

/** A new, migrated database; its files go when it is closed. */
export async function openBenchStore(kind: BenchStore): Promise<OpenBenchStore> {
  if (kind === 'embedded') {
    const dataDir = mkdtempSync(join(tmpdir(), 'corral-bench-'))
    return opened(createEmbedded({ ...options(), dataDir }, storeDeps), async () => rmSync(dataDir, { recursive: true, force: true }))
  }
  const server = await startPostgres()
  const { url } = await server.createDatabase()
  return opened(createPostgres({ ...options(), url }, storeDeps), () => server.remove())
}

/** Vectors of documents in their order, and what made them. */
export interface EmbeddedDocuments {
  readonly embedder: EmbedderIdentity
  readonly vectors: readonly Float32Array[]
}

export class BenchCollection {
  readonly #database: Database
  readonly #id: string
  readonly #memory = new KeywordMemory()
  readonly #costs = new MeasuredCost()
  /** Id of the document by number of its chunk. */
  readonly #documents = new Map<number, string>()

  constructor(database: Database, id: string) {
    this.#database = database
    this.#id = id
  }

  async create(language: string): Promise<void> {
    const settings = { ...plainSettings, language }
    await this.#database.tx({ tenant }, (transaction) => createCollection(transaction, { tenant, id: this.#id, name: this.#id, settings }))
  }

  /** Each document is one chunk, with its vector where there are vectors. */
  async addDocuments(documents: readonly SetDocument[], embedded: EmbeddedDocuments | null = null): Promise<void> {
    for (let from = 0; from < documents.length; from += documentsPerTransaction) {
      await this.#database.tx({ tenant }, async (transaction) => {
        for (const [place, { id, text }] of documents.slice(from, from + documentsPerTransaction).entries()) {
          const plain = documentOf(this.#id, id, text === '' ? [] : [text])
          const chunks = plain.chunks.map((chunk) => ({ ...chunk, vector: embedded?.vectors[from + place] ?? null }))
          await writeDocument(transaction, { ...plain, chunks, embedding: embedded?.embedder ?? null }, writeVectors)
        }
      })
    }
    await this.compact()
    await this.#readNumbers()
  }

  /** One document of many chunks. */
  async addChunks(id: string, texts: readonly string[]): Promise<void> {
    const write = { ...documentOf(this.#id, id, []), chunks: texts.map((text, ordinal) => chunkOf(text, ordinal)) }
    await this.#database.tx({ tenant }, (transaction) => writeDocument(transaction, write))
  }

  async compact(): Promise<void> {
    await compactCollection(this.#database, { tenant, collection: this.#id }, { isPurging: false, stepsMax: 10_000 })
  }

  async #readNumbers(): Promise<void> {
    const { rows } = await this.#database.tx({ tenant }, ({ query }) =>
      query('select number, document from rag_chunks where collection = $1', [this.#id]),
    )
    for (const { number, document } of rows) this.#documents.set(Number(number), String(document))
  }

  ask(
    query: string,
    { language, limit, memory = this.#memory }: { language: string; limit: number; memory?: KeywordMemory },
  ): Promise<KeywordAnswer> {
    return this.#database.tx({ tenant }, (transaction) =>
      searchKeyword(transaction, { tenant, collection: { id: this.#id }, query, language, limit, allowed: null }, memory),
    )
  }

  /** Ids of documents, best first. */
  async find(query: string, language: string): Promise<string[]> {
    return (await this.findScored(query, { language, limit: 100 })).map(({ id }) => id)
  }

  /** Ids of the documents whose vectors lie nearest, with their cosines. */
  async near(vector: Float32Array, limit: number): Promise<{ readonly id: string; readonly score: number }[]> {
    const hits = await this.#database.tx({ tenant }, async (transaction): Promise<readonly VectorHit[]> => {
      const [set] = await vectorSets(transaction, { tenant, collections: [this.#id] })
      if (set === undefined) return []
      const deps = { store: this.#database.kind, costs: this.#costs, clock: systemClock }
      return (await searchVectors(goingOn(transaction), { set, vector, limit, allowed: null, wanted: null }, deps)).hits
    })
    return hits.map(({ number, score }) => ({ id: this.#documents.get(number) ?? '', score }))
  }

  /** Ids of the documents found by words, with their scores. */
  async findScored(query: string, { language, limit }: { language: string; limit: number }): Promise<{ id: string; score: number }[]> {
    const { hits } = await this.ask(query, { language, limit })
    return hits.map(({ number, score }) => ({ id: this.#documents.get(number) ?? '', score }))
  }

  /** Bytes on disk of the keyword index, and of the texts it is of. */
  async sizes(): Promise<{ readonly indexBytes: number; readonly chunksBytes: number }> {
    const { rows } = await this.#database.tx('system', ({ query }) =>
      query(
        `select pg_total_relation_size('rag_postings') + pg_total_relation_size('rag_segments') as index, pg_total_relation_size('rag_chunks') as chunks`,
      ),
    )
    return { indexBytes: Number(rows[0]?.['index']), chunksBytes: Number(rows[0]?.['chunks']) }
  }
}
