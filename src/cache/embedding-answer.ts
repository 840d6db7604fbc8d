/**
 * Vectors to answers and back: a node's answer into entries, entries and fresh vectors into the body that a node would give to the
 * whole request. Vectors are moved as text; nothing is printed that the node did not print the same way.
 */
import type { InferenceRequest } from '../core/relay.ts'
import { joinEmbeddings, readEmbeddingPart } from '../wire/embeddings.ts'
import { dimensionsOf, encodeVector, type TokenCount, type VectorForm, vectorText } from './embedding-entry.ts'
import type { EmbedItem } from './embedding-request.ts'

/** A vector, with what it took. */
export interface Vector {
  /** As a node spelled it in this answer; null: to be printed from the entry. */
  readonly text: string | null
  readonly tokens: TokenCount
  /** Null: not to be kept. */
  readonly entry: Buffer | null
}

/** Encoding or printing so many vectors takes some milliseconds; then others get their turn. */
const vectorsPerTurn = 64

/** Lets everything else that waits in this process run. */
function otherTurns(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Maps in turns, so that a large batch does not hold the event loop. */
async function mapInTurns<From, To>(items: readonly From[], map: (item: From, index: number) => To): Promise<To[]> {
  const mapped: To[] = []
  for (const [index, item] of items.entries()) {
    if (index > 0 && index % vectorsPerTurn === 0) await otherTurns()
    mapped.push(map(item, index))
  }
  return mapped
}

const noTokens: TokenCount = { count: 0, exact: false }

/** Vectors of `items` in their order out of a 200 answer; null when it does not hold one for each. */
export async function readVectors(
  { route }: InferenceRequest,
  body: Buffer,
  { items, form, dimensionsMax }: { readonly items: readonly EmbedItem[]; readonly form: VectorForm; readonly dimensionsMax: number },
): Promise<readonly Vector[] | null> {
  const part = form === 'float64' ? readLegacy(body) : readEmbeddingPart(route, body)
  if (part === null || part.vectors.length !== items.length) return null
  const tokens = divideTokens(part.promptTokens, items)
  const vectors = await mapInTurns(part.vectors, (text, index): Vector => {
    const own = tokens[index] ?? noTokens
    return { text, tokens: own, entry: encodeVector(text, form, own) }
  })
  const dimensions = vectors[0]?.entry ? dimensionsOf(vectors[0].entry) : 0
  const fits = ({ entry }: Vector): boolean => entry !== null && dimensionsOf(entry) === dimensions && dimensions <= dimensionsMax
  return vectors.map((vector) => (fits(vector) ? vector : { ...vector, entry: null }))
}

function readLegacy(body: Buffer): { readonly vectors: readonly string[]; readonly promptTokens: number } | null {
  const match = /^\{"embedding":(\[[^\]]*\])\}\s*$/.exec(body.latin1Slice(0, body.length))
  return match?.[1] === undefined ? null : { vectors: [match[1]], promptTokens: 0 }
}

/**
 * The tokens of each text. A node tells only the sum over a batch: then it is divided by length, so that the same batch adds up
 * to the same sum later, and marked as not exact.
 */
function divideTokens(sum: number, items: readonly EmbedItem[]): readonly TokenCount[] {
  if (items.length === 1) return [{ count: sum, exact: sum > 0 }]
  const bytes = items.reduce((total, item) => total + item.bytes, 0)
  let before = 0
  return items.map((item) => {
    const from = Math.round((sum * before) / bytes)
    before += item.bytes
    return { count: Math.round((sum * before) / bytes) - from, exact: false }
  })
}

/** The body of a whole answer. `vectors`: one for each text of the request. */
export async function joinVectors(
  { route, envelope }: InferenceRequest,
  vectors: readonly Vector[],
  { form, totalMs }: { readonly form: VectorForm; readonly totalMs: number },
): Promise<{ readonly body: Buffer; readonly promptTokens: number }> {
  const texts = await mapInTurns(vectors, ({ text, entry }) => text ?? (entry === null ? null : vectorText(entry, form)) ?? '[]')
  const promptTokens = vectors.reduce((sum, { tokens }) => sum + tokens.count, 0)
  if (form === 'float64') return { body: Buffer.from(`{"embedding":${texts[0] ?? '[]'}}`), promptTokens }
  const model = JSON.stringify(envelope.model ?? '')
  const totalNs = Math.max(1, Math.round(totalMs * 1e6))
  return { body: joinEmbeddings(route, texts, { model, promptTokens, loadNs: 0, totalNs }), promptTokens }
}

/** Content type of a route's answers, as nodes send it (recorded exchanges). */
export function contentTypeOf({ route }: InferenceRequest): string {
  return route.dialect === 'openai' ? 'application/json' : 'application/json; charset=utf-8'
}
