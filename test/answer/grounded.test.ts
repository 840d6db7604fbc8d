import { expect, test } from 'vitest'
import { z } from 'zod'

import { ByteQueue } from '../../src/base/byte-queue.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Answer, InferenceRequest, Relay } from '../../src/core/relay.ts'
import { SseEvents } from '../../src/wire/sse-events.ts'
import { newCall, requestOf } from '../cache/ask.ts'
import { layer, sources, visible } from './assistant-layer.ts'
import { bodyOf, nativeLines, okOutcome, streamOf } from './setup.ts'

const citationSchema = z.looseObject({ document: z.string(), start: z.number(), end: z.number(), quote: z.string() })

test('any other model, and this one of another tenant, passes untouched', async () => {
  const seen: InferenceRequest[] = []
  const answered = streamOf(nativeLines('hello'))
  const next: Relay = (request) => (seen.push(request), Promise.resolve(answered))
  const { relay } = layer({ next })
  const other = requestOf('/api/chat', { model: 'llama3.2', messages: [{ role: 'user', content: 'hi' }] })
  expect(await relay(other, newCall({ tenant: 'a' }))).toBe(answered)
  const foreign = requestOf('/api/chat', { model: 'handbook', messages: [{ role: 'user', content: 'hi' }] })
  await relay(foreign, newCall({ tenant: 'b' }))
  expect(seen).toEqual([other, foreign])
  expect(seen[0]).toBe(other)
})

test('/api/chat streams lines under the assistant’s name, with markers, sources and citations', async () => {
  const made = layer()
  const { text, headers, outcome } = await made.ask('/api/chat', {
    model: 'handbook',
    messages: [{ role: 'user', content: 'How large may uploads be?' }],
  })
  expect(headers['content-type']).toBe('application/x-ndjson')
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown> & { message: { content: string } })
  expect(lines.map(({ message }) => message.content).join('')).toBe(visible + sources)
  expect(new Set(lines.map(({ model }) => model))).toEqual(new Set(['handbook']))
  const last = lines.at(-1)
  expect(last).toMatchObject({ done: true, done_reason: 'stop', prompt_eval_count: 400, eval_count: 20, grounding: { refused: false } })
  expect(last?.citations).toEqual([
    expect.objectContaining({ document: 'limits', quote: 'may be up to 32 MB', start: 508, end: 526, page: 3 }),
  ])
  expect(lines.slice(0, -1).every(({ done }) => done === false)).toBe(true)
  expect(outcome).toMatchObject({ kind: 'ok', bytes: Buffer.byteLength(text) })
  const sent = made.model.asked.map(bodyOf)[0]
  expect(sent?.model).toBe('llama3.2')
  expect(sent?.messages[0]?.content).toContain('You are the handbook.')
})

test('/api/chat without a stream is one object', async () => {
  const { text } = await layer().ask('/api/chat', {
    model: 'Handbook',
    stream: false,
    messages: [{ role: 'user', content: 'How large may uploads be?' }],
  })
  expect(JSON.parse(text)).toMatchObject({
    model: 'Handbook',
    message: { role: 'assistant', content: visible + sources },
    done: true,
    citations: [{ number: 1 }],
  })
})

test('where the caller stands with its limits is told, and nothing else of a head that nobody sees', async () => {
  const next: Relay = () =>
    Promise.resolve({
      ...streamOf(nativeLines('x')),
      headers: { 'content-type': 'x', etag: '"1"', age: '5', 'x-ratelimit-remaining-requests': '7' },
    })
  const { headers } = await layer({ next }).ask('/api/chat', { model: 'handbook', messages: [{ role: 'user', content: 'uploads?' }] })
  expect(headers).toEqual({ 'content-type': 'application/x-ndjson', 'x-ratelimit-remaining-requests': '7' })
})

test('/api/generate answers its prompt', async () => {
  const { text } = await layer().ask('/api/generate', { model: 'handbook', prompt: 'How large may uploads be?', stream: false })
  expect(JSON.parse(text)).toMatchObject({ model: 'handbook', response: visible + sources, done: true })
})

test('/v1/chat/completions streams chunks with annotations and usage', async () => {
  const { text } = await layer().ask('/v1/chat/completions', {
    model: 'handbook',
    stream: true,
    stream_options: { include_usage: true },
    messages: [
      { role: 'system', content: 'Be kind.' },
      { role: 'user', content: [{ type: 'text', text: 'How large may uploads be?' }, { type: 'image_url' }] },
    ],
  })
  const frames = text.split('\n\n').filter((frame) => frame !== '')
  expect(frames.at(-1)).toBe('data: [DONE]')
  const judge = new SseEvents('openai')
  for (const frame of frames) {
    const bytes = Buffer.from(`${frame}\n\n`)
    expect(judge.judge(bytes, 0, bytes.length)).toBe(frame === 'data: [DONE]' ? 'done' : 'data')
  }
  const chunkSchema = z.looseObject({
    model: z.literal('handbook'),
    choices: z.array(
      z.looseObject({
        delta: z.looseObject({
          content: z.string().optional(),
          annotations: z.array(z.looseObject({ corral: citationSchema })).optional(),
        }),
        finish_reason: z.string().nullable(),
      }),
    ),
    usage: z.looseObject({ total_tokens: z.number() }).optional(),
  })
  const chunks = frames.slice(0, -1).map((frame) => chunkSchema.parse(JSON.parse(frame.slice('data: '.length))))
  expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(visible + sources)
  expect(chunks.flatMap(({ choices }) => choices[0]?.delta.annotations ?? [])).toMatchObject([
    { type: 'url_citation', url_citation: { url: 'https://example.org/limits', start_index: 0, end_index: 22 } },
  ])
  expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop')
  expect(chunks.at(-1)?.usage?.total_tokens).toBe(420)
})

test('/v1/chat/completions without a stream is one object', async () => {
  const { text } = await layer().ask('/v1/chat/completions', {
    model: 'handbook',
    messages: [{ role: 'user', content: 'How large may uploads be?' }],
  })
  expect(JSON.parse(text)).toMatchObject({
    object: 'chat.completion',
    choices: [{ message: { content: visible + sources, annotations: [{ type: 'url_citation' }] }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 400, completion_tokens: 20 },
  })
})

test('/v1/messages streams events with citation deltas', async () => {
  const { text } = await layer().ask('/v1/messages', {
    model: 'handbook',
    max_tokens: 50,
    stream: true,
    system: 'Be kind.',
    messages: [{ role: 'user', content: 'How large may uploads be?' }],
  })
  const frames = text.split('\n\n').filter((frame) => frame !== '')
  const judge = new SseEvents('anthropic')
  for (const [index, frame] of frames.entries()) {
    const bytes = Buffer.from(`${frame}\n\n`)
    expect(judge.judge(bytes, 0, bytes.length)).toBe(index === frames.length - 1 ? 'done' : 'data')
  }
  const eventSchema = z.looseObject({
    type: z.string(),
    delta: z.looseObject({ type: z.string().optional(), text: z.string().optional() }).optional(),
  })
  const events = frames.map((frame) => eventSchema.parse(JSON.parse(frame.slice(frame.indexOf('data: ') + 6))))
  expect(events.map(({ type }) => type).filter((type) => type !== 'content_block_delta')).toEqual([
    'message_start',
    'content_block_start',
    'content_block_stop',
    'message_delta',
    'message_stop',
  ])
  expect(events.map(({ delta }) => delta?.text ?? '').join('')).toBe(visible + sources)
  expect(events.flatMap(({ delta }) => (delta?.type === 'citations_delta' ? [delta] : []))).toMatchObject([
    { citation: { type: 'char_location', cited_text: 'may be up to 32 MB', document_index: 0, start_char_index: 508 } },
  ])
})

test('the conversation goes to the model without the markers and sources of earlier answers', async () => {
  const made = layer()
  await made.ask('/api/chat', {
    model: 'handbook',
    messages: [
      { role: 'user', content: 'What of uploads?' },
      { role: 'assistant', content: `They are limited [1]: \`x = [2]\`.${sources}` },
      { role: 'user', content: 'How large may uploads be?' },
    ],
  })
  const sent = made.model.asked.map(bodyOf)[0]
  expect(sent?.messages.slice(3).map(({ content }) => content)).toEqual([
    'What of uploads?',
    'They are limited: `x = [2]`.',
    'How large may uploads be?',
  ])
})

test('sampling options of each dialect reach the model, those that load it otherwise do not', async () => {
  const made = layer()
  await made.ask('/v1/chat/completions', {
    model: 'handbook',
    temperature: 0.5,
    max_tokens: 9,
    stop: 'x',
    tools: [{}],
    messages: [{ role: 'user', content: 'uploads?' }],
  })
  await made.ask('/api/chat', {
    model: 'handbook',
    options: { seed: 3, num_ctx: 77, num_gpu: 1 },
    messages: [{ role: 'user', content: 'uploads?' }],
  })
  const [one, two] = made.model.asked.map(bodyOf)
  expect(one?.options).toEqual({ num_ctx: 8_192, num_predict: 9, temperature: 0.5, stop: ['x'] })
  expect(two?.options).toEqual({ num_ctx: 8_192, num_predict: 1_024, temperature: 0, seed: 3 })
})

test('a request that loads or describes goes to the real model with one name replaced', async () => {
  const seen: InferenceRequest[] = []
  const next: Relay = (request) => (seen.push(request), Promise.resolve(streamOf([])))
  const { relay } = layer({ next })
  for (const [path, body] of [
    ['/api/chat', '{ "model" : "handbook","messages":[], "x":9007199254740993}'],
    ['/api/show', '{"name":"handbook"}'],
  ] as const)
    await relay(requestOf(path, body), newCall({ tenant: 'a' }))
  expect(seen.map(({ body, model }) => [body.toString(), model])).toEqual([
    ['{ "model" : "llama3.2","messages":[], "x":9007199254740993}', 'llama3.2:latest'],
    ['{"name":"llama3.2"}', 'llama3.2:latest'],
  ])
})

test('routes on which an assistant does not answer say so', async () => {
  const { relay } = layer()
  for (const path of ['/api/embed', '/v1/embeddings', '/api/copy']) {
    await expect(relay(requestOf(path, { model: 'handbook', input: 'x', prompt: 'x' }), newCall({ tenant: 'a' }))).rejects.toMatchObject({
      code: 'not_implemented',
      status: 400,
      message: expect.stringContaining('/api/chat, /api/generate, /v1/chat/completions, /v1/messages, /v1/responses, /v1/completions'),
    })
  }
})

test('lists hold the assistants of the tenant', async () => {
  const list =
    (body: string): Relay =>
    () => {
      const { provenance } = streamOf([])
      return Promise.resolve({ kind: 'whole', status: 200, headers: {}, provenance, body: Buffer.from(body), outcome: okOutcome })
    }
  const names = async (path: string, body: string, tenant: string): Promise<string[]> => {
    const { relay } = layer({ next: list(body) })
    const answer: Answer = await relay({ ...requestOf(path, ''), model: null }, newCall({ tenant }))
    const parsed = z
      .looseObject({
        models: z.array(z.looseObject({ name: z.string() })).nullish(),
        data: z.array(z.looseObject({ id: z.string() })).nullish(),
      })
      .parse(JSON.parse(answer.kind === 'whole' ? answer.body.toString() : '{}'))
    return [...(parsed.models ?? []).map(({ name }) => name), ...(parsed.data ?? []).map(({ id }) => id)]
  }
  expect(await names('/api/tags', '{"models":[{"name":"llama3.2:latest"},{"name":"handbook:latest"}]}', 'a')).toEqual([
    'handbook:latest',
    'llama3.2:latest',
  ])
  expect(await names('/api/tags', '{"models":[{"name":"llama3.2:latest"}]}', 'b')).toEqual(['llama3.2:latest'])
  expect(await names('/v1/models', '{"object":"list","data":null}', 'a')).toEqual(['handbook:latest'])
})

test.each([
  ['/api/chat', /\{"error":"the node died"\}\n$/],
  ['/v1/chat/completions', /data: \{"error":.*the node died.*\n\n$/],
  ['/v1/messages', /event: error\ndata: .*the node died.*\n\n$/],
  ['/v1/responses', /event: error\ndata: .*the node died.*\n\nevent: response\.failed\ndata: .*the node died.*\n\n$/],
  ['/v1/completions', /data: \{"error":.*the node died.*\n\n$/],
])('a failure in mid-stream ends %s in its own form', async (path, end) => {
  const error = new CorralError('node_failed', 'the node died')
  const { ask } = layer({
    next: () => Promise.resolve(streamOf(nativeLines('Uploads').slice(0, -1), { ...okOutcome, kind: 'node_error', error })),
  })
  const asked =
    path === '/v1/responses'
      ? { input: 'uploads?' }
      : path === '/v1/completions'
        ? { prompt: 'uploads?' }
        : { messages: [{ role: 'user', content: 'uploads?' }] }
  const { text, outcome } = await ask(path, { model: 'handbook', stream: true, ...asked })
  expect(text).toMatch(end)
  expect(text).not.toContain('Sources')
  expect(outcome).toMatchObject({ kind: 'node_error', error })
})

test('a whole answer that fails is the failure', async () => {
  const error = new CorralError('node_failed', 'the node died')
  const { ask } = layer({ next: () => Promise.resolve(streamOf([], { ...okOutcome, kind: 'node_error', error })) })
  await expect(ask('/api/chat', { model: 'handbook', stream: false, messages: [{ role: 'user', content: 'uploads?' }] })).rejects.toBe(
    error,
  )
})

test('bodies that hold no question are refused as the client’s fault', async () => {
  const { ask } = layer()
  for (const body of [
    '{"model":"handbook","messages":[{"role":"system","content":"x"}]}',
    '{"model":"handbook","messages":"x"}',
    '{"model":"handbook","messages":[{"role":"user","content":[{"type":"image"}]}]}',
  ]) {
    await expect(ask('/v1/chat/completions', body)).rejects.toMatchObject({ code: 'invalid_request' })
  }
})

test('a client that leaves cancels the generation', async () => {
  const never = streamOf([])
  const cancelled: unknown[] = []

  const frames = new ByteQueue(1_000)
  frames.onCancel = (reason) => cancelled.push(reason)
  const outcome = Promise.resolve({ ...okOutcome, kind: 'client_gone' as const })
  const { relay } = layer({ next: () => Promise.resolve({ ...never, kind: 'stream', frames, outcome }) })
  const answer = await relay(
    requestOf('/api/chat', { model: 'handbook', messages: [{ role: 'user', content: 'uploads?' }] }),
    newCall({ tenant: 'a' }),
  )
  if (answer.kind !== 'stream') expect.fail('no stream')
  answer.frames.cancel('gone')
  expect((await answer.outcome).kind).toBe('client_gone')
  expect(cancelled).toEqual(['gone'])
})
