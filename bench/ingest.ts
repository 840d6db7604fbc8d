/**
 * Documents in, over eight nodes against one: uploaded through `/rag` to a gateway as a user starts it, on Postgres, before simulated nodes that
 * take their time for each text. Eight nodes can be eight times as fast only when batches of many documents are under way at once and
 * the rest keeps up; how fast that alone is, is measured with nodes that take next to none. Meanwhile the gateway's event loop must stay free,
 * which is read from its own metric.
 */
import { z } from 'zod'

import { systemClock } from '../src/base/clock.ts'
import { makeCollection, sendFiles } from './harness/bench-collection.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { BenchOptions, BenchResult } from './harness/result.ts'
import { onStage } from './harness/stage.ts'
import { storedGateway } from './harness/stored-gateway.ts'

/** What a node takes for a text of 160 tokens: a small embedder on a few cores. */
const itemMs = 20
/** Next to no time; of none, a simulated node makes the time that its prompt takes. */
const itemMsMin = 1
const embedder = 'all-minilm'
const sectionsPerDocument = 20
const filesPerRequest = 20
const warmDocuments = 8
const timeoutMs = 300_000
const pollMs = 50
/** The gateway's monitor looks this often, and counts it as part of each delay (`process-metrics.ts`). */
const loopResolutionMs = 50

const words = 'the gateway keeps a herd of nodes busy while documents arrive and are cut into parts that people look for later'.split(' ')

/** A document of so many sections, each of one chunk; no two are alike, nor those of two names. */
function documentText(name: string, seed: number): string {
  const sections = Array.from({ length: sectionsPerDocument }, (_, part) => {
    const text = Array.from({ length: 120 }, (_word, at) => words[(seed * 31 + part * 17 + at * 7) % words.length] ?? '')
    return `# Part ${part} of ${seed}\n\nBegins with ${name}-${seed}-${part}: ${text.join(' ')}.`
  })
  return sections.join('\n\n')
}

const counts = z.object({ counts: z.object({ done: z.number().default(0), failed: z.number().default(0) }) })
const collection = z.object({ chunks: z.number() })

async function get<T>(url: string, shape: z.ZodType<T>): Promise<T> {
  return shape.parse(await (await fetch(url)).json())
}

interface Filled {
  readonly chunksPerSecond: number
  readonly failed: number
}

/** Ingests so many documents into a collection of its own; counts from the first byte sent until all jobs are over. */
async function fill(url: string, name: string, documents: number): Promise<Filled> {
  const chunking = { targetTokens: 200, maxTokens: 320, overlapTokens: 0 }
  await makeCollection(url, name, { embedder, language: 'en', chunking })
  const startMs = systemClock.nowMs()
  for (let first = 0; first < documents; first += filesPerRequest) {
    const seeds = Array.from({ length: Math.min(filesPerRequest, documents - first) }, (_, at) => first + at)
    await sendFiles(
      url,
      name,
      seeds.map((seed) => ({ name: `${seed}.md`, text: documentText(name, seed) })),
    )
  }
  for (;;) {
    const { done, failed } = (await get(`${url}/rag/jobs?collection=${name}&limit=1`, counts)).counts
    const tookMs = systemClock.nowMs() - startMs
    if (done + failed >= documents) {
      const { chunks } = await get(`${url}/rag/collections/${name}`, collection)
      return { chunksPerSecond: (chunks * 1_000) / tookMs, failed }
    }
    if (tookMs > timeoutMs) throw new Error(`${done} of ${documents} documents done in ${tookMs} ms, ${failed} failed`)
    await systemClock.sleep(pollMs)
  }
}

/** The 99th percentile of the delays since it was asked last: a scrape begins the next count. */
async function loopP99Ms(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const seconds = Number(/^nodejs_eventloop_lag_p99_seconds (\S+)$/m.exec(text)?.[1] ?? Number.NaN)
  return Math.max(0, seconds * 1_000 - loopResolutionMs)
}

interface Played extends Filled {
  readonly loopP99Ms: number
}

interface Round {
  readonly nodes: number
  readonly embedMsPerItem: number
  readonly documents: number
}

/** A gateway and a store of its own, warm: parsers run, and every node has the embedder in memory. */
function play(options: BenchOptions, { nodes, embedMsPerItem, documents }: Round): Promise<Played> {
  return onStage(options, async (stage) => {
    const { gateway } = await storedGateway(stage, { nodes, embedMsPerItem })
    const url = `http://127.0.0.1:${gateway.port}`
    await fill(url, 'warm', warmDocuments)
    await loopP99Ms(url)
    const filled = await fill(url, 'measured', documents)
    const played = { ...filled, loopP99Ms: await loopP99Ms(url) }
    options.log(
      `${nodes} nodes, ${embedMsPerItem} ms a text: ${rounded(played.chunksPerSecond)} chunks/s, event loop p99 ${rounded(played.loopP99Ms)} ms`,
    )
    return played
  })
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const documents = options.isQuick ? 24 : 200
  const one = await play(options, { nodes: 1, embedMsPerItem: itemMs, documents: Math.ceil(documents / 8) })
  const eight = await play(options, { nodes: 8, embedMsPerItem: itemMs, documents })
  const store = await play(options, { nodes: 8, embedMsPerItem: itemMsMin, documents })
  const limit = eight.chunksPerSecond > store.chunksPerSecond * 0.8 ? 'the store and the gateway' : 'the nodes'
  options.log(`the limit with eight nodes: ${limit}`)
  return benchResult('ingest', options, {
    bars: [
      atLeast('chunks/s of eight nodes, × one', rounded(eight.chunksPerSecond / one.chunksPerSecond), 6),
      atMost('event loop p99 of the gateway with eight nodes, ms', rounded(eight.loopP99Ms), 20),
      atMost('documents failed', one.failed + eight.failed + store.failed, 0),
    ],
    data: { itemMs, sectionsPerDocument, documents, one, eight, store, limit },
  })
}
