/** A client of the gateway that reads whole answers and can leave. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Milliseconds to the head, and to the end. */
  readonly headMs: number
  readonly totalMs: number
  /** `X-Corral-Node`; null when absent. */
  readonly node: string | null
}

export interface Asking {
  readonly reply: Promise<Reply>
  /** Resolves with the head; rejects when the connection breaks before it. */
  readonly head: Promise<{ readonly status: number; readonly node: string | null }>
  /** The client leaves. `reply` then rejects. */
  leave(): void
}

export interface AskOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends `body` (as JSON unless it is bytes) and lets the caller look at head and end. */
export function start(url: string, body: unknown, { method = 'POST', headers = {} }: AskOptions = {}): Asking {
  const bytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
  const startedAtMs = performance.now()
  const head = Promise.withResolvers<{ status: number; node: string | null }>()
  const reply = Promise.withResolvers<Reply>()
  head.promise.catch(() => undefined)
  reply.promise.catch(() => undefined)
  const fail = (error: Error): void => {
    head.reject(error)
    reply.reject(error)
  }
  const length = bytes === undefined ? {} : { 'content-length': String(bytes.length) }
  const request = httpRequest(
    url,
    { method, agent: false, headers: { 'content-type': 'application/json', ...length, ...headers } },
    (response) => {
      const headMs = performance.now() - startedAtMs
      const status = response.statusCode ?? 0
      const named = response.headers['x-corral-node']
      const node = typeof named === 'string' ? named : null
      head.resolve({ status, node })
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        reply.resolve({ status, headers: response.headers, text, headMs, totalMs: performance.now() - startedAtMs, node })
      })
    },
  )
  request.on('error', fail)
  request.end(bytes)
  return { reply: reply.promise, head: head.promise, leave: () => void request.destroy() }
}

export function ask(url: string, body?: unknown, options?: AskOptions): Promise<Reply> {
  return start(url, body, options).reply
}

/** A chat of the model that all simulated nodes have. Short unless `options` say otherwise. */
export function chatBody(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { model: 'llama3.2:3b', messages: [{ role: 'user', content: 'hello' }], options: { num_predict: 5 }, ...change }
}

/** Whether an answer in Ollama's dialect is complete: a last line says `done`, and no line is an error. */
export function isComplete({ status, text }: Reply): boolean {
  return status === 200 && text.includes('"done":true') && !text.includes('"error"')
}
