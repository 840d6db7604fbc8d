/**
 * What a request is, as far as its answer depends on it: a list of parts per dialect, after the protocol's own defaults (an
 * explicit default equals an absent field). Fields that nobody here knows are in. The model stands for its digest, so a
 * model that was pulled anew is another one; images stand for the SHA-256 of their bytes.
 *
 * Native sampling options have no defaults here: a model's own parameters, and not Ollama's constants, stand behind an absent
 * one. `/v1/chat/completions` and `/v1/completions` set temperature and top_p to 1 when absent, `/v1/responses` the temperature
 * (ollama openai/), which no model can change.
 */
import { hash } from 'node:crypto'

import type { EnvelopeField } from '../core/envelope.ts'
import type { InferenceRequest } from '../core/relay.ts'
import { scanArray } from '../wire/json-scan.ts'
import { canonicalSlice } from './canonical.ts'
import type { DigestCache } from './digest-cache.ts'

/**
 * Values that mean the same as an absent field, as canonical text, per field. Only where the node cannot tell the two apart: an empty
 * `context` keeps a Modelfile's MESSAGEs out, and any `format`, `""` and null too, makes a model that thinks answer in two calls.
 */
type Defaults = Readonly<Record<string, readonly string[]>>

interface DialectIdentity {
  readonly excluded: ReadonlySet<string>
  readonly defaults: Defaults
  /** Fields of which null is a value of its own. */
  readonly nullable: ReadonlySet<string>
}

const common = ['model', 'stream', 'stream_options', 'user', 'metadata']
const native: DialectIdentity = {
  excluded: new Set([...common, 'keep_alive']),
  nullable: new Set(['format']),
  defaults: {
    options: ['{}'],
    suffix: ['""'],
    system: ['""'],
    template: ['""'],
    images: ['[]'],
    tools: ['[]'],
    raw: ['false'],
    truncate: ['true'],
    shift: ['true'],
    logprobs: ['false'],
    top_logprobs: ['0'],
  },
}
const none: ReadonlySet<string> = new Set()
const openAi: DialectIdentity = {
  excluded: new Set(common),
  nullable: none,
  defaults: { temperature: ['1'], top_p: ['1'], tools: ['[]'], logprobs: ['false'], top_logprobs: ['0'], stop: ['[]'] },
}
/** An absent `top_p` leaves it to the model here. */
const responses: DialectIdentity = {
  excluded: new Set(common),
  nullable: none,
  defaults: { temperature: ['1'], tools: ['[]'], truncation: ['"disabled"'] },
}
const anthropic: DialectIdentity = { excluded: new Set(common), nullable: none, defaults: { tools: ['[]'], stop_sequences: ['[]'] } }

/** Identities by route; a route without one is never cached. */
const identities: Readonly<Record<string, DialectIdentity>> = {
  '/api/chat': native,
  '/api/generate': native,
  '/v1/chat/completions': openAi,
  '/v1/completions': openAi,
  '/v1/responses': responses,
  '/v1/messages': anthropic,
}

/** Lists whose items are hashed one by one: the history of a conversation repeats, item by item, in every later turn. */
const lists: ReadonlySet<string> = new Set(['messages', 'input'])
/** Bodies up to this size are keyed field by field; longer ones item by item with remembered digests. */
const itemwiseBytesMin = 65_536
const depthMax = 10_000

/** Name and canonical text (or digest) of a field. */
export interface IdentityPart {
  readonly name: string
  readonly text: string
}

/** The parts of `request` in the order of their names; null when two readers could take its body for different things. */
export function identityParts(request: InferenceRequest, digests: DigestCache): readonly IdentityPart[] | null {
  const identity = identities[request.route.pattern]
  const { envelope } = request
  if (identity === undefined || !envelope.wellFormed) return null
  const parts: IdentityPart[] = []
  for (const name of [...envelope.fields.keys()].toSorted()) {
    if (identity.excluded.has(name)) continue
    const field = envelope.fields.get(name)
    if (field === undefined || (field.kind === 'null' && !identity.nullable.has(name))) continue
    const text = fieldText(request.body, { name, field }, digests)
    if (text === null) return null
    if (identity.defaults[name]?.includes(text) !== true) parts.push({ name, text })
  }
  return parts
}

interface NamedField {
  readonly name: string
  readonly field: EnvelopeField
}

function fieldText(body: Buffer, { name, field }: NamedField, digests: DigestCache): string | null {
  if (field.kind === 'array' && lists.has(name)) return listText(body, { name, field }, digests)
  return canonicalSlice(body, field, { name, edit: name === 'images' ? hashImages : undefined })
}

/** Digests of the items, each exactly 64 digits: joined, they tell where one ends. */
function listText(body: Buffer, { name, field }: NamedField, digests: DigestCache): string | null {
  const remember = body.length >= itemwiseBytesMin
  let text = ''
  let count = 0
  let readable = true
  let end = field.start + 1
  scanArray(body, field.start, depthMax, (item) => {
    const digest = remember
      ? digests.of(body.subarray(item.start, item.end), () => itemDigest(body, item, name))
      : itemDigest(body, item, name)
    readable = digest !== null
    text += digest ?? ''
    count += 1
    end = item.end
    return readable
  })
  // The walk stops silently at what it cannot read: what is left behind the last item is then no closing bracket.
  return readable && isListEnd(body, end, field.end) ? `${count}:${text}` : null
}

function isListEnd(body: Buffer, from: number, end: number): boolean {
  return body.latin1Slice(from, end).trim() === ']'
}

function itemDigest(body: Buffer, item: EnvelopeField, name: string): string | null {
  const text = canonicalSlice(body, item, { name: name === 'input' ? 'item' : name, edit: hashImages })
  return text === null ? null : hash('sha256', text, 'hex')
}

const imageKeys: ReadonlySet<string> = new Set(['images', 'image_url', 'url', 'data'])
const imageTextBytesMin = 64
/** In front of a digest; a text that begins so itself gets a second one. */
const digestMark = '\u0000sha256:'

/** A copy in which each image is the SHA-256 of its bytes; the value itself when it holds none. */
function hashImages(value: unknown): unknown {
  if (typeof value === 'string') return value
  return replaceImages(value, true)
}

function replaceImages(value: unknown, inImages: boolean): unknown {
  if (typeof value === 'string') return inImages ? imageText(value) : value
  if (Array.isArray(value)) return value.some(isContainerOrText) ? value.map((item: unknown) => replaceImages(item, inImages)) : value
  if (typeof value !== 'object' || value === null) return value
  const copy: Record<string, unknown> = Object.create(null)
  for (const [key, field] of Object.entries(value)) copy[key] = replaceImages(field, imageKeys.has(key))
  return copy
}

function isContainerOrText(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'object'
}

/** Base64 (behind a `data:` prefix or bare) becomes the digest of its bytes; any other text, and a lax encoding, stays. */
function imageText(text: string): string {
  if (text.startsWith(digestMark)) return digestMark + text
  if (text.length < imageTextBytesMin) return text
  const start = text.startsWith('data:') ? text.indexOf(';base64,') + ';base64,'.length : 0
  const encoded = text.slice(start)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64') !== encoded) return text
  return `${digestMark}${text.slice(0, start)}${hash('sha256', bytes, 'hex')}`
}
