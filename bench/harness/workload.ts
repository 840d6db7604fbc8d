/**
 * The request files of the `cache` bench, made from a seed: the same spec gives the same requests in the driver, which
 * sends them, and in the bench, which counts what a perfect cache could have saved. A key names one distinct
 * request; equal keys give equal bytes. An ingest's requests are batches, and its keys are their items.
 */
import { randomSequence } from '../../src/sim/hash.ts'
import { z } from 'zod'

import { zipfSampler } from './zipf.ts'

export const workloadSpec = z.discriminatedUnion('kind', [
  /** Questions out of a closed catalogue, by Zipf. */
  z.strictObject({ kind: z.literal('faq'), seed: z.int(), requests: z.int(), catalogue: z.int(), alpha: z.number() }),
  /** `repeatShare` ask again what was asked before, `paraphraseShare` the same in new words, the rest is new. */
  z.strictObject({ kind: z.literal('support'), seed: z.int(), requests: z.int(), repeatShare: z.number(), paraphraseShare: z.number() }),
  /** One suite of cases, time and again. */
  z.strictObject({ kind: z.literal('suite'), cases: z.int(), repeats: z.int() }),
  /** A catalogue by Zipf in between requests that never come again. */
  z.strictObject({
    kind: z.literal('open'),
    seed: z.int(),
    requests: z.int(),
    catalogue: z.int(),
    alpha: z.number(),
    novelShare: z.number(),
  }),
  /** Searches in a corpus of such topics: `repeatShare` ask again what was asked before, the rest is new. 1: a closed set of `topics` queries. */
  z.strictObject({ kind: z.literal('searches'), seed: z.int(), requests: z.int(), topics: z.int(), repeatShare: z.number() }),
  /** A corpus in batches; every `changedEvery`th chunk is new against the pass before it. 0: none is. */
  z.strictObject({ kind: z.literal('ingest'), chunks: z.int(), batch: z.int(), changedEvery: z.int() }),
])
export type WorkloadSpec = z.infer<typeof workloadSpec>

/** One request: its body, and what in it could be answered from a cache. */
export interface WorkloadRequest {
  readonly body: string
  readonly keys: readonly string[]
}

/** Two sentences, the length of a short chat turn. */
const words = 'How many head of cattle stand in the north pasture tonight, and which of them have been away from the herd?'

function question(key: string): WorkloadRequest {
  const messages = [{ role: 'user', content: `${key} ${words}` }]
  return { body: JSON.stringify({ model: 'm:latest', messages, stream: false, options: { temperature: 0 } }), keys: [key] }
}

function* faq({ seed, requests, catalogue, alpha }: WorkloadSpec & { kind: 'faq' }): Generator<WorkloadRequest> {
  const rank = zipfSampler(catalogue, alpha, randomSequence(seed))
  for (let index = 0; index < requests; index += 1) yield question(`faq ${rank()}`)
}

function* support({ seed, requests, repeatShare, paraphraseShare }: WorkloadSpec & { kind: 'support' }): Generator<WorkloadRequest> {
  const random = randomSequence(seed)
  const asked: string[] = []
  for (let index = 0; index < requests; index += 1) {
    const part = random()
    const earlier = asked[Math.floor(random() * asked.length)]
    const isRepeat = earlier !== undefined && part < repeatShare
    const isParaphrase = earlier !== undefined && !isRepeat && part < repeatShare + paraphraseShare
    const key = isRepeat ? earlier : isParaphrase ? `${earlier.split(',')[0] ?? ''}, put otherwise ${index}` : `ticket ${index}`
    if (!isRepeat) asked.push(key)
    yield question(key)
  }
}

function* suite({ cases, repeats }: WorkloadSpec & { kind: 'suite' }): Generator<WorkloadRequest> {
  for (let index = 0; index < cases * repeats; index += 1) yield question(`case ${index % cases}`)
}

function* open({ seed, requests, catalogue, alpha, novelShare }: WorkloadSpec & { kind: 'open' }): Generator<WorkloadRequest> {
  const random = randomSequence(seed)
  const rank = zipfSampler(catalogue, alpha, random)
  for (let index = 0; index < requests; index += 1) yield question(random() < novelShare ? `only once ${index}` : `topic ${rank()}`)
}

/** Words of one topic, of which texts about it and searches for it are made. */
export function topicWords(topic: number, random: () => number, count: number): string {
  const word = (): string => `w${(topic * 31 + Math.floor(random() * 40)) % 5_000}`
  return Array.from({ length: count }, word).join(' ')
}

function search(query: string): WorkloadRequest {
  return { body: JSON.stringify({ collection: 'bench', query, limit: 10 }), keys: [query] }
}

function* searches({ seed, requests, topics, repeatShare }: WorkloadSpec & { kind: 'searches' }): Generator<WorkloadRequest> {
  const random = randomSequence(seed)
  const isClosed = repeatShare === 1
  const asked = isClosed ? Array.from({ length: topics }, (_, topic) => topicWords(topic, random, 4)) : []
  for (let index = 0; index < requests; index += 1) {
    const repeated = random() < repeatShare ? asked[Math.floor(random() * asked.length)] : undefined
    if (repeated === undefined) asked.push(`${topicWords(Math.floor(random() * topics), random, 4)} n${index}`)
    yield search(repeated ?? asked.at(-1) ?? '')
  }
}

function* ingest({ chunks, batch, changedEvery }: WorkloadSpec & { kind: 'ingest' }): Generator<WorkloadRequest> {
  for (let first = 0; first < chunks; first += batch) {
    const keys = Array.from({ length: Math.min(batch, chunks - first) }, (_, offset) => {
      const chunk = first + offset
      return `chunk ${chunk} edition ${changedEvery > 0 && chunk % changedEvery === 0 ? 2 : 1}: ${words}`
    })
    yield { body: JSON.stringify({ model: 'm:latest', input: keys }), keys }
  }
}

/** The requests in order, made as they are asked for. */
export function workloadRequests(spec: WorkloadSpec): Generator<WorkloadRequest> {
  switch (spec.kind) {
    case 'faq':
      return faq(spec)
    case 'support':
      return support(spec)
    case 'suite':
      return suite(spec)
    case 'open':
      return open(spec)
    case 'searches':
      return searches(spec)
    case 'ingest':
      return ingest(spec)
  }
}

/** How often each key is asked for over all of `specs`, run one after another. */
export function keyCounts(specs: readonly WorkloadSpec[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const spec of specs)
    for (const { keys } of workloadRequests(spec)) for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1)
  return counts
}
