/** S9: however a stream is cut on its way, inside a character too, it is recorded, stored, replayed and added up as the same bytes. */
import { expect, test } from 'vitest'

import { take } from './ask.ts'
import { cached } from './cached.ts'
import { chatLines } from './scripted.ts'

const words = ['Zürich ', '日本語', ' 🦙 "quoted" \\ end']
const sse = 'text/event-stream'

function openAi(): string {
  const head = '{"id":"chatcmpl-123","object":"chat.completion.chunk","created":1,"model":"llama3","system_fingerprint":"fp_ollama"'
  const frame = (rest: string): string => `data: ${head},${rest}}\n\n`
  const pieces = words.map((word) => frame(`"choices":[{"index":0,"delta":{"content":${JSON.stringify(word)}},"finish_reason":null}]`))
  const end = frame('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]')
  return `${pieces.join('')}${end}${frame('"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}')}data: [DONE]\n\n`
}

function anthropic(): string {
  const event = (type: string, rest: string): string => `event: ${type}\ndata: {"type":"${type}"${rest}}\n\n`
  const delta = (word: string): string =>
    event('content_block_delta', `,"index":0,"delta":{"type":"text_delta","text":${JSON.stringify(word)}}`)
  return [
    event('message_start', ',"message":{"id":"msg_1","type":"message","role":"assistant","model":"llama3","content":[]}'),
    event('content_block_start', ',"index":0,"content_block":{"type":"text","text":""}'),
    ...words.map(delta),
    event('content_block_stop', ',"index":0'),
    event('message_delta', ',"delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}'),
    event('message_stop', ''),
  ].join('')
}

test.each<[string, object, string, string]>([
  ['/api/chat', { options: { temperature: 0 } }, 'application/x-ndjson', chatLines(words).join('')],
  ['/v1/chat/completions', { temperature: 0, stream_options: { include_usage: true } }, sse, openAi()],
  ['/v1/messages', { temperature: 0, max_tokens: 50 }, sse, anthropic()],
])('S9: a stream of %s, cut at every byte', async (path, fields, type, text) => {
  const bytes = Buffer.from(text)
  const built = cached()
  const wholes = new Set<string>()
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    const body = { model: 'llama3', messages: [{ role: 'user', content: `cut at ${cut}` }], ...fields, stream: true }
    const live = take(built.ask(body, { path }))
    built.upstream.at(-1).begin(bytes.subarray(0, cut), { 'content-type': type }).send(bytes.subarray(cut)).end()
    const hit = [await live, await take(built.ask(body, { path }))]
    expect([cut, ...hit.map((taken) => taken.text)]).toEqual([cut, text, text])
    const whole = await take(built.ask({ ...body, stream: false }, { path }))
    expect(whole.cache).toBe('hit')
    wholes.add(whole.text)
  }
  expect(wholes.size).toBe(1)
  for (const word of words) expect([...wholes][0]).toContain(JSON.stringify(word).slice(1, -1))
})
