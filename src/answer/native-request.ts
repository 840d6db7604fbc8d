/** A request of Corral's own to a native route, as the gateway's relay takes it: caches, limits and fairness hold for it as for any other. */
import type { InferenceRequest } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import { scanEnvelope } from '../wire/envelope.ts'
import { canonicalModelName } from '../wire/model-name.ts'
import { matchRoute } from '../wire/routes.ts'

export interface NativeWish {
  readonly path: '/api/chat' | '/api/embed' | '/api/show'
  /** In the order in which it is sent: the same request must be the same bytes. */
  readonly content: { readonly model: string; readonly [name: string]: unknown }
  readonly stream: boolean
  /** Flat list beside the content type; names lower-case. */
  readonly headers: readonly string[]
}

const unlimited = { depthMax: Infinity, keysMax: Infinity }

function factsOf(path: string): RouteFacts {
  const match = matchRoute('POST', path)
  if (match.kind !== 'route') throw new Error(`no route ${path}`)
  return match.facts
}

const routes = { '/api/chat': factsOf('/api/chat'), '/api/embed': factsOf('/api/embed'), '/api/show': factsOf('/api/show') } as const

export function nativeRequest({ path, content, stream, headers }: NativeWish): InferenceRequest {
  const body = Buffer.from(JSON.stringify(content))
  return {
    route: routes[path],
    method: 'POST',
    target: path,
    headers: ['content-type', 'application/json', ...headers],
    body,
    envelope: scanEnvelope(body, unlimited),
    model: canonicalModelName(content.model),
    stream,
  }
}
