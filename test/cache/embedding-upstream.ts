/** A node that embeds: its vectors are those of a recorded printer, each text its own, and it remembers what it was asked. */
import { hash } from 'node:crypto'

import type { Clock } from '../../src/base/clock.ts'
import type { Call } from '../../src/core/call.ts'
import type { InferenceRequest, Relay, WholeAnswer } from '../../src/core/relay.ts'
import { printFloat32 } from '../../src/sim/embedder.ts'

export interface Embeds {
  readonly relay: Relay
  /** The texts of each call. */
  readonly calls: string[][]
  readonly requests: InferenceRequest[]
  readonly given: Call[]
  /** Waited for before each answer. */
  hold: Promise<void> | null
  /** Instead of the usual answer. */
  answer: ((texts: readonly string[]) => { readonly status: number; readonly body: string }) | null
  dimensions: number
}

/** A unit vector that the text alone decides. */
export function vectorOf(text: string, dimensions: number, scale = 1): Float32Array {
  const seed = hash('sha256', text, 'buffer')
  const vector = Float32Array.from({ length: dimensions }, (_, index) => (seed[(index * 7) % 32] ?? 0) - 127.5 + index / 64)
  const length = Math.hypot(...vector)
  return vector.map((value) => (value / length) * scale)
}

export const tokensOf = (text: string): number => 2 + text.split(' ').length

function textsOf(request: InferenceRequest): string[] {
  const body: unknown = JSON.parse(request.body.toString())
  if (typeof body !== 'object' || body === null) throw new Error('no body')
  const input: unknown = 'input' in body ? body.input : 'prompt' in body ? body.prompt : []
  return (Array.isArray(input) ? input : [input]).map(String)
}

/** The body that a node gives to the whole request. */
export function nodeBody(request: InferenceRequest, dimensions: number): string {
  const texts = textsOf(request)
  const text = request.body.toString()
  const model = /"model":("[^"]*")/.exec(text)?.[1] ?? '""'
  const cut = Number(/"dimensions":(\d+)/.exec(text)?.[1] ?? dimensions)
  const tokens = texts.reduce((sum, one) => sum + tokensOf(one), 0)
  const vectors = texts.map((one) => vectorOf(one, cut, request.route.pattern === '/api/embeddings' ? 3.7 : 1))
  const printed = vectors.map((vector) => `[${Array.from(vector, printFloat32).join(',')}]`)
  if (request.route.pattern === '/api/embeddings') return `{"embedding":[${Array.from(vectors[0] ?? []).join(',')}]}`
  if (request.route.dialect === 'ollama') {
    return `{"model":${model},"embeddings":[${printed.join(',')}],"total_duration":5,"load_duration":3,"prompt_eval_count":${tokens}}`
  }
  const isBase64 = text.includes('"base64"')
  const data = vectors.map((vector, index) => {
    const value = isBase64 ? `"${Buffer.from(vector.buffer).toString('base64')}"` : (printed[index] ?? '')
    return `{"object":"embedding","embedding":${value},"index":${index}}`
  })
  return `{"object":"list","data":[${data.join(',')}],"model":${model},"usage":{"prompt_tokens":${tokens},"total_tokens":${tokens}}}\n`
}

export function embeds(clock: Clock): Embeds {
  const node: Embeds = { relay, calls: [], requests: [], given: [], hold: null, answer: null, dimensions: 24 }
  async function relay(request: InferenceRequest, call: Call): Promise<WholeAnswer> {
    const texts = textsOf(request)
    node.calls.push(texts)
    node.requests.push(request)
    node.given.push(call)
    const dispatchedAtMs = clock.nowMs()
    const { status, body } = node.answer?.(texts) ?? { status: 200, body: nodeBody(request, node.dimensions) }
    if (node.hold !== null) await node.hold
    const promptTokens = texts.reduce((sum, one) => sum + tokensOf(one), 0)
    const usage = { promptTokens, cachedPromptTokens: null, outputTokens: null, loadMs: null, promptMs: null, outputMs: null, totalMs: 1 }
    return {
      kind: 'whole',
      status,
      headers: { 'content-type': request.route.dialect === 'openai' ? 'application/json' : 'application/json; charset=utf-8' },
      provenance: { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs },
      body: Buffer.from(body),
      outcome: {
        kind: status === 200 ? 'ok' : 'client_error',
        usage: status === 200 ? usage : null,
        frames: 1,
        bytes: body.length,
        error: null,
      },
    }
  }
  return node
}
