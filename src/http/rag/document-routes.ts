/** `/rag/collections/{name}/documents`: documents in by upload or URL, and what is there of them. */
import type { Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import { documentText, type DocumentView, getDocument, listDocuments } from '../../search/documents.ts'
import type { Transaction } from '../../store/database.ts'
import { actOf, json, ownRoute, parameter } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import { purgeTexts } from './collection-routes.ts'
import { takeDocuments } from './document-upload.ts'
import { change } from './idempotency.ts'
import { answerJobs } from './job-answer.ts'
import type { RagDeps } from './rag-deps.ts'
import {
  collectionOf,
  entityTag,
  heldCollectionOf,
  isKnown,
  mustMatch,
  noDocument,
  noStore,
  pageOf,
  type RagContext,
  tagged,
  tenantOf,
} from './rag-route.ts'

const base = '/rag/collections/:name/documents'

export function mountDocuments(app: Hono<NodeBindings>, deps: RagDeps): void {
  app.post(
    base,
    ownRoute(deps, (context) => takeDocuments(context, deps)),
  )
  app.get(
    base,
    ownRoute(deps, (context) => list(context, deps)),
  )
  app.get(
    `${base}/:id`,
    ownRoute(deps, (context) => show(context, deps)),
  )
  app.get(
    `${base}/:id/text`,
    ownRoute(deps, (context) => text(context, deps)),
  )
  app.get(
    `${base}/:id/source`,
    ownRoute(deps, (context) => source(context, deps)),
  )
  app.post(
    `${base}/:id/reingest`,
    ownRoute(
      deps,
      change(deps, (context) => reingest(context, deps)),
    ),
  )
  app.post(
    '/rag/collections/:name/reingest',
    ownRoute(
      deps,
      change(deps, (context) => reingestAll(context, deps)),
    ),
  )
  app.delete(
    `${base}/:id`,
    ownRoute(
      deps,
      change(deps, (context) => remove(context, deps)),
    ),
  )
}

interface Place {
  readonly tenant: string
  readonly collection: string
  readonly document: string
}

function inCollection<T>(
  context: RagContext,
  deps: RagDeps,
  work: (transaction: Transaction, place: Omit<Place, 'document'>) => Promise<T>,
): Promise<T> {
  const tenant = tenantOf(context, deps)
  return deps.database.tx(
    { tenant },
    async (transaction) => work(transaction, { tenant, collection: (await collectionOf(context, transaction, tenant)).id }),
    { name: 'read_documents', readOnly: true },
  )
}

/** The document that the path names, which is there. Throws `collection_not_found` or `document_not_found`. */
function found(context: RagContext, deps: RagDeps): Promise<{ readonly place: Place; readonly view: DocumentView }> {
  return inCollection(context, deps, async (transaction, place) => {
    const document = parameter(context, 'id')
    const view = await getDocument(transaction, { ...place, document })
    if (view === null) throw noDocument(document)
    return { place: { ...place, document }, view }
  })
}

async function list(context: RagContext, deps: RagDeps): Promise<Response> {
  const asked = pageOf(context, deps)
  const rows = await inCollection(context, deps, (transaction, place) =>
    listDocuments(transaction, { ...place, after: asked.after[0] ?? '', limit: asked.limit + 1 }),
  )
  const { page, next } = asked.of(rows, ({ id }) => [id])
  return json(context, { documents: page.map(viewOf), next })
}

async function show(context: RagContext, deps: RagDeps): Promise<Response> {
  const { view } = await found(context, deps)
  return tagged(context, viewOf(view), tagOf(view))
}

async function text(context: RagContext, deps: RagDeps): Promise<Response> {
  const { place, view } = await found(context, deps)
  const tag = tagOf(view)
  if (isKnown(context, tag)) return context.body(null, 304, { etag: tag, ...noStore })
  const whole = await deps.database.tx({ tenant: place.tenant }, (transaction) => documentText(transaction, place), {
    name: 'read_document_text',
    readOnly: true,
  })
  if (whole === null) throw noDocument(place.document)
  return new Response(whole, { headers: { ...asDownload('text/plain; charset=utf-8', `${view.title}.txt`), etag: tag } })
}

async function source(context: RagContext, deps: RagDeps): Promise<Response> {
  const { place, view } = await found(context, deps)
  const given = await deps.service.ingest.source(place)
  if (given === null) throw new CorralError('document_not_found', 'the bytes of this document are not kept')
  const bytes = given.bytes[Symbol.asyncIterator]()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await bytes.next()
      if (done === true) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await bytes.return?.()
    },
  })
  return new Response(body, { headers: asDownload(view.contentType, given.source.name) })
}

/** Whoever wrote the document does not run a script here. */
function asDownload(contentType: string, name: string): Record<string, string> {
  return {
    'content-type': contentType,
    'content-disposition': `attachment; filename*=UTF-8''${encodeURIComponent(name).replaceAll(/['()*]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`)}`,
    'content-security-policy': "default-src 'none'; sandbox",
    'x-content-type-options': 'nosniff',
    ...noStore,
  }
}

async function reingest(context: RagContext, deps: RagDeps): Promise<Response> {
  const { place } = await found(context, deps)
  const job = await deps.service.ingest.reingest(place)
  if (job === null) throw new CorralError('conflict', 'the bytes of this document are not kept: upload it again')
  return answerJobs(context, deps, [job])
}

async function reingestAll(context: RagContext, deps: RagDeps): Promise<Response> {
  const tenant = tenantOf(context, deps)
  const { id, name, documents } = await inCollection(context, deps, (transaction) => collectionOf(context, transaction, tenant))
  const jobs = await deps.service.ingest.reingestAll({ tenant, collection: id })
  deps.onChange('reingest collection', name, actOf(context, deps))
  return context.json({ jobs, withoutBytes: Math.max(0, documents - jobs) }, 202, noStore)
}

async function remove(context: RagContext, deps: RagDeps): Promise<Response> {
  const document = parameter(context, 'id')
  const place = await inCollection(context, deps, (_, owner) => Promise.resolve({ ...owner, document }))
  const { tenant } = place
  // Within the change itself and under the collection's lock: a new revision of this moment is not removed by an old tag.
  const check = async (transaction: Transaction): Promise<void> => {
    await heldCollectionOf(context, transaction, tenant)
    const view = await getDocument(transaction, place)
    if (view !== null) mustMatch(context, tagOf(view))
    else if (context.req.header('if-match') !== undefined) throw noDocument(document)
  }
  if (!(await deps.service.ingest.remove(place, check))) throw noDocument(document)
  await purgeTexts(context, deps, tenant)
  deps.onChange('delete document', `${parameter(context, 'name')}/${document.slice(0, 200)}`, actOf(context, deps))
  return context.body(null, 204)
}

function tagOf({ id, revision, contentHash, updatedAtMs }: DocumentView): string {
  return entityTag(id, revision, contentHash, updatedAtMs)
}

function viewOf({ createdAtMs, updatedAtMs, ...view }: DocumentView): object {
  return { ...view, createdAt: new Date(createdAtMs).toISOString(), updatedAt: new Date(updatedAtMs).toISOString() }
}
