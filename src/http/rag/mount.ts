/** What is there of `/rag` in any case; its routes themselves load only where documents are served (`rag-routes.ts`). */
import type { Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import { ownRoute, type OwnRouteDeps } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import type { RagRoutes } from './rag-routes.ts'

/** Mounts the routes; null: they are switched off, or there is no store, and each says so. */
export function mountRag(app: Hono<NodeBindings>, routes: RagRoutes | null, base: OwnRouteDeps): void {
  app.get('/rag/openapi.json', async (context) => {
    const { describeApi } = await import('./openapi.ts')
    return context.json(describeApi(), 200, { 'cache-control': 'no-cache' })
  })
  routes?.mount(app)
  app.all(
    '/rag/*',
    ownRoute({ newId: base.newId, guard: base.guard }, (context) => {
      if (routes === null) throw new CorralError('route_not_found', 'documents need features.rag and store.enabled; one of them is off')
      throw new CorralError(
        'route_not_found',
        `no such route: ${context.req.method} ${context.req.path.slice(0, 200)}; see /rag/openapi.json`,
      )
    }),
  )
}
