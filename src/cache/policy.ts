/**
 * Whether a request may be answered from the cache at all. `auto`: only when its sampling is pinned, by temperature 0 or a
 * seed; `on`: always; `off`: never. Never, whatever is set: requests that load or unload, cloud models, requests that ask a
 * node for something other than an answer.
 */
import type { CacheMode } from '../core/principal.ts'
import type { InferenceRequest } from '../core/relay.ts'
import { scanObject } from '../wire/json-scan.ts'
import { unloads } from '../wire/keep-alive.ts'
import { isCloudModel } from '../wire/model-name.ts'

/** Why a request passes by the cache, a closed set (metric label, and `detail` of `Cache-Status`). */
export type BypassReason =
  'off' | 'no-store' | 'sampling' | 'empty' | 'unload' | 'cloud' | 'no-model' | 'no-digest' | 'unkeyable' | 'too-large'

const unlimited = { depthMax: Infinity, keysMax: Infinity }

/** What was said of how to cache, by whom; null: nothing. */
export interface ModeWishes {
  readonly request: CacheMode | null
  /** Of the caller's key or token. */
  readonly credential: CacheMode | null
  readonly route: CacheMode | null
  /** Where nobody says anything. */
  readonly general: CacheMode
}

/**
 * The mode of one request: its own word, else its credential's, its route's, the general one. `off` of route or credential is
 * the last word: whoever gave it keeps answers out, and no client gets around that.
 */
export function chooseMode({ request, credential, route, general }: ModeWishes): CacheMode {
  if (route === 'off' || credential === 'off') return 'off'
  return request ?? credential ?? route ?? general
}

/** Null: may be cached. Looks at bytes only, parses nothing. */
export function bypassReason(request: InferenceRequest, mode: CacheMode, bodyBytesMax: number): BypassReason | null {
  if (mode === 'off') return 'off'
  const { envelope, model } = request
  if (mode === 'auto' && !isPinned(request)) return 'sampling'
  if (model === null) return 'no-model'
  if (isCloudModel(model)) return 'cloud'
  if (envelope.empty) return 'empty'
  if (unloads(request)) return 'unload'
  return request.body.length > bodyBytesMax ? 'too-large' : null
}

/** Routes beside the native ones whose `seed` a node reads; `/v1/responses` and `/v1/messages` have none (ollama-contract.md §1.6, §1.7). */
const seeding: ReadonlySet<string> = new Set(['/v1/chat/completions', '/v1/completions'])

/** Whether two answers to this request are meant to be the same: temperature 0, or a seed that the node heeds. */
export function isPinned({ route, body, envelope }: InferenceRequest): boolean {
  if (route.dialect !== 'ollama') {
    if (isZero(body, envelope.fields.get('temperature'))) return true
    return seeding.has(route.pattern) && isSeed(body, envelope.fields.get('seed'))
  }
  const options = envelope.fields.get('options')
  if (options?.kind !== 'object') return false
  let pinned = false
  scanObject(body, options.start, unlimited, (key, value) => {
    pinned = (key === 'temperature' && isZero(body, value)) || (key === 'seed' && isSeed(body, value))
    return !pinned
  })
  return pinned
}

type Field = { readonly kind: string; readonly start: number; readonly end: number } | undefined

function isZero(body: Buffer, field: Field): boolean {
  return field?.kind === 'number' && Number(body.latin1Slice(field.start, field.end)) === 0
}

/** Negative seeds mean a random one. */
function isSeed(body: Buffer, field: Field): boolean {
  return field?.kind === 'number' && Number(body.latin1Slice(field.start, field.end)) >= 0
}
