/** What `/rag` answers with, as shapes for the API's description; tests hold real answers to them. */
import { z } from 'zod'

const time = z.iso.datetime()
const number = z.number()
const text = z.string()

export const collectionView = z.strictObject({
  name: text,
  settings: z.record(text, z.unknown()),
  version: z.int(),
  documents: z.int(),
  chunks: z.int(),
  createdAt: time,
  updatedAt: time,
})

export const documentView = z.strictObject({
  id: text,
  title: text,
  uri: text.nullable(),
  metadata: z.record(text, z.unknown()),
  contentType: text,
  contentHash: text,
  sizeBytes: z.int(),
  language: text,
  pages: z.int().nullable(),
  chunks: z.int(),
  warnings: z.array(text),
  revision: z.int(),
  createdAt: time,
  updatedAt: time,
})

const stage = z.strictObject({
  stage: z.enum(['upload', 'extract', 'chunk', 'embed', 'index']),
  done: z.int(),
  total: z.int(),
  ratePerSecond: number.nullable(),
  etaMs: number.nullable(),
})

export const jobView = z.strictObject({
  id: text,
  collection: text.nullable(),
  document: text,
  kind: z.enum(['upload', 'url', 'reingest']),
  state: z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled']),
  stage: stage.shape.stage,
  stages: z.array(stage),
  name: text,
  uri: text.nullable(),
  outcome: z.enum(['written', 'unchanged', 'duplicate']).nullable(),
  duplicateOf: text.nullable(),
  attempts: z.int(),
  error: z.strictObject({ code: text, message: text, hint: text.nullable() }).nullable(),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
})

const documentHead = z.strictObject({ id: text, title: text, uri: text.nullable(), metadata: z.record(text, z.unknown()) })

const hit = z.strictObject({
  collection: text,
  document: documentHead,
  chunk: z.strictObject({
    id: text,
    text,
    start: z.int(),
    end: z.int(),
    page: z.int().nullable(),
    headings: z.array(text),
    kind: z.enum(['text', 'table', 'code', 'row']),
  }),
  score: number,
  scores: z.strictObject({ keyword: number.nullable(), vector: number.nullable(), rerank: number.nullable() }),
  lacksVector: z.literal(true).optional(),
  highlights: z.array(z.strictObject({ start: z.int(), end: z.int() })),
  before: text,
  after: text,
  passage: z.strictObject({ start: z.int(), end: z.int() }),
})

export const searchView = z.strictObject({
  results: z.array(hit),
  facets: z.record(text, z.array(z.strictObject({ value: text, count: z.int() }))),
  timings: z.strictObject({ embedMs: number, keywordMs: number, vectorMs: number, fuseMs: number, rerankMs: number, totalMs: number }),
  versions: z.record(text, z.int()),
  explain: z.array(text).optional(),
  cached: z.boolean(),
  degraded: z.boolean(),
  degradedReason: text.nullable(),
})

/** Where a passage, or a quote of it, stands. */
const placed = {
  number: z.int(),
  collection: text,
  chunk: text,
  document: text,
  title: text,
  uri: text.nullable(),
  page: z.int().nullable(),
  start: z.int(),
  end: z.int(),
}

const source = z.strictObject({ ...placed, headings: z.array(text), score: number, injection: number })

const span = z.strictObject({ start: z.int(), end: z.int() })

const citation = z.strictObject({
  ...placed,
  answer: span,
  marker: span,
  quote: text,
  origin: z.enum(['quoted', 'corrected', 'derived']),
  overlap: number,
})

export const answerView = z.strictObject({
  id: text,
  model: text,
  text: text.optional(),
  thinking: text.optional(),
  sources: z.array(source),
  citations: z.array(citation),
  unsupported: z.array(z.strictObject({ start: z.int(), end: z.int(), overlap: number, unknownNumbers: z.array(text) })),
  gate: z.strictObject({ written: z.int(), emitted: z.int(), corrected: z.int(), dropped: z.record(text, z.int()), withheld: z.int() }),
  strength: z.strictObject({ probability: number, sufficient: z.boolean() }),
  query: text,
  refused: z.boolean(),
  degraded: z.boolean(),
  degradedReason: text.nullable(),
  doneReason: text,
  cached: z.boolean(),
  usage: z.strictObject({ promptTokens: z.int(), outputTokens: z.int() }),
  totalMs: number,
})

export const assistantView = z.strictObject({
  name: text,
  title: text,
  collections: z.array(text),
  model: text,
  prompt: text,
  settings: z.record(text, z.unknown()),
  revision: z.int(),
  warnings: z.array(text),
  createdAt: time,
  updatedAt: time,
})

export const feedbackView = z.strictObject({
  id: text,
  answer: text,
  subject: text.nullable(),
  rating: z.enum(['up', 'down']),
  comment: text,
  labels: z.array(text),
  createdAt: time,
})

export const problemView = z.looseObject({
  type: text,
  title: text,
  status: z.int(),
  detail: text,
  code: text,
  instance: text,
  hint: text.optional(),
})

const next = text.nullable()

export const pages = {
  collections: z.strictObject({ collections: z.array(collectionView), next }),
  documents: z.strictObject({ documents: z.array(documentView), next }),
  jobs: z.strictObject({ jobs: z.array(jobView), counts: z.record(text, z.int()), next }),
  accepted: z.strictObject({ jobs: z.array(jobView) }),
  assistants: z.strictObject({ assistants: z.array(assistantView), next }),
  feedback: z.strictObject({ feedback: z.array(feedbackView), next }),
  retried: z.strictObject({ retried: z.int() }),
  reingested: z.strictObject({ jobs: z.int(), withoutBytes: z.int() }),
} as const
