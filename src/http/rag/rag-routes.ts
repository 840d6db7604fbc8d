/**
 * The routes below `/rag`. `POST /rag/search` and `POST /rag/chat` are inferences to everything around them, so that the way of a call (its id,
 * its client's leaving, limits, usage, keep-alive bytes, errors in mid-stream) is the same as that of any other.
 */
import type { Hono } from 'hono'

import type { RouteFacts } from '../../core/route.ts'
import type { Relay, RelayLayer } from '../../core/relay.ts'
import type { NodeBindings } from '../server.ts'
import { mountAssistants } from './assistant-routes.ts'
import { chatRelay } from './chat.ts'
import { mountCollections } from './collection-routes.ts'
import { mountDocuments } from './document-routes.ts'
import { mountFeedback } from './feedback-routes.ts'
import { mountJobs } from './job-routes.ts'
import type { RagDeps } from './rag-deps.ts'
import { searchRelay } from './search.ts'

const shared = {
  methods: ['POST'],
  dialect: 'problem',
  placement: 'local',
  terminator: 'none',
  body: 'json',
  scope: 'rag:read',
  acceptsZstd: false,
} as const

const searchFacts: RouteFacts = {
  ...shared,
  pattern: '/rag/search',
  operation: 'other',
  framing: 'none',
  streamsByDefault: false,
  streams: false,
}

const chatFacts: RouteFacts = {
  ...shared,
  pattern: '/rag/chat',
  operation: 'chat',
  framing: 'sse',
  streamsByDefault: true,
  streams: true,
}

export interface AskedRoute {
  readonly facts: RouteFacts
  readonly relay: Relay
}

export interface AskedLayers {
  /** Around both. */
  readonly recording: RelayLayer
  /** Around a search; what a chat generates passes the limits by itself. */
  readonly limiting: RelayLayer
  /** Around a chat, once its model is known. */
  readonly access: RelayLayer
}

/** What the surface needs of `/rag`. */
export interface RagRoutes {
  /** The two that are asked, by their paths. */
  readonly asked: ReadonlyMap<string, AskedRoute>
  /** Mounts all others. */
  mount(app: Hono<NodeBindings>): void
}

export function ragRoutes(deps: RagDeps, { recording, limiting, access }: AskedLayers): RagRoutes {
  const asked = new Map([
    [searchFacts.pattern, { facts: searchFacts, relay: recording(limiting(searchRelay(deps))) }],
    [chatFacts.pattern, { facts: chatFacts, relay: recording(chatRelay(deps, access)) }],
  ])
  return {
    asked,
    mount(app) {
      mountCollections(app, deps)
      mountDocuments(app, deps)
      mountJobs(app, deps)
      mountAssistants(app, deps)
      mountFeedback(app, deps)
    },
  }
}
