/** A minimal Ollama for tests of the commands: version, lists and a pull, on a real socket. A generation never ends. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Server as NetServer } from 'node:net'

import { onTestFinished } from 'vitest'

export interface FakeOllama {
  readonly url: string
  /** Headers of the requests so far. */
  readonly seen: IncomingMessage['headers'][]
}

export interface FakeOllamaOptions {
  readonly version?: string
  /** Digest by model name. */
  readonly models?: Readonly<Record<string, string>>
  /** How far its clock is ahead, seconds. */
  readonly clockAheadSeconds?: number
  /** Lines that a pull answers. */
  readonly pull?: readonly object[]
}

const defaultPull = [
  { status: 'pulling manifest' },
  { status: 'pulling abc', digest: 'sha256:abc', total: 100, completed: 50 },
  { status: 'pulling abc', digest: 'sha256:abc', total: 100, completed: 100 },
  { status: 'success' },
]

function tags(models: Readonly<Record<string, string>>): object {
  const rows = Object.entries(models).map(([name, digest]) => ({
    name,
    model: name,
    digest,
    size: 4_700_000_000,
    modified_at: '2026-11-01T10:00:00Z',
    details: { format: 'gguf', family: 'llama', families: ['llama'], parameter_size: '8B', quantization_level: 'Q4_0' },
  }))
  return { models: rows }
}

function answer(incoming: IncomingMessage, outgoing: ServerResponse, options: FakeOllamaOptions): void {
  const { version = '0.12.3', models = { 'llama3.2:latest': 'a'.repeat(64) }, pull = defaultPull, clockAheadSeconds = 0 } = options
  outgoing.setHeader('date', new Date(Date.now() + clockAheadSeconds * 1_000).toUTCString())
  const json = (value: object): void => void outgoing.setHeader('content-type', 'application/json').end(JSON.stringify(value))
  if (incoming.url === '/api/version') json({ version })
  else if (incoming.url === '/api/tags') json(tags(models))
  else if (incoming.url === '/api/ps') json({ models: [] })
  else if (incoming.url === '/api/pull') {
    outgoing.setHeader('content-type', 'application/x-ndjson')
    outgoing.end(pull.map((line) => `${JSON.stringify(line)}\n`).join(''))
  } else if (incoming.url !== '/api/generate') outgoing.end('Ollama is running')
}

/** The port that `server` listens on. */
export function portOf(server: NetServer): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server listens on no port')
  return address.port
}

/** Starts `server` on a free loopback port and closes it after the test. */
export async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${portOf(server)}`
}

export async function startOllama(options: FakeOllamaOptions = {}): Promise<FakeOllama> {
  const seen: IncomingMessage['headers'][] = []
  const server = createServer((incoming, outgoing) => {
    seen.push(incoming.headers)
    incoming.resume().on('end', () => answer(incoming, outgoing, options))
  })
  return { url: await listen(server), seen }
}

/** The URL of a port that nothing listens on. */
export async function closedUrl(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const port = portOf(server)
  await new Promise((resolve) => {
    server.close(resolve)
  })
  return `http://127.0.0.1:${port}`
}
