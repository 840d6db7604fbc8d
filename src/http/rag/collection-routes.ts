/** `/rag/collections`: making, listing, reading, changing, emptying and removing collections of the caller's tenant. */
import type { Hono } from 'hono'

import type { Collection, CollectionSettings } from '../../core/corpus.ts'
import { createCollection, deleteCollection, listCollections, purgeCollection, updateCollection } from '../../search/collections.ts'
import { CorralError } from '../../core/errors.ts'
import type { Database, Transaction } from '../../store/database.ts'
import { actOf, json, ownRoute, parameter, readJson } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import { change } from './idempotency.ts'
import type { RagDeps } from './rag-deps.ts'
import {
  collectionOf,
  entityTag,
  heldCollectionOf,
  jsonBytesMax,
  mustMatch,
  noCollection,
  noStore,
  pageOf,
  type RagContext,
  tagged,
  tenantOf,
} from './rag-route.ts'
import { changedCollection, newCollection } from './shapes.ts'

export function mountCollections(app: Hono<NodeBindings>, deps: RagDeps): void {
  app.post(
    '/rag/collections',
    ownRoute(
      deps,
      change(deps, (context) => create(context, deps)),
    ),
  )
  app.get(
    '/rag/collections',
    ownRoute(deps, (context) => list(context, deps)),
  )
  app.get(
    '/rag/collections/:name',
    ownRoute(deps, (context) => show(context, deps)),
  )
  app.patch(
    '/rag/collections/:name',
    ownRoute(
      deps,
      change(deps, (context) => alter(context, deps)),
    ),
  )
  app.post(
    '/rag/collections/:name/purge',
    ownRoute(
      deps,
      change(deps, (context) => purge(context, deps)),
    ),
  )
  app.delete(
    '/rag/collections/:name',
    ownRoute(
      deps,
      change(deps, (context) => remove(context, deps)),
    ),
  )
}

async function create(context: RagContext, deps: RagDeps): Promise<Response> {
  const { database, clock, service } = deps
  const tenant = tenantOf(context, deps)
  const { name, settings: wanted } = await readJson(context, { clock, bytesMax: jsonBytesMax, what: 'collection', shape: newCollection })
  const settings = await service.newSettings(present(wanted))
  const made = await database.tx({ tenant }, (transaction) => createCollection(transaction, { tenant, id: deps.newId(), name, settings }), {
    name: 'create_collection',
  })
  deps.onChange('create collection', name, actOf(context, deps))
  return context.json(viewOf(made), 201, { location: `/rag/collections/${name}`, etag: tagOf(made), ...noStore })
}

async function list(context: RagContext, deps: RagDeps): Promise<Response> {
  const tenant = tenantOf(context, deps)
  const asked = pageOf(context, deps)
  const wanted = { tenant, after: asked.after[0] ?? '', limit: asked.limit + 1 }
  const rows = await read(deps.database, tenant, (transaction) => listCollections(transaction, wanted))
  const { page, next } = asked.of(rows, ({ name }) => [name])
  return json(context, { collections: page.map(viewOf), next })
}

async function show(context: RagContext, deps: RagDeps): Promise<Response> {
  const tenant = tenantOf(context, deps)
  const found = await read(deps.database, tenant, (transaction) => collectionOf(context, transaction, tenant))
  return tagged(context, viewOf(found), tagOf(found))
}

function read<T>(database: Database, tenant: string, work: Parameters<typeof database.tx<T>>[1]): Promise<T> {
  return database.tx({ tenant }, work, { name: 'read_collections', readOnly: true })
}

async function alter(context: RagContext, deps: RagDeps): Promise<Response> {
  const { database, clock, service } = deps
  const tenant = tenantOf(context, deps)
  const { settings: wanted } = await readJson(context, { clock, what: 'collection', shape: changedCollection })
  const settings = present(wanted)
  // Another embedder must be there before anything depends on it.
  if (typeof settings.embedder === 'string')
    Object.assign(settings, { embedder: (await service.newSettings({ embedder: settings.embedder })).embedder })
  const changed = await database.tx(
    { tenant },
    async (transaction) => {
      const found = await heldCollectionOf(context, transaction, tenant)
      mustMatchCollection(context, found)
      return updateCollection(transaction, { tenant, name: found.name, settings })
    },
    { name: 'alter_collection' },
  )
  if (changed === null) throw noCollection(parameter(context, 'name'))
  deps.onChange('change collection', changed.name, actOf(context, deps))
  return context.json(viewOf(changed), 200, { etag: tagOf(changed), ...noStore })
}

async function purge(context: RagContext, deps: RagDeps): Promise<Response> {
  const { service } = deps
  const tenant = tenantOf(context, deps)
  const emptied = await withoutDocuments(context, deps, (transaction, found) => {
    mustMatchCollection(context, found)
    return purgeCollection(transaction, { tenant, name: found.name }, service.purgeVectors)
  })
  if (emptied === null) throw noCollection(parameter(context, 'name'))
  await purgeTexts(context, deps, tenant)
  deps.onChange('purge collection', emptied.name, actOf(context, deps))
  return context.json(viewOf(emptied), 200, { etag: tagOf(emptied), ...noStore })
}

async function remove(context: RagContext, deps: RagDeps): Promise<Response> {
  const { service } = deps
  const tenant = tenantOf(context, deps)
  const name = await withoutDocuments(context, deps, async (transaction, found) => {
    mustMatchCollection(context, found)
    await deleteCollection(transaction, { tenant, name: found.name }, service.purgeVectors)
    return found.name
  })
  await purgeTexts(context, deps, tenant)
  deps.onChange('delete collection', name, actOf(context, deps))
  return context.body(null, 204)
}

/** Removes jobs and bytes of the collection that the path names, and in the same transaction what `work` removes. */
async function withoutDocuments<T>(
  context: RagContext,
  deps: RagDeps,
  work: (transaction: Transaction, found: Collection) => Promise<T>,
): Promise<T> {
  const tenant = tenantOf(context, deps)
  const { id } = await read(deps.database, tenant, (transaction) => collectionOf(context, transaction, tenant))
  return deps.service.ingest.removeAll({ tenant, collection: id }, async (transaction) => {
    const found = await heldCollectionOf(context, transaction, tenant)
    if (found.id !== id) throw new CorralError('conflict', 'the collection was made anew meanwhile: ask again')
    return work(transaction, found)
  })
}

/** With `?purge=true`, what models said with the removed text before them goes as well, of the whole tenant. */
export async function purgeTexts(context: RagContext, { service }: RagDeps, tenant: string): Promise<void> {
  if (context.req.query('purge') === 'true') await service.forgetTexts(tenant)
}

function mustMatchCollection(context: RagContext, found: Collection): void {
  mustMatch(context, tagOf(found))
}

function tagOf({ id, version }: Collection): string {
  return entityTag(id, version)
}

export function viewOf({ name, settings, version, documents, chunks, createdAtMs, updatedAtMs }: Collection): object {
  const [createdAt, updatedAt] = [createdAtMs, updatedAtMs].map((atMs) => new Date(atMs).toISOString())
  return { name, settings, version, documents, chunks, createdAt, updatedAt }
}

/** Without the keys that were left out, which stand as undefined. */
function present(settings: {
  readonly [Key in keyof CollectionSettings]?: CollectionSettings[Key] | undefined
}): Partial<CollectionSettings> {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
}
