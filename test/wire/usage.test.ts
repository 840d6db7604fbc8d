/** Token counts of whole answers, and which whole bodies are taken for complete. */
import { describe, expect, it } from 'vitest'

import { checkWholeBody, readWholeUsage } from '../../src/wire/stream-reader.ts'
import { readUsage } from '../../src/wire/usage.ts'
import { answerOf, headerOf, postRoute, routeOf, transcript, transcripts } from './transcripts.ts'

const whole = transcripts.filter(
  (exchange) =>
    exchange.response.status === 200 &&
    exchange.request.method !== 'HEAD' &&
    exchange.response.cut !== true &&
    headerOf(exchange, 'content-type').startsWith('application/json'),
)

type Fields = Readonly<Record<string, unknown>>
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null
const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null)
const msOf = (value: unknown): number | null => (typeof value === 'number' ? value / 1e6 : null)

describe('recorded whole answers', () => {
  it('report the usage that JSON.parse finds', () => {
    let found = 0
    for (const exchange of whole) {
      const route = routeOf(exchange)
      const parsed: unknown = JSON.parse(answerOf(exchange).toString())
      if (!isFields(parsed)) throw new Error(`${exchange.name} is no object`)
      const usage = readWholeUsage(route, answerOf(exchange))
      const foreign = isFields(parsed.usage) ? parsed.usage : null
      const source = route.dialect === 'ollama' && 'total_duration' in parsed ? parsed : foreign
      if (source === null || route.operation === 'list' || route.operation === 'show') {
        expect(usage, exchange.name).toBeNull()
        continue
      }
      found += 1
      expect(usage, exchange.name).toMatchObject({
        promptTokens: numberOf(source.prompt_eval_count ?? source.prompt_tokens ?? source.input_tokens),
        outputTokens: numberOf(source.eval_count ?? source.completion_tokens ?? source.output_tokens),
        loadMs: msOf(source.load_duration),
        totalMs: msOf(source.total_duration),
      })
    }
    expect(found).toBeGreaterThan(40)
  })

  it('are all taken for complete', () => {
    for (const exchange of whole) expect(checkWholeBody(routeOf(exchange), 200, answerOf(exchange)), exchange.name).toBe('ok')
  })

  it('cut anywhere are not', () => {
    for (const number of ['074', '177', '207', '227', '247', '260', '273']) {
      const exchange = transcript(number)
      const body = answerOf(exchange)
      const end = body.lastIndexOf('}')
      for (let length = 0; length < end; length += 1) {
        const outline = body[length - 1] === 0x7d ? 'ok' : 'malformed'
        expect(checkWholeBody(routeOf(exchange), 200, body.subarray(0, length))).toBe(outline)
      }
    }
  })
})

describe('usage', () => {
  it('is not found in the text of an answer or in the arguments of a tool', () => {
    const text = '"total_duration":1,"usage":{"prompt_tokens":9}'
    const native = {
      message: { content: text, tool_calls: [{ function: { arguments: { total_duration: 5, prompt_eval_count: 7 } } }] },
      done: true,
      total_duration: 2e6,
      prompt_eval_count: 3,
    }
    expect(readUsage(postRoute('/api/chat'), Buffer.from(JSON.stringify(native)))).toMatchObject({ totalMs: 2, promptTokens: 3 })
    const claude = {
      content: [{ type: 'tool_use', input: { usage: { input_tokens: 7 } } }, { text }],
      usage: { input_tokens: 3, output_tokens: 4, cache_read_input_tokens: 2 },
    }
    expect(readUsage(postRoute('/v1/messages'), Buffer.from(JSON.stringify(claude)))).toMatchObject({
      promptTokens: 3,
      outputTokens: 4,
      cachedPromptTokens: 2,
    })
    expect(readUsage(postRoute('/v1/chat/completions'), Buffer.from(JSON.stringify({ choices: [{ text }] })))).toBeNull()
  })

  it('takes cached counts of every dialect', () => {
    const openai = { usage: { prompt_tokens: 9, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 8 } } }
    expect(readUsage(postRoute('/v1/chat/completions'), Buffer.from(JSON.stringify(openai)))?.cachedPromptTokens).toBe(8)
    const responses = { usage: { input_tokens: 9, output_tokens: 1, input_tokens_details: { cached_tokens: 7 } } }
    expect(readUsage(postRoute('/v1/responses'), Buffer.from(JSON.stringify(responses)))?.cachedPromptTokens).toBe(7)
  })

  it('of broken or odd bytes is none, without throwing', () => {
    for (const body of [
      '',
      '"usage":',
      '{"usage":null}',
      '{"usage":{',
      '{"usage":{"a":}}',
      `{"usage":${'['.repeat(500)}`,
      '{"total_duration":',
      '{"total_duration":x}',
    ]) {
      expect(readUsage(postRoute('/v1/chat/completions'), Buffer.from(body))).toBeNull()
      const native = readUsage(postRoute('/api/chat'), Buffer.from(body))
      expect(Object.values(native ?? {}).filter((value) => value !== null)).toEqual([])
    }
  })
})
