// F21: however a node's bytes are cut into pieces on their way, the client gets the same bytes, in each dialect.

import type { ServerResponse } from 'node:http'

import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'

import { ask } from '../fleet/ask.ts'
import { expectIdle } from '../fleet/gateway.ts'
import { type FakeNode, startFakeNode } from '../http/fake-node.ts'
import { openFront } from './front.ts'

const slicings = 200

interface Dialect {
  readonly path: string
  readonly contentType: string
  readonly body: string
}

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'small', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
const line = (fields: object): string => JSON.stringify({ model: 'small', created_at: '2026-11-22T16:56:09Z', ...fields })
const said = (content: string): string => line({ message: { role: 'assistant', content }, done: false })
const event = (type: string, fields: object): string => `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`

const dialects: readonly Dialect[] = [
  {
    path: '/api/chat',
    contentType: 'application/x-ndjson',
    body: `${said('Grüße 👩‍🚀 \u2028')}\r\n\n${said('a "\\" b')}\n${said('字')}\n\r\n${line({ message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', prompt_eval_count: 3, eval_count: 3 })}\n`,
  },
  {
    path: '/v1/chat/completions',
    contentType: 'text/event-stream',
    body: `${chunk({ role: 'assistant', content: 'Grüße 👩‍🚀' })}${chunk({ content: '字\u2028' })}${chunk({}, 'stop')}data: [DONE]\n\n`,
  },
  {
    path: '/v1/messages',
    contentType: 'text/event-stream',
    body: [
      event('message_start', {
        message: {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          model: 'small',
          content: [],
          usage: { input_tokens: 3, output_tokens: 0 },
        },
      }),
      event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      event('content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'Grüße 👩‍🚀 字' } }),
      event('content_block_stop', { index: 0 }),
      event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 3 } }),
      event('message_stop', {}),
    ].join(''),
  },
]

/** The whole exchange below HTTP: head, and the body in transfer chunks that cut characters. */
function wireBytes({ contentType, body }: Dialect): Buffer {
  const bytes = Buffer.from(body)
  const parts: Buffer[] = [
    Buffer.from(`HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n`),
  ]
  for (let at = 0; at < bytes.length; at += 61) {
    const part = bytes.subarray(at, at + 61)
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'))
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')])
}

/** Writes `bytes` in pieces of these sizes, over and over, each in a turn of its own. */
async function writeSlices({ socket }: ServerResponse, bytes: Buffer, sizes: readonly number[]): Promise<void> {
  socket?.setNoDelay(true)
  for (let at = 0, index = 0; at < bytes.length; index += 1) {
    const size = sizes[index % sizes.length] ?? 1
    socket?.write(bytes.subarray(at, at + size))
    at += size
    await new Promise((resolve) => setImmediate(resolve))
  }
  socket?.end()
}

function sliced(node: FakeNode, dialect: Dialect, sizes: readonly number[]): void {
  node.script = (_, outgoing) => void writeSlices(outgoing, wireBytes(dialect), sizes)
}

test.each(dialects)('$path: bytes in any slices reach the client as if they had come at once', async (dialect) => {
  const node = await startFakeNode()
  onTestFinished(() => node.close())
  const gateway = await openFront([{ url: node.url, name: 'n' }], { retry: { enabled: false } })
  const request = { model: 'small', stream: true, max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] }
  const read = async (sizes: readonly number[]): Promise<string> => {
    sliced(node, dialect, sizes)
    const { status, text } = await ask(`${gateway.url}${dialect.path}`, request)
    return `${status} ${text}`
  }
  const whole = await read([1_000_000])
  expect(whole).toMatch(/^200 /)
  for (const text of ['Grüße 👩‍🚀', '字']) expect(whole).toContain(text)
  expect(whole).not.toContain('"error"')
  expect(await read([1])).toBe(whole)
  const size = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 4 }) }, fc.integer({ min: 1, max: 200 }))
  const property = fc.asyncProperty(fc.array(size, { minLength: 1, maxLength: 40 }), async (sizes) => {
    expect(await read(sizes)).toBe(whole)
  })
  await fc.assert(property, { numRuns: slicings })
  await expectIdle(gateway)
})
