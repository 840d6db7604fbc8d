/**
 * S9 on real bytes: what a simulated node streams adds up to what the same node answers without a stream, for text, tools,
 * thinking, log probabilities and usage; and the frames come out the same however the stream was cut.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { aggregateAnthropic } from '../../src/cache/aggregate-anthropic.ts'
import { aggregateNative } from '../../src/cache/aggregate-native.ts'
import { aggregateOpenAiChat } from '../../src/cache/aggregate-openai.ts'
import { refusal } from '../../src/cache/storable.ts'
import { createSimNode, type SimNode } from '../../src/sim/node.ts'
import { routes } from '../../src/wire/routes.ts'
import { okOutcome } from './scripted.ts'

let node: SimNode

beforeAll(async () => {
  node = await createSimNode({ speed: 200 })
  for (const model of ['llama3.2:3b', 'qwen3:8b']) await post('/api/generate', { model })
})

afterAll(() => node.close())

async function post(path: string, body: object): Promise<Buffer> {
  const response = await fetch(node.url + path, { method: 'POST', body: JSON.stringify(body) })
  const bytes = Buffer.from(await response.arrayBuffer())
  expect(response.status, bytes.toString().slice(0, 300)).toBe(200)
  return bytes
}

/** Ids and times differ from one answer to the next; the simulated node's made-up token ids by how many pieces were shown. */
function timeless(text: string): string {
  return text
    .replaceAll(/"created_at":"[^"]*"/g, '"created_at":""')
    .replaceAll(/"context":\[[\d,]*\]/g, '"context":[]')
    .replaceAll(/"created":\d+/g, '"created":0')
    .replaceAll(/"((?:total|load|prompt_eval|eval)_duration)":\d+/g, '"$1":0')
    .replaceAll(/"(chatcmpl-|msg_|call_|toolu_|req_)[\w-]+"/g, '"$1"')
}

const question = [{ role: 'user', content: 'Tell me of <herds> & "fences" in Zürich, 日本語 🦙.' }]
const parameters = { type: 'object', properties: { city: { type: 'string' }, when: { type: 'string' } }, required: ['city'] }
const tools = [{ type: 'function', function: { name: 'weather', description: 'The weather', parameters } }]
const pinned = { temperature: 0, seed: 3, num_predict: 400 }

type Case = readonly [name: string, path: string, body: object]

const cases: readonly Case[] = [
  ['a chat', '/api/chat', { model: 'llama3.2:3b', messages: question, options: pinned }],
  ['a chat with thinking', '/api/chat', { model: 'qwen3:8b', messages: question, think: true, options: pinned }],
  ['a chat with tools', '/api/chat', { model: 'qwen3:8b', messages: question, tools, options: pinned }],
  ['a chat with thinking and tools', '/api/chat', { model: 'qwen3:8b', messages: question, tools, think: true, options: pinned }],
  [
    'a chat with log probabilities',
    '/api/chat',
    { model: 'llama3.2:3b', messages: question, logprobs: true, top_logprobs: 3, options: pinned },
  ],
  ['a chat as JSON', '/api/chat', { model: 'llama3.2:3b', messages: question, format: parameters, options: pinned }],
  ['a generation', '/api/generate', { model: 'llama3.2:3b', prompt: 'Herds & <fences>', options: pinned }],
  ['a generation with thinking', '/api/generate', { model: 'qwen3:8b', prompt: 'Herds', think: true, options: pinned }],
  ['a completion', '/v1/chat/completions', { model: 'llama3.2:3b', messages: question, temperature: 0, seed: 3 }],
  [
    'a completion with reasoning',
    '/v1/chat/completions',
    { model: 'qwen3:8b', messages: question, reasoning_effort: 'high', temperature: 0 },
  ],
  ['a completion with tools', '/v1/chat/completions', { model: 'qwen3:8b', messages: question, tools, temperature: 0 }],
  [
    'a completion with log probabilities',
    '/v1/chat/completions',
    { model: 'llama3.2:3b', messages: question, logprobs: true, top_logprobs: 2, temperature: 0 },
  ],
  ['a message', '/v1/messages', { model: 'llama3.2:3b', max_tokens: 500, messages: question, temperature: 0 }],
  [
    'a message with thinking',
    '/v1/messages',
    { model: 'qwen3:8b', max_tokens: 500, messages: question, thinking: { type: 'enabled', budget_tokens: 1_024 }, temperature: 0 },
  ],
  [
    'a message with tools',
    '/v1/messages',
    {
      model: 'qwen3:8b',
      max_tokens: 500,
      messages: question,
      tools: [{ name: 'weather', description: 'The weather', input_schema: parameters }],
      temperature: 0,
    },
  ],
]

const aggregators: Readonly<Record<string, (body: Buffer) => Buffer | null>> = {
  '/api/chat': aggregateNative,
  '/api/generate': aggregateNative,
  '/v1/chat/completions': aggregateOpenAiChat,
  '/v1/messages': aggregateAnthropic,
}

function aggregate(path: string, body: Buffer): Buffer | null {
  return aggregators[path]?.(body) ?? null
}

function routeOf(path: string): (typeof routes)[number] {
  const route = routes.find(({ pattern }) => pattern === path)
  if (route === undefined) throw new Error(`no route ${path}`)
  return route
}

describe('a stream adds up to the whole answer', () => {
  it.each(cases)('S9: %s on %s', async (_, path, body) => {
    const whole = await post(path, { ...body, stream: false })
    const stream = await post(path, { ...body, stream: true, stream_options: { include_usage: true } })
    const added = aggregate(path, stream)
    expect(added).not.toBeNull()
    expect(timeless(added?.toString() ?? '')).toBe(timeless(whole.toString()))
    const judged = { route: routeOf(path), status: 200, outcome: okOutcome, outputTokensMax: null }
    expect(refusal({ ...judged, body: stream, form: 'stream' })).toBeNull()
    expect(refusal({ ...judged, body: whole, form: 'whole' })).toBeNull()
  })

  it.each(cases)('S9: cut anywhere, %s on %s adds up to nothing', async (_, path, body) => {
    const stream = await post(path, { ...body, stream: true, stream_options: { include_usage: true } })
    // What stands behind the last brace or word is white space.
    const whole = stream.toString('latin1').trimEnd().length
    const step = Math.max(1, Math.floor(whole / 60))
    const cuts = Array.from({ length: Math.floor(whole / step) }, (__, index) => index * step)
    for (let length = Math.max(0, whole - 600); length < whole; length += 1) cuts.push(length)
    for (const length of cuts) expect([length, aggregate(path, stream.subarray(0, length))]).toEqual([length, null])
    expect(aggregate(path, stream.subarray(0, whole))).not.toBeNull()
  })

  it('S9: a chunk with something unknown in it, or two answers at once, adds up to nothing', () => {
    const chunk = (delta: string): Buffer =>
      Buffer.from(`data: {"id":"x","choices":[{"index":0,"delta":${delta},"finish_reason":"stop"}],"usage":{"a":1}}\n\ndata: [DONE]\n\n`)
    expect(aggregateOpenAiChat(chunk('{"content":"a"}'))).not.toBeNull()
    expect(aggregateOpenAiChat(chunk('{"content":"a","audio":{}}'))).toBeNull()
    const second = '{"id":"x","choices":[{"index":1,"delta":{"content":"b"}}]}'
    expect(aggregateOpenAiChat(Buffer.from(`data: ${second}\n\n`))).toBeNull()
    expect(aggregateNative(Buffer.from('{"message":{"content":"a","audio":"x"},"done":true}\n'))).toBeNull()
    expect(aggregateAnthropic(Buffer.from('event: x\ndata: {"type":"x"}\n\n'))).toBeNull()
  })
})

describe('what a node really answers', () => {
  it('S10: an answer at its token limit is refused on every dialect', async () => {
    const limits: readonly [string, object][] = [
      ['/api/chat', { model: 'llama3.2:3b', messages: question, options: { num_predict: 3 } }],
      ['/api/generate', { model: 'llama3.2:3b', prompt: 'x', options: { num_predict: 3 } }],
      ['/v1/chat/completions', { model: 'llama3.2:3b', messages: question, max_tokens: 3 }],
      ['/v1/completions', { model: 'llama3.2:3b', prompt: 'x', max_tokens: 3 }],
      ['/v1/messages', { model: 'llama3.2:3b', messages: question, max_tokens: 3 }],
    ]
    for (const [path, body] of limits) {
      for (const stream of [true, false]) {
        const answer = await post(path, { ...body, stream })
        const form = stream ? 'stream' : 'whole'
        expect(refusal({ route: routeOf(path), status: 200, outcome: okOutcome, body: answer, form, outputTokensMax: null }), path).toBe(
          'finish',
        )
      }
    }
  })

  it('S10: a complete answer of the routes without an aggregate is kept', async () => {
    for (const [path, body] of [
      ['/v1/completions', { model: 'llama3.2:3b', prompt: 'x' }],
      ['/v1/responses', { model: 'llama3.2:3b', input: 'x' }],
    ] as const) {
      for (const stream of [true, false]) {
        const answer = await post(path, { ...body, stream })
        const form = stream ? 'stream' : 'whole'
        expect(
          refusal({ route: routeOf(path), status: 200, outcome: okOutcome, body: answer, form, outputTokensMax: null }),
          path,
        ).toBeNull()
      }
    }
  })
})
