/**
 * The workload W2 of answers over documents: questions out of a closed catalogue by Zipf, while documents are edited at a steady pace.
 * Each document states its own revision, and the model copies what stands before it, so that an answer tells which text it was made
 * from. An answer is stale when it tells a revision that was replaced before its question was asked. Edits go on beside the questions.
 */
import { z } from 'zod'

import { systemClock } from '../../src/base/clock.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { mustBe, type RagGateway } from '../../test/rag/rag-app.ts'
import { chatModel, firstSentence, type Prompted } from '../../test/rag/scripted-fleet.ts'
import { zipfSampler } from './zipf.ts'

export interface EditsPlan {
  readonly seed: number
  readonly requests: number
  readonly catalogue: number
  readonly alpha: number
  readonly requestsPerEdit: number
  /** Questions under way at once. */
  readonly lanes: number
}

export interface EditsPlayed {
  readonly stale: number
  /** Answers without their statement. */
  readonly missed: readonly Missed[]
  readonly edits: number
  readonly distinct: number
  /** Answers out of the answer tier. */
  readonly kept: number
  readonly generations: number
  readonly keptMs: readonly number[]
  readonly otherMs: readonly number[]
}

export interface Missed {
  readonly topic: number
  /** Taken for a question that the documents do not answer. */
  readonly refused: boolean
  readonly kept: boolean
}

const collection = 'faq'
/** As entries of a FAQ; an edit changes one number. Lengths differ, so that the rank of what is beside the point does not hang on ties. */
const wordsPerDocument = [80, 140] as const
const wordsPerQuestion = 8
const vocabulary = 4_000

const answer = z.object({ text: z.string(), refused: z.boolean() })

/** Questions and documents of a topic share words that hardly another one has. */
function wordsOf(topic: number, seed: number, count: number): string {
  const random = randomSequence(seed * 1_000_003 + topic)
  return Array.from({ length: count }, () => `w${Math.floor(random() * vocabulary).toString(36)}q`).join(' ')
}

function lengthOf(topic: number, seed: number): number {
  const [least, most] = wordsPerDocument
  return least + Math.floor(randomSequence(seed * 7 + topic)() * (most - least))
}

function documentText(topic: number, revision: number, seed: number): string {
  return `The state of topic${topic}x is ${revision}. It deals with ${wordsOf(topic, seed, lengthOf(topic, seed))}.`
}

/** Copies the statement of the topic that is asked about. */
function copyStatement({ passages, question }: Prompted): string {
  const topic = /topic\d+x/.exec(question)?.[0] ?? ''
  const found = passages.find(({ text }) => text.includes(`${topic} `))
  if (found === undefined) return 'The passages do not say.'
  return `${firstSentence(found.text)} [${found.number}: "${firstSentence(found.text)}"]`
}

class Faq {
  readonly #gateway: RagGateway
  readonly #seed: number
  /** By topic: the newest one that is visible for certain. */
  readonly revisions: number[]

  constructor(gateway: RagGateway, { catalogue, seed }: EditsPlan) {
    this.#gateway = gateway
    this.#seed = seed
    this.revisions = Array.from({ length: catalogue }, () => 0)
  }

  async write(topic: number, revision: number): Promise<void> {
    await this.#gateway.put(collection, `d${topic}`, documentText(topic, revision, this.#seed))
    this.revisions[topic] = revision
  }

  question(topic: number): string {
    return `What is the state of topic${topic}x of ${wordsOf(topic, this.#seed, wordsPerQuestion)}?`
  }
}

/** Fills the collection, then asks and edits. The gateway is not used by anybody else meanwhile. */
export async function playEdits(gateway: RagGateway, plan: EditsPlan, log: (line: string) => void): Promise<EditsPlayed> {
  const { fleet } = gateway
  const faq = new Faq(gateway, plan)
  fleet.script = copyStatement
  await gateway.collection(collection, {})
  for (const topic of faq.revisions.keys()) await faq.write(topic, 0)
  log(`${plan.catalogue} documents written`)
  const random = randomSequence(plan.seed)
  const nextRank = zipfSampler(plan.catalogue, plan.alpha, random)
  const played: Played = { stale: 0, missed: [], kept: 0, keptMs: [], otherMs: [] }
  let edits = 0
  const asked = new Set<number>()
  let index = 0
  let editing: Promise<void> = Promise.resolve()
  const edit = async (topic: number): Promise<void> => {
    await faq.write(topic, (faq.revisions[topic] ?? 0) + 1)
    edits += 1
  }
  const lane = async (): Promise<void> => {
    while (index < plan.requests) {
      index += 1
      if (index % plan.requestsPerEdit === 0) {
        const topic = nextRank() - 1
        editing = editing.then(() => edit(topic))
      }
      const topic = nextRank() - 1
      asked.add(topic)
      await askOne(gateway, faq, { topic, played })
      if (index % 1_000 === 0) log(`${index} asked, ${fleet.prompted.length} generations, ${played.stale} stale`)
    }
  }
  await Promise.all(Array.from({ length: plan.lanes }, lane))
  await editing
  return { ...played, edits, distinct: asked.size, generations: fleet.prompted.length }
}

interface Played {
  stale: number
  readonly missed: Missed[]
  kept: number
  readonly keptMs: number[]
  readonly otherMs: number[]
}

async function askOne(
  gateway: RagGateway,
  faq: Faq,
  { topic, played }: { readonly topic: number; readonly played: Played },
): Promise<void> {
  const known = faq.revisions[topic] ?? 0
  const startMs = systemClock.nowMs()
  const body = { collection, model: chatModel, question: faq.question(topic), stream: false }
  const answered = await gateway.ask('POST', '/rag/chat', { body })
  const tookMs = systemClock.nowMs() - startMs
  const { text, refused } = answer.parse(mustBe(200, answered).json)
  const told = new RegExp(`topic${topic}x is (\\d+)`).exec(text)?.[1]
  const isKept = answered.headers.get('x-corral-route') === 'kept-answer'
  if (told === undefined) played.missed.push({ topic, refused, kept: isKept })
  else if (Number(told) < known) played.stale += 1
  if (isKept) played.kept += 1
  ;(isKept ? played.keptMs : played.otherMs).push(tookMs)
}
