/** A request whose body Corral changes itself, after it passed the limits of the door: its envelope follows, since the ranges moved. */
import type { InferenceRequest } from '../core/relay.ts'
import { scanEnvelope } from './envelope.ts'
import { replaceField } from './splice.ts'

const unlimited = { depthMax: Infinity, keysMax: Infinity }

/** The same request with other body bytes. */
export function withBody(request: InferenceRequest, body: Buffer): InferenceRequest {
  return { ...request, body, envelope: scanEnvelope(body, unlimited) }
}

/** The same request with top-level `key` (lower case) set to the JSON text `json`. */
export function withField(request: InferenceRequest, key: string, json: string): InferenceRequest {
  return withBody(request, replaceField(request.body, request.envelope, key, json))
}
