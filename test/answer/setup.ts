/** A corpus with versions, a search over it by shared words, a model that answers from a script, and the answer tier in memory. */
import { ByteQueue } from '../../src/base/byte-queue.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { AnswerEvent, FinishedAnswer } from '../../src/answer/answer-stream.ts'
import type { AnswerStore, AnswerTags } from '../../src/answer/answer-tier.ts'
import { answer, type AnswerDeps, type AnswerRequest } from '../../src/answer/answer.ts'
import { answerOptions } from '../../src/answer/options.ts'
import { TokenBudgets } from '../../src/answer/token-budget.ts'
import { contentWords } from '../../src/answer/words.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { answerDefaults } from '../../src/core/assistant.ts'
import type { Call } from '../../src/core/call.ts'
import type { SearchAnswer, SearchHit, SearchRequest } from '../../src/core/corpus.ts'
import type { Answer, InferenceRequest, Outcome, Relay } from '../../src/core/relay.ts'
import { newCall } from '../cache/ask.ts'

export interface Written {
  readonly id: string
  readonly text: string
  readonly title?: string
  readonly uri?: string
  readonly page?: number
  readonly start?: number
}

export function hitOf({ id, text, title = `Title of ${id}`, uri, page, start = 0 }: Written, score = 1): SearchHit {
  return {
    collection: 'docs',
    document: { id, title, uri: uri ?? null, metadata: {} },
    chunk: { id: `${id}#0`, text, start, end: start + text.length, page: page ?? null, headings: [], kind: 'text' },
    score,
    scores: { keyword: 5 * score, vector: 0.8 * score, rerank: null },
    highlights: [],
    before: '',
    after: '',
    passage: { start, end: start + text.length },
  }
}

/** Documents of one collection; every change raises its version in the same step. */
export class FakeCorpus {
  readonly documents = new Map<string, Written>()
  version = 1
  searches = 0
  degraded: { readonly reason: string } | null = null
  /** Run inside a search, after what it finds is fixed. */
  during: () => Promise<void> | void = () => undefined

  constructor(...documents: readonly Written[]) {
    for (const document of documents) this.documents.set(document.id, document)
  }

  put(document: Written): void {
    this.documents.set(document.id, document)
    this.version += 1
  }

  remove(id: string): void {
    this.documents.delete(id)
    this.version += 1
  }

  readonly search = async (request: SearchRequest): Promise<SearchAnswer> => {
    this.searches += 1
    const versions = { docs: this.version }
    const query = contentWords(request.query)
    const results = [...this.documents.values()]
      .map((document) => ({
        document,
        shared: [...contentWords(`${document.title} ${document.text}`)].filter((word) => query.has(word)).length,
      }))
      .filter(({ shared }) => shared > 0)
      .toSorted((a, b) => b.shared - a.shared || (a.document.id < b.document.id ? -1 : 1))
      .slice(0, request.limit)
      .map(({ document }) => hitOf(document))
    await this.during()
    const timings = { embedMs: 0, keywordMs: 0, vectorMs: 0, fuseMs: 0, rerankMs: 0, totalMs: 0 }
    return { results, facets: {}, timings, degraded: this.degraded, versions }
  }
}

export class MemoryAnswers implements AnswerStore {
  readonly entries = new Map<string, { readonly bytes: Buffer; readonly tags: AnswerTags }>()

  /** Whether what is read ends soon, and its reader is to make it anew. */
  isDrawn = false

  keyFor(key: string): string {
    return key
  }

  get(key: string, _tags: AnswerTags, mayRenew: boolean): ReturnType<AnswerStore['get']> {
    const bytes = this.entries.get(key)?.bytes
    return Promise.resolve(bytes === undefined ? null : { bytes, isDrawn: this.isDrawn && mayRenew })
  }

  put(key: string, bytes: Buffer, { tags }: { readonly tags: AnswerTags }): Promise<void> {
    this.entries.set(key, { bytes, tags })
    return Promise.resolve()
  }
}

export interface SentBody {
  readonly model: string
  readonly stream: boolean
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  readonly options: Readonly<Record<string, unknown>>
  readonly tools?: unknown
}

export function bodyOf({ body }: Pick<InferenceRequest, 'body'>): SentBody {
  return JSON.parse(body.toString()) as SentBody
}

export const okOutcome: Outcome = {
  kind: 'ok',
  usage: { promptTokens: 400, cachedPromptTokens: null, outputTokens: 20, loadMs: 0, promptMs: 1, outputMs: 1, totalMs: 2 },
  frames: 1,
  bytes: 1,
  error: null,
}

/** Lines of a native stream that say `text`, `piece` characters each. */
export function nativeLines(text: string, { piece = 7, doneReason = 'stop' } = {}): string[] {
  const lines: string[] = []
  for (let at = 0; at < text.length; at += piece) {
    lines.push(`${JSON.stringify({ model: 'm', message: { role: 'assistant', content: text.slice(at, at + piece) }, done: false })}\n`)
  }
  lines.push(`${JSON.stringify({ model: 'm', message: { role: 'assistant', content: '' }, done: true, done_reason: doneReason })}\n`)
  return lines
}

export function streamOf(lines: readonly string[], outcome: Outcome = okOutcome): Answer {
  const frames = new ByteQueue(10_000_000)
  for (const line of lines) frames.push(Buffer.from(line))
  frames.end()
  return {
    kind: 'stream',
    status: 200,
    headers: { 'content-type': 'application/x-ndjson' },
    provenance: { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 },
    frames,
    outcome: Promise.resolve(outcome),
  }
}

/** A model that says what `script` makes of its request; `asked` holds every request. */
export class ScriptedModel {
  readonly asked: InferenceRequest[] = []
  script: (request: SentBody) => string

  constructor(script: (request: SentBody) => string) {
    this.script = script
  }

  readonly relay: Relay = (request) => {
    this.asked.push(request)
    const sent = bodyOf(request)
    const text = this.script(sent)
    if (sent.stream) return Promise.resolve(streamOf(nativeLines(text)))
    const body = Buffer.from(JSON.stringify({ message: { role: 'assistant', content: text }, done: true }))
    const { provenance, headers } = streamOf([])
    return Promise.resolve({ kind: 'whole', status: 200, headers, provenance, body, outcome: okOutcome })
  }
}

export interface Setup {
  readonly corpus: FakeCorpus
  readonly model: ScriptedModel
  readonly answers: MemoryAnswers
  readonly deps: AnswerDeps
  readonly troubles: string[]
}

export function setup(corpus: FakeCorpus, script: (request: SentBody) => string, overrides: Partial<AnswerDeps> = {}): Setup {
  const model = new ScriptedModel(script)
  const answers = new MemoryAnswers()
  const troubles: string[] = []
  const options = answerOptions.parse({})
  const caching = cacheOptions.parse({})
  const deps: AnswerDeps = {
    options: () => options,
    clock: systemClock,
    search: corpus.search,
    versions: () => Promise.resolve({ docs: corpus.version }),
    relay: model.relay,
    digestOf: () => 'sha256:1',
    contextOf: () => 8_192,
    budgets: new TokenBudgets(),
    embeddersOf: (_tenant, versions) => Promise.resolve(Object.keys(versions).map(() => 'all-minilm')),
    caching: () => caching,
    secret: Buffer.from('a secret of the test'),
    answers,
    onTrouble: (message) => troubles.push(message),
    ...overrides,
  }
  return { corpus, model, answers, deps, troubles }
}

export function questionOf(question: string, overrides: Partial<AnswerRequest> = {}): AnswerRequest {
  return {
    question,
    history: [],
    collections: ['docs'],
    model: 'm',
    instructions: '',
    settings: { ...answerDefaults, strengthMin: 0 },
    options: {},
    access: '',
    headers: [],
    route: '/rag/chat',
    ...overrides,
  }
}

export interface Asked extends FinishedAnswer {
  readonly events: readonly AnswerEvent[]
  readonly text: string
  readonly kept: boolean
}

export async function ask(request: AnswerRequest, { deps }: Pick<Setup, 'deps'>, call: Call = newCall()): Promise<Asked> {
  const stream = await answer(request, call, deps)
  const events: AnswerEvent[] = []
  const finished = await stream.run((event) => {
    events.push(event)
    return true
  })
  const text = events.map((event) => (event.kind === 'text' ? event.text : '')).join('')
  return { ...finished, events, text, kept: stream.kept }
}
