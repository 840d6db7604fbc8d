/** All of `/rag` but the two routes that are asked (`asked-routes.ts`). */
import type { Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import { ownRoute, type OwnRouteDeps } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import { mountAssistants } from './assistant-routes.ts'
import { mountCollections } from './collection-routes.ts'
import { mountDocuments } from './document-routes.ts'
import { mountFeedback } from './feedback-routes.ts'
import { mountJobs } from './job-routes.ts'
import { describeApi } from './openapi.ts'
import type { RagDeps } from './rag-deps.ts'

/** Mounts the routes; null: they are switched off, or there is no store, and each says so. */
export function mountRag(app: Hono<NodeBindings>, deps: RagDeps | null, base: OwnRouteDeps): void {
  app.get('/rag/openapi.json', (context) => context.json(describeApi(), 200, { 'cache-control': 'no-cache' }))
  if (deps !== null) {
    mountCollections(app, deps)
    mountDocuments(app, deps)
    mountJobs(app, deps)
    mountAssistants(app, deps)
    mountFeedback(app, deps)
  }
  app.all(
    '/rag/*',
    ownRoute({ newId: base.newId, guard: base.guard }, (context) => {
      if (deps === null) throw new CorralError('route_not_found', 'documents need features.rag and store.enabled; one of them is off')
      throw new CorralError(
        'route_not_found',
        `no such route: ${context.req.method} ${context.req.path.slice(0, 200)}; see /rag/openapi.json`,
      )
    }),
  )
}
