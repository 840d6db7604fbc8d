/**
 * A file of the vectors of one set of texts, which later calls continue. Its first line, JSON, says of which set it is, by which model, and how
 * many numbers a vector has; then follows a record for each text, in their order: the first eight bytes of the SHA-256 of the text, as the model
 * gets it, and the vector as float32. So a file is never read for another model, another set, or data that changed since.
 */
import { createHash } from 'node:crypto'
import { appendFile, type FileHandle, open, truncate } from 'node:fs/promises'
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import { embedPrefix } from '../../src/rag/embed-prefix.ts'
import { CannotRun } from './cannot-run.ts'
import type { EmbedderIdentity, EmbedTexts, TextRole } from './embedding-source.ts'

/** Texts in their order; those of a smaller set of that name begin those of a larger one. */
export interface TextSet {
  readonly name: string
  readonly role: TextRole
  readonly texts: readonly string[]
}

export interface VectorFile {
  readonly path: string
  readonly set: TextSet
  readonly embedder: EmbedderIdentity
}

const header = z.object({ set: z.string(), model: z.string(), digest: z.string(), dimensions: z.int().min(1) })

interface Opened {
  readonly handle: FileHandle
  readonly dimensions: number
  /** Where the records begin. */
  readonly startBytes: number
  /** Whole records. */
  readonly records: number
}

const headerBytesMax = 4_096
const markBytes = 8
/** Records that are read or made at once. */
const blockTexts = 256
const progressMs = 5_000

function recordBytesOf(dimensions: number): number {
  return markBytes + dimensions * 4
}

/** What a text is known by. */
function markOf({ set, embedder }: VectorFile): (text: string) => Buffer {
  const prefix = embedPrefix(embedder.model, set.role)
  return (text) =>
    createHash('sha256')
      .update(prefix + text)
      .digest()
      .subarray(0, markBytes)
}

function decodeHeader(line: string, path: string): z.infer<typeof header> {
  try {
    return header.parse(JSON.parse(line))
  } catch (cause) {
    throw new CannotRun(`${path} does not say which texts and which model its vectors are of: name another file with --vectors`, { cause })
  }
}

/** Null when there is no file yet, or an empty one. Throws `CannotRun` when it is of another set or model. */
async function readHeader(handle: FileHandle, { path, set, embedder }: VectorFile): Promise<Omit<Opened, 'handle'> | null> {
  const { size } = await handle.stat()
  if (size === 0) return null
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(headerBytesMax), 0, headerBytesMax, 0)
  const end = buffer.subarray(0, bytesRead).indexOf(0x0a)
  const found = decodeHeader(buffer.toString('utf8', 0, Math.max(end, 0)), path)
  if (found.set !== set.name || found.model !== embedder.model || found.digest !== embedder.digest) {
    throw new CannotRun(
      `${path} holds vectors of ${found.set} by ${found.model} (${found.digest.slice(0, 12)}), ` +
        `not of ${set.name} by ${embedder.model} (${embedder.digest.slice(0, 12)}): name another file with --vectors`,
    )
  }
  const startBytes = end + 1
  return { dimensions: found.dimensions, startBytes, records: Math.floor((size - startBytes) / recordBytesOf(found.dimensions)) }
}

async function withFile<T>(file: VectorFile, act: (opened: Opened | null) => Promise<T>): Promise<T> {
  const handle = await open(file.path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  })
  if (handle === null) return act(null)
  try {
    const found = await readHeader(handle, file)
    return await act(found === null ? null : { handle, ...found })
  } finally {
    await handle.close()
  }
}

async function readRecords({ handle, dimensions, startBytes, records }: Opened, file: VectorFile): Promise<Float32Array[]> {
  const { path, set } = file
  const mark = markOf(file)
  const recordBytes = recordBytesOf(dimensions)
  const count = Math.min(records, set.texts.length)
  const numbers = new Float32Array(count * dimensions)
  const bytes = new Uint8Array(numbers.buffer)
  const block = Buffer.alloc(blockTexts * recordBytes)
  for (let from = 0; from < count; from += blockTexts) {
    const texts = set.texts.slice(from, Math.min(from + blockTexts, count))
    await handle.read(block, 0, texts.length * recordBytes, startBytes + from * recordBytes)
    for (const [index, text] of texts.entries()) {
      const record = block.subarray(index * recordBytes, (index + 1) * recordBytes)
      if (!record.subarray(0, markBytes).equals(mark(text))) {
        throw new CannotRun(
          `${path}: vector ${from + index} is not of the text that ${set.name} has there: name another file with --vectors`,
        )
      }
      bytes.set(record.subarray(markBytes), (from + index) * dimensions * 4)
    }
  }
  return Array.from({ length: count }, (_, at) => numbers.subarray(at * dimensions, (at + 1) * dimensions))
}

/** The vectors of the first texts, as many as the file has. Throws `CannotRun` when they are of other texts or another model. */
export function readVectors(file: VectorFile): Promise<Float32Array[]> {
  return withFile(file, async (opened) => (opened === null ? [] : readRecords(opened, file)))
}

/** Zeros for an empty text: it has no vector, and some models refuse it. `dimensions`: of the file; null: of what is made. */
async function makeVectors(
  texts: readonly string[],
  { embed, role, dimensions }: { readonly embed: EmbedTexts; readonly role: TextRole; readonly dimensions: number | null },
): Promise<Float32Array[]> {
  const made = await embed(
    texts.filter((text) => text !== ''),
    role,
  )
  const size = dimensions ?? made[0]?.length
  if (size === undefined || made.some(({ length }) => length !== size)) {
    throw new Error(`vectors of ${[...new Set(made.map(({ length }) => length))].join(' and ')} numbers instead of ${size ?? 'any'}`)
  }
  const rest = made.values()
  return texts.map((text) => (text === '' ? undefined : rest.next().value) ?? new Float32Array(size))
}

/** Cuts off what an end in the middle of a write left. Gives the dimensions of the file; null when there is none. */
function mend(file: VectorFile): Promise<number | null> {
  return withFile(file, async (opened) => {
    if (opened === null) return null
    await truncate(file.path, opened.startBytes + opened.records * recordBytesOf(opened.dimensions))
    return opened.dimensions
  })
}

function headerLine({ set, embedder: { model, digest } }: VectorFile, dimensions: number): string {
  return `${JSON.stringify({ set: set.name, model, digest, dimensions } satisfies z.infer<typeof header>)}\n`
}

export interface MakeOptions {
  readonly embed: EmbedTexts
  readonly untilMs?: number
  readonly log: (line: string) => void
}

/** Continues the file until it has the whole set, or `untilMs` has come; gives how many vectors of the set it has then. */
export async function continueVectors(file: VectorFile, { embed, untilMs = Infinity, log }: MakeOptions): Promise<number> {
  const { path, set, embedder } = file
  const mark = markOf(file)
  let held = (await readVectors(file)).length
  let dimensions = await mend(file)
  let toldMs = -Infinity
  while (held < set.texts.length && systemClock.nowMs() < untilMs) {
    if (systemClock.nowMs() - toldMs >= progressMs) {
      log(`${set.name}: ${held} of ${set.texts.length} texts have their vector by ${embedder.model}`)
      toldMs = systemClock.nowMs()
    }
    const texts = set.texts.slice(held, held + blockTexts)
    const vectors = await makeVectors(texts, { embed, role: set.role, dimensions })
    const lead = dimensions === null ? [Buffer.from(headerLine(file, vectors[0]?.length ?? 0))] : []
    const records = vectors.flatMap((vector, at) => [
      mark(texts[at] ?? ''),
      new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength),
    ])
    await appendFile(path, Buffer.concat([...lead, ...records]))
    dimensions = vectors[0]?.length ?? dimensions
    held += vectors.length
  }
  return held
}
