/**
 * Whether a node is sure to refuse a request for the type of one of its fields: before it loads anything, since Ollama decodes
 * the body first (ollama-contract.md §1.3, §1.5). Its own answer stays the answer; knowing it beforehand spares a load.
 *
 * Only fields whose type every version of Ollama asks for count: what is let through here is merely asked of a loaded model.
 */
import type { Envelope, JsonKind } from '../core/envelope.ts'
import type { InferenceRequest } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'

type FieldKinds = ReadonlyMap<string, ReadonlySet<JsonKind>>

/** Null stands for an absent field everywhere. */
const bool: ReadonlySet<JsonKind> = new Set(['true', 'false', 'null'])
const text: ReadonlySet<JsonKind> = new Set(['string', 'null'])
const list: ReadonlySet<JsonKind> = new Set(['array', 'null'])
const object: ReadonlySet<JsonKind> = new Set(['object', 'null'])
const duration: ReadonlySet<JsonKind> = new Set(['number', 'string', 'null'])

const streaming = { stream: bool }
const native = { options: object, keep_alive: duration, truncate: bool }
const texts = { prompt: text, suffix: text, system: text, template: text }

const nativeChat = toKinds({ ...native, ...streaming, shift: bool, messages: list, tools: list })
const nativeGenerate = toKinds({ ...native, ...streaming, ...texts, shift: bool, raw: bool, images: list })
const nativeEmbed = toKinds(native)
const chat = toKinds({ ...streaming, messages: list, tools: list })
const responses = toKinds({ ...streaming, tools: list })
const completions = toKinds(streaming)
const nothing = toKinds({})

function toKinds(fields: Readonly<Record<string, ReadonlySet<JsonKind>>>): FieldKinds {
  return new Map(Object.entries(fields))
}

function kindsOf({ dialect, operation, terminator }: RouteFacts): FieldKinds {
  if (operation === 'chat') return dialect === 'ollama' ? nativeChat : terminator === 'responses' ? responses : chat
  if (operation === 'generate') return dialect === 'ollama' ? nativeGenerate : completions
  return operation === 'embed' && dialect === 'ollama' ? nativeEmbed : nothing
}

/** Whether every node will refuse the request, whatever model it holds. */
export function isMisfit({ route, envelope }: Pick<InferenceRequest, 'route' | 'envelope'>): boolean {
  const kinds = kindsOf(route)
  if (kinds === nothing) return false
  return hasWrongKind(envelope, kinds) || (route.dialect === 'ollama' && !envelope.optionsFit)
}

function hasWrongKind({ fields }: Envelope, kinds: FieldKinds): boolean {
  for (const [key, { kind }] of fields) if (kinds.get(key)?.has(kind) === false) return true
  return false
}
