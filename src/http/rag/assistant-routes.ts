/** `/rag/assistants`: virtual models over collections. An entity tag is the revision. */
import type { Hono } from 'hono'

import { volatileWarnings } from '../../answer/volatile-text.ts'
import type { Assistant } from '../../core/assistant.ts'
import { CorralError } from '../../core/errors.ts'
import { checkModel } from './allowed-model.ts'
import { actOf, json, ownRoute, parameter, readJson } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import { change } from './idempotency.ts'
import type { RagDeps } from './rag-deps.ts'
import { jsonBytesMax, noStore, pageOf, type RagContext, tagged, tenantOf } from './rag-route.ts'
import { getCollections } from '../../search/collections.ts'
import { assistantWish } from './shapes.ts'

export function mountAssistants(app: Hono<NodeBindings>, deps: RagDeps): void {
  const { assistants } = deps.service
  app.get(
    '/rag/assistants',
    ownRoute(deps, async (context) => {
      const asked = pageOf(context, deps)
      const rows = await assistants.list(tenantOf(context, deps), { after: asked.after[0] ?? null, limit: asked.limit + 1 })
      const { page, next } = asked.of(rows, ({ name }) => [name])
      return json(context, { assistants: page.map(viewOf), next })
    }),
  )
  app.post(
    '/rag/assistants',
    ownRoute(
      deps,
      change(deps, (context) => put(context, deps, { name: null, revision: 0 })),
    ),
  )
  app.get(
    '/rag/assistants/:name',
    ownRoute(deps, async (context) => {
      const name = parameter(context, 'name')
      const found = await assistants.get(tenantOf(context, deps), name)
      if (found === null) throw noAssistant(name)
      return tagged(context, viewOf(found), tagOf(found))
    }),
  )
  app.put(
    '/rag/assistants/:name',
    ownRoute(
      deps,
      change(deps, (context) => put(context, deps, { name: parameter(context, 'name'), revision: wantedRevision(context) })),
    ),
  )
  app.delete(
    '/rag/assistants/:name',
    ownRoute(
      deps,
      change(deps, async (context) => {
        const name = parameter(context, 'name')
        if (!(await assistants.remove(tenantOf(context, deps), name, wantedRevision(context)))) throw noAssistant(name)
        await deps.service.assistantsKnown()
        deps.onChange('delete assistant', name, actOf(context, deps))
        return context.body(null, 204)
      }),
    ),
  )
}

function noAssistant(name: string): CorralError {
  return new CorralError('assistant_not_found', `no assistant ${JSON.stringify(name.slice(0, 128))}: see GET /rag/assistants`)
}

async function put(
  context: RagContext,
  deps: RagDeps,
  { name, revision }: { readonly name: string | null; readonly revision: number | null },
): Promise<Response> {
  const { clock, database, service } = deps
  const tenant = tenantOf(context, deps)
  const shape = assistantWish
  const wish = await readJson(context, { clock, what: 'assistant', bytesMax: jsonBytesMax, shape })
  if (name !== null && name !== wish.name) throw new CorralError('invalid_request', `name: the path says ${JSON.stringify(name)}`)
  // Whoever may ask the assistant has its models by it: its maker cannot hand on more than it has.
  const principal = deps.guard.principalOf(context.env.incoming)
  for (const model of [wish.model, wish.settings.reranker, wish.settings.rewriter]) checkModel(principal, model)
  const names = wish.collections
  const known = await database.tx({ tenant }, (transaction) => getCollections(transaction, { tenant, names }), {
    name: 'find_collections',
    readOnly: true,
  })
  const missing = names.find((wanted) => !known.some((collection) => collection.name === wanted))
  if (missing !== undefined) throw new CorralError('collection_not_found', `collections: there is none named ${JSON.stringify(missing)}`)
  const { stored, before } = await service.assistants.put(tenant, wish, revision).catch((error: unknown) => {
    const isTaken = name === null && error instanceof CorralError && error.code === 'precondition_failed'
    throw isTaken
      ? new CorralError('conflict', `there is an assistant ${wish.name}: change it with PUT /rag/assistants/${wish.name}`)
      : error
  })
  await service.assistantsKnown()
  deps.onChange('put assistant', stored.name, actOf(context, deps))
  const warnings = volatileWarnings(stored.prompt, before?.prompt)
  if (warnings.length > 0) deps.onWarning(`assistant ${stored.name} of ${tenant}: ${warnings.join('; ')}`)
  const headers = { etag: tagOf(stored), location: `/rag/assistants/${encodeURIComponent(stored.name)}`, ...noStore }
  return context.json({ ...viewOf(stored), warnings }, stored.revision === 1 ? 201 : 200, headers)
}

/** From `If-Match: "<revision>"` or `If-None-Match: *`; null: whatever it is. */
function wantedRevision(context: RagContext): number | null {
  if (context.req.header('if-none-match')?.trim() === '*') return 0
  const match = context.req.header('if-match')?.trim()
  if (match === undefined || match === '*') return null
  const revision = Number(/^"(\d{1,9})"$/.exec(match)?.[1] ?? Number.NaN)
  if (Number.isNaN(revision)) throw new CorralError('invalid_request', 'If-Match: give the ETag that reading the assistant gave')
  return revision
}

function tagOf({ revision }: Assistant): string {
  return `"${revision}"`
}

function viewOf({ name, title, collections, model, prompt, settings, revision, createdAtMs, updatedAtMs }: Assistant): object {
  const view = { name, title, collections, model, prompt, settings, revision, warnings: volatileWarnings(prompt) }
  return { ...view, createdAt: new Date(createdAtMs).toISOString(), updatedAt: new Date(updatedAtMs).toISOString() }
}
