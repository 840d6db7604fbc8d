/**
 * Documents in, over eight nodes against one: the pipeline of ingest in this process on a Postgres with pgvector, embedding through a
 * gateway over mock nodes that take their time for each text. Eight nodes can be eight times as fast only when batches of many documents
 * are under way at once and the store keeps up; how fast that alone is, is measured with an embedder that takes no time. Meanwhile
 * the event loop of the process that ingests must stay free.
 */
import { randomUUID } from 'node:crypto'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { z } from 'zod'

import { systemClock } from '../src/base/clock.ts'
import type { Block, ParsedDocument } from '../src/core/corpus.ts'
import { CorralError } from '../src/core/errors.ts'
import { heldVectors } from '../src/ingest/documents-stored.ts'
import { type EmbedCounted, Ingest } from '../src/ingest/ingest.ts'
import { ingestOptions } from '../src/ingest/job-options.ts'
import { TokenEstimates } from '../src/ingest/token-estimate.ts'
import { migrations } from '../src/migrations.ts'
import { createCollection } from '../src/search/collections.ts'
import { deleteDocument } from '../src/search/delete-document.ts'
import { deleteVectors, writeVectors } from '../src/search/vector-write.ts'
import { writeDocument } from '../src/search/write-document.ts'
import type { Database } from '../src/store/database.ts'
import { migrate } from '../src/store/migrate.ts'
import { storeOptions } from '../src/store/options.ts'
import { createPostgres } from '../src/store/postgres.ts'
import { startPostgres } from '../test/support/postgres.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'

/** What a node takes for a text of 200 tokens: a small embedder on a few cores. */
const itemMs = 20
const dimensions = 384
const chunksPerDocument = 20
const tenant = 'bench'
const model = 'm'
const jobTimeoutMs = 300_000
const loopResolutionMs = 5

const answer = z.object({ embeddings: z.array(z.array(z.number())) })

/** The mock names the text by its first number; a vector of the usual length is made of it. */
function vectorOf(seed: number): Float32Array {
  const vector = Float32Array.from({ length: dimensions }, (_, index) => Math.sin((seed + 1) * (index + 1)))
  const length = Math.hypot(...vector)
  return vector.map((value) => value / length)
}

function embedThrough(port: number): EmbedCounted {
  return async (texts, { signal }) => {
    const body = JSON.stringify({ model: 'm:latest', input: texts })
    const response = await fetch(`http://127.0.0.1:${port}/api/embed`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      signal,
    })
    if (response.status !== 200) throw new CorralError('node_failed', `the gateway answered ${response.status}`)
    const { embeddings } = answer.parse(await response.json())
    return { vectors: embeddings.map((_, index) => vectorOf(index)), digest: 'bench' }
  }
}

const embedAtOnce: EmbedCounted = async (texts) => ({ vectors: texts.map((_, index) => vectorOf(index)), digest: 'bench' })

const words = 'the gateway keeps a herd of nodes busy while documents arrive and are cut into parts that people look for later'.split(' ')

/** A document of so many sections, each of one chunk; no two are alike. */
function documentText(seed: number): string {
  const sections = Array.from({ length: chunksPerDocument }, (_, part) => {
    const text = Array.from({ length: 120 }, (_word, at) => words[(seed * 31 + part * 17 + at * 7) % words.length] ?? '')
    return `# Part ${part} of ${seed}\n\nBegins with ${seed}-${part}: ${text.join(' ')}.`
  })
  return sections.join('\n\n')
}

function parse(text: string): ParsedDocument {
  const blocks: Block[] = []
  let headings: string[] = []
  let at = 0
  for (const part of text.split('\n\n')) {
    const isHeading = part.startsWith('# ')
    blocks.push({
      kind: isHeading ? 'heading' : 'paragraph',
      start: at,
      end: at + part.length,
      page: null,
      headings: isHeading ? [] : headings,
      level: isHeading ? 1 : null,
    })
    if (isHeading) headings = [part.slice(2)]
    at += part.length + 2
  }
  return { title: null, text, blocks, contentType: 'text/markdown', pages: null, warnings: [] }
}

function ingestOn(database: Database, embed: EmbedCounted, onTrouble: (error: unknown) => void): Ingest {
  const options = ingestOptions.parse({})
  return new Ingest({
    database,
    clock: systemClock,
    random: Math.random,
    options: () => options,
    estimates: new TokenEstimates(),
    parse: async ({ bytes }) => parse(new TextDecoder().decode(bytes)),
    enrichers: [],
    fetchSource: () => Promise.reject(new Error('nothing is fetched here')),
    embed,
    writeDocument: (transaction, write) => writeDocument(transaction, write, writeVectors),
    deleteDocument: (transaction, place) => deleteDocument(transaction, place, deleteVectors),
    forgetAnswers: async () => {},
    heldVectors,
    embedderDigest: () => 'bench',
    contextTokens: async () => 512,
    onTrouble,
  })
}

interface Played {
  readonly chunksPerSecond: number
  readonly loopP99Ms: number
  readonly failed: number
}

/** Ingests `documents` into a collection of its own; counts from the first to the last, the bytes being there. */
async function playAll(
  database: Database,
  { documents, embed, log }: { documents: number; embed: EmbedCounted; log: BenchOptions['log'] },
): Promise<Played> {
  const collection = randomUUID()
  const settings = {
    embedder: model,
    language: 'en',
    chunking: { targetTokens: 200, maxTokens: 320, overlapTokens: 0 },
    fusionWeight: 0.5,
    retentionDays: null,
  }
  await database.tx({ tenant }, (transaction) => createCollection(transaction, { tenant, id: collection, name: collection, settings }))
  const ingest = ingestOn(database, embed, (error) => log(String(error)))
  for (let seed = 0; seed < documents; seed += 1) {
    const given = {
      tenant,
      collection,
      document: `d${seed}`,
      name: `d${seed}.md`,
      declaredType: null,
      title: null,
      uri: null,
      metadata: {},
    }
    const rest = { priority: 1, isSearchableWithoutVectors: false, skipsDuplicates: false, idempotencyKey: null }
    await ingest.submitFile({ ...given, ...rest }, [new TextEncoder().encode(documentText(seed))])
  }
  const delay = monitorEventLoopDelay({ resolution: loopResolutionMs })
  delay.enable()
  const startMs = systemClock.nowMs()
  ingest.start()
  let counts = await ingest.counts({ tenant, collection })
  while ((counts.done ?? 0) + (counts.failed ?? 0) < documents) {
    if (systemClock.nowMs() - startMs > jobTimeoutMs) throw new Error(`not done in time: ${JSON.stringify(counts)}`)
    await systemClock.sleep(50)
    counts = await ingest.counts({ tenant, collection })
  }
  const tookMs = systemClock.nowMs() - startMs
  delay.disable()
  await ingest.close()
  // The monitor counts its own period as part of each delay.
  const loopP99Ms = delay.percentile(99) / 1e6 - loopResolutionMs
  return { chunksPerSecond: (documents * chunksPerDocument * 1_000) / tookMs, loopP99Ms, failed: counts.failed ?? 0 }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const documents = options.isQuick ? 8 : 100
  const server = await startPostgres()
  const database = createPostgres(
    { ...storeOptions.parse({}), url: (await server.createDatabase()).url },
    { clock: systemClock, random: Math.random, report: options.log },
  )
  try {
    await database.open()
    await migrate(database, migrations, systemClock)
    return await onStage(options, async (stage) => {
      const herd = await stage.mock(8, { slots: 1, embedItemMs: itemMs })
      const play = async (name: string, count: number, embed: EmbedCounted): Promise<Played> => {
        const played = await playAll(database, { documents: count, embed, log: options.log })
        options.log(`${name}: ${rounded(played.chunksPerSecond)} chunks/s, event loop p99 ${rounded(played.loopP99Ms)} ms`)
        return played
      }
      await play('warm', 4, embedAtOnce)
      const single = await stage.gateway(herd.ports.slice(0, 1))
      const one = await play('one node', Math.ceil(documents / 4), embedThrough(single.port))
      await single.stop()
      const gateway = await stage.gateway(herd.ports)
      const eight = await play('eight nodes', documents, embedThrough(gateway.port))
      const store = await play('an embedder that takes no time', documents, embedAtOnce)
      const ratio = eight.chunksPerSecond / one.chunksPerSecond
      const limit = eight.chunksPerSecond > store.chunksPerSecond * 0.8 ? 'the store and this process' : 'the nodes'
      options.log(`the limit with eight nodes: ${limit}`)
      const bars = [
        atLeast('chunks/s of eight nodes, × one', rounded(ratio), 6),
        atMost('event loop p99 with eight nodes, ms', rounded(eight.loopP99Ms), 20),
        atMost('documents failed', one.failed + eight.failed + store.failed, 0),
      ]
      return benchResult('ingest', options, { bars, data: { itemMs, chunksPerDocument, documents, one, eight, store, limit } })
    })
  } finally {
    await database.close()
    await server.remove()
  }
}
