/** A node that sends the first frame of a stream and holds the rest back until the test says so: what a buffering proxy would show. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

import { listen } from '../cli/ollama.ts'

export interface PacedNode {
  readonly url: string
  /** Streams asked for so far. */
  readonly asked: number
  /** Streams that wait. */
  readonly held: number
  /** Bytes of model files that have come so far. */
  readonly uploadedBytes: number
  /** Lets the streams that wait come to their end. */
  release(): void
}

const model = { name: 'm:latest', model: 'm:latest', digest: 'a'.repeat(64), size: 1_000, details: {}, modified_at: '2026-01-01T00:00:00Z' }
const lists: Readonly<Record<string, unknown>> = {
  '/api/version': { version: '0.33.0' },
  '/api/tags': { models: [model] },
  '/api/ps': { models: [{ ...model, size_vram: 1_000, expires_at: '2100-01-01T00:00:00Z', context_length: 4_096 }] },
}

const chunk = (text: string, ended: boolean): string =>
  JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta: { role: 'assistant', content: text }, finish_reason: ended ? 'stop' : null }],
  })
const line = (text: string, done: boolean): string =>
  JSON.stringify({
    model: 'm',
    created_at: '2026-01-01T00:00:00Z',
    message: { role: 'assistant', content: text },
    done,
    ...(done ? { done_reason: 'stop', total_duration: 2, load_duration: 0, prompt_eval_count: 1, eval_count: 2, eval_duration: 1 } : {}),
  })

/** First and last part of a stream, by path. */
const streams: Readonly<Record<string, { readonly type: string; readonly parts: readonly [string, string] }>> = {
  '/api/chat': { type: 'application/x-ndjson', parts: [`${line('first', false)}\n`, `${line('', true)}\n`] },
  '/v1/chat/completions': {
    type: 'text/event-stream',
    parts: [`data: ${chunk('first', false)}\n\n`, `data: ${chunk('', true)}\n\ndata: [DONE]\n\n`],
  },
}

/** `refuses`: a stream is answered with a server error that says nothing of the runner. */
export async function startPacedNode({ refuses = false } = {}): Promise<PacedNode> {
  let waiting: (() => void)[] = []
  let asked = 0
  let uploadedBytes = 0
  const answer = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const path = incoming.url ?? ''
    if (path.startsWith('/api/blobs/')) {
      outgoing.writeHead(incoming.method === 'HEAD' ? 404 : 201).end()
      return
    }
    const stream = streams[path]
    if (stream === undefined) {
      outgoing
        .writeHead(path in lists ? 200 : 404, { 'content-type': 'application/json' })
        .end(JSON.stringify(lists[path] ?? { error: 'not found' }))
      return
    }
    asked += 1
    if (refuses) {
      outgoing.writeHead(500, { 'content-type': 'application/json' }).end('{"error":"boom"}')
      return
    }
    outgoing.writeHead(200, { 'content-type': stream.type }).write(stream.parts[0])
    waiting.push(() => outgoing.end(stream.parts[1]))
  }
  const url = await listen(
    createServer((incoming, outgoing) => {
      if (incoming.url?.startsWith('/api/blobs/') === true) incoming.on('data', ({ length }: Buffer) => (uploadedBytes += length))
      incoming.resume().on('end', () => answer(incoming, outgoing))
    }),
  )
  return {
    url,
    get asked() {
      return asked
    },
    get held() {
      return waiting.length
    },
    get uploadedBytes() {
      return uploadedBytes
    },
    release() {
      const held = waiting
      waiting = []
      for (const end of held) end()
    },
  }
}
