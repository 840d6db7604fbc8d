// A search in a trace: its span below that of the request, and what it asks of the nodes below its own.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

import { type Collector, startCollector } from '../observe/collector.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

const patient = { timeout: 30_000, interval: 10 }
let collector: Collector
let gateway: RagGateway

beforeAll(async () => {
  collector = await startCollector()
  const trace = { endpoint: collector.url, everyMs: 1, genAi: 'latest' }
  const observe = { log: { level: 'silent', access: false }, trace }
  gateway = await startRagGateway({ config: { observe, cache: { enabled: false } } })
  await gateway.collection('docs', { copper: 'The weight of copper is 63 units.', tin: 'Tin melts early.' })
})
afterAll(async () => {
  await gateway.close()
  await collector.close()
})

/** The trace with that id, once its request's own span is there: that one ends last. */
async function traceOf(traceId: string | null) {
  const ofTrace = () => collector.spans.filter((span) => span.traceId === traceId)
  await vi.waitFor(() => expect(ofTrace().some(({ kind }) => kind === 2)).toBe(true), patient)
  const spans = ofTrace()
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  /** Names from the request's span down to that one. */
  const path = (spanId: string | undefined): string[] => {
    const span = spanId === undefined ? undefined : byId.get(spanId)
    return span === undefined ? [] : [...path(span.parentSpanId), span.name]
  }
  return { spans, paths: spans.map(({ spanId }) => path(spanId).join(' > ')).toSorted() }
}

test('a search is a span of its own, with the embedding of its query below', async () => {
  const found = await gateway.ask('POST', '/rag/search', { body: { query: 'weight of copper', collection: 'docs', limit: 2 } })
  mustBe(200, found)
  const { spans, paths } = await traceOf(found.headers.get('x-corral-trace-id'))
  const request = 'POST /rag/search'
  const search = `${request} > retrieval docs`
  expect(paths.slice(0, 3)).toEqual([request, search, `${search} > POST /api/embed`])
  expect(paths[3]).toMatch(/^POST \/rag\/search > retrieval docs > POST \/api\/embed > embeddings /)
  expect(paths).toHaveLength(4)
  expect(spans.find(({ name }) => name === 'retrieval docs')).toMatchObject({
    kind: 1,
    attributes: {
      'gen_ai.operation.name': 'retrieval',
      'gen_ai.data_source.id': 'docs',
      'gen_ai.retrieval.top_k': 2,
      'corral.found': 2,
      'corral.cached': false,
      'corral.degraded': false,
    },
    status: {},
  })
  expect(JSON.stringify(spans)).not.toContain('copper')
})

test('a cited answer shows its search and what was generated, in one trace', async () => {
  const body = { question: 'weight of copper', collection: 'docs', model: chatModel, stream: false }
  const answer = await gateway.ask('POST', '/rag/chat', { body })
  mustBe(200, answer)
  const { paths } = await traceOf(answer.headers.get('x-corral-trace-id'))
  expect(paths).toContain('POST /rag/chat > retrieval docs')
  expect(paths).toContain(`POST /rag/chat > chat ${chatModel}`)
})

test('a search that fails says so', async () => {
  const missing = await gateway.ask('POST', '/rag/search', { body: { query: 'x', collection: 'nowhere' } })
  expect(missing.status).toBe(404)
  const { spans } = await traceOf(missing.headers.get('x-corral-trace-id'))
  const search = spans.find(({ name }) => name === 'retrieval nowhere')
  expect(search).toMatchObject({ attributes: { 'error.type': 'collection_not_found' }, status: { code: 2 } })
})
