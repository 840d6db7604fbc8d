/**
 * What a job has made so far, kept so that the next worker goes on where the last one ended: the parsed text and its chunks in rows of
 * bounded size, the vectors by hash. Chunks are kept as ranges; what the embedder reads of them is put together again when it is read.
 */
import { z } from 'zod'

import type { Chunk } from '../../core/corpus.ts'
import type { Transaction } from '../../store/database.ts'

export interface JobPlace {
  readonly tenant: string
  readonly id: string
}

/** Meta of a prepared document; the rest is in its parts. */
export const preparedDocument = z.object({
  title: z.string(),
  contentType: z.string(),
  pages: z.number().nullable(),
  warnings: z.array(z.string()),
  chunks: z.number(),
  /** The embedder its chunks were cut for; null: words only. */
  model: z.string().nullable(),
  /** Of the vectors made so far. */
  digest: z.string().nullable(),
})
export type Prepared = z.infer<typeof preparedDocument>

const textPartChars = 200_000
export const chunksPerPart = 256
const vectorsPerRead = 512

const chunkKind = z.enum(['text', 'table', 'code', 'row'])
/** Begin, end, begin of what is embedded, page, heading path, kind, what is embedded before the text, hash. */
const storedChunk = z.tuple([
  z.number(),
  z.number(),
  z.number(),
  z.number().nullable(),
  z.array(z.string()),
  chunkKind,
  z.string(),
  z.string(),
])
const chunkPart = z.array(storedChunk)
const partRow = z.object({ data: z.string() })
const vectorRow = z.object({ hash: z.string(), vector: z.instanceof(Uint8Array) })

/** Forgets what an earlier attempt prepared. */
export async function clearParts(transaction: Transaction, { tenant, id }: JobPlace): Promise<void> {
  await transaction.query('delete from rag_job_parts where tenant = $1 and job = $2', [tenant, id])
}

/** Number of parts that a text has. */
export function textPartCount(text: string): number {
  return Math.ceil(text.length / textPartChars)
}

export async function saveTextPart(
  transaction: Transaction,
  { tenant, id }: JobPlace,
  { text, part }: { text: string; part: number },
): Promise<void> {
  // As JSON: a cut may fall inside a surrogate pair, which no database text may hold alone.
  const data = JSON.stringify(text.slice(part * textPartChars, (part + 1) * textPartChars))
  await insertPart(transaction, { tenant, id, kind: 'text', part, data })
}

export async function saveChunkPart(
  transaction: Transaction,
  { tenant, id }: JobPlace,
  { chunks, part }: { chunks: readonly Chunk[]; part: number },
): Promise<void> {
  const data = JSON.stringify(chunks.map(stored))
  await insertPart(transaction, { tenant, id, kind: 'chunks', part, data })
}

async function insertPart(
  transaction: Transaction,
  { tenant, id, kind, part, data }: JobPlace & { readonly kind: 'text' | 'chunks'; readonly part: number; readonly data: string },
): Promise<void> {
  await transaction.query(
    `insert into rag_job_parts (tenant, job, kind, part, data) values ($1, $2, $3, $4, $5)
     on conflict (tenant, job, kind, part) do update set data = excluded.data`,
    [tenant, id, kind, part, data],
  )
}

function stored({ start, end, page, headings, kind, embedText, text, hash }: Chunk): z.infer<typeof storedChunk> {
  const body = longestTail(embedText, text)
  return [start, end, end - body, page, [...headings], kind, embedText.slice(0, embedText.length - body), hash]
}

/** How much of the end of `text` is the end of `embedText`. */
function longestTail(embedText: string, text: string): number {
  if (embedText.endsWith(text)) return text.length
  let length = 0
  const most = Math.min(embedText.length, text.length)
  while (length < most && embedText.charCodeAt(embedText.length - 1 - length) === text.charCodeAt(text.length - 1 - length)) length += 1
  return length
}

/** The text of a prepared document. */
export async function readText(transaction: Transaction, place: JobPlace): Promise<string> {
  const parts = await readParts(transaction, place, 'text')
  return parts.map((data) => z.string().parse(JSON.parse(data))).join('')
}

/** The chunks of a prepared document, in order. */
export async function readChunks(transaction: Transaction, place: JobPlace, text: string): Promise<Chunk[]> {
  const chunks: Chunk[] = []
  for (const data of await readParts(transaction, place, 'chunks')) {
    for (const [start, end, bodyStart, page, headings, kind, lead, hash] of chunkPart.parse(JSON.parse(data))) {
      const embedText = lead + text.slice(bodyStart, end)
      chunks.push({ ordinal: chunks.length, text: text.slice(start, end), start, end, page, headings, kind, embedText, hash })
    }
  }
  return chunks
}

async function readParts(transaction: Transaction, { tenant, id }: JobPlace, kind: 'text' | 'chunks'): Promise<string[]> {
  const text = 'select data from rag_job_parts where tenant = $1 and job = $2 and kind = $3 order by part'
  const { rows } = await transaction.query(text, [tenant, id, kind])
  return rows.map((row) => partRow.parse(row).data)
}

/** Hashes whose vectors the job has. */
export async function readVectorHashes(transaction: Transaction, { tenant, id }: JobPlace): Promise<Set<string>> {
  const { rows } = await transaction.query('select hash from rag_job_vectors where tenant = $1 and job = $2', [tenant, id])
  return new Set(rows.map(({ hash }) => String(hash)))
}

export async function saveVectors(
  transaction: Transaction,
  { tenant, id }: JobPlace,
  vectors: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const bytes = [...vectors.values()].map((vector) => Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('hex'))
  await transaction.query(
    `insert into rag_job_vectors (tenant, job, hash, vector)
     select $1, $2, hash, decode(vector, 'hex') from unnest($3::text[], $4::text[]) as made (hash, vector)
     on conflict (tenant, job, hash) do update set vector = excluded.vector`,
    [tenant, id, [...vectors.keys()], bytes],
  )
}

export async function clearVectors(transaction: Transaction, { tenant, id }: JobPlace): Promise<void> {
  await transaction.query('delete from rag_job_vectors where tenant = $1 and job = $2', [tenant, id])
}

/** All vectors of the job by hash. */
export async function readVectors(transaction: Transaction, { tenant, id }: JobPlace): Promise<Map<string, Float32Array>> {
  const vectors = new Map<string, Float32Array>()
  let after = ''
  for (;;) {
    const text = 'select hash, vector from rag_job_vectors where tenant = $1 and job = $2 and hash > $3 order by hash limit $4'
    const { rows } = await transaction.query(text, [tenant, id, after, vectorsPerRead])
    for (const row of rows) {
      const { hash, vector } = vectorRow.parse(row)
      // Copied: the driver's buffer need not begin at a multiple of four bytes.
      vectors.set(hash, new Float32Array(new Uint8Array(vector).buffer))
      after = hash
    }
    if (rows.length < vectorsPerRead) return vectors
  }
}
