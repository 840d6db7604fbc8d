/** What to do about a failure, by its code: shown beside the reason by the CLI, in problem documents and in docs/errors.md. */
import type { ErrorCode } from './errors.ts'

const hints: { readonly [code in ErrorCode]?: string } = {
  duplicate_key: 'send each key once, in the spelling of the API',
  credential_in_url: 'send the key as Authorization: Bearer, x-api-key or api-key; for the Ollama CLI put it in the path: /k/<key>',
  unauthenticated: 'send a key as Authorization: Bearer, x-api-key or api-key; "corral keys create" makes one',
  insufficient_scope: 'use a key with the scope that the message names; "corral keys ls" shows the scopes of each',
  model_not_allowed: 'ask for a model that the key is held to, or make a key with another list',
  origin_refused: 'add the origin to http.origins, or the host to http.hosts',
  cloud_model_blocked: 'set fleet.cloudModels to let prompts leave the house',
  operation_disabled: 'switch features.modelOperations on',
  collection_not_found: '"corral collections ls" lists those of this key',
  document_not_found: '"corral documents ls NAME" lists what is there',
  job_not_found: '"corral jobs ls" lists those of this key; ended ones are kept for ingest.keepJobsMs',
  assistant_not_found: '"corral assistants ls" lists those of this key',
  precondition_failed: 'read it again and decide anew',
  node_not_found: '"corral nodes ls" lists the names',
  key_not_found: '"corral keys ls" lists keys',
  body_timeout: 'send the body without pauses, or look at the network between',
  body_too_large: 'send less at once, or raise the limit that the message names',
  answer_too_large: 'send fewer texts at once, or raise fleet.wholeBytesMax',
  document_too_large: 'split the document',
  document_unsupported: 'save it as a format that is read (docs/documents.md), or leave it out with --exclude',
  document_bomb: 'save it anew in its own program, without embedded media',
  document_broken: 'open it in its own program and save it anew',
  document_empty: 'nothing in it would be seen by a reader: leave it out with --exclude',
  document_encrypted: 'save it without a password',
  document_needs_ocr: 'run it through OCR, for example ocrmypdf, and ingest the result',
  document_too_complex: 'split it, or print it to a new PDF',
  document_too_many_pages: 'split the document',
  document_timeout: 'split it, or print it to a new PDF',
  url_not_allowed: 'save the page and ingest the file',
  url_refused: 'open the URL in a browser without a login: that is what the gateway sees',
  url_failed: 'try again later: corral jobs retry --failed',
  parser_failed: "the cause is in the gateway's log",
  rate_limited: 'wait for the time of Retry-After, or have the limit raised',
  budget_exhausted: 'wait for the next day or month, or have the budget raised',
  internal: "the cause is in the gateway's log under the request id",
  node_failed: 'look at "corral nodes ls"; documents that failed go on with: corral jobs retry --failed',
  no_node: 'look at "corral nodes ls"; documents that failed go on with: corral jobs retry --failed',
  queue_full: 'wait for the time of Retry-After; "corral top" shows what is under way',
  overloaded: 'wait for the time of Retry-After; give the gateway more memory, or add a replica',
  store_unavailable: 'look at the database; the gateway goes on by itself when it is back',
  store_full: 'make room on the disk of the database',
  loop_detected: 'a node of this gateway leads back to it: look at fleet.nodes and OLLAMA_HOST',
}

const byCode = new Map<string, string>(Object.entries(hints))

/** Null: the reason says it all, or the code is not of the catalogue. */
export function hintOf(code: string): string | null {
  return byCode.get(code) ?? null
}
