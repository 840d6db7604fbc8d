/** All calls of the console to the gateway. Every change carries the header that only a page of this origin can send. */
import { retryAfterMsOf } from '../../base/busy-wait.ts'
import { atGateway } from './place.ts'

const sessionPath = '/console/session'
const changeHeaders = { 'x-corral-console': '1', 'content-type': 'application/json' }
/** Tells the gateway that no form of another page sent a body that is no JSON. */
const uploadHeaders = { 'x-requested-with': 'corral-console' }

let onSessionEnd: () => void = () => undefined

/** Tells whoever looks after the session that a call was refused for want of a credential. */
export function whenSessionEnds(action: () => void): void {
  onSessionEnd = action
}

/** What went wrong with a call, in the gateway's own words. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  readonly requestId: string | null
  /** Of a gateway that is busy: when to ask again. */
  readonly retryAfterMs: number | null

  constructor(message: string, facts: Pick<ApiError, 'status' | 'code' | 'requestId'> & { readonly retryAfterMs?: number | null }) {
    super(message)
    this.status = facts.status
    this.code = facts.code
    this.requestId = facts.requestId
    this.retryAfterMs = facts.retryAfterMs ?? null
  }
}

/** The answer, whatever its status. */
async function reach(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(atGateway(path), { ...init, credentials: 'same-origin' })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw unreachable()
  }
}

function unreachable(): ApiError {
  return new ApiError('The gateway does not answer. Is it running?', { status: 0, code: 'unreachable', requestId: null })
}

async function send(path: string, init: RequestInit): Promise<Response> {
  return checked(path, await reach(path, init))
}

/** The answer, where it is no refusal. */
async function checked(path: string, response: Response): Promise<Response> {
  noteRefusal(path, response)
  if (response.ok) return response
  throw await failureOf(response)
}

function noteRefusal(path: string, { status }: Response): void {
  // To sign in with a wrong key ends nothing.
  if (status === 401 && path !== sessionPath) onSessionEnd()
}

async function failureOf(response: Response): Promise<ApiError> {
  const text = await response.text()
  const requestId = response.headers.get('x-request-id')
  const { message, code } = wordsOf(text)
  return new ApiError(message ?? `The gateway answered ${response.status}.`, {
    status: response.status,
    code: code ?? String(response.status),
    requestId,
    retryAfterMs: retryAfterMsOf(response.headers.get('retry-after')),
  })
}

/** The words of a problem document, of Ollama's `{"error":"…"}`, or of OpenAI's nested one. */
function wordsOf(text: string): { readonly message?: string; readonly code?: string } {
  let body: { detail?: string; title?: string; code?: string; error?: string | { message?: string; code?: string } }
  try {
    body = JSON.parse(text)
  } catch {
    return {}
  }
  if (typeof body.error === 'string') return { message: body.error }
  const message = body.error?.message ?? body.detail ?? body.title
  const code = body.error?.code ?? body.code
  return { ...(message === undefined ? {} : { message }), ...(code === undefined ? {} : { code }) }
}

/** GET as JSON. Throws `ApiError`. */
export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await send(path, signal === undefined ? {} : { signal })
  return response.json()
}

/** A change; the answer as JSON, or null where there is none. Throws `ApiError`. */
export async function change<T = null>(method: 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: object): Promise<T> {
  const response = await send(path, { method, headers: changeHeaders, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  return response.status === 204 ? JSON.parse('null') : response.json()
}

/** The answer as text. Throws `ApiError`. */
export async function getText(path: string, signal?: AbortSignal): Promise<string> {
  const response = await send(path, signal === undefined ? {} : { signal })
  return response.text()
}

/** Asks something whose answer is read as it comes, or by its headers too. Throws `ApiError`. */
export async function ask(path: string, body: object, signal: AbortSignal): Promise<Response> {
  // What is asked here can be looked at afterwards, and why it went where it went.
  const headers = { ...changeHeaders, 'x-corral-explain': 'true' }
  return send(path, { method: 'POST', headers, body: JSON.stringify(body), signal })
}

export interface Attempt {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Blob | null
  readonly signal: AbortSignal
}

/** Sends what a person has put together; a refusal is an answer here too. Throws `ApiError` where none comes. */
export async function attempt(path: string, { method, headers: own, ...rest }: Attempt): Promise<Response> {
  const headers = method === 'GET' ? own : { ...changeHeaders, ...uploadHeaders, ...own }
  const response = await reach(path, { method, headers, cache: 'no-store', ...rest })
  noteRefusal(path, response)
  return response
}

export interface Upload {
  readonly type: string
  /** Hears how many bytes have gone out. */
  readonly onSent?: (bytes: number) => void
  readonly signal?: AbortSignal
}

/** Sends one file as it is. Throws `ApiError`, or the `AbortError` of its signal. */
export async function upload<T>(path: string, bytes: Blob, { type, onSent, signal }: Upload): Promise<T> {
  const request = new XMLHttpRequest()
  const stop = (): void => request.abort()
  signal?.addEventListener('abort', stop)
  const answer = answerTo(request).finally(() => signal?.removeEventListener('abort', stop))
  request.open('POST', atGateway(path))
  for (const [name, value] of Object.entries({ ...changeHeaders, ...uploadHeaders, 'content-type': type })) {
    request.setRequestHeader(name, value)
  }
  if (onSent !== undefined) request.upload.addEventListener('progress', ({ loaded }) => onSent(loaded))
  request.send(bytes)
  return (await checked(path, await answer)).json()
}

/** As `fetch` would give it, which itself says nothing of a body that is on its way. */
function answerTo(request: XMLHttpRequest): Promise<Response> {
  return new Promise((resolve, reject) => {
    request.addEventListener('load', () => {
      const headers = new Headers()
      for (const name of ['x-request-id', 'retry-after']) {
        const value = request.getResponseHeader(name)
        if (value !== null) headers.set(name, value)
      }
      // With some statuses there is no body, not even an empty one.
      const body = request.responseText === '' ? null : request.responseText
      resolve(new Response(body, { status: request.status, headers }))
    })
    request.addEventListener('abort', () => reject(new DOMException('It was stopped.', 'AbortError')))
    request.addEventListener('error', () => reject(unreachable()))
  })
}

/** Opens a session with a key. Throws `ApiError`. */
export async function signIn(key: string): Promise<void> {
  await send(sessionPath, { method: 'POST', headers: { ...changeHeaders, authorization: `Bearer ${key}` } })
}
