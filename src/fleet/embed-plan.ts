/**
 * How a batch of embeddings is cut: by item into shards of about equal bytes, and never so large that the answer to one would
 * be over the gateway's limit for a whole answer. How large the vectors of a model are is learned from its answers.
 */
import type { InferenceRequest } from '../core/relay.ts'

export interface EmbedPlan {
  /** For each item of the request its place among the unique items. */
  readonly places: readonly number[]
  /** JSON array text of each shard's unique items, with their count. */
  readonly shards: readonly { readonly inputJson: string; readonly items: number }[]
}

export interface PlanLimits {
  /** Nodes that can take a shard. */
  readonly nodes: number
  /** Items below which a batch is not cut for speed. */
  readonly shardItemsMin: number
  /** Items whose answer fits. */
  readonly shardItemsMax: number
}

/** Shards per node that a batch is cut into and has under way at once: enough that the last ones even out, few enough that the cost per request stays small. */
export const shardsPerNode = 4

/** How to cut the batch; null when one node should have it as it is. */
export function planBatch(request: InferenceRequest, { nodes, shardItemsMin, shardItemsMax }: PlanLimits): EmbedPlan | null {
  const items = inputItems(request)
  if (items === null || items.length < 2) return null
  const { places, unique } = dedupe(items)
  const forSpeed = nodes < 2 ? 1 : Math.min(Math.floor(unique.length / shardItemsMin), nodes * shardsPerNode)
  const count = Math.max(1, forSpeed, Math.ceil(unique.length / shardItemsMax))
  if (count < 2 && unique.length === items.length) return null
  return { places, shards: cut(unique, count, shardItemsMax) }
}

/** The items of `input` when it is an array of strings; null for any other shape, whose error a node gives exactly. */
function inputItems(request: InferenceRequest): readonly string[] | null {
  const field = request.envelope.fields.get('input')
  if (request.model === null || field?.kind !== 'array' || !request.envelope.wellFormed) return null
  try {
    const value: unknown = JSON.parse(request.body.toString('utf8', field.start, field.end))
    return Array.isArray(value) && value.every((item) => typeof item === 'string') ? value : null
  } catch {
    return null
  }
}

function dedupe(items: readonly string[]): { places: number[]; unique: string[] } {
  const seen = new Map<string, number>()
  const unique: string[] = []
  const places = items.map((item) => {
    const known = seen.get(item)
    if (known !== undefined) return known
    seen.set(item, unique.length)
    unique.push(item)
    return unique.length - 1
  })
  return { places, unique }
}

/** Consecutive runs of about equal length in characters, none of more than `itemsMax` items: more than `count` where that needs it. */
function cut(items: readonly string[], count: number, itemsMax: number): EmbedPlan['shards'] {
  const total = items.reduce((sum, item) => sum + item.length + 16, 0)
  const shards: { inputJson: string; items: number }[] = []
  let run: string[] = []
  let runLength = 0
  for (const item of items) {
    run.push(JSON.stringify(item))
    runLength += item.length + 16
    if (run.length < itemsMax && (runLength < total / count || shards.length >= count - 1)) continue
    shards.push({ inputJson: `[${run.join(',')}]`, items: run.length })
    run = []
    runLength = 0
  }
  if (run.length > 0) shards.push({ inputJson: `[${run.join(',')}]`, items: run.length })
  return shards
}

/**
 * Bytes of a vector before one of the model was seen: 8,192 numbers, the most that a model commonly has, of 13.5 bytes each, what
 * Ollama prints of a float32 on average.
 */
const vectorBytesAssumed = 110_592
/** Share of the limit that is filled: digits of numbers vary, and the rest of an answer takes room, too. */
const filledShare = 0.9
/** Models, each in two encodings, whose vectors are remembered; the longest unseen is forgotten first. */
const modelsMax = 1_000

/** How many bytes a vector of each model takes in an answer. */
export class VectorSizes {
  readonly #bytes = new Map<string, number>()

  /** Items whose answer is not over `bytesMax`; at least 1. */
  itemsMax(request: InferenceRequest, bytesMax: number): number {
    const bytes = this.#bytes.get(keyOf(request)) ?? vectorBytesAssumed
    return Math.max(1, Math.floor((bytesMax * filledShare) / bytes))
  }

  /** An answer to `request` of `bytes` held `vectors` (more than 0). */
  note(request: InferenceRequest, { bytes, vectors }: { readonly bytes: number; readonly vectors: number }): void {
    // Shorter vectors of one client say nothing of what others get.
    if (request.envelope.fields.has('dimensions')) return
    const key = keyOf(request)
    const known = this.#bytes.get(key) ?? 0
    this.#bytes.delete(key)
    this.#bytes.set(key, Math.max(known, bytes / vectors))
    if (this.#bytes.size <= modelsMax) return
    const oldest = this.#bytes.keys().next()
    if (oldest.done !== true) this.#bytes.delete(oldest.value)
  }
}

/** Base64 takes 5.3 bytes per number instead of 13.5. */
function keyOf({ model, envelope, body }: InferenceRequest): string {
  const encoding = envelope.fields.get('encoding_format')
  const isBase64 = encoding !== undefined && body.latin1Slice(encoding.start, encoding.end) === '"base64"'
  return `${model ?? ''}\0${isBase64 ? 'base64' : 'float'}`
}
