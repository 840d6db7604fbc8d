/**
 * A hit says what the model said: of the stored answer only its own ids and times change, wherever a text or a tool's input holds
 * something that looks like one. Each answer is a function of its ids and time, so a hit must be that function of the new ones.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { manualClock } from '../fleet/manual-clock.ts'
import { take, type Taken } from './ask.ts'
import { cached } from './cached.ts'

interface Own {
  /** Of the answer. */
  readonly id: string
  /** Of its one item, where the dialect has items. */
  readonly item: string
  readonly time: string
}

interface Said {
  readonly text: string
  readonly input: unknown
}

interface Dialect {
  readonly name: string
  readonly path: string
  readonly body: object
  readonly type: string
  readonly old: Own
  readonly write: (own: Own, said: Said) => string
  /** The ids and the time of a written answer. */
  readonly read: (answer: string) => Own
}

const messages = [{ role: 'user', content: 'hi' }]
const json = 'application/json'
const sse = 'text/event-stream'
const one = (value: object): string => `${JSON.stringify(value)}\n`
const data = (value: object): string => `data: ${JSON.stringify(value)}\n\n`
const event = (type: string, fields: object): string => `event: ${type}\n${data({ type, ...fields })}`
const found = (answer: string, pattern: RegExp): string => pattern.exec(answer)?.[1] ?? ''

const native: Dialect = {
  name: 'a chat',
  path: '/api/chat',
  body: { model: 'llama3', messages, stream: false, options: { temperature: 0 } },
  type: json,
  old: { id: '', item: '', time: '2026-11-25T10:00:00.123456789Z' },
  write: ({ time }, { text, input }) =>
    one({
      model: 'llama3',
      created_at: time,
      message: { role: 'assistant', content: text, tool_calls: [{ function: { name: 'w', arguments: input } }] },
      done: true,
      done_reason: 'stop',
      eval_count: 3,
    }),
  read: (answer) => ({ id: '', item: '', time: found(answer, /^{"model":"llama3","created_at":"([^"]+)"/) }),
}

const chunk =
  (object: string, choice: (text: string) => object) =>
  ({ id, time }: Own, { text }: Said): string => {
    const frame = (choices: readonly object[]): string =>
      data({ id, object, created: Number(time), model: 'llama3', choices, ...(choices.length > 0 ? {} : { usage: { prompt_tokens: 1 } }) })
    return `${frame([choice(text)])}${frame([{ ...choice(''), finish_reason: 'stop' }])}${frame([])}data: [DONE]\n\n`
  }

const openAi = (answer: string): Own => ({
  id: found(answer, /^data: {"id":"([^"]+)"/),
  item: '',
  time: found(answer, /"created":(\d+)/),
})

const message = (id: string, content: readonly object[]): object => ({ id, type: 'message', role: 'assistant', model: 'llama3', content })

const anthropicBody = { model: 'llama3', max_tokens: 50, messages, temperature: 0 }

const response = ({ id, item, time }: Own, said: Said | null): object => ({
  id,
  object: 'response',
  created_at: Number(time),
  completed_at: said === null ? null : Number(time),
  status: said === null ? 'in_progress' : 'completed',
  model: 'llama3',
  output: said === null ? [] : [outputItem(item, said), call(said)],
  metadata: {},
})
const outputItem = (id: string, { text }: Said): object => ({
  id,
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text, annotations: [] }],
})
/** Later turns repeat its ids, so they stay. */
const call = ({ input }: Said): object => ({ id: 'fc_1', type: 'function_call', call_id: 'call_1', arguments: JSON.stringify(input) })

const responsesBody = { model: 'llama3', input: 'hi', temperature: 0 }
const responsesOld: Own = { id: 'resp_123456', item: 'msg_9876', time: '1764000000' }

const dialects: readonly Dialect[] = [
  native,
  {
    ...native,
    name: 'a chat in frames',
    body: { ...native.body, stream: true },
    type: 'application/x-ndjson',
    write: (own, said) => native.write(own, said).replace('"done":true,"done_reason":"stop"', '"done":false') + native.write(own, said),
  },
  {
    name: 'a completion in frames',
    path: '/v1/chat/completions',
    body: { model: 'llama3', messages, temperature: 0, stream: true, stream_options: { include_usage: true } },
    type: sse,
    old: { id: 'chatcmpl-123', item: '', time: '1764000000' },
    write: chunk('chat.completion.chunk', (content) => ({ index: 0, delta: { content } })),
    read: openAi,
  },
  {
    name: 'a text in frames',
    path: '/v1/completions',
    body: { model: 'llama3', prompt: 'hi', temperature: 0, stream: true, stream_options: { include_usage: true } },
    type: sse,
    old: { id: 'cmpl-123', item: '', time: '1764000000' },
    write: chunk('text_completion', (text) => ({ index: 0, text })),
    read: openAi,
  },
  {
    name: 'a message',
    path: '/v1/messages',
    body: anthropicBody,
    type: json,
    old: { id: 'msg_0123456789abcdef', item: '', time: '' },
    write: ({ id }, { text, input }) => {
      const content = [
        { type: 'text', text },
        { type: 'tool_use', id: 'toolu_1', name: 'w', input },
      ]
      return one({ ...message(id, content), stop_reason: 'tool_use', usage: { input_tokens: 1, output_tokens: 3 } })
    },
    read: (answer) => ({ id: found(answer, /^{"id":"([^"]+)"/), item: '', time: '' }),
  },
  {
    name: 'a message in frames',
    path: '/v1/messages',
    body: { ...anthropicBody, stream: true },
    type: sse,
    old: { id: 'msg_0123456789abcdef', item: '', time: '' },
    write: ({ id }, { text, input }) =>
      [
        event('message_start', { message: message(id, []) }),
        event('content_block_start', { content_block: { type: 'tool_use', id: 'toolu_1', name: 'w', input } }),
        event('content_block_delta', { delta: { type: 'text_delta', text } }),
        event('content_block_delta', { delta: { type: 'input_json_delta', partial_json: JSON.stringify(input) } }),
        event('message_delta', { delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 3 } }),
        event('message_stop', {}),
      ].join(''),
    read: (answer) => ({ id: found(answer, /"message":{"id":"([^"]+)"/), item: '', time: '' }),
  },
  {
    name: 'a response',
    path: '/v1/responses',
    body: responsesBody,
    type: json,
    old: responsesOld,
    write: (own, said) => one(response(own, said)),
    read: (answer) => ({
      id: found(answer, /^{"id":"([^"]+)"/),
      item: found(answer, /"output":\[{"id":"([^"]+)"/),
      time: found(answer, /"created_at":(\d+)/),
    }),
  },
  {
    name: 'a response in frames',
    path: '/v1/responses',
    body: { ...responsesBody, stream: true },
    type: sse,
    old: responsesOld,
    write: (own, said) =>
      [
        event('response.created', { response: response(own, null) }),
        event('response.output_item.added', { item: { ...outputItem(own.item, said), content: [] } }),
        event('response.output_text.delta', { item_id: own.item, delta: said.text }),
        event('response.output_item.done', { item: outputItem(own.item, said) }),
        event('response.output_item.done', { item: call(said) }),
        event('response.completed', { response: response(own, said) }),
      ].join(''),
    read: (answer) => ({
      id: found(answer, /"response":{"id":"([^"]+)"/),
      item: found(answer, /"item":{"id":"([^"]+)"/),
      time: found(answer, /"created_at":(\d+)/),
    }),
  },
]

async function twice({ path, body, type, old, write }: Dialect, said: Said): Promise<Taken> {
  let at = 0
  const clock = manualClock(Date.UTC(2026, 10, 27, 9, 59, 58, 765))
  const built = cached({ clock, random: () => (at += 0.37) % 1, options: { replay: { fresh: true } } })
  const live = take(built.ask({ ...body }, { path }))
  const answer = write(old, said)
  if (type === json) built.upstream.at(0).whole(answer, { type })
  else built.upstream.at(0).begin(answer, { 'content-type': type }).end()
  await live
  clock.advance(2_000)
  return take(built.ask({ ...body }, { path }))
}

const lookalikes = ['msg_18f3a9c2', 'msg_welcome_title', 'resp_0', 'rs_1', 'chatcmpl-1', 'cmpl-1', '2026-11-25T10:00:00Z', 'plain "text"']
const keys = ['id', 'message', 'message_id', 'item', 'item_id', 'response', 'output', 'created', 'created_at', 'completed_at', 'model']

const { word, input } = fc.letrec((tie) => ({
  word: fc.oneof(fc.constantFrom(...lookalikes, ...dialects.map(({ old }) => old.id)), fc.string({ unit: 'binary' })),
  value: fc.oneof({ depthSize: 'small' }, tie('word'), fc.constant(1_764_000_000), tie('input'), fc.array(tie('input'), { maxLength: 2 })),
  input: fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 4 }),
}))

describe('a hit', () => {
  it.each(dialects)('of $name changes nothing that the model said', async (dialect) => {
    await fc.assert(
      fc.asyncProperty(word, input, async (text, toolInput) => {
        // An answer without words is not kept.
        const said = { text: text || 'x', input: toolInput }
        const hit = await twice(dialect, said)
        const own = dialect.read(hit.text)
        expect(hit.cache).toBe('hit')
        expect(hit.text).toBe(dialect.write(own, said))
        for (const part of ['id', 'item', 'time'] as const) expect(own[part] === '' || own[part] !== dialect.old[part]).toBe(true)
      }),
      { numRuns: 40 },
    )
  })
})
