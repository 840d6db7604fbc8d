// What assistants, questions and feedback are told that are no good: each is refused with what to change, and nothing of it breaks the next one.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

import { answerView, problemView } from '../../src/http/rag/answer-shapes.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

let gateway: RagGateway
let feedback: string
beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('docs', { leave: 'There are 30 days of leave.' })
  const asked = { collection: 'docs', model: chatModel, question: 'How many days of leave?', settings: { strengthMin: 0 }, stream: false }
  const { id } = answerView.parse(mustBe(200, await gateway.ask('POST', '/rag/chat', { body: asked })).json)
  feedback = `/rag/answers/${id}/feedback`
})
afterAll(() => gateway.close())
// Whatever came in, the next good one is taken.
afterEach(async () => {
  mustBe(201, await gateway.ask('POST', feedback, { body: { rating: 'up' } }))
})

const assistants = '/rag/assistants'
const assistant = (fields: object): string => JSON.stringify({ name: 'bad', collections: ['docs'], model: chatModel, ...fields })
const opinion = (fields: object): string => JSON.stringify({ rating: 'up', ...fields })
const question = (fields: object): string => JSON.stringify({ collection: 'docs', model: chatModel, stream: false, ...fields })
const nul = '\0'
const half = '\ud800'

test.each<[string, () => string, string | Buffer]>([
  ...['null', '[]', '"x"', '{} {}', '{', '﻿{}', '{"rating":"up",}'].flatMap((body) =>
    [() => assistants, () => feedback, () => '/rag/chat'].map((path): [string, () => string, string] => [`the body ${body}`, path, body]),
  ),
  [
    'bytes that are no UTF-8 in an opinion',
    () => feedback,
    Buffer.concat([Buffer.from('{"rating":"up","comment":"'), Buffer.from([0xff]), Buffer.from('"}')]),
  ],
  ['U+0000 in an opinion', () => feedback, opinion({ comment: `a${nul}b` })],
  ['half a character in an opinion', () => feedback, opinion({ comment: `a${half}b` })],
  ['U+0000 in a label', () => feedback, opinion({ labels: [`a${nul}b`] })],
  ['half a character in a label', () => feedback, opinion({ labels: [half] })],
  ['an opinion of 4,001 characters', () => feedback, opinion({ comment: 'x'.repeat(4_001) })],
  ['17 labels', () => feedback, opinion({ labels: Array.from({ length: 17 }, String) })],
  ['an empty label', () => feedback, opinion({ labels: [''] })],
  ['a rating that is a number', () => feedback, opinion({ rating: 1 })],
  ['an unknown field of an opinion', () => feedback, opinion({ tenant: 'rival' })],
  ['__proto__ in an opinion', () => feedback, '{"rating":"up","__proto__":{"admin":true}}'],
  ['U+0000 in a prompt', () => assistants, assistant({ prompt: `a${nul}b` })],
  ['half a character in a prompt', () => assistants, assistant({ prompt: half })],
  ['U+0000 in a title', () => assistants, assistant({ title: nul })],
  ['U+0000 in a model', () => assistants, assistant({ model: `m${nul}` })],
  ['U+0000 in a collection', () => assistants, assistant({ collections: [`docs${nul}`] })],
  ['U+0000 in a filter', () => assistants, assistant({ settings: { filter: [{ field: `a${nul}`, op: 'eq', value: 'x' }] } })],
  [
    'half a character in a value of a filter',
    () => assistants,
    assistant({ settings: { filter: [{ field: 'a', op: 'in', values: [half] }] } }),
  ],
  ['a prompt over its limit', () => assistants, assistant({ prompt: 'x'.repeat(16_385) })],
  ['an operator that is an object', () => assistants, assistant({ settings: { filter: [{ field: 'a', op: { $gt: '' }, value: 1 }] } })],
  ['a value that is an object', () => assistants, assistant({ settings: { filter: [{ field: 'a', op: 'eq', value: { $ne: null } }] } })],
  [
    '101 values',
    () => assistants,
    assistant({ settings: { filter: [{ field: 'a', op: 'in', values: Array.from({ length: 101 }, String) }] } }),
  ],
  [
    'a date that is to be equal to a text',
    () => assistants,
    assistant({ settings: { filter: [{ field: 'createdAt', op: 'eq', value: 'x' }] } }),
  ],
  ['a range without ends', () => assistants, assistant({ settings: { filter: [{ field: 'a', op: 'range' }] } })],
  ['a range of titles', () => assistants, assistant({ settings: { filter: [{ field: 'title', op: 'range', from: 'a' }] } })],
  ['a name with a path', () => assistants, assistant({ name: '../../x' })],
  ['a name with a line break', () => assistants, assistant({ name: 'a\nb' })],
  ['a name of a host', () => assistants, assistant({ name: 'host:8443/x/y' })],
  ['a context beyond reason', () => assistants, assistant({ settings: { contextTokens: 1e9 } })],
  ['a temperature below 0', () => assistants, assistant({ settings: { temperature: -1 } })],
  ['a number as text', () => assistants, assistant({ settings: { passages: '5' } })],
  ['__proto__ in settings', () => assistants, '{"name":"bad","collections":["docs"],"model":"m","settings":{"__proto__":{"passages":3}}}'],
  ['U+0000 in a question', () => '/rag/chat', question({ question: `days${nul} of leave` })],
  ['half a character in a question', () => '/rag/chat', question({ question: `days of leave ${half}` })],
  ['a question of white space', () => '/rag/chat', question({ question: ' \n ' })],
  ['a question over its limit', () => '/rag/chat', question({ question: 'x'.repeat(8_001) })],
  ['no message of the user', () => '/rag/chat', question({ messages: [{ role: 'assistant', content: 'x' }] })],
  ['a role of another word', () => '/rag/chat', question({ messages: [{ role: 'admin', content: 'x' }] })],
  ['content that is a number', () => '/rag/chat', question({ messages: [{ role: 'user', content: 5 }] })],
  ['10,000 messages', () => '/rag/chat', question({ messages: Array.from({ length: 10_000 }, () => ({ role: 'user', content: 'x' })) })],
  ['a stream that is text', () => '/rag/chat', question({ question: 'q', stream: 'true' })],
  [
    '11 collections',
    () => '/rag/chat',
    question({ collection: undefined, collections: Array.from({ length: 11 }, (_, index) => `c${index}`), question: 'q' }),
  ],
])('%s is refused', async (_, path, body) => {
  const { status, json, text } = await gateway.ask('POST', path(), {
    body: Buffer.from(body),
    headers: { 'content-type': 'application/json' },
  })
  expect([status, problemView.parse(json).code], text).toEqual([400, 'invalid_request'])
  expect(text).not.toMatch(/\.ts:|node_modules|select |insert /)
})

test('an assistant whose filter was stored before it was checked is listed, refuses questions, and is mended', async () => {
  const path = `${assistants}/stale`
  mustBe(201, await gateway.ask('PUT', path, { body: { name: 'stale', collections: ['docs'], model: chatModel } }))
  await gateway.database.tx('system', ({ query }) =>
    query(`update rag_assistants set settings = jsonb_set(settings, '{filter}', '[{"field":"createdAt","op":"eq","value":"x"}]')`),
  )
  mustBe(200, await gateway.ask('GET', path))
  const asked = await gateway.ask('POST', '/rag/chat', { body: { assistant: 'stale', question: 'How many days of leave?', stream: false } })
  expect([asked.status, problemView.parse(asked.json).detail]).toEqual([
    400,
    expect.stringContaining('createdAt is a date: take range or exists'),
  ])
  const filter = [{ field: 'createdAt', op: 'range', from: '2020-01-01' }]
  mustBe(200, await gateway.ask('PUT', path, { body: { name: 'stale', collections: ['docs'], model: chatModel, settings: { filter } } }))
  mustBe(200, await gateway.ask('POST', '/rag/chat', { body: { assistant: 'stale', question: 'How many days of leave?', stream: false } }))
  mustBe(204, await gateway.ask('DELETE', path))
})

test('an assistant asked in the dialect of a client refuses half a character, too', async () => {
  mustBe(201, await gateway.ask('POST', assistants, { body: { name: 'handbook', collections: ['docs'], model: chatModel } }))
  const { status, json } = await gateway.ask('POST', '/api/chat', {
    body: { model: 'handbook', messages: [{ role: 'user', content: `days ${half}` }] },
  })
  expect([status, json]).toEqual([400, { error: 'the question holds half a character' }])
})
