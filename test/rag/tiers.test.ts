// Kept answers through the whole gateway (caching.md §11: I6, C2–C5): after an edit, a deletion or the loss of a right nobody gets what
// was made before it, and a purge leaves nothing at rest. What the model says tells which text it had before it.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { z } from 'zod'

import { answerView } from '../../src/http/rag/answer-shapes.ts'
import { atRest, inMemory } from './kept-texts.ts'
import { eventsOf, mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel, otherModel, quoteAll } from './scripted-fleet.ts'

let gateway: RagGateway
let tenants = 0

beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' }, config: { cache: { layers: { postgres: true } } } })
})
afterAll(() => gateway.close())
afterEach(() => {
  gateway.fleet.script = quoteAll
  gateway.fleet.atHalf = () => undefined
})

const both = ['rag:read', 'rag:write'] as const

interface Asked extends z.infer<typeof answerView> {
  /** From the answer tier: neither searched nor generated. */
  readonly kept: boolean
}

interface Tenant {
  readonly name: string
  readonly key: string
  ask(question: string, more?: object, key?: string): Promise<Asked>
  call(method: string, path: string, body?: unknown): ReturnType<RagGateway['ask']>
  put(id: string, text: string, metadata?: object): Promise<void>
}

/** A tenant of its own with a collection `docs`. */
async function newTenant(documents: Readonly<Record<string, string>>): Promise<Tenant> {
  const name = `t${(tenants += 1)}`
  const key = await gateway.key({ tenant: name, scopes: [...both] })
  await gateway.collection('docs', documents, { key })
  return {
    name,
    key,
    call: (method, path, body) => gateway.ask(method, path, { key, ...(body === undefined ? {} : { body }) }),
    put: (id, text, metadata) => gateway.put('docs', id, text, { key, ...(metadata === undefined ? {} : { metadata }) }),
    async ask(question, more = { collection: 'docs', model: chatModel }, asKey = key) {
      const answer = await gateway.ask('POST', '/rag/chat', { key: asKey, body: { question, stream: false, ...more } })
      return { ...answerView.parse(mustBe(200, answer).json), kept: answer.headers.get('x-corral-route') === 'kept-answer' }
    },
  }
}

const copper = 'The weight of copper is 63 units.'
const heavier = 'The weight of copper is 64 units.'
const question = 'weight of copper'
const docs = { collection: 'docs', model: chatModel }

test('an answer is kept for the same question, and after an edit made anew', async () => {
  const it = await newTenant({ copper })
  const first = await it.ask(question)
  const second = await it.ask(question)
  expect([first, second].map(({ kept, cached }) => ({ kept, cached }))).toEqual([
    { kept: false, cached: false },
    { kept: true, cached: true },
  ])
  const ofThisOne = { id: '', kept: false, cached: false, totalMs: 0, usage: null }
  expect({ ...second, ...ofThisOne }).toEqual({ ...first, ...ofThisOne })
  expect(second.usage, 'nothing was spent').toEqual({ promptTokens: 0, outputTokens: 0 })
  expect(second.id).not.toBe(first.id)
  await it.put('copper', heavier)
  const edited = await it.ask(question)
  expect(edited.kept).toBe(false)
  expect(edited.text).toContain('64')
  expect(edited.text).not.toContain('63')
})

test('an edit beside the answer costs a search and no generation', async () => {
  const it = await newTenant({ copper, tin: 'Tin melts early.' })
  const narrow = { ...docs, settings: { passages: 1 } }
  await it.ask(question, narrow)
  const chats = gateway.fleet.prompted.length
  await it.put('tin', 'Tin melts at 232 degrees.')
  const after = await it.ask(question, narrow)
  expect(after.text).toContain('63')
  expect(gateway.fleet.prompted.length).toBe(chats)
})

test('C2: an answer whose documents change while it is generated is not given to the next one', async () => {
  const it = await newTenant({ copper })
  const half = Promise.withResolvers<void>()
  gateway.fleet.atHalf = () => half.promise
  const stream = await gateway.open('/rag/chat', { key: it.key, body: { ...docs, question } })
  await stream.has('event: text')
  await it.put('copper', heavier)
  half.resolve()
  expect(await stream.rest()).toContain('event: done')
  const next = await it.ask(question)
  expect(next.kept).toBe(false)
  expect(next.text).toContain('64')
})

test('C3: a new document that fits better changes the answer', async () => {
  const it = await newTenant({ copper })
  const narrow = { ...docs, settings: { passages: 1 } }
  expect((await it.ask('weight of copper in the mint', narrow)).text).toContain('63')
  await it.put('mint', 'Today the weight of copper in the mint is 70 units.')
  expect((await it.ask('weight of copper in the mint', narrow)).text).toContain('70')
})

test('C4: after a deletion no answer from the document is given, and after a purge no byte of it is at rest', async () => {
  const secretWord = 'zanzibarite'
  const hidden = `The ${secretWord} mine holds 412 carts.`
  const it = await newTenant({ copper, hidden })
  expect((await it.ask(`carts of the ${secretWord} mine`)).text).toContain('412')
  await it.ask('weight of copper', { ...docs, model: otherModel })
  expect(await atRest(gateway, secretWord), 'the scan finds what is there').not.toEqual([])
  mustBe(204, await it.call('DELETE', '/rag/collections/docs/documents/hidden?purge=true'))
  expect(await inMemory(gateway, it.name), 'in memory').toBe(0)
  const after = await it.ask(`carts of the ${secretWord} mine`)
  expect(after).toMatchObject({ cached: false, citations: [] })
  expect(after.text).not.toContain('412')
  expect(await atRest(gateway, '412 carts'), 'in the database').toEqual([])
})

test('C4: an answer that is under way at a purge leaves its text nowhere', async () => {
  const it = await newTenant({ copper, hidden: 'The obsidian vault holds 733 lamps.' })
  const half = Promise.withResolvers<void>()
  gateway.fleet.atHalf = () => half.promise
  const stream = await gateway.open('/rag/chat', { key: it.key, body: { ...docs, question: 'lamps of the obsidian vault' } })
  await stream.has('event: text')
  mustBe(204, await it.call('DELETE', '/rag/collections/docs/documents/hidden?purge=true'))
  half.resolve()
  const events = eventsOf(await stream.rest())
  const { id } = answerView.parse(events.at(-1)?.data)
  mustBe(200, await it.call('GET', `/rag/answers/${id}/feedback`))
  expect(await atRest(gateway, '733 lamps')).toEqual([])
  expect((await inMemory(gateway, it.name, 'answer')) + (await inMemory(gateway, it.name, 'inference'))).toBe(0)
})

test('C4: a deletion alone leaves no kept answer of the tenant', async () => {
  const it = await newTenant({ copper, tin: 'Tin melts at 232 degrees.' })
  const other = await newTenant({ copper })
  await it.ask('tin melts at how many degrees')
  await other.ask(question)
  expect(await inMemory(gateway, it.name, 'answer')).toBeGreaterThan(0)
  mustBe(204, await it.call('DELETE', '/rag/collections/docs/documents/tin'))
  expect(await inMemory(gateway, it.name, 'answer')).toBe(0)
  expect((await other.ask(question)).cached, 'another tenant keeps its own').toBe(true)
})

test('a collection that is removed and made again under its name has none of the old answers', async () => {
  const it = await newTenant({ copper })
  await it.ask(question)
  mustBe(204, await it.call('DELETE', '/rag/collections/docs'))
  mustBe(201, await it.call('POST', '/rag/collections', { name: 'docs' }))
  await it.put('copper', heavier)
  const after = await it.ask(question)
  expect(after.cached).toBe(false)
  expect(after.text).not.toContain('63')
})

test('a purged collection answers from nothing', async () => {
  const it = await newTenant({ copper })
  await it.ask(question)
  mustBe(200, await it.call('POST', '/rag/collections/docs/purge'))
  expect(await it.ask(question)).toMatchObject({ cached: false, refused: true, citations: [] })
})

test.each([
  ['the number of passages', { settings: { passages: 3 } }],
  ['the filter', { settings: { filter: [{ field: 'team', op: 'exists', present: false }] } }],
  ['the mode', { settings: { mode: 'keyword' } }],
  ['the reranker', { settings: { reranker: otherModel } }],
  ['the instructions', { instructions: 'Be brief.' }],
  ['the model', { model: otherModel }],
])('C5: another value of %s is a miss, and the first one stays kept', async (_, other) => {
  const it = await newTenant({ copper })
  await it.ask(question)
  expect((await it.ask(question, { ...docs, ...other })).kept).toBe(false)
  expect((await it.ask(question)).kept).toBe(true)
})

test.each([
  [
    'another fusion weight',
    async (it: Tenant) => void mustBe(200, await it.call('PATCH', '/rag/collections/docs', { settings: { fusionWeight: 0.9 } })),
  ],
  [
    'another chunking and the document made again',
    async (it: Tenant) => {
      const chunking = { targetTokens: 64, maxTokens: 128, overlapTokens: 0 }
      mustBe(200, await it.call('PATCH', '/rag/collections/docs', { settings: { chunking } }))
      mustBe(200, await it.call('POST', '/rag/collections/docs/documents/copper/reingest?wait=true'))
    },
  ],
])('C5: %s is a miss', async (_, change) => {
  const it = await newTenant({ copper })
  await it.ask(question)
  await change(it)
  const after = await it.ask(question)
  expect(after.kept).toBe(false)
  expect(after.text).toContain('63')
})

test('C5: another prompt of an assistant is a miss', async () => {
  const it = await newTenant({ copper })
  const assistant = { name: `smith-${it.name}`, collections: ['docs'], model: chatModel, prompt: 'You are a smith.' }
  mustBe(201, await it.call('POST', '/rag/assistants', assistant))
  const asked = { assistant: assistant.name }
  await it.ask(question, asked)
  expect((await it.ask(question, asked)).kept).toBe(true)
  mustBe(200, await it.call('PUT', `/rag/assistants/${assistant.name}`, { ...assistant, prompt: 'You are a miner.' }))
  expect((await it.ask(question, asked)).kept).toBe(false)
  expect(gateway.fleet.prompted.at(-1)?.system).toContain('You are a miner.')
})

test('I6: whoever loses a document by a narrower assistant does not get the answer made from it', async () => {
  const it = await newTenant({})
  await it.put('open', 'The weight of silver is 108 units.', { level: 'open' })
  await it.put('closed', 'The weight of copper is 63 units.', { level: 'closed' })
  const assistant = { name: `clerk-${it.name}`, collections: ['docs'], model: chatModel, settings: { answersWhenWeak: true } }
  mustBe(201, await it.call('POST', '/rag/assistants', assistant))
  expect((await it.ask(question, { assistant: assistant.name })).text).toContain('63')
  const filter = [{ field: 'level', op: 'eq', value: 'open' }]
  mustBe(200, await it.call('PUT', `/rag/assistants/${assistant.name}`, { ...assistant, settings: { answersWhenWeak: true, filter } }))
  const narrowed = await it.ask(question, { assistant: assistant.name })
  expect(narrowed.cached).toBe(false)
  expect(JSON.stringify(narrowed)).not.toContain('63 units')
  const found = await it.call('POST', '/rag/search', { collection: 'docs', query: question, filter })
  expect(JSON.stringify(found.json)).not.toContain('63 units')
})

test('I6: a kept answer is not for another tenant, nor for a key without the right or the model', async () => {
  const [a, b] = [await newTenant({ copper }), await newTenant({ copper: heavier })]
  expect((await a.ask(question)).text).toContain('63')
  const foreign = await b.ask(question)
  expect(foreign.cached).toBe(false)
  expect(foreign.text).toContain('64')
  const answerTo = async (fields: Parameters<RagGateway['key']>[0]) =>
    gateway.ask('POST', '/rag/chat', { key: await gateway.key({ tenant: a.name, ...fields }), body: { ...docs, question, stream: false } })
  for (const [fields, code] of [
    [{ scopes: ['chat'] }, 'insufficient_scope'],
    [{ scopes: ['rag:read'], models: [otherModel] }, 'model_not_allowed'],
  ] as const) {
    const refused = await answerTo({ ...fields, scopes: [...fields.scopes], ...('models' in fields ? { models: [...fields.models] } : {}) })
    expect(refused.json.code).toBe(code)
    expect(refused.text).not.toContain('63 units')
  }
})

test('I6: a colleague with the same rights shares what is kept', async () => {
  const it = await newTenant({ copper })
  await it.ask(question)
  const colleague = await gateway.key({ tenant: it.name, scopes: ['rag:read'] })
  expect((await it.ask(question, docs, colleague)).kept).toBe(true)
})

test('who asks for nothing to be kept is asked anew and leaves nothing', async () => {
  const it = await newTenant({ copper })
  const body = { ...docs, question, stream: false }
  const answer = await gateway.ask('POST', '/rag/chat', { key: it.key, body, headers: { 'cache-control': 'no-store' } })
  mustBe(200, answer)
  expect(await inMemory(gateway, it.name, 'answer')).toBe(0)
})
