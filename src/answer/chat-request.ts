/** A native `/api/chat` request made by Corral itself, as the gateway's own relay takes it: caches, limits and fairness hold for it as for any other. */
import type { InferenceRequest } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import { scanEnvelope } from '../wire/envelope.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { matchRoute } from '../wire/routes.ts'
import type { ChatMessage } from './prompt.ts'

export interface ChatWish {
  readonly model: string
  readonly messages: readonly ChatMessage[]
  readonly stream: boolean
  /** In the order in which they are sent: the same request must be the same bytes. */
  readonly options: Readonly<Record<string, SamplingValue>>
  /** Of the client's request: only what it says of caching is taken over. */
  readonly headers: readonly string[]
}

export type SamplingValue = number | readonly string[]

const passedHeaders = new Set(['cache-control', 'x-corral-cache'])
const unlimited = { depthMax: Infinity, keysMax: Infinity }

function chatRoute(): RouteFacts {
  const match = matchRoute('POST', '/api/chat')
  if (match.kind !== 'route') throw new Error('no route /api/chat')
  return match.facts
}

const route = chatRoute()

/** No tools, no images, nothing but text and options. */
export function chatRequest({ model, messages, stream, options, headers }: ChatWish): InferenceRequest {
  const body = Buffer.from(JSON.stringify({ model, messages, stream, options }))
  return {
    route,
    method: 'POST',
    target: '/api/chat',
    headers: ['content-type', 'application/json', ...passedOn(headers)],
    body,
    envelope: scanEnvelope(body, unlimited),
    model: canonicalModelName(model),
    stream,
  }
}

function passedOn(headers: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const name = headers[index] ?? ''
    if (passedHeaders.has(name)) kept.push(name, headers[index + 1] ?? '')
  }
  return kept
}
