/**
 * A node before a scripted one that signs all it generates: each answer holds a serial number, and each vector is one of a kind. The gateway
 * sends the same bytes for two tenants who ask the same, so only such signs tell whose generation an answer is.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'

/** Texts that begin so are embedded here; the words of all others count, and are left to the scripted node. */
export const signedText = 'a signed text'

export interface SigningNode {
  readonly url: string
  close(): Promise<void>
}

const asked = z.looseObject({
  model: z.string().default(''),
  stream: z.boolean().optional(),
  prompt: z.string().default(''),
  input: z.union([z.string(), z.array(z.string())]).default([]),
  messages: z.array(z.looseObject({ content: z.unknown() })).default([]),
})
type Asked = z.infer<typeof asked>

/** What is written of one generation: JSON, or the frames of a stream. */
interface Written {
  readonly type: string
  readonly body: string
}

const whole = (value: object): Written => ({ type: 'application/json; charset=utf-8', body: JSON.stringify(value) })
const lines = (values: readonly object[]): Written => ({
  type: 'application/x-ndjson',
  body: values.map((value) => `${JSON.stringify(value)}\n`).join(''),
})
const events = (values: readonly object[], last = ''): Written => ({
  type: 'text/event-stream',
  body: values.map((value) => `${nameOf(value)}data: ${JSON.stringify(value)}\n\n`).join('') + last,
})

function nameOf(value: object): string {
  return 'type' in value ? `event: ${String(value.type)}\n` : ''
}

const counts = { total_duration: 5_000_000_000, prompt_eval_count: 9, prompt_eval_duration: 1, eval_count: 9, eval_duration: 4_000_000_000 }
const createdAt = '2026-11-22T16:56:09Z'
const usage = { prompt_tokens: 9, completion_tokens: 9, total_tokens: 18 }

/** How each dialect says `text`. The routes whose answers are streams unless asked otherwise are Ollama's own. */
const dialects: Readonly<Record<string, (text: string, request: Asked) => Written>> = {
  '/api/chat': (text, { model, stream = true }) => {
    const frame = (content: string, rest: object) => ({ model, created_at: createdAt, message: { role: 'assistant', content }, ...rest })
    const end = { done: true, done_reason: 'stop', ...counts }
    return stream ? lines([frame(text, { done: false }), frame('', end)]) : whole(frame(text, end))
  },
  '/api/generate': (text, { model, stream = true }) => {
    const frame = (response: string, rest: object) => ({ model, created_at: createdAt, response, ...rest })
    const end = { done: true, done_reason: 'stop', ...counts }
    return stream ? lines([frame(text, { done: false }), frame('', end)]) : whole(frame(text, end))
  },
  '/v1/chat/completions': (content, { model, stream = false }) => {
    const about = { id: 'chatcmpl-1', created: 1, model }
    const frame = (choice: object) => ({ ...about, object: 'chat.completion.chunk', choices: [{ index: 0, ...choice }] })
    const frames = [frame({ delta: { role: 'assistant', content }, finish_reason: null }), frame({ delta: {}, finish_reason: 'stop' })]
    const message = { index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }
    return stream ? events(frames, 'data: [DONE]\n\n') : whole({ ...about, object: 'chat.completion', choices: [message], usage })
  },
  '/v1/completions': (text, { model }) =>
    whole({ id: 'cmpl-1', object: 'text_completion', created: 1, model, choices: [{ index: 0, text, finish_reason: 'stop' }], usage }),
  '/v1/messages': (text, { model, stream = false }) => {
    const message = { id: 'msg_1', type: 'message', role: 'assistant', model, usage: { input_tokens: 9, output_tokens: 9 } }
    const frames = [
      { type: 'message_start', message: { ...message, content: [], stop_reason: null } },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
      { type: 'content_block_stop', index: 0 },
      { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 9 } },
      { type: 'message_stop' },
    ]
    return stream ? events(frames) : whole({ ...message, content: [{ type: 'text', text }], stop_reason: 'end_turn' })
  },
  '/v1/responses': (text, { model }) => {
    const output = [{ id: 'msg_1', type: 'message', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text }] }]
    return whole({ id: 'resp_1', object: 'response', created_at: 1, status: 'completed', model, output, usage })
  },
}

const embeddings: Readonly<Record<string, (vectors: number[][], model: string) => Written>> = {
  '/api/embed': (vectors, model) => whole({ model, embeddings: vectors, total_duration: 5, prompt_eval_count: vectors.length }),
  '/api/embeddings': ([embedding]) => whole({ embedding }),
  '/v1/embeddings': (vectors, model) => {
    const data = vectors.map((embedding, index) => ({ object: 'embedding', embedding, index }))
    return whole({ object: 'list', data, model, usage: { prompt_tokens: 9, total_tokens: 9 } })
  },
}

/** Starts before the node of `inner`. */
export async function startSigningNode(inner: string): Promise<SigningNode> {
  let serial = 0
  /** Numbers that a float of 32 bits holds as they are. */
  const vector = (): number[] => {
    serial += 1
    return [0.5, (serial % 4_096) / 4_096, Math.floor(serial / 4_096) / 4_096, 0.25]
  }
  const generated = (path: string, body: Asked): Written | null => {
    const texts = [body.input, path === '/api/embeddings' ? body.prompt : []].flat()
    if (texts.some((text) => text.startsWith(signedText))) return embeddings[path]?.(texts.map(vector), body.model) ?? null
    const says = dialects[path]
    const isLoad = path === '/api/generate' && body.prompt === ''
    if (says === undefined || isLoad || JSON.stringify(body.messages).includes('<<')) return null
    serial += 1
    return says(`serial-${serial} said`, body)
  }
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(Buffer.from(chunk))
    const body = Buffer.concat(chunks)
    const path = incoming.url ?? ''
    const { data } = asked.safeParse(body.length === 0 ? {} : JSON.parse(body.toString()))
    const written = incoming.method === 'POST' && data !== undefined ? generated(path, data) : null
    if (written === null) passOn(incoming, outgoing, { url: inner + path, body })
    else outgoing.writeHead(200, { 'content-type': written.type }).end(written.body)
  }
  const server = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch((error: unknown) => outgoing.destroy(error instanceof Error ? error : undefined))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function passOn({ method, headers }: IncomingMessage, outgoing: ServerResponse, { url, body }: { url: string; body: Buffer }): void {
  const onward = request(url, { method, headers: { ...headers, 'content-length': String(body.length) } }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(outgoing)
  })
  onward.on('error', () => outgoing.destroy())
  outgoing.on('close', () => onward.destroy())
  onward.end(body)
}
