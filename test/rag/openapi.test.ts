// The description of `/rag` against what is mounted and what is really answered; and the routes of assistants and feedback.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { answerView, assistantView, feedbackView, pages, problemView } from '../../src/http/rag/answer-shapes.ts'
import { inventory } from '../identity/route-inventory.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel, otherModel } from './scripted-fleet.ts'

const content = z.record(z.string(), z.looseObject({ schema: z.unknown().optional(), example: z.unknown().optional() }))
const operation = z.looseObject({
  operationId: z.string(),
  parameters: z.array(z.looseObject({ name: z.string(), in: z.string() })),
  requestBody: z.looseObject({ content }).optional(),
  responses: z.record(z.string(), z.looseObject({ description: z.string() })),
})
const description = z.object({ openapi: z.string(), paths: z.record(z.string(), z.record(z.string(), operation)) })

let gateway: RagGateway
let key: string
let other: string

beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' } })
  key = await gateway.key({ tenant: 'acme', scopes: ['rag:read', 'rag:write', 'chat', 'models:read'] })
  other = await gateway.key({ tenant: 'rival', scopes: ['rag:read', 'rag:write'] })
  await gateway.collection('docs', { copper: 'The weight of copper is 63 units.' }, { key })
})
afterAll(() => gateway.close())

const call = (method: string, path: string, body?: unknown, headers = {}) =>
  gateway.ask(method, path, { key, headers, ...(body === undefined ? {} : { body }) })

async function described(): Promise<z.infer<typeof description>> {
  return description.parse(mustBe(200, await gateway.ask('GET', '/rag/openapi.json')).json)
}

test('the description is open to everybody, and every operation has an id of its own', async () => {
  const { openapi, paths } = await described()
  expect(openapi).toBe('3.1.0')
  const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map(({ operationId }) => operationId))
  expect(new Set(ids).size).toBe(ids.length)
  for (const [path, methods] of Object.entries(paths)) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    for (const { parameters } of Object.values(methods)) {
      expect(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)).toEqual(named)
    }
  }
})

const assistant = { name: 'handbook', title: 'The handbook', collections: ['docs'], model: chatModel, prompt: 'Be kind.' }

test('an assistant is made, read, changed by its revision, and removed', async () => {
  const made = mustBe(201, await call('POST', '/rag/assistants', assistant))
  expect(made.headers.get('location')).toBe('/rag/assistants/handbook')
  const view = assistantView.parse(made.json)
  expect(view).toMatchObject({ ...assistant, revision: 1 })
  const tag = made.headers.get('etag') ?? ''
  expect((await call('GET', '/rag/assistants/handbook', undefined, { 'if-none-match': tag })).status).toBe(304)
  const changed = mustBe(200, await call('PUT', '/rag/assistants/handbook', { ...assistant, title: 'New' }, { 'if-match': tag }))
  expect(assistantView.parse(changed.json)).toMatchObject({ title: 'New', revision: 2 })
  const late = await call('PUT', '/rag/assistants/handbook', { ...assistant, title: 'Late' }, { 'if-match': tag })
  expect([late.status, problemView.parse(late.json).code]).toEqual([412, 'precondition_failed'])
  expect(pages.assistants.parse((await call('GET', '/rag/assistants')).json).assistants).toHaveLength(1)
  expect((await call('DELETE', '/rag/assistants/handbook', undefined, { 'if-match': tag })).status).toBe(412)
  expect((await call('DELETE', '/rag/assistants/handbook')).status).toBe(204)
  expect((await call('GET', '/rag/assistants/handbook')).status).toBe(404)
  expect((await call('DELETE', '/rag/assistants/handbook')).status).toBe(404)
})

test.each([
  ['a name that is taken', { ...assistant, name: 'taken' }, [409]],
  ['a name that is no model name', { ...assistant, name: '../x y' }, [400]],
  ['a collection that is not there', { ...assistant, collections: ['none'] }, [404]],
  ['no collection', { ...assistant, collections: [] }, [400]],
  ['a collection named twice', { ...assistant, collections: ['docs', 'docs'] }, [400]],
  [
    'more collections than are searched at once',
    { ...assistant, collections: Array.from({ length: 11 }, (_, index) => `c${index}`) },
    [400],
  ],
  ['an unknown key', { ...assistant, modle: 'm' }, [400]],
  ['an unknown setting', { ...assistant, settings: { k: 3 } }, [400]],
])('an assistant with %s is refused', async (_, body, statuses) => {
  await call('PUT', '/rag/assistants/taken', { ...assistant, name: 'taken' })
  const refused = await call('POST', '/rag/assistants', body)
  expect(statuses).toContain(refused.status)
  problemView.parse(refused.json)
})

test('whoever is held to some models makes no assistant of others, and is answered by its own', async () => {
  const held = await gateway.key({ tenant: 'acme', scopes: ['rag:read', 'rag:write'], models: [otherModel, 'helper:latest'] })
  const put = (model: string, settings = {}) =>
    gateway.ask('PUT', '/rag/assistants/helper', { key: held, body: { ...assistant, name: 'helper', model, settings } })
  for (const refused of [
    await put(chatModel),
    await put(otherModel, { reranker: chatModel }),
    await put(otherModel, { rewriter: chatModel }),
  ]) {
    expect([refused.status, problemView.parse(refused.json).code]).toEqual([403, 'model_not_allowed'])
  }
  mustBe(201, await put('Thinker', { reranker: 'thinker' }))
  const asked = { collection: 'docs', question: 'weight of copper', stream: false }
  const answer = mustBe(200, await gateway.ask('POST', '/rag/chat', { key: held, body: asked }))
  expect(answerView.parse(answer.json).model).toBe(otherModel)
  mustBe(200, await gateway.ask('POST', '/rag/search', { key: held, body: { collection: 'docs', query: 'copper', reranker: 'Thinker' } }))
  const none = await gateway.key({ tenant: 'acme', scopes: ['rag:read'], models: ['nothing:latest'] })
  expect((await gateway.ask('POST', '/rag/chat', { key: none, body: asked })).status).toBe(409)
})

test('a prompt that looks as if it changed all the time is told of, and so is one that changed in nothing else', async () => {
  const put = async (prompt: string) => {
    const { json } = await call('PUT', '/rag/assistants/dated', { ...assistant, name: 'dated', prompt })
    return assistantView.parse(json).warnings
  }
  const looks = expect.stringContaining('at characters 9 to 28 stands what looks like the date of a day; where it changes')
  const differs = expect.stringContaining('differs from the one before in nothing but a date')
  expect(await put('Be kind. Today is 2026-11-27.')).toEqual([looks])
  expect(await put('Be kind. Today is 2026-11-28.')).toEqual([differs, looks])
  expect(assistantView.parse((await call('GET', '/rag/assistants/dated')).json).warnings).toEqual([looks])
  expect(await put('Be kind.')).toEqual([])
  mustBe(204, await call('DELETE', '/rag/assistants/dated'))
})

test('an assistant is a model of its tenant alone', async () => {
  mustBe(201, await call('PUT', '/rag/assistants/clerk', { ...assistant, name: 'clerk' }))
  const tags = async (of: string) => (await gateway.ask('GET', '/api/tags', { key: of })).text
  expect(await tags(key)).toContain('clerk')
  expect((await gateway.ask('GET', '/rag/assistants/clerk', { key: other })).status).toBe(404)
  expect((await gateway.ask('POST', '/rag/chat', { key: other, body: { assistant: 'clerk', question: 'q' } })).status).toBe(404)
  const told = mustBe(200, await call('POST', '/api/chat', { model: 'clerk', messages: [{ role: 'user', content: 'weight of copper' }] }))
  expect(told.text).toContain('63')
})

test('an answer is rated by its id, a second word of the same reader replaces the first', async () => {
  const asked = { collection: 'docs', model: chatModel, question: 'weight of copper', stream: false }
  const { id } = answerView.parse(mustBe(200, await call('POST', '/rag/chat', asked)).json)
  const path = `/rag/answers/${id}/feedback`
  const rated = feedbackView.parse(mustBe(201, await call('POST', path, { rating: 'up' })).json)
  expect(rated).toMatchObject({ answer: id, rating: 'up', comment: '', labels: [] })
  mustBe(201, await call('POST', path, { rating: 'down', comment: 'too short', labels: ['length'] }))
  const colleague = await gateway.key({ tenant: 'acme', scopes: ['rag:read', 'rag:write'] })
  mustBe(201, await gateway.ask('POST', path, { key: colleague, body: { rating: 'up' } }))
  const all = pages.feedback.parse(mustBe(200, await call('GET', path)).json).feedback
  expect(all.map(({ rating }) => rating).toSorted()).toEqual(['down', 'up'])
  expect(all.find(({ rating }) => rating === 'down')).toMatchObject({ comment: 'too short', labels: ['length'] })
  const kept = await gateway.database.tx('system', (transaction) =>
    transaction.query('select tenant, collections, model, question, cited from rag_answers where id = $1', [id]),
  )
  expect(kept.rows).toEqual([
    {
      tenant: 'acme',
      collections: ['docs'],
      model: chatModel,
      question: 'weight of copper',
      cited: [{ collection: 'docs', document: 'copper', chunk: 'copper#0' }],
    },
  ])
})

test('feedback needs a known answer of the own tenant and a rating', async () => {
  const asked = { collection: 'docs', model: chatModel, question: 'copper’s weight', stream: false }
  const { id } = answerView.parse(mustBe(200, await call('POST', '/rag/chat', asked)).json)
  const codes: unknown[] = []
  for (const [path, body, by] of [
    ['/rag/answers/nothing/feedback', { rating: 'up' }, key],
    [`/rag/answers/${id}/feedback`, { rating: 'up' }, other],
    [`/rag/answers/${id}/feedback`, { rating: 'sideways' }, key],
    [`/rag/answers/${id}/feedback`, {}, key],
    [`/rag/answers/${id}/feedback`, { rating: 'up', labels: ['x'.repeat(65)] }, key],
  ] as const) {
    codes.push(problemView.parse((await gateway.ask('POST', path, { key: by, body })).json).code)
  }
  expect(codes).toEqual(['answer_not_found', 'answer_not_found', 'invalid_request', 'invalid_request', 'invalid_request'])
})

test('every JSON body has an example, which its route takes', async () => {
  const { paths } = await described()
  const examples = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { requestBody }]) =>
      Object.entries(requestBody?.content ?? {}).flatMap(([type, { schema, example }]) =>
        schema === undefined ? [] : [{ method, path, type, example }],
      ),
    ),
  )
  expect(examples).toHaveLength(8)
  const refused: unknown[] = []
  for (const { method, path, type, example } of examples) {
    const target = path.replace('{name}', path.includes('assistants') ? 'librarian' : 'handbook').replace('{id}', 'any')
    const answer = await call(method.toUpperCase(), target, example, { 'content-type': type })
    if (![200, 201, 202].includes(answer.status)) refused.push([method, path, problemView.parse(answer.json).code])
  }
  // What an example names may be missing; it is never put wrongly.
  expect(refused).toEqual([['post', '/rag/answers/{id}/feedback', 'answer_not_found']])
})

test('every mounted route is described, and every described one is there', async () => {
  const { paths } = await described()
  const inDocument = Object.entries(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  )
  // What answers all other paths below /rag is no operation.
  const mounted = inventory.map((line) => line.split(': ', 1)[0] ?? '').filter((line) => line.includes(' /rag/') && !line.includes('*'))
  expect(inDocument.toSorted()).toEqual(mounted.toSorted())
})
