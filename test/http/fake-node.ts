/**
 * A scripted Ollama on a real socket: version, models and loaded list as recorded, and one chat answer whose pace a test
 * sets. It keeps what it was sent byte for byte, and says when an exchange was cut by the other side.
 */
import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What reached the node, apart from its probes. */
export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  /** The whole body; empty until it ended, and for blobs always. */
  body: Buffer
  /** Resolves with the monotonic milliseconds at which the exchange was cut; never when it ended well. */
  readonly cut: Promise<number>
}

export type Script = (incoming: IncomingMessage, outgoing: ServerResponse, body: Buffer) => void

export interface FakeNode {
  readonly url: string
  readonly received: Received[]
  /** Blob digests the node has. */
  readonly blobs: Set<string>
  /** Bytes of blob bodies read so far. */
  blobBytes: number
  /** Answers everything but probes and blobs. */
  script: Script
  /** Resolves with the next request that reaches the node. */
  arrival(): Promise<Received>
  close(): Promise<void>
}

const json = 'application/json; charset=utf-8'

export function sendJson(outgoing: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value))
  outgoing.writeHead(status, { 'content-type': json, 'content-length': String(body.length) }).end(body)
}

const line = (fields: object): string => `${JSON.stringify({ model: 'small:latest', created_at: '2026-11-22T16:56:09Z', ...fields })}\n`

export const chatLine = (text: string): string => line({ message: { role: 'assistant', content: text }, done: false })
export const chatEnd: string = line({ message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', eval_count: 1 })

/** What a node does with a chat: a 400 with its decoder's words for a body it cannot read, two lines and the end otherwise. */
export const answerChat: Script = (_incoming, outgoing, body) => {
  if (body.length === 0) return sendJson(outgoing, 400, { error: 'missing request body' })
  try {
    JSON.parse(body.toString())
  } catch {
    return sendJson(outgoing, 400, { error: 'invalid character in the body, says the node' })
  }
  outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
  outgoing.end(chatLine('hello') + chatEnd)
}

export interface FakeNodeOptions {
  readonly version?: string
  /** Name of the one model it holds. */
  readonly model?: string
  /** Whether that is in memory already, so that the gateway has nothing to load; default true. */
  readonly loaded?: boolean
}

function probesOf({ version = '0.33.0', model = 'small:latest', loaded = true }: FakeNodeOptions): Readonly<Record<string, unknown>> {
  const named = { name: model, model, size: 1, digest: `digest of ${model}` }
  return {
    '/api/version': { version },
    '/api/tags': { models: [{ ...named, modified_at: '2026-11-01T00:00:00Z', details: { family: 'llama' } }] },
    '/api/ps': { models: loaded ? [{ ...named, expires_at: '2026-12-24T00:00:00Z', size_vram: 1, context_length: 4096 }] : [] },
  }
}

class ScriptedNode implements FakeNode {
  readonly received: Received[] = []
  readonly blobs = new Set<string>()
  blobBytes = 0
  script: Script = answerChat
  url = ''
  readonly #server: Server
  readonly #probes: Readonly<Record<string, unknown>>
  readonly #waiting: ((received: Received) => void)[] = []

  constructor(options: FakeNodeOptions) {
    this.#probes = probesOf(options)
    this.#server = createServer((incoming, outgoing) => this.#answer(incoming, outgoing))
    this.#server.keepAliveTimeout = 0
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve)
    })
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
    return this
  }

  arrival(): Promise<Received> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
    })
  }

  #answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method = '', url = '' } = incoming
    const probe = method === 'GET' ? this.#probes[url] : undefined
    if (probe !== undefined) return sendJson(outgoing, 200, probe)
    const received = record(incoming, outgoing)
    this.received.push(received)
    for (const resolve of this.#waiting.splice(0)) resolve(received)
    if (url.startsWith('/api/blobs/')) this.#answerBlob(incoming, outgoing)
    else this.#collect(incoming, outgoing, received)
  }

  #collect(incoming: IncomingMessage, outgoing: ServerResponse, received: Received): void {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      received.body = Buffer.concat(chunks)
      this.script(incoming, outgoing, received.body)
    })
  }

  #answerBlob(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const digest = (incoming.url ?? '').slice('/api/blobs/'.length)
    if (incoming.method === 'HEAD') {
      outgoing.writeHead(this.blobs.has(digest) ? 200 : 404).end()
      return
    }
    const hash = createHash('sha256')
    incoming.on('data', (chunk: Buffer) => {
      this.blobBytes += chunk.length
      hash.update(chunk)
    })
    incoming.on('end', () => {
      if (`sha256:${hash.digest('hex')}` !== digest) return sendJson(outgoing, 400, { error: 'digest mismatch, says the node' })
      this.blobs.add(digest)
      outgoing.writeHead(201).end()
    })
  }
}

function record(incoming: IncomingMessage, outgoing: ServerResponse): Received {
  const { method = '', url = '', headers } = incoming
  const cut = new Promise<number>((resolve) => {
    outgoing.on('close', () => {
      if (!outgoing.writableFinished) resolve(performance.now())
    })
  })
  return { method, url, headers, body: Buffer.alloc(0), cut }
}

export function startFakeNode(options: FakeNodeOptions = {}): Promise<FakeNode> {
  return new ScriptedNode(options).listen()
}
