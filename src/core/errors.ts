/**
 * The catalogue of every failure Corral itself can answer with. A *denial* is a value elsewhere; a *failure* is a throw of
 * `CorralError`; anything else that is thrown is a bug and becomes `internal`. Renderers live in `wire/render-error.ts`.
 */

/** Who is to blame: it decides whether a node's health, the client's counters or nobody's are touched. */
export type Fault = 'client' | 'node' | 'gateway' | 'nobody'

interface ErrorEntry {
  readonly status: number
  readonly retryable: boolean
  readonly fault: Fault
  /** One line for documentation and for RFC 9457 `title`. */
  readonly title: string
}

export const errorCatalogue = {
  invalid_request: { status: 400, retryable: false, fault: 'client', title: 'The request is malformed' },
  duplicate_key: { status: 400, retryable: false, fault: 'client', title: 'A JSON key appears twice or in two spellings' },
  too_deep: { status: 400, retryable: false, fault: 'client', title: 'The JSON body is nested too deeply' },
  credential_in_url: { status: 400, retryable: false, fault: 'client', title: 'A credential was sent in the query string' },
  unauthenticated: { status: 401, retryable: false, fault: 'client', title: 'No valid credential was sent' },
  insufficient_scope: { status: 403, retryable: false, fault: 'client', title: 'The credential does not allow this' },
  model_not_allowed: { status: 403, retryable: false, fault: 'client', title: 'The credential does not allow this model' },
  origin_refused: { status: 403, retryable: false, fault: 'client', title: 'The Origin or Host is not allowed' },
  cloud_model_blocked: { status: 403, retryable: false, fault: 'client', title: 'Cloud models are switched off' },
  operation_disabled: { status: 403, retryable: false, fault: 'client', title: 'This operation is switched off' },
  route_not_found: { status: 404, retryable: false, fault: 'client', title: 'No such route' },
  collection_not_found: { status: 404, retryable: false, fault: 'client', title: 'No collection of this name' },
  document_not_found: { status: 404, retryable: false, fault: 'client', title: 'No document of this id' },
  job_not_found: { status: 404, retryable: false, fault: 'client', title: 'No job of this id' },
  assistant_not_found: { status: 404, retryable: false, fault: 'client', title: 'No assistant of this name' },
  answer_not_found: { status: 404, retryable: false, fault: 'client', title: 'No answer of this id' },
  precondition_failed: { status: 412, retryable: false, fault: 'client', title: 'It was changed meanwhile' },
  node_not_found: { status: 404, retryable: false, fault: 'client', title: 'No node of this name' },
  key_not_found: { status: 404, retryable: false, fault: 'client', title: 'No key or tenant of this name' },
  conflict: { status: 409, retryable: false, fault: 'client', title: 'The change conflicts with the present state' },
  body_timeout: { status: 408, retryable: false, fault: 'client', title: 'The request body did not arrive in time' },
  body_too_large: { status: 413, retryable: false, fault: 'client', title: 'The request body is over the limit' },
  expectation_failed: { status: 417, retryable: false, fault: 'client', title: 'The Expect header cannot be met' },
  document_too_large: { status: 413, retryable: false, fault: 'client', title: 'The document is over a size limit' },
  document_unsupported: { status: 415, retryable: false, fault: 'client', title: 'The document is of a type that cannot be read' },
  document_bomb: { status: 422, retryable: false, fault: 'client', title: 'The document unpacks to far more than it holds' },
  document_broken: { status: 422, retryable: false, fault: 'client', title: 'The document is damaged' },
  document_empty: { status: 422, retryable: false, fault: 'client', title: 'The document holds no text' },
  document_encrypted: { status: 422, retryable: false, fault: 'client', title: 'The document needs a password' },
  document_needs_ocr: { status: 422, retryable: false, fault: 'client', title: 'The document is only pictures of text' },
  document_too_complex: { status: 422, retryable: false, fault: 'client', title: 'Reading the document took too much memory' },
  document_too_many_pages: { status: 422, retryable: false, fault: 'client', title: 'The document has too many pages' },
  document_timeout: { status: 422, retryable: false, fault: 'client', title: 'Reading the document took too long' },
  url_not_allowed: { status: 400, retryable: false, fault: 'client', title: 'The URL may not be fetched' },
  url_refused: { status: 422, retryable: false, fault: 'client', title: 'The server of the URL does not give the document' },
  url_failed: { status: 422, retryable: true, fault: 'client', title: 'The URL could not be fetched' },
  parser_failed: { status: 500, retryable: true, fault: 'gateway', title: 'The process that reads documents failed' },
  rate_limited: { status: 429, retryable: true, fault: 'client', title: 'A rate limit was reached' },
  budget_exhausted: { status: 429, retryable: true, fault: 'client', title: 'A budget is used up' },
  client_gone: { status: 499, retryable: false, fault: 'nobody', title: 'The client left before the answer' },
  client_too_slow: { status: 499, retryable: false, fault: 'client', title: 'The client did not read its stream' },
  internal: { status: 500, retryable: false, fault: 'gateway', title: 'Corral itself failed' },
  not_implemented: { status: 501, retryable: false, fault: 'client', title: 'The request uses a protocol feature that is not supported' },
  answer_too_large: { status: 502, retryable: false, fault: 'gateway', title: 'The answer is over the limit for whole answers' },
  node_failed: { status: 502, retryable: true, fault: 'node', title: 'The node failed' },
  node_protocol: { status: 502, retryable: true, fault: 'node', title: 'The node sent bytes that are not its protocol' },
  stream_truncated: { status: 502, retryable: true, fault: 'node', title: 'The stream ended without its terminator' },
  partial_failure: { status: 502, retryable: true, fault: 'node', title: 'A fleet-wide operation failed on some nodes' },
  no_node: { status: 503, retryable: true, fault: 'gateway', title: 'No node can answer now' },
  queue_full: { status: 503, retryable: true, fault: 'gateway', title: 'The queue is full' },
  bodies_full: { status: 503, retryable: true, fault: 'gateway', title: 'Too many bytes of request bodies are being read at once' },
  overloaded: { status: 503, retryable: true, fault: 'gateway', title: 'The gateway is short of memory' },
  draining: { status: 503, retryable: true, fault: 'gateway', title: 'Corral is shutting down' },
  store_unavailable: { status: 503, retryable: true, fault: 'gateway', title: 'The database cannot be reached' },
  store_timeout: { status: 503, retryable: true, fault: 'gateway', title: 'The database did not answer in time' },
  store_full: { status: 507, retryable: true, fault: 'gateway', title: 'The database has no room left' },
  queue_timeout: { status: 503, retryable: true, fault: 'gateway', title: 'The request waited longer than its deadline' },
  cache_miss: { status: 504, retryable: false, fault: 'client', title: 'Only a cached answer was wanted and there is none' },
  node_timeout: { status: 504, retryable: true, fault: 'node', title: 'The node did not answer in time' },
  stream_stalled: { status: 504, retryable: true, fault: 'node', title: 'The stream stopped between frames' },
  loop_detected: { status: 508, retryable: false, fault: 'client', title: 'The request came from Corral itself' },
} as const satisfies Record<string, ErrorEntry>

export type ErrorCode = keyof typeof errorCatalogue

export interface ErrorOptions {
  readonly cause?: unknown
  /** Milliseconds after which a retry makes sense: becomes `Retry-After`. */
  readonly retryAfterMs?: number
  /** Name of the node concerned. */
  readonly node?: string
  /** Extra response headers, lower-case. */
  readonly headers?: Readonly<Record<string, string>>
  /** A status other than the catalogue's (relayed from a node). */
  readonly status?: number
}

/** The one coded error. `message` holds the operands (which node, which limit, how long) and never a secret, path or prompt. */
export class CorralError extends Error {
  override readonly name = 'CorralError'
  readonly code: ErrorCode
  readonly status: number
  readonly retryable: boolean
  readonly fault: Fault
  readonly retryAfterMs: number | null
  readonly node: string | null
  readonly headers: Readonly<Record<string, string>> | null

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    const entry: ErrorEntry = errorCatalogue[code]
    this.code = code
    this.status = options.status ?? entry.status
    this.retryable = entry.retryable
    this.fault = entry.fault
    this.retryAfterMs = options.retryAfterMs ?? null
    this.node = options.node ?? null
    this.headers = options.headers ?? null
  }
}

/** Turns whatever was thrown into a `CorralError`; a bug becomes `internal` and keeps its cause for the log. */
export function toCorralError(thrown: unknown): CorralError {
  if (thrown instanceof CorralError) return thrown
  return new CorralError('internal', 'internal error', { cause: thrown })
}
