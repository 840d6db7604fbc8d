/**
 * Errors in the dialect of a route: as a response, and in band at the end of a stream. Shapes: ollama-contract.md §1.3;
 * in-band events: §3.4. The official OpenAI and Anthropic SDKs raise on both in-band shapes, `ollama` clients on the line.
 */
import { hintOf } from '../core/error-hints.ts'
import { type CorralError, errorCatalogue } from '../core/errors.ts'
import type { Dialect, Framing, RouteFacts } from '../core/route.ts'

export interface RenderedError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** What the renderers need of an error; `status` may be a node's own. */
type ErrorFacts = Pick<CorralError, 'code' | 'status' | 'message' | 'retryAfterMs' | 'headers'>

function openAiType(status: number): string {
  if (status === 400 || status === 401) return 'invalid_request_error'
  if (status === 403) return 'permission_error'
  if (status === 404) return 'not_found_error'
  if (status === 429) return 'rate_limit_error'
  return 'api_error'
}

const anthropicTypes: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  529: 'overloaded_error',
}

/** OpenAI's own word where clients look for one: a key that is not taken. */
function openAiCode(code: ErrorFacts['code']): string {
  return code === 'unauthenticated' ? 'invalid_api_key' : code
}

function openAiBody({ message, status, code }: ErrorFacts): string {
  return JSON.stringify({ error: { message, type: openAiType(status), param: null, code: openAiCode(code) } })
}

function anthropicBody(error: ErrorFacts, requestId: string): string {
  const type = anthropicTypes[error.status] ?? (error.status < 500 ? 'invalid_request_error' : 'api_error')
  return JSON.stringify({ type: 'error', error: { type, message: error.message }, request_id: requestId })
}

/** `type` is the section of the manual that every gateway serves: an address that leads somewhere without a way to the internet. */
function problemBody(error: ErrorFacts, requestId: string): string {
  const { title } = errorCatalogue[error.code]
  const hint = hintOf(error.code)
  const fields = { title, status: error.status, detail: error.message, code: error.code, instance: `urn:corral:request:${requestId}` }
  return JSON.stringify({ type: `/docs/errors#${error.code}`, ...fields, ...(hint === null ? {} : { hint }) })
}

/** An error as a whole response. `requestId` goes into the dialects that have a place for it. */
export function renderError(dialect: Dialect, error: ErrorFacts, requestId: string): RenderedError {
  const { contentType, text } = renderBody(dialect, error, requestId)
  const headers: Record<string, string> = { 'content-type': contentType, ...error.headers }
  if (error.retryAfterMs !== null) headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1_000)))
  return { status: error.status, headers, body: Buffer.from(text) }
}

function renderBody(dialect: Dialect, error: ErrorFacts, requestId: string): { contentType: string; text: string } {
  switch (dialect) {
    case 'ollama':
      return { contentType: 'application/json; charset=utf-8', text: JSON.stringify({ error: error.message }) }
    case 'openai':
      return { contentType: 'application/json', text: `${openAiBody(error)}\n` }
    case 'anthropic':
      return { contentType: 'application/json', text: `${anthropicBody(error, requestId)}\n` }
    case 'problem':
      return { contentType: 'application/problem+json', text: problemBody(error, requestId) }
  }
}

/** An error as the last bytes of a stream whose head went out; empty where a route has no such form and only a cut tells. */
export function renderStreamError(route: RouteFacts, error: ErrorFacts, requestId: string): Buffer {
  if (route.framing === 'none') return Buffer.alloc(0)
  if (route.framing === 'ndjson') return Buffer.from(`${JSON.stringify({ error: error.message })}\n`)
  if (route.terminator === 'anthropic') return Buffer.from(`event: error\ndata: ${anthropicBody(error, requestId)}\n\n`)
  if (route.terminator === 'responses') return Buffer.from(responsesEvents(error, requestId))
  if (route.dialect === 'problem') return Buffer.from(`event: error\ndata: ${problemBody(error, requestId)}\n\n`)
  return Buffer.from(`data: ${openAiBody(error)}\n\n`)
}

/**
 * `error` makes the SDKs' iterators raise: JavaScript's by the event's name, Python's only by a field `error`. Then
 * `response.failed` for readers of the final state; last, because it ends the stream for another gateway in front.
 */
function responsesEvents(error: ErrorFacts, requestId: string): string {
  const failure = { code: error.code, message: error.message }
  const failed = { type: 'response.failed', response: { id: `resp_${requestId}`, object: 'response', status: 'failed', error: failure } }
  const raised = { type: 'error', ...failure, param: null, error: { ...failure, type: openAiType(error.status), param: null } }
  return `event: error\ndata: ${JSON.stringify(raised)}\n\nevent: response.failed\ndata: ${JSON.stringify(failed)}\n\n`
}

const space = Buffer.from(' ')
const comment = Buffer.from(': keep-alive\n\n')

/** Bytes that keep a waiting client's stream open and that every known client skips (verified notes §m). */
export function keepAliveBytes(framing: Exclude<Framing, 'none'>): Buffer {
  return framing === 'ndjson' ? space : comment
}

/** Bytes of an error's body that are read for its message: one of a tool call that cannot be read quotes all of it, e.g. a whole file. */
export const errorBytesMax = 1_048_576

/** Characters of an error body that is no whole JSON which are looked at: past the head of a page of HTML, and more than any message shows. */
const looseCharsMax = 4_096
const looseMessageCharsMax = 300
/** What stands before the message in the JSON of Ollama's three dialects (ollama-contract.md §1.3). */
const messageOpening = /^\s*\{(?:"type":"error",)?"error":(?:\{(?:"type":"\w*",)?"message":)?(?=")/
/** A JSON string up to its end, or as far as it goes. */
const stringBeginning = /^"(?:[^"\\\p{Cc}]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/u

/** The message inside an error body of any dialect: its beginning where a JSON body does not end within `errorBytesMax`; a short form of other bodies. */
export function decodeErrorMessage(body: Buffer): string {
  const text = body.toString('utf8', 0, errorBytesMax)
  const message = messageIn(text)
  if (message !== null) return message
  const beginning = text.slice(0, looseCharsMax)
  const cut = messageInCut(beginning)
  if (cut !== null) return cut
  const plain = beginning
    .replace(/<[^<>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  return plain === '' ? 'an error without a message' : plain.slice(0, looseMessageCharsMax)
}

/** The message of a JSON body of which only the beginning is there. */
function messageInCut(text: string): string | null {
  const opening = messageOpening.exec(text)
  if (opening === null) return null
  const message: unknown = JSON.parse(`${stringBeginning.exec(text.slice(opening[0].length))?.[0] ?? '"'}"`)
  return typeof message === 'string' && message !== '' ? message : null
}

function messageIn(text: string): string | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  const error = fieldOf(value, 'error')
  const message = typeof error === 'string' ? error : (fieldOf(error, 'message') ?? fieldOf(value, 'message'))
  if (typeof message !== 'string') return null
  return unwrapMessage(message)
}

/** Errors of the runner are JSON inside the message (verified notes §0). */
function unwrapMessage(message: string): string {
  return message.startsWith('{') ? (messageIn(message) ?? message) : message
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
