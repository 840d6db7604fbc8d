/** `POST /rag/search` as a relay: one search, told as JSON. */
import { wholeBody } from '../../answer/written-answer.ts'
import type { Call } from '../../core/call.ts'
import { CorralError } from '../../core/errors.ts'
import type { Relay } from '../../core/relay.ts'
import { decodeBody } from '../decode-json.ts'
import { checkModel } from './allowed-model.ts'
import type { FoundSearch, RagDeps } from './rag-deps.ts'
import { searchBody } from './shapes.ts'

export function searchRelay({ service, clock }: Pick<RagDeps, 'service' | 'clock'>): Relay {
  return async ({ body, headers, route }, call) => {
    const { collection, collections, fusionWeight, ...wish } = decodeBody(body, 'search', searchBody)
    checkModel(call.principal, wish.reranker)
    const request = {
      ...wish,
      tenant: call.tenant,
      collections: namedCollections({ collection, collections }),
      ...(fusionWeight === undefined ? {} : { fusionWeight }),
    }
    const { cacheRole, ...found } = await service.search(request, {
      signal: signalOf(call),
      call,
      headers,
      route: route.pattern,
      endsAtMs: call.deadlineAtMs,
    })
    const answer = wholeBody(JSON.stringify(viewOf(found)), 'application/json; charset=utf-8', clock.nowMs())
    return { ...answer, headers: { ...answer.headers, 'x-corral-cache': cacheRole } }
  }
}

/** Of `collection` and `collections`, one is to be given. */
export function namedCollections(wish: {
  readonly collection?: string | undefined
  readonly collections?: string[] | undefined
}): string[] {
  const { collection, collections } = wish
  if ((collection === undefined) === (collections === undefined)) {
    throw new CorralError('invalid_request', 'name one "collection", or several as "collections"')
  }
  return collections ?? [collection ?? '']
}

function signalOf({ signal }: Call): AbortSignal {
  const controller = new AbortController()
  signal.on(() => controller.abort(new CorralError('client_gone', 'the client left during the search')))
  return controller.signal
}

function viewOf({ degraded, ...answer }: Omit<FoundSearch, 'cacheRole'>): object {
  return { ...answer, degraded: degraded !== null, degradedReason: degraded?.reason ?? null }
}
