/**
 * A running gateway as the commands use it. Whatever keeps an answer from coming is exit code 3 with a sentence that says
 * what to do; an answer that is an error is exit code 1 with the gateway's own words, 4 where a credential would help.
 */
import { retryAfterMsOf } from '../base/busy-wait.ts'
import { apiKey } from '../config/environment.ts'
import type { ErrorCode } from '../core/errors.ts'
import { urlOf } from './banner.ts'
import { CliError, type ExitCode, exitCodes } from './exit-code.ts'
import { type FleetView, fleetView } from './fleet-view.ts'
import { printable } from './output.ts'
import { settingsOf } from './settings.ts'

export interface GatewayOptions {
  readonly url?: string
  readonly config?: string
  readonly json?: boolean
}

const answerTimeoutMs = 15_000

export interface GatewayRequest {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | ReadableStream<Uint8Array>
  /** With a body that is a stream. */
  readonly duplex?: 'half'
  readonly signal?: AbortSignal
}

/** An answer that is an error. */
export class GatewayError extends CliError {
  readonly status: number
  /** Of the catalogue; null when the answer names none. */
  readonly code: string | null
  /** Null: the gateway does not say when to come again. */
  readonly retryAfterMs: number | null

  constructor(
    exitCode: ExitCode,
    words: ErrorWords,
    { status, retryAfterMs }: { readonly status: number; readonly retryAfterMs: number | null },
  ) {
    super(exitCode, words.text, words.hint === null ? [] : [words.hint])
    this.status = status
    this.code = words.code
    this.retryAfterMs = retryAfterMs
  }
}

interface ErrorWords {
  readonly text: string
  readonly code: string | null
  readonly hint: string | null
}

export interface Gateway {
  readonly url: string
  /** Sends and reads a JSON answer; null for an empty one. */
  request(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<unknown>
  /** Sends JSON and hands out the answer as it comes. Without a deadline: a pull takes as long as it takes. */
  open(path: string, body: unknown): Promise<Response>
  /** Sends anything and hands out the answer. Throws a `GatewayError` for one that is an error, exit code 3 when there is none. */
  send(path: string, init: GatewayRequest): Promise<Response>
  fleet(): Promise<FleetView>
}

/** The gateway of `--url`, else the one the configuration describes. */
export async function gatewayOf(options: GatewayOptions): Promise<Gateway> {
  if (options.url !== undefined) return createGateway(normalUrl(options.url))
  const { config } = await settingsOf(options.config === undefined ? {} : { config: options.config })
  return createGateway(urlOf(config.http.host, config.http.port))
}

function normalUrl(text: string): string {
  const url = URL.parse(/^https?:\/\//.test(text) ? text : `http://${text}`)
  if (url === null) throw new CliError(exitCodes.usage, `--url: no URL: ${printable(text)}`)
  return url.href.replace(/\/+$/, '')
}

function createGateway(url: string): Gateway {
  const key = apiKey()
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` }
  const send = async (path: string, init: GatewayRequest): Promise<Response> => {
    const response = await fetch(url + path, { ...init, headers: { ...headers, ...init.headers } }).catch((error: unknown) => {
      // Who ended it knows why; a deadline is a gateway that does not answer.
      if (init.signal?.aborted === true && !isTimeout(init.signal.reason)) throw init.signal.reason
      throw unreachable(url, error)
    })
    if (!response.ok) throw await answeredError(response, path)
    return response
  }
  const jsonBody = (method: string, body: unknown): GatewayRequest =>
    body === undefined ? { method } : { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const request: Gateway['request'] = async (method, path, body) => {
    const response = await send(path, { ...jsonBody(method, body), signal: AbortSignal.timeout(answerTimeoutMs) })
    const text = await response.text()
    if (text === '') return null
    try {
      const value: unknown = JSON.parse(text)
      return value
    } catch {
      throw new CliError(exitCodes.failure, `${url}${path} answered something that is no JSON: is this a Corral gateway?`)
    }
  }
  return {
    url,
    request,
    send,
    open: (path, body) => send(path, jsonBody('POST', body)),
    fleet: async () => {
      const parsed = fleetView.safeParse(await request('GET', '/admin/fleet'))
      if (!parsed.success) throw new CliError(exitCodes.failure, `${url}/admin/fleet is of another version of Corral`)
      return parsed.data
    },
  }
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError'
}

/** The reason of a failed connect: the innermost cause that has words. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  if (error.cause instanceof Error) return reasonOf(error.cause)
  return error.message
}

function unreachable(url: string, error: unknown): CliError {
  return new CliError(
    exitCodes.unreachable,
    `no gateway answers at ${url} (${reasonOf(error)}): start one with "corral serve", or name it with --url`,
  )
}

const keyErrors: readonly string[] = ['insufficient_scope', 'model_not_allowed'] satisfies readonly ErrorCode[]

/** Whether a key with more rights mends it: what else is forbidden is so for everybody. An error in Ollama's shape has no code. */
function wantsAnotherKey({ headers }: Response, code: string | null): boolean {
  if (code !== null) return keyErrors.includes(code)
  return (headers.get('www-authenticate') ?? '').includes('error="insufficient_scope"')
}

async function answeredError(response: Response, path: string): Promise<CliError> {
  const text = await response.text().catch(() => '')
  const words = wordsOf(text)
  if (response.status === 404 && path.startsWith('/admin') && words === null) {
    return new CliError(exitCodes.failure, `${response.url} is not there: this is no Corral gateway, or features.admin is off`)
  }
  const answered = { status: response.status, retryAfterMs: retryAfterMsOf(response.headers.get('retry-after')) }
  const code = stringOf(text, 'code')
  if (response.status === 401) {
    const scopes = path.startsWith('/rag') ? 'scopes rag:read and rag:write' : 'scope admin'
    const advice = apiKey() === null ? `set CORRAL_API_KEY to a key with the ${scopes}` : 'the key in CORRAL_API_KEY is not valid there'
    return new GatewayError(exitCodes.unauthorized, { text: `the gateway wants a credential: ${advice}`, code, hint: null }, answered)
  }
  const exitCode = wantsAnotherKey(response, code) ? exitCodes.unauthorized : exitCodes.failure
  const hint = stringOf(text, 'hint')
  return new GatewayError(exitCode, { text: words ?? `the gateway answered ${response.status}`, code, hint }, answered)
}

function fieldsOf(text: string): Map<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : [])
  } catch {
    return new Map()
  }
}

function stringOf(text: string, field: string): string | null {
  const value = fieldsOf(text).get(field)
  return typeof value === 'string' && value !== '' ? printable(value) : null
}

/** The sentence in an error body: RFC 9457 `detail`, or `error` as text or object. */
export function wordsOf(text: string): string | null {
  const fields = fieldsOf(text)
  const error = fields.get('error')
  const nested = new Map<string, unknown>(typeof error === 'object' && error !== null ? Object.entries(error) : [])
  const candidates = [fields.get('detail'), error, nested.get('message'), fields.get('title')]
  const found = candidates.find((candidate) => typeof candidate === 'string' && candidate !== '')
  return typeof found === 'string' ? printable(found) : null
}
