// Cited answers and searches through the whole gateway: what clients get, what is refused, and that a question is admitted, counted,
// limited and cancelled as any other inference.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { z } from 'zod'

import { answerView, problemView, searchView } from '../../src/http/rag/answer-shapes.ts'
import { fieldCharactersMax } from '../../src/search/filter.ts'
import { expectIdle } from '../fleet/gateway.ts'
import { until } from '../support/gateway.ts'
import { eventsOf, mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel, quoteAll } from './scripted-fleet.ts'

let gateway: RagGateway

const copper = 'The weight of copper is 63 units. It is a red metal.'
const tin = 'The price of tin is 20 crowns. It melts early.'

beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('metals', { copper, tin })
})
afterAll(() => gateway.close())

beforeEach(() => {
  const { fleet } = gateway
  fleet.script = quoteAll
  fleet.atHalf = () => undefined
  fleet.embeds = true
  fleet.breaksAtHalf = false
  fleet.prompted.length = 0
})

const about = { collection: 'metals', model: chatModel }
const chat = (body: object, headers = {}) => gateway.ask('POST', '/rag/chat', { body, headers })

test('a whole answer is cited text with its sources, as the description says', async () => {
  const { json } = mustBe(200, await chat({ ...about, question: 'What is the weight of copper?', stream: false }))
  const answer = answerView.parse(json)
  expect(answer.text).toContain('The weight of copper is 63 units.')
  const cited = answer.citations.find(({ document }) => document === 'copper')
  expect(cited).toMatchObject({ collection: 'metals', quote: 'The weight of copper is 63 units', start: 0, end: 32 })
  expect(answer.sources.map(({ document }) => document)).toContain('copper')
  expect(answer).toMatchObject({ model: chatModel, cached: false, refused: false, degraded: false, doneReason: 'stop' })
  expect(answer.usage).toEqual({ promptTokens: 300, outputTokens: 20 })
})

test('a stream tells sources first, then text and citations, and done with all that is known', async () => {
  const answer = mustBe(200, await chat({ ...about, question: 'How heavy is copper, its weight?' }))
  expect(answer.headers.get('content-type')).toBe('text/event-stream')
  const events = eventsOf(answer.text)
  expect(events[0]).toMatchObject({ event: 'sources', data: { model: chatModel, sources: [{}, {}] } })
  expect(new Set(events.map(({ event }) => event))).toEqual(new Set(['sources', 'text', 'citation', 'done']))
  const { text, ...done } = answerView.parse(events.at(-1)?.data)
  expect(text).toBeUndefined()
  expect(events.filter(({ event }) => event === 'citation').map(({ data }) => data)).toEqual(done.citations)
  const said = events.flatMap(({ event, data }) => (event === 'text' ? [(data as { text: string }).text] : [])).join('')
  expect(said).toContain('63 units')
  for (const { answer: span, quote } of done.citations) expect(said.slice(span.start, span.end)).toContain(quote)
  expect(done.id).toBe(answer.headers.get('x-request-id'))
})

test('a conversation is asked with its last question, its system message as instructions', async () => {
  const messages = [
    { role: 'system', content: 'Be brief.' },
    { role: 'user', content: 'Tell me of metals.' },
    { role: 'assistant', content: 'Which one?' },
    { role: 'user', content: 'the price of tin' },
  ]
  mustBe(200, await chat({ ...about, messages, stream: false }))
  const [prompted] = gateway.fleet.prompted
  expect(prompted?.question).toBe('the price of tin')
  expect(prompted?.system.startsWith('Be brief.\n\n')).toBe(true)
  expect(prompted?.messages.slice(-3).map(({ content }) => content)).toEqual(['Tell me of metals.', 'Which one?', 'the price of tin'])
})

test('without a model one of the fleet is taken that can answer', async () => {
  const { json } = mustBe(200, await chat({ collection: 'metals', question: 'weight of copper', stream: false }))
  expect(answerView.parse(json).model).toBe(gateway.fleet.prompted[0]?.model)
})

test('what the documents do not hold is refused without asking a model', async () => {
  const { json } = mustBe(200, await chat({ ...about, question: 'Who sang penguin operas yesterday?', stream: false }))
  expect(answerView.parse(json)).toMatchObject({ refused: true, citations: [], strength: { sufficient: false } })
  expect(gateway.fleet.prompted).toEqual([])
})

test.each([
  ['no question', { ...about }, 'invalid_request', 'give a "question"'],
  ['both ways of asking', { ...about, question: 'q', messages: [{ role: 'user', content: 'q' }] }, 'invalid_request', '"messages"'],
  ['an empty question', { ...about, question: ' ' }, 'invalid_request', 'empty'],
  ['no collection', { question: 'q' }, 'invalid_request', '"collection"'],
  ['both ways of naming', { ...about, collections: ['metals'], question: 'q' }, 'invalid_request', '"collections"'],
  ['a collection that is not there', { ...about, collection: 'none', question: 'q' }, 'collection_not_found', 'none'],
  ['an unknown key', { ...about, question: 'q', colection: 'x' }, 'invalid_request', 'colection'],
  ['an unknown setting', { ...about, question: 'q', settings: { passage: 3 } }, 'invalid_request', 'passage'],
  ['a setting out of range', { ...about, question: 'q', settings: { passages: 0 } }, 'invalid_request', 'passages'],
  ['no message of a user', { ...about, messages: [{ role: 'system', content: 'x' }] }, 'invalid_request', 'no message of the user'],
  ['an assistant that is not there', { assistant: 'nobody', question: 'q' }, 'assistant_not_found', 'nobody'],
  ['an assistant and a model', { assistant: 'nobody', model: 'm', question: 'q' }, 'invalid_request', 'leave them out'],
  ['a model that no node has', { ...about, model: 'absent', question: 'weight of copper' }, 'invalid_request', 'absent'],
])('%s is told as a problem', async (_, body, code, words) => {
  for (const stream of [true, false]) {
    const answer = await chat({ ...body, stream })
    expect(answer.headers.get('content-type')).toContain('application/problem+json')
    const problem = problemView.parse(answer.json)
    expect(problem).toMatchObject({ code, status: answer.status })
    expect(problem.detail).toContain(words)
  }
})

test.each(['', 'not json', '[]', 'null', '"x"', '{"question":', '\u0000'])(
  'a body of %j is refused, and nothing is left behind',
  async (body) => {
    for (const path of ['/rag/chat', '/rag/search']) {
      const { status, json } = await gateway.ask('POST', path, { body, headers: { 'content-type': 'application/json' } })
      expect(status).toBe(400)
      expect(problemView.parse(json).code).toBe('invalid_request')
    }
    expect(gateway.app.calls.size).toBe(0)
  },
)

test('a node that breaks in the middle ends the stream with an error event, never in silence', async () => {
  const { fleet } = gateway
  fleet.breaksAtHalf = true
  const half = Promise.withResolvers<void>()
  fleet.atHalf = () => half.promise
  const stream = await gateway.open('/rag/chat', { body: { ...about, question: 'the red weight of copper' } })
  await stream.has('event: text')
  half.resolve()
  const events = eventsOf(await stream.rest())
  expect(events[0]?.event).toBe('sources')
  expect(events.at(-1)).toMatchObject({ event: 'error', data: { status: 502, code: 'stream_truncated' } })
  const whole = await chat({ ...about, question: 'the red weight of copper', stream: false })
  expect(whole.status).toBe(502)
  fleet.breaksAtHalf = false
  expect(eventsOf((await chat({ ...about, question: 'the red weight of copper today' })).text).at(-1)?.event).toBe('done')
})

test('a client that leaves cancels the generation and gives its slot back', async () => {
  const { fleet, app } = gateway
  const cutBefore = fleet.cut
  const leave = new AbortController()
  const half = Promise.withResolvers<void>()
  fleet.atHalf = () => half.promise
  const asked = gateway.ask('POST', '/rag/chat', { body: { ...about, question: 'copper of great weight' }, signal: leave.signal })
  await until(() => fleet.prompted.length === 1, 'the model was asked')
  leave.abort()
  await expect(asked).rejects.toThrow()
  await until(() => fleet.cut === cutBefore + 1, 'the node saw the client leave')
  half.resolve()
  await until(() => app.calls.size === 0, 'no call is left')
  await expectIdle(gateway)
})

test('a question is one request in usage, with the tokens of its generation; so is a search', async () => {
  const before = await usage()
  mustBe(200, await chat({ ...about, question: 'weight of copper, once', stream: false }))
  mustBe(200, await gateway.ask('POST', '/rag/search', { body: { collection: 'metals', query: 'a search that is counted' } }))
  const after = await usage()
  const countOf = (route: string, field: keyof UsageSum): number => (after.get(route)?.[field] ?? 0) - (before.get(route)?.[field] ?? 0)
  expect(countOf('/rag/chat', 'requests')).toBe(1)
  expect(countOf('/rag/chat', 'outputTokens')).toBe(20)
  expect(countOf('/rag/search', 'requests')).toBe(1)
})

const usageRow = z.object({ group: z.object({ route: z.string() }), requests: z.number(), outputTokens: z.number() })

type UsageSum = Omit<z.infer<typeof usageRow>, 'group'>

async function usage(): Promise<Map<string, UsageSum>> {
  const { json } = mustBe(200, await gateway.ask('GET', '/admin/usage?by=route'))
  const rows = z.object({ usage: z.array(usageRow) }).parse(json).usage
  return new Map(rows.map(({ group, ...sums }) => [group.route, sums]))
}

test('a search finds by word and meaning, as the description says', async () => {
  const body = { collection: 'metals', query: 'weight of copper', explain: true, neighbours: 1, facets: ['kind'] }
  const reply = mustBe(200, await gateway.ask('POST', '/rag/search', { body }))
  expect(reply.headers.get('x-corral-cache'), 'an explanation is of this search and no other').toBe('bypass')
  const found = searchView.parse(reply.json)
  expect(found.results[0]).toMatchObject({ collection: 'metals', document: { id: 'copper' }, chunk: { start: 0 } })
  expect(found).toMatchObject({ degraded: false, degradedReason: null })
  expect(found.explain?.length).toBeGreaterThan(0)
  const [best] = found.results
  expect(best?.highlights.map(({ start, end }) => best.chunk.text.slice(start, end))).toContain('copper')
})

test('a section around a hit is the text of the document between its offsets', async () => {
  const parts = [
    '# Ships\n\nShips 🚢 sail.',
    '## Engines\n\n| part | weight |\n|---|---|\n| piston | 3 |',
    'A piston 🔩 wears out.',
    '# Crew\n\nCrews rest.',
  ]
  await gateway.collection('ships', {})
  await gateway.put('ships', 'ship', parts.join('\n\n'), { type: 'text/markdown' })
  const body = { collection: 'ships', query: 'piston wears out', section: true }
  const [hit] = searchView.parse(mustBe(200, await gateway.ask('POST', '/rag/search', { body })).json).results
  const { text } = mustBe(200, await gateway.ask('GET', '/rag/collections/ships/documents/ship/text'))
  expect(hit === undefined ? '' : hit.before + hit.chunk.text + hit.after).toBe(text.slice(hit?.passage.start, hit?.passage.end))
  expect(hit?.passage.start).toBeLessThan(hit?.chunk.start ?? 0)
  expect([hit?.before.includes('| piston | 3 |'), hit?.after.includes('Crews')]).toEqual([true, false])
})

test('only-if-cached: a search that was made is told again, any other is 504', async () => {
  const ask = (query: string, headers: Record<string, string> = {}) =>
    gateway.ask('POST', '/rag/search', { body: { collection: 'metals', query }, headers })
  const only = { 'cache-control': 'only-if-cached' }
  const missed = mustBe(504, await ask('a search for zinc', only))
  expect(missed.json).toMatchObject({ code: 'cache_miss' })
  mustBe(200, await ask('a search for zinc'))
  expect(mustBe(200, await ask('a search for zinc', only)).headers.get('x-corral-cache')).toBe('hit')
})

test('without an embedder a search is by words, says so, and answers are cited all the same', async () => {
  gateway.fleet.embeds = false
  const body = { collection: 'metals', query: 'price of tin in crowns' }
  const found = searchView.parse(mustBe(200, await gateway.ask('POST', '/rag/search', { body })).json)
  expect(found.results[0]?.document.id).toBe('tin')
  expect(found.degraded).toBe(true)
  expect(found.degradedReason).toMatch(/embed/i)
  const answer = answerView.parse(mustBe(200, await chat({ ...about, question: 'price of tin in crowns', stream: false })).json)
  expect(answer).toMatchObject({ degraded: true, refused: false })
  expect(answer.degradedReason).toMatch(/embed/i)
  gateway.fleet.embeds = true
  const healthy = answerView.parse(mustBe(200, await chat({ ...about, question: 'price of tin in crowns', stream: false })).json)
  expect(healthy, 'a degraded answer is not kept').toMatchObject({ degraded: false, cached: false })
})

test.each([
  ['no query', {}, 'query'],
  ['an empty query', { query: '' }, 'query'],
  ['a mode of another word', { query: 'q', mode: 'semantic' }, 'mode'],
  ['a limit of nothing', { query: 'q', limit: 0 }, 'limit'],
  ['a limit beyond reason', { query: 'q', limit: 10_000 }, 'limit'],
  ['a weight out of range', { query: 'q', fusionWeight: 1.5 }, 'fusionWeight'],
  ['an unknown operator', { query: 'q', filter: [{ field: 'a', op: 'like', value: 'x' }] }, 'filter.0'],
  ['a filter without a value', { query: 'q', filter: [{ field: 'a', op: 'eq' }] }, 'filter.0'],
  ['neighbours beyond reason', { query: 'q', neighbours: 99 }, 'neighbours'],
  ['neighbours and the section', { query: 'q', neighbours: 1, section: true }, 'neighbours or section, not both'],
  ['an unknown key', { query: 'q', topK: 3 }, 'topK'],
  ['a query that is no text', { query: 3 }, 'query'],
])('a search with %s is told what to change', async (_, body, words) => {
  const { status, json } = await gateway.ask('POST', '/rag/search', { body: { collection: 'metals', ...body } })
  expect(status).toBe(400)
  expect(problemView.parse(json).detail).toContain(words)
})

test('filters and facets look at the metadata of documents', async () => {
  await gateway.collection('filed', {})
  await gateway.put('filed', 'a', 'The rule of the north gate.', { metadata: { team: 'north', year: 2024, tags: ['gate', 'rule'] } })
  await gateway.put('filed', 'b', 'The rule of the south gate.', { metadata: { team: 'south', year: 2026 } })
  const search = async (filter: object[], facets: string[] = []) =>
    searchView.parse(
      mustBe(200, await gateway.ask('POST', '/rag/search', { body: { collection: 'filed', query: 'rule of the gate', filter, facets } }))
        .json,
    )
  const idsOf = async (...filter: object[]) => (await search(filter)).results.map(({ document }) => document.id).toSorted()
  expect(await idsOf()).toEqual(['a', 'b'])
  expect(await idsOf({ field: 'team', op: 'eq', value: 'north' })).toEqual(['a'])
  expect(await idsOf({ field: 'team', op: 'in', values: ['south'] })).toEqual(['b'])
  expect(await idsOf({ field: 'year', op: 'range', from: 2025 })).toEqual(['b'])
  expect(await idsOf({ field: 'tags', op: 'contains', value: 'gate' })).toEqual(['a'])
  expect(await idsOf({ field: 'tags', op: 'exists', present: false })).toEqual(['b'])
  const longest = 'k'.repeat(fieldCharactersMax)
  await gateway.put('filed', 'a', 'The rule of the north gate.', { metadata: { [longest]: 'x', team: 'north' } })
  expect(await idsOf({ field: longest, op: 'eq', value: 'x' })).toEqual(['a'])
  expect((await search([], [longest])).facets[longest]).toEqual([{ value: 'x', count: 1 }])
  const counted = (await search([], ['team'])).facets.team ?? []
  expect(counted.toSorted((a, b) => (a.value < b.value ? -1 : 1))).toEqual([
    { value: 'north', count: 1 },
    { value: 'south', count: 1 },
  ])
})
