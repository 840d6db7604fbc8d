/**
 * Embedding answers taken apart and put together as text: a vector's digits are never parsed and printed again, so a merged
 * answer carries the same bytes for each item as a single one. Two shapes: native `/api/embed` and OpenAI `/v1/embeddings`.
 */
import type { RouteFacts } from '../core/route.ts'

/** One node's answer to some of the items. */
export interface EmbeddingPart {
  /** JSON text of each vector: an array of numbers, or a base64 string on `/v1`. In the order of the input. */
  readonly vectors: readonly string[]
  /** JSON text of the `model` field. */
  readonly model: string
  readonly promptTokens: number
  readonly loadNs: number
}

const open = 0x5b // [
const close = 0x5d // ]

/** Reads a 200 answer; null when it has another shape than expected. */
export function readEmbeddingPart(route: RouteFacts, body: Buffer): EmbeddingPart | null {
  const text = body.toString('latin1')
  return route.dialect === 'openai' ? readOpenAi(text) : readNative(text)
}

function readNative(text: string): EmbeddingPart | null {
  const key = '"embeddings":['
  const at = text.indexOf(key)
  if (at < 0) return null
  const vectors: string[] = []
  let position = at + key.length
  while (text.charCodeAt(position) === open) {
    const end = text.indexOf(']', position)
    if (end < 0) return null
    vectors.push(text.slice(position, end + 1))
    position = end + 1
    if (text[position] === ',') position += 1
  }
  if (text.charCodeAt(position) !== close) return null
  const rest = parseObject(`${text.slice(0, at)}"embeddings":[]${text.slice(position + 1)}`)
  if (rest === null) return null
  return {
    vectors,
    model: JSON.stringify(rest.model ?? ''),
    promptTokens: numberOf(rest.prompt_eval_count),
    loadNs: numberOf(rest.load_duration),
  }
}

function readOpenAi(text: string): EmbeddingPart | null {
  const vectors: string[] = []
  const pattern = /"embedding":(\[[^\]]*\]|"[A-Za-z0-9+/=]*")/g
  const rest = parseObject(
    text.replace(pattern, (_, vector: string) => {
      vectors.push(vector)
      return '"embedding":0'
    }),
  )
  if (rest === null || !Array.isArray(rest.data) || rest.data.length !== vectors.length) return null
  const usage = isRecord(rest.usage) ? rest.usage : {}
  return { vectors, model: JSON.stringify(rest.model ?? ''), promptTokens: numberOf(usage.prompt_tokens), loadNs: 0 }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseObject(latin1: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(latin1, 'latin1').toString('utf8'))
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

/** The merged answer, in the key order of a real one. `vectors` holds one text per item of the request. */
export function joinEmbeddings(
  route: RouteFacts,
  vectors: readonly string[],
  totals: { model: string; promptTokens: number; loadNs: number; totalNs: number },
): Buffer {
  const { model, promptTokens, loadNs, totalNs } = totals
  if (route.dialect === 'openai') {
    const data = vectors.map((vector, index) => `{"object":"embedding","embedding":${vector},"index":${index}}`)
    const usage = `{"prompt_tokens":${promptTokens},"total_tokens":${promptTokens}}`
    return Buffer.from(`{"object":"list","data":[${data.join(',')}],"model":${model},"usage":${usage}}\n`)
  }
  const durations = `"total_duration":${totalNs},"load_duration":${loadNs},"prompt_eval_count":${promptTokens}`
  return Buffer.from(`{"model":${model},"embeddings":[${vectors.join(',')}],${durations}}`)
}
