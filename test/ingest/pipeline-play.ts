/** Ingest over a real store, with a parser and an embedder that a test can watch, hold and break. */
import { createHash } from 'node:crypto'

import { systemClock } from '../../src/base/clock.ts'
import type { Block, CollectionSettings, EmbedOptions, Embedded, ParsedDocument } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { type GivenFile, Ingest, type IngestDeps, type SourceBytes } from '../../src/ingest/ingest.ts'
import { isFinished, type Job } from '../../src/ingest/job.ts'
import { ingestOptions, type IngestOptions } from '../../src/ingest/job-options.ts'
import { TokenEstimates } from '../../src/ingest/token-estimate.ts'
import { migrations } from '../../src/migrations.ts'
import { createCollection, deleteCollection } from '../../src/search/collections.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { heldVectors, lacksVectors } from '../../src/search/vector/held-vectors.ts'
import { deleteVectors, purgeVectors, writeVectors } from '../../src/search/vector-write.ts'
import { writeDocument } from '../../src/search/write-document.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'

export const tenant = 'acme'
export const collection = 'c-handbook'
export const dimensions = 8

const settings: CollectionSettings = {
  embedder: 'all-minilm',
  language: 'en',
  chunking: { targetTokens: 40, maxTokens: 64, overlapTokens: 0 },
  fusionWeight: 0.5,
  retentionDays: null,
}

/** `# ` begins a heading, `|` a table, ``` a code block; all else is paragraphs between blank lines. */
export function parseText({ bytes }: SourceBytes): ParsedDocument {
  const text = new TextDecoder().decode(bytes)
  const blocks: Block[] = []
  let path: string[] = []
  for (const match of text.matchAll(/\S[\s\S]*?(?=\n\s*\n|\s*$(?![\s\S]))/g)) {
    const [content] = match
    const level = /^#+ /.exec(content)?.[0].trim().length ?? null
    const kind = level !== null ? 'heading' : content.startsWith('|') ? 'table' : content.startsWith('```') ? 'code' : 'paragraph'
    if (level !== null) path = path.slice(0, level - 1)
    blocks.push({ kind, start: match.index, end: match.index + content.length, page: null, headings: path, level })
    if (level !== null) path = [...path, content.replace(/^#+ /, '')]
  }
  return { title: null, text, blocks, contentType: 'text/markdown', pages: null, warnings: [] }
}

/** A vector that says which text it is of. */
export function vectorOf(text: string): Float32Array {
  const digest = createHash('sha256').update(text).digest()
  const vector = Float32Array.from({ length: dimensions }, (_, index) => (digest[index] ?? 0) - 127.5)
  const length = Math.hypot(...vector)
  return vector.map((value) => value / length)
}

export interface Played {
  readonly ingest: Ingest
  readonly embedded: string[]
  readonly parsed: string[]
  readonly troubles: unknown[]
  /** Tenants whose kept answers were forgotten. */
  readonly forgotten: string[]
  /** Called before each batch; may wait or throw. */
  onEmbed: (texts: readonly string[], options: EmbedOptions) => Promise<void>
  onParse: (source: SourceBytes, signal: AbortSignal) => Promise<void>
  digest: string
  options: IngestOptions
}

export const quick = { leaseMs: 5_000, pollMs: 50, retryDelayMs: 20, retryDelayMsMax: 100, embedBatchTexts: 4, attemptsMax: 3, waitsMax: 2 }

export const embedderDown = (): CorralError => new CorralError('no_node', 'no node has all-minilm')

/** Ingest on `database`, which is migrated and has the collection; not started. */
export function play(database: Database, overrides: Partial<IngestOptions> = {}, deps: Partial<IngestDeps> = {}): Played {
  const embed = async (given: readonly string[], options: EmbedOptions): Promise<Embedded> => {
    await played.onEmbed(given, options)
    options.signal.throwIfAborted()
    played.embedded.push(...given)
    return { vectors: given.map(vectorOf), digest: played.digest }
  }
  const played: Played = {
    embedded: [],
    parsed: [],
    troubles: [],
    forgotten: [],
    onEmbed: async () => {},
    onParse: async () => {},
    digest: 'd1',
    options: ingestOptions.parse({ ...quick, ...overrides }),
    ingest: new Ingest({
      database,
      clock: systemClock,
      random: Math.random,
      options: () => played.options,
      estimates: new TokenEstimates(),
      parse: async (source, { signal }) => {
        await played.onParse(source, signal)
        played.parsed.push(source.name)
        return parseText(source)
      },
      enrichers: [],
      fetchSource: async (url) => ({ bytes: new TextEncoder().encode(`Fetched from ${url}`), name: 'page', declaredType: 'text/plain' }),
      embed,
      writeDocument: (transaction, write) => writeDocument(transaction, write, writeVectors),
      deleteDocument: (transaction, place) => deleteDocument(transaction, place, deleteVectors),
      forgetAnswers: async (owner) => void played.forgotten.push(owner),
      heldVectors,
      lacksVectors,
      embedderDigest: () => played.digest,
      contextTokens: async () => 256,
      onTrouble: (error) => played.troubles.push(error),
      ...deps,
    }),
  }
  return played
}

/** The store as new: for the next test of a suite that shares it, since opening one takes seconds. */
export async function emptyStore(database: Database): Promise<void> {
  const { rows } = await database.tx('system', (transaction) => transaction.query('select tenant, name from rag_collections'))
  for (const row of rows) {
    const place = { tenant: String(row['tenant']), name: String(row['name']) }
    await database.tx({ tenant: place.tenant }, (transaction) => deleteCollection(transaction, place, purgeVectors))
  }
}

/** Tables, and the collections of these ids. */
export async function prepareStore(database: Database, ids: readonly string[] = [collection], owner = tenant): Promise<void> {
  await migrate(database, migrations, systemClock)
  for (const id of ids) {
    await database.tx({ tenant: owner }, (transaction) => createCollection(transaction, { tenant: owner, id, name: id, settings }))
  }
}

export function file(document: string, more: Partial<GivenFile> = {}): GivenFile {
  return {
    tenant,
    collection,
    document,
    name: document,
    declaredType: null,
    title: null,
    uri: null,
    metadata: {},
    priority: 0,
    isSearchableWithoutVectors: false,
    skipsDuplicates: false,
    idempotencyKey: null,
    ...more,
  }
}

export const bytesOf = (text: string): Uint8Array[] => [new TextEncoder().encode(text)]

/** Paragraphs that fall into one chunk each under one heading each. */
export function sections(length: number, mark = ''): string {
  return Array.from({ length }, (_, index) => `# Part ${index}\n\nThis is what part ${index} says${mark}.`).join('\n\n')
}

/** The job when it is finished. */
export async function finished(ingest: Ingest, { id, tenant: owner }: Pick<Job, 'id' | 'tenant'>): Promise<Job> {
  return reached(ingest, { id, tenant: owner }, isFinished)
}

/** The job when it first is as `isIt` asks. */
export async function reached(
  ingest: Ingest,
  { id, tenant: owner }: Pick<Job, 'id' | 'tenant'>,
  isIt: (job: Job) => boolean,
): Promise<Job> {
  for await (const job of ingest.watch({ tenant: owner, id }, AbortSignal.timeout(20_000))) {
    if (job !== null && isIt(job)) return job
  }
  throw new Error(`job ${id} did not get there`)
}

export async function submitted(ingest: Ingest, document: string, text: string, more: Partial<GivenFile> = {}): Promise<Job> {
  return (await ingest.submitFile(file(document, more), bytesOf(text))).job
}

export async function count(database: Database, table: string): Promise<number> {
  const { rows } = await database.tx('system', (transaction) => transaction.query(`select count(*)::int as rows from ${table}`), {
    readOnly: true,
  })
  return Number(rows[0]?.['rows'])
}

/** The vectors of the collection's chunks that are kept, by chunk text. */
export async function keptVectors(database: Database): Promise<Map<string, number[]>> {
  return database.tx('system', async (transaction) => {
    const vectors = new Map<string, number[]>()
    const sets = await transaction.query(`select distinct name from rag_vector_sets where state = 'live'`)
    for (const { name } of sets.rows) {
      const { rows } = await transaction.query(
        `select c.document || ': ' || c.text as text, v.embedding::text as vector from rag_chunks c
         join ${String(name)} v on v.tenant = c.tenant and v.collection = c.collection and v.number = c.number`,
      )
      for (const row of rows) vectors.set(String(row['text']), JSON.parse(String(row['vector'])))
    }
    return vectors
  })
}

export async function texts(database: Database, document: string): Promise<string[]> {
  const text = 'select text from rag_chunks where document = $1 order by ordinal'
  const { rows } = await database.tx('system', (transaction) => transaction.query(text, [document]), { readOnly: true })
  return rows.map((row) => String(row['text']))
}
