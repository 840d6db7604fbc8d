/** Our errors have the shapes of the recorded ones, and the official SDKs raise the classes they raise for a real server. */
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'

import type { Dialect, RouteFacts } from '../../src/core/route.ts'
import { CorralError, type ErrorCode, errorCatalogue } from '../../src/core/errors.ts'
import { scrubMessage } from '../../src/wire/blame.ts'
import { decodeErrorMessage, errorBytesMax, keepAliveBytes, renderError, renderStreamError } from '../../src/wire/render-error.ts'
import { readAnyhow } from './stream-driver.ts'
import { answerOf, headerOf, postRoute, routeOf, transcripts } from './transcripts.ts'

const dialects: readonly Dialect[] = ['ollama', 'openai', 'anthropic', 'problem']
const codes = Object.keys(errorCatalogue).filter((code): code is ErrorCode => code in errorCatalogue)
const requestId = 'req_1'

/** The keys of an error body with the type of what they hold, and the error type where a dialect has one. */
function shapeOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value === null ? 'null' : typeof value
  return Object.fromEntries(Object.entries(value).map(([key, inner]): [string, unknown] => [key, key === 'type' ? inner : shapeOf(inner)]))
}

const rendered = (dialect: Dialect, status: number): unknown => {
  const error = new CorralError('node_failed', 'x', { status })
  return JSON.parse(renderError(dialect, error, requestId).body.toString())
}

describe('recorded error bodies', () => {
  const errors = transcripts.filter(
    (exchange) =>
      exchange.response.status >= 400 &&
      exchange.request.method !== 'HEAD' &&
      headerOf(exchange, 'content-type').startsWith('application/json'),
  )

  it('have our shape in each dialect', () => {
    let compared = 0
    for (const exchange of errors) {
      const { dialect } = routeOf(exchange)
      const recorded: unknown = JSON.parse(answerOf(exchange).toString())
      const ours = JSON.parse(
        JSON.stringify(shapeOf(rendered(dialect, exchange.response.status))).replace('"code":"string"', '"code":"null"'),
      ) as unknown
      const isNativeOnForeignRoute = dialect !== 'ollama' && JSON.stringify(shapeOf(recorded)) === '{"error":"string"}'
      if (isNativeOnForeignRoute) continue
      expect(ours, exchange.name).toEqual(shapeOf(recorded))
      compared += 1
    }
    expect(compared).toBeGreaterThan(100)
  })

  it('have our content type and our last byte where handlers wrote them', () => {
    for (const exchange of errors) {
      const { dialect } = routeOf(exchange)
      if (dialect !== 'openai' && dialect !== 'anthropic') continue
      const { headers, body } = renderError(dialect, new CorralError('node_failed', 'x'), requestId)
      expect(body.toString().endsWith('}\n')).toBe(true)
      if (JSON.stringify(JSON.parse(answerOf(exchange).toString())).startsWith('{"error":"')) continue
      expect(headers['content-type'], exchange.name).toBe(headerOf(exchange, 'content-type').split(';')[0])
    }
  })

  it('give their message back, without JSON in JSON', () => {
    for (const exchange of errors) {
      const message = decodeErrorMessage(answerOf(exchange))
      expect(message.length, exchange.name).toBeGreaterThan(0)
      expect(message, exchange.name).not.toMatch(/^[{<]/)
    }
  })
})

describe('an error body that is no whole JSON', () => {
  it.each(['<', '<a', '</a/b', ' ', '\\', '{"error":'])('is read in no time, whatever it is made of: %j', (piece) => {
    const text = piece.repeat(Math.ceil(errorBytesMax / piece.length))
    for (const body of [text, `{"error":"${text}`, `{"error":${JSON.stringify(text)}}`]) {
      const startedAtMs = performance.now()
      scrubMessage(decodeErrorMessage(Buffer.from(body)))
      // 1 MiB of "<" took minutes.
      expect(performance.now() - startedAtMs).toBeLessThan(1_000)
    }
  })

  it('gives its text without tags, or the beginning of its message', () => {
    const decode = (text: string): string => decodeErrorMessage(Buffer.from(text))
    expect(decode('<html>\n<h1>Bad < Gateway</h1><hr>nginx</html>')).toBe('Bad < Gateway nginx')
    expect(decode('{"error":"no \\"model\\" \\u00e4\\u00')).toBe('no "model" ä')
    expect(decode('{"error":{"message":"no model","type":')).toBe('no model')
    expect(decode('{"type":"error","error":{"type":"api_error","message":"no mo\\')).toBe('no mo')
    expect(decode('{"error":"')).toBe('{"error":"')
    expect(decode('x'.repeat(5_000))).toHaveLength(300)
  })
})

describe('every error of the catalogue', () => {
  for (const dialect of dialects) {
    it(`is a complete answer in the dialect ${dialect}`, () => {
      for (const code of codes) {
        const error = new CorralError(code, `why ${code} "quoted" \u2028`, { retryAfterMs: 1_200, headers: { allow: 'POST' } })
        const { status, headers, body } = renderError(dialect, error, requestId)
        expect(status).toBe(errorCatalogue[code].status)
        expect(headers).toMatchObject({ 'retry-after': '2', allow: 'POST' })
        expect(body.toString().endsWith('\n')).toBe(dialect === 'openai' || dialect === 'anthropic')
        if (dialect !== 'problem') expect(decodeErrorMessage(body)).toBe(error.message)
        else expect(JSON.parse(body.toString())).toMatchObject({ code, status, detail: error.message, title: errorCatalogue[code].title })
      }
    })
  }

  it('says in a problem document what to do, where the catalogue knows it', () => {
    const hintIn = (code: ErrorCode): unknown =>
      JSON.parse(renderError('problem', new CorralError(code, 'x'), requestId).body.toString()).hint
    expect(hintIn('document_encrypted')).toBe('save it without a password')
    expect(hintIn('client_gone')).toBeUndefined()
  })

  it('asks to come back after a second at least, and only where there is a time', () => {
    const after = (retryAfterMs?: number): string | undefined =>
      renderError('ollama', new CorralError('queue_full', 'x', retryAfterMs === undefined ? {} : { retryAfterMs }), requestId).headers[
        'retry-after'
      ]
    expect([after(), after(0), after(1), after(1_001), after(60_000)]).toEqual([undefined, '1', '1', '2', '60'])
  })
})

/** A `fetch` that answers with `body` once and forever. */
const answering =
  (status: number, body: Buffer, type = 'application/json') =>
  async (): Promise<Response> =>
    new Response(new Uint8Array(body), { status, headers: { 'content-type': type } })

async function thrownBy(run: () => Promise<unknown>): Promise<unknown> {
  try {
    await run()
  } catch (thrown) {
    return thrown
  }
  throw new Error('nothing was thrown')
}

type ErrorClasses = Readonly<Record<number, new (...parameters: never[]) => Error>>
const openAiClass: ErrorClasses = {
  400: OpenAI.BadRequestError,
  403: OpenAI.PermissionDeniedError,
  404: OpenAI.NotFoundError,
  409: OpenAI.ConflictError,
  429: OpenAI.RateLimitError,
}
const anthropicClass: ErrorClasses = {
  400: Anthropic.BadRequestError,
  403: Anthropic.PermissionDeniedError,
  404: Anthropic.NotFoundError,
  409: Anthropic.ConflictError,
  429: Anthropic.RateLimitError,
}
const messages = [{ role: 'user' as const, content: 'x' }]

const askOpenAi = (fetch: () => Promise<Response>) => {
  const client = new OpenAI({ apiKey: 'k', baseURL: 'http://gw/v1', maxRetries: 0, fetch })
  return {
    whole: () => client.chat.completions.create({ model: 'm', messages }),
    stream: () => client.chat.completions.create({ model: 'm', messages, stream: true }),
    responses: () => client.responses.create({ model: 'm', input: 'x', stream: true }),
  }
}
const askAnthropic = (fetch: () => Promise<Response>) => {
  const client = new Anthropic({ apiKey: 'k', baseURL: 'http://gw', maxRetries: 0, fetch })
  return {
    whole: () => client.messages.create({ model: 'm', max_tokens: 1, messages }),
    stream: () => client.messages.create({ model: 'm', max_tokens: 1, messages, stream: true }),
  }
}

async function drain(stream: AsyncIterable<unknown>): Promise<number> {
  let count = 0
  for await (const item of stream) count += item === undefined ? 0 : 1
  return count
}

describe('official clients', () => {
  for (const status of [400, 403, 404, 409, 429, 500, 502, 503, 504]) {
    it(`raise the class of ${status} with the message`, async () => {
      const error = new CorralError('node_failed', 'the reason', { status })
      const fromOpenAi = await thrownBy(askOpenAi(answering(status, renderError('openai', error, requestId).body)).whole)
      expect(fromOpenAi).toBeInstanceOf(openAiClass[status] ?? OpenAI.InternalServerError)
      expect(fromOpenAi).toMatchObject({ status, code: 'node_failed', message: `${status} the reason` })
      const fromAnthropic = await thrownBy(askAnthropic(answering(status, renderError('anthropic', error, requestId).body)).whole)
      expect(fromAnthropic).toBeInstanceOf(anthropicClass[status] ?? Anthropic.InternalServerError)
      expect(fromAnthropic).toMatchObject({ status, error: { error: { message: 'the reason' }, request_id: requestId } })
    })
  }

  const failure = new CorralError('stream_truncated', 'gpu-1 ended the stream')
  const begun = (path: string, first: string): Buffer =>
    Buffer.concat([Buffer.from(first), renderStreamError(postRoute(path), failure, requestId)])

  it('of OpenAI raise on the error at the end of a stream', async () => {
    const body = begun('/v1/chat/completions', 'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[]}\n\n')
    const thrown = await thrownBy(async () => drain(await askOpenAi(answering(200, body, 'text/event-stream')).stream()))
    expect(thrown).toBeInstanceOf(OpenAI.APIError)
    expect(String(thrown)).toContain('gpu-1 ended the stream')
  })

  it('of OpenAI raise on the error at the end of a response stream', async () => {
    const body = begun('/v1/responses', 'event: response.created\ndata: {"type":"response.created","response":{}}\n\n')
    const thrown = await thrownBy(async () => drain(await askOpenAi(answering(200, body, 'text/event-stream')).responses()))
    expect(thrown).toBeInstanceOf(OpenAI.APIError)
    expect(String(thrown)).toContain('gpu-1 ended the stream')
  })

  it('of Anthropic raise on the error at the end of a stream', async () => {
    const body = begun('/v1/messages', 'event: ping\ndata: {"type":"ping"}\n\n')
    const thrown = await thrownBy(async () => drain(await askAnthropic(answering(200, body, 'text/event-stream')).stream()))
    expect(thrown).toBeInstanceOf(Anthropic.APIError)
    expect(String(thrown)).toContain('gpu-1 ended the stream')
  })

  it('skip the keep-alive comments in front of a stream', async () => {
    const chunk = 'data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[]}\n\ndata: [DONE]\n\n'
    const body = Buffer.concat([keepAliveBytes('sse'), keepAliveBytes('sse'), Buffer.from(chunk)])
    expect(await drain(await askOpenAi(answering(200, body, 'text/event-stream')).stream())).toBe(1)
  })
})

describe('errors in band', () => {
  const streaming: readonly string[] = [
    '/api/chat',
    '/api/generate',
    '/api/pull',
    '/v1/chat/completions',
    '/v1/completions',
    '/v1/messages',
  ]
  for (const path of streaming) {
    it(`of ${path} are read by our own reader, so that two gateways in a row agree`, () => {
      const route: RouteFacts = postRoute(path)
      const error = new CorralError('stream_stalled', 'no frame for 30 s \u2028 "x"')
      expect(readAnyhow(route, renderStreamError(route, error, requestId))).toMatchObject({
        event: 'error',
        message: error.message,
        forwarded: '',
      })
    })
  }

  it('are nothing where a route has no frames', () => {
    expect(renderStreamError(postRoute('/api/embed'), new CorralError('no_node', 'x'), requestId)).toHaveLength(0)
  })
})

describe('keep-alive bytes', () => {
  it('of NDJSON are spaces that JSON takes, and our own reader skips both kinds', () => {
    expect(JSON.parse(`${keepAliveBytes('ndjson').toString().repeat(3)}{"done":true}`)).toEqual({ done: true })
    const lines = Buffer.concat([keepAliveBytes('ndjson'), keepAliveBytes('ndjson'), Buffer.from('{"done":true}\n')])
    expect(readAnyhow(postRoute('/api/chat'), lines)).toMatchObject({ event: 'done', frames: 1 })
    const events = Buffer.concat([keepAliveBytes('sse'), Buffer.from('data: [DONE]\n\n')])
    expect(readAnyhow(postRoute('/v1/chat/completions'), events)).toMatchObject({ event: 'done', forwarded: 'data: [DONE]\n\n' })
  })
})
