/**
 * Whether a node is sure to refuse a request for the type of one of its fields: before it loads anything, since Ollama decodes
 * the body first (ollama-contract.md §1.3, §1.5). Its own answer stays the answer; knowing it beforehand spares a load.
 *
 * Only fields that every version decodes on the route, into the same type, count: an older one passes over what it does not
 * know, such as `shift` and `truncate` of a chat. It is a hint for the price of a load, never for what is let in.
 */
import type { Envelope, JsonKind } from '../core/envelope.ts'
import type { InferenceRequest } from '../core/relay.ts'

type FieldKinds = ReadonlyMap<string, ReadonlySet<JsonKind>>

/** Null stands for an absent field everywhere. */
const bool: ReadonlySet<JsonKind> = new Set(['true', 'false', 'null'])
const text: ReadonlySet<JsonKind> = new Set(['string', 'null'])
const list: ReadonlySet<JsonKind> = new Set(['array', 'null'])
const object: ReadonlySet<JsonKind> = new Set(['object', 'null'])
const duration: ReadonlySet<JsonKind> = new Set(['number', 'string', 'null'])

const native = { options: object, keep_alive: duration }
const texts = { prompt: text, suffix: text, system: text, template: text }

/** By the pattern of a route. */
const kindsByRoute = new Map<string, FieldKinds>(
  Object.entries({
    '/api/chat': { ...native, stream: bool, messages: list, tools: list },
    '/api/generate': { ...native, ...texts, stream: bool, raw: bool, images: list },
    '/api/embed': { ...native, truncate: bool },
    '/api/embeddings': { ...native, prompt: text },
    '/v1/chat/completions': { stream: bool, messages: list, tools: list },
    '/v1/messages': { stream: bool, messages: list, tools: list },
    '/v1/responses': { stream: bool, tools: list },
    '/v1/completions': { stream: bool },
  }).map(([pattern, fields]) => [pattern, new Map(Object.entries(fields))]),
)

/** Whether every node will refuse the request, whatever model it holds. */
export function isMisfit({ route, envelope }: Pick<InferenceRequest, 'route' | 'envelope'>): boolean {
  const kinds = kindsByRoute.get(route.pattern)
  if (kinds === undefined) return false
  return hasWrongKind(envelope, kinds) || (route.dialect === 'ollama' && !envelope.optionsFit)
}

function hasWrongKind({ fields }: Envelope, kinds: FieldKinds): boolean {
  for (const [key, { kind }] of fields) if (kinds.get(key)?.has(kind) === false) return true
  return false
}
