/**
 * What an embedding request asks for: its texts one by one, each with a key, and the form in which vectors are wanted. The key
 * of a text holds everything its vector depends on and nothing else, so that batches and routes share entries: `/api/embed` and
 * `/v1/embeddings` give the same numbers (ollama-contract-verified.md §j), `/api/embeddings` gives others (not normalised).
 *
 * Ollama reads of a `/v1` body only model, input, dimensions and encoding_format; any other field there is kept apart from the
 * native one of the same name. Unknown fields are in. Requests that a node would refuse pass by, for its exact words.
 */
import { hash } from 'node:crypto'
import { isUtf8 } from 'node:buffer'

import type { EnvelopeField } from '../core/envelope.ts'
import type { InferenceRequest } from '../core/relay.ts'
import { scanArray } from '../wire/json-scan.ts'
import { canonicalSlice } from './canonical.ts'
import type { VectorForm } from './embedding-entry.ts'
import type { Epochs } from './epochs.ts'
import { CacheKey, type CacheScope, frame } from './key.ts'

/** More texts than this in one request pass by: their keys alone would hold the event loop. */
export const itemsMax = 2_048
const depthMax = 100

const excluded: ReadonlySet<string> = new Set(['model', 'input', 'prompt', 'keep_alive', 'user', 'metadata', 'stream', 'encoding_format'])
const defaults: Readonly<Record<string, string>> = { truncate: 'true', dimensions: '0', options: '{}' }
/** Fields that mean the same on both routes that share. */
const sharedFields: ReadonlySet<string> = new Set(['dimensions'])

/** One text of the input. */
export interface EmbedItem {
  readonly key: string
  /** As the client wrote it, quotes included. */
  readonly json: string
  /** Rough length for dividing a sum of tokens. */
  readonly bytes: number
}

export interface EmbedAsk {
  readonly form: VectorForm
  /** Each text once, in the order of first occurrence. */
  readonly items: readonly EmbedItem[]
  /** For each text of the request its place in `items`. */
  readonly places: readonly number[]
  /** Of `dimensions`, when the request sets it. */
  readonly dimensionsMax: number
}

export interface EmbedKeying {
  readonly secret: Buffer
  readonly scope: CacheScope
  readonly epochs: Pick<Epochs, 'keyFor'>
  /** Model digest, engine and the counters of purges by tenant, kind and model. */
  readonly circumstances: readonly string[]
}

/** What is asked; null: not a request that can be answered text by text. */
export function readEmbedAsk(request: InferenceRequest, keying: EmbedKeying): EmbedAsk | null {
  const { envelope, body, route } = request
  const isLegacy = route.pattern === '/api/embeddings'
  const form = formOf(request, isLegacy)
  const source = envelope.fields.get(isLegacy ? 'prompt' : 'input')
  if (form === null || source === undefined || !envelope.wellFormed || envelope.fields.get('model')?.kind !== 'string') return null
  const fields = fieldParts(request)
  const texts = isLegacy && source.kind !== 'string' ? null : textsOf(body, source)
  if (fields === null || texts === null) return null
  const family = isLegacy ? 'raw' : 'unit'
  const prefix = hash('sha256', frame([family, ...keying.circumstances, ...fields]), 'hex')
  const { secret, scope, epochs } = keying
  const { items, places } = distinct(texts, (text) =>
    epochs.keyFor(new CacheKey(secret, scope, { kind: 'embedding', parts: [prefix, text] }).text),
  )
  return { form, items, places, dimensionsMax: dimensionsOf(request) }
}

function formOf({ route, envelope, body }: InferenceRequest, isLegacy: boolean): VectorForm | null {
  if (isLegacy) return 'float64'
  const field = envelope.fields.get('encoding_format')
  if (route.dialect !== 'openai' || field === undefined || field.kind === 'null') return 'float32'
  const text = body.latin1Slice(field.start, field.end)
  if (text === '"base64"') return 'base64'
  return text === '"float"' || text === '""' ? 'float32' : null
}

/** Names and canonical texts of the fields that count; null when one has no canonical text. */
function fieldParts({ route, envelope, body }: InferenceRequest): readonly string[] | null {
  const parts: string[] = []
  for (const name of [...envelope.fields.keys()].toSorted()) {
    const field = envelope.fields.get(name)
    if (excluded.has(name) || field === undefined || field.kind === 'null') continue
    const text = canonicalSlice(body, field, { name })
    if (text === null) return null
    if (defaults[name] === text) continue
    parts.push(route.dialect === 'openai' && !sharedFields.has(name) ? `v1 ${name}` : name, text)
  }
  return parts
}

function dimensionsOf({ envelope, body }: InferenceRequest): number {
  const field = envelope.fields.get('dimensions')
  const value = field?.kind === 'number' ? Number(body.latin1Slice(field.start, field.end)) : 0
  return value > 0 ? value : Number.POSITIVE_INFINITY
}

interface RawText {
  readonly text: string
  readonly json: string
}

/** The texts of a string or a list of strings; null for anything else. */
function textsOf(body: Buffer, source: EnvelopeField): readonly RawText[] | null {
  if (!isUtf8(body.subarray(source.start, source.end))) return null
  if (source.kind === 'string') {
    const one = readText(body, source)
    return one === null ? null : [one]
  }
  if (source.kind !== 'array') return null
  const texts: RawText[] = []
  let end = source.start + 1
  let readable = true
  scanArray(body, source.start, depthMax, (item) => {
    const text = item.kind === 'string' && texts.length < itemsMax ? readText(body, item) : null
    readable = text !== null
    if (text !== null) texts.push(text)
    end = item.end
    return readable
  })
  // The walk ends silently at what it cannot read.
  const isWhole = readable && body.latin1Slice(end, source.end).trim() === ']'
  return isWhole && texts.length > 0 ? texts : null
}

/** Null: a lone surrogate, which reaches a node as another text. */
function readText(body: Buffer, { start, end }: EnvelopeField): RawText | null {
  const json = body.utf8Slice(start, end)
  let text: unknown
  try {
    text = JSON.parse(json)
  } catch {
    return null
  }
  return typeof text === 'string' && text.isWellFormed() ? { text, json } : null
}

function distinct(texts: readonly RawText[], keyOf: (text: string) => string): { items: EmbedItem[]; places: number[] } {
  const known = new Map<string, number>()
  const items: EmbedItem[] = []
  const places = texts.map(({ text, json }) => {
    const place = known.get(text)
    if (place !== undefined) return place
    known.set(text, items.length)
    items.push({ key: keyOf(text), json, bytes: json.length })
    return items.length - 1
  })
  return { items, places }
}
