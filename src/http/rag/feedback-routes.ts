/** `/rag/answers/{id}/feedback`: what readers think of an answer. */
import type { Hono } from 'hono'

import type { Feedback } from '../../answer/answer-log.ts'
import { json, ownRoute, parameter, readJson } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import { change } from './idempotency.ts'
import type { RagDeps } from './rag-deps.ts'
import { pageOf, tenantOf } from './rag-route.ts'
import { feedbackWish } from './shapes.ts'

const path = '/rag/answers/:id/feedback'

export function mountFeedback(app: Hono<NodeBindings>, deps: RagDeps): void {
  const { clock, guard, service } = deps
  app.post(
    path,
    ownRoute(
      deps,
      change(deps, async (context) => {
        const { tenant, subject } = guard.principalOf(context.env.incoming)
        const wish = await readJson(context, { clock, what: 'feedback', shape: feedbackWish })
        return json(context, viewOf(await service.answers.rate({ tenant, answer: parameter(context, 'id'), subject }, wish)), 201)
      }),
    ),
  )
  app.get(
    path,
    ownRoute(deps, async (context) => {
      const asked = pageOf(context, deps)
      const [createdAt, id] = asked.after
      const rows = await service.answers.ratings(
        { tenant: tenantOf(context, deps), answer: parameter(context, 'id') },
        {
          limit: asked.limit + 1,
          ...(createdAt === undefined || id === undefined ? {} : { after: { createdAtMs: Number(createdAt), id } }),
        },
      )
      const { page, next } = asked.of(rows, (feedback) => [String(feedback.createdAtMs), feedback.id])
      return json(context, { feedback: page.map(viewOf), next })
    }),
  )
}

function viewOf({ createdAtMs, ...view }: Feedback): object {
  return { ...view, createdAt: new Date(createdAtMs).toISOString() }
}
