/** Streams that no Ollama recorded but that a reader must survive: odd text, odd line ends, damage, and fields that only look like events. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { readAnyhow, readStream } from './stream-driver.ts'
import { postRoute } from './transcripts.ts'

const chat = postRoute('/api/chat')
const pull = postRoute('/api/pull')
const openai = postRoute('/v1/chat/completions')
const anthropic = postRoute('/v1/messages')
const responses = postRoute('/v1/responses')

const token = (content: string): string =>
  JSON.stringify({ model: 'm', created_at: 't', message: { role: 'assistant', content }, done: false })
const lastLine = '{"model":"m","created_at":"t","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}'
const chunkOf = (delta: unknown): string =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: 'm', choices: [{ index: 0, delta }] })}\n\n`
const lines = (...texts: readonly string[]): Buffer => Buffer.from(texts.map((text) => `${text}\n`).join(''))

const lookalikes = [
  '{"done":true}',
  '"done":true',
  '"model":""',
  '{"error":"x"}',
  'data: [DONE]\n\n',
  'event: message_stop\n',
  '"status":"success"',
]
const separators = ['\u2028', '\u2029', '\u0085', '\u000b', '\u000c', '\r', '\n', 'é', '漢', '😀', '\ud800']
const oddText = fc
  .array(fc.oneof(fc.constantFrom(...lookalikes, ...separators), fc.string({ unit: 'grapheme', maxLength: 6 })), { maxLength: 6 })
  .map((parts) => parts.join(''))

describe('text that looks like protocol', () => {
  it('means nothing inside the content of a line', () => {
    fc.assert(
      fc.property(fc.array(oddText, { minLength: 1, maxLength: 5 }), (texts) => {
        const body = lines(...texts.map(token), lastLine)
        const reading = readAnyhow(chat, body, { runs: 3 })
        expect(reading).toMatchObject({ event: 'done', frames: texts.length + 1, forwarded: body.toString('latin1') })
      }),
      { numRuns: 40 },
    )
  })

  it('means nothing inside the content of an event', () => {
    fc.assert(
      fc.property(fc.array(oddText, { minLength: 1, maxLength: 5 }), (texts) => {
        const body = Buffer.from(`${texts.map((content) => chunkOf({ content })).join('')}data: [DONE]\n\n`)
        const reading = readAnyhow(openai, body, { runs: 3 })
        expect(reading).toMatchObject({ event: 'done', frames: texts.length + 1, forwarded: body.toString('latin1') })
      }),
      { numRuns: 40 },
    )
  })

  it('means nothing inside the arguments of a tool call', () => {
    const tool = (args: unknown, done: boolean): string =>
      JSON.stringify({
        model: 'm',
        message: { role: 'assistant', content: '', tool_calls: [{ function: { name: 'f', arguments: args } }] },
        done,
      })
    const args = {
      done: true,
      model: '',
      error: 'x',
      status: 'success',
      usage: { prompt_tokens: 9 },
      total_duration: 7,
      x: { done: true, error: {} },
    }
    const body = lines(tool(args, false), tool({ ...args, done: false }, false), tool({ done: false }, true))
    expect(readAnyhow(chat, body)).toMatchObject({ event: 'done', frames: 3 })
    const events = Buffer.from(
      `${chunkOf({ tool_calls: [{ function: { arguments: args } }] })}${chunkOf({ x: { model: '', error: 1 } })}data: [DONE]\n\n`,
    )
    expect(readAnyhow(openai, events)).toMatchObject({ event: 'done', frames: 3, forwarded: events.toString('latin1') })
  })

  it('is no empty model when the model is an empty object or list, or two letters long', () => {
    for (const model of ['{}', '[]', '12']) {
      const body = Buffer.from(`data: {"model":${model},"x":{"model":""}}\n\ndata: [DONE]\n\n`)
      expect(readAnyhow(openai, body)).toMatchObject({ event: 'done', frames: 2 })
    }
  })
})

describe('ends of streams', () => {
  const cases: readonly (readonly [string, Parameters<typeof readAnyhow>[0], string, string, number])[] = [
    ['done with spaces around it', chat, '{ "done" : true }\n', 'done', 1],
    ['done as the first field', chat, '{"done":true,"message":{"content":"x"}}\n', 'done', 1],
    ['done false with spaces', chat, '{"done": false }\n{"done":true}\n', 'done', 2],
    ['done as a text', chat, '{"done":"true"}\n', 'truncated', 1],
    ['no newline after the last line', chat, '{"done":true}', 'truncated', 0],
    ['CRLF lines', chat, `${token('a')}\r\n${lastLine}\r\n`, 'done', 2],
    ['success of a pull', pull, '{"status":"pulling manifest"}\n{"status":"success"}\n', 'done', 2],
    ['done of a pull means nothing', pull, '{"status":"x","done":true}\n', 'truncated', 1],
    ['success of a chat means nothing', chat, '{"status":"success"}\n', 'truncated', 1],
    ['[DONE]', openai, 'data: {"model":"m"}\n\ndata: [DONE]\n\n', 'done', 2],
    ['[DONE] in CRLF', openai, 'data: {"model":"m"}\r\n\r\ndata: [DONE]\r\n\r\n', 'done', 2],
    ['[DONE] without the empty line', openai, 'data: {"model":"m"}\n\ndata: [DONE]\n', 'truncated', 1],
    ['message_stop', anthropic, 'event: ping\ndata: {"type":"ping"}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n', 'done', 2],
    ['message_stop of another dialect', openai, 'event: message_stop\ndata: {}\n\n', 'truncated', 1],
    ['response.incomplete', responses, 'event: response.incomplete\ndata: {}\n\n', 'done', 1],
    ['response.failed', responses, 'event: response.failed\ndata: {}\n\n', 'done', 1],
    ['message_stop in CRLF', anthropic, 'event: message_stop\r\ndata: {}\r\n\r\n', 'done', 1],
  ]
  for (const [title, route, text, event, frames] of cases) {
    it(`${title}: ${event} after ${frames}`, () => {
      expect(readAnyhow(route, Buffer.from(text))).toMatchObject({ event, frames })
    })
  }

  it('nothing after the terminator is handed on', () => {
    expect(readAnyhow(chat, lines(lastLine, token('late'))).forwarded).toBe(`${lastLine}\n`)
    expect(readAnyhow(openai, Buffer.from('data: [DONE]\n\ndata: {"model":"late"}\n\n')).forwarded).toBe('data: [DONE]\n\n')
  })
})

describe('bytes before the first frame', () => {
  it('empty lines and spaces of a keep-alive are left out', () => {
    expect(readAnyhow(chat, Buffer.from(`\n \r\n  \n${lastLine}\n`))).toMatchObject({
      event: 'done',
      frames: 1,
      forwarded: `${lastLine}\n`,
    })
  })

  it('spaces on the first line stay, for JSON takes them', () => {
    expect(readAnyhow(chat, Buffer.from(`   ${token('a')}\n${lastLine}\n`))).toMatchObject({ event: 'done', frames: 2 })
  })

  it('comments are left out, later ones are handed on', () => {
    const late = 'data: {"model":"m"}\n\n: still here\n\ndata: [DONE]\n\n'
    const reading = readAnyhow(openai, Buffer.from(`: keep-alive\n\n:\n\n\n\n${late}`))
    expect(reading).toMatchObject({ event: 'done', frames: 2, forwarded: late })
  })

  it('a comment or an empty line in front of an event does not hide it', () => {
    for (const lead of [': note\n', '\n', '\r\n', ': a\n: b\r\n\n']) {
      expect(readAnyhow(openai, Buffer.from(`data: {"model":"m"}\n\n${lead}data: [DONE]\n\n`))).toMatchObject({ event: 'done', frames: 2 })
      expect(readAnyhow(anthropic, Buffer.from(`${lead}event: message_stop\ndata: {}\n\n`))).toMatchObject({ event: 'done', frames: 1 })
    }
  })
})

describe('errors in the stream', () => {
  const cases: readonly (readonly [string, Parameters<typeof readAnyhow>[0], string, string | null])[] = [
    ['a line', chat, '{"error":"broken"}\n', 'broken'],
    ['a line with escapes', chat, '{"error":"a \\u003e b \\"c\\""}\n', 'a > b "c"'],
    ['a line of a pull', pull, '{"error":"pull model manifest: file does not exist"}\n', 'pull model manifest: file does not exist'],
    ['an event of OpenAI', openai, 'data: {"error":{"message":"broken","type":"api_error"}}\n\n', 'broken'],
    ['a native error on an OpenAI route', openai, 'data: {"error":"broken"}\n\n', 'broken'],
    [
      'an event of Anthropic',
      anthropic,
      'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"broken"}}\n\n',
      'broken',
    ],
    ['an event of Responses', responses, 'event: error\ndata: {"type":"error","message":"broken"}\n\n', 'broken'],
  ]
  for (const [title, route, text, message] of cases) {
    it(`${title} is an error with its message and is not handed on`, () => {
      expect(readAnyhow(route, Buffer.from(text))).toMatchObject({ event: 'error', message, forwarded: '', frames: 0 })
    })
  }

  it('an error that is null is none', () => {
    expect(readAnyhow(chat, lines('{"error":null,"done":true}'))).toMatchObject({ event: 'done', frames: 1 })
  })
})

describe('damage', () => {
  const bad: readonly (readonly [string, Parameters<typeof readAnyhow>[0], string])[] = [
    ['HTML', chat, '<html>\n'],
    ['a line that breaks off', chat, '{"model":"m","done":tr\n'],
    ['an object over two lines', chat, '{"model":"m",\n"done":true}\n'],
    ['a text over two lines', chat, '{"model":"m\n","done":true}\n'],
    ['two objects in one line', chat, '{"model":"m"}{"done":true}\n'],
    ['garbage after the object', chat, '{"done":true} x\n'],
    ['a list', chat, '[{"done":true}]\n'],
    ['a BOM', chat, '\ufeff{"done":true}\n'],
    ['NDJSON on an SSE route', openai, '{"done":true}\n\n'],
    ['data that is no JSON', openai, 'data: hello\n\n'],
    ['an event without data', anthropic, 'event: ping\nretry: 5\n\n'],
  ]
  for (const [title, route, text] of bad) {
    it(`${title} is malformed and is not handed on`, () => {
      expect(readAnyhow(route, Buffer.from(text))).toMatchObject({ event: 'malformed', forwarded: '', frames: 0, message: null })
    })
  }

  it('an empty model in a broken event is read within that event only', () => {
    const text = 'data: {"x":"model":""\n\ndata: {"model":"m"}\n\ndata: [DONE]\n\n'
    readAnyhow(openai, Buffer.from(text))
    readAnyhow(openai, Buffer.from('data: {"x":{"model":""\n\n,"a":"}","model":""}\n\n'))
  })

  it('no bytes make a reader throw, and every chunking reads them alike', () => {
    const piece = fc.constantFrom(
      '{',
      '}',
      '"',
      '\\',
      '\n',
      '\r\n',
      ' ',
      ':',
      ',',
      '[',
      ']',
      'data: ',
      'event: ',
      'error',
      '"done":true',
      '"model":""',
      '{"error":',
      token('a'),
      'x',
      '\n\n',
      'é',
    )
    fc.assert(
      fc.property(
        fc.constantFrom(chat, pull, openai, anthropic, responses),
        fc.array(piece, { minLength: 1, maxLength: 25 }),
        (route, pieces) => {
          readAnyhow(route, Buffer.from(pieces.join('')), { runs: 2 })
        },
      ),
      { numRuns: 400 },
    )
  })

  it('nesting of any depth and any number of fields is read without throwing', () => {
    const nested = `{"message":${'['.repeat(20_000)}${']'.repeat(20_000)},"done":true}\n`
    const wide = `{${Array.from({ length: 20_000 }, (_, index) => `"k${index}":1,`).join('')}"done":true}\n`
    for (const line of [nested, wide]) expect(readStream(chat, [Buffer.from(line)])).toMatchObject({ event: 'done', frames: 1 })
  })
})

describe('a frame over the limit', () => {
  it('is an event, in one chunk or in many', () => {
    const body = lines(token('x'.repeat(300)), lastLine)
    expect(readAnyhow(chat, body, { frameBytesMax: 256 })).toMatchObject({ event: 'oversize', forwarded: '', frames: 0 })
    const events = Buffer.from(`data: {"model":"m"}\n\n${chunkOf({ content: 'x'.repeat(300) })}data: [DONE]\n\n`)
    expect(readAnyhow(openai, events, { frameBytesMax: 256 })).toMatchObject({
      event: 'oversize',
      forwarded: 'data: {"model":"m"}\n\n',
      frames: 1,
    })
  })

  it('of exactly the limit passes', () => {
    const line = `${token('x'.repeat(100))}\n`
    expect(readAnyhow(chat, Buffer.from(line + line), { frameBytesMax: line.length })).toMatchObject({ event: 'silent', frames: 2 })
    expect(readAnyhow(chat, Buffer.from(line), { frameBytesMax: line.length - 1 }).event).toBe('oversize')
  })
})
