/** What the routes below `/rag` share: whose tenant it is, pages with a cursor, entity tags, and names that lead nowhere. */
import type { Context } from 'hono'
import { createHash } from 'node:crypto'

import { CorralError } from '../../core/errors.ts'
import type { Collection } from '../../core/corpus.ts'
import { type CollectionPlace, getCollection } from '../../search/collections.ts'
import type { Transaction } from '../../store/database.ts'
import { parameter } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import type { RagDeps } from './rag-deps.ts'

export type RagContext = Context<NodeBindings>

/** Bytes of a JSON body below `/rag`. */
export const jsonBytesMax = 1_048_576

export function tenantOf(context: RagContext, { guard }: RagDeps): string {
  return guard.principalOf(context.env.incoming).tenant
}

const pageDefault = 50
export const pageMax = 200

/** The page a client asks for: rows after `after` (`places` texts, or none), at most `limit`. Throws `invalid_request`. */
export function pageOf(context: RagContext, places = 1): { readonly after: readonly string[]; readonly limit: number } {
  const { limit = String(pageDefault), cursor } = context.req.query()
  const rows = Number(limit)
  if (!Number.isInteger(rows) || rows < 1 || rows > pageMax) throw new CorralError('invalid_request', `limit is 1 to ${pageMax}`)
  return { after: cursor === undefined ? [] : readCursor(cursor, places), limit: rows }
}

/** `rows` has one more than the page when there is another one. */
export function pageWithNext<Row>(
  rows: readonly Row[],
  limit: number,
  placeOf: (last: Row) => readonly string[],
): { readonly page: readonly Row[]; readonly next: string | null } {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return { page, next: rows.length <= limit || last === undefined ? null : writeCursor(placeOf(last)) }
}

/** Opaque to clients. */
function writeCursor(place: readonly string[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url')
}

function readCursor(cursor: string, places: number): readonly string[] {
  try {
    const place: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(place) && place.length === places && place.every((item) => typeof item === 'string')) return place
  } catch {
    // Told below.
  }
  throw new CorralError('invalid_request', 'cursor: give the "next" of the page before, as it was')
}

/** A strong tag of what `state` says. */
export function entityTag(...state: readonly (string | number)[]): string {
  return `"${createHash('sha256').update(JSON.stringify(state)).digest('base64url').slice(0, 22)}"`
}

/** Whether the client has this state already. */
export function isKnown(context: RagContext, tag: string): boolean {
  return tagsIn(context.req.header('if-none-match')).some((known) => known === '*' || known.replace(/^W\//, '') === tag)
}

/** Throws `precondition_failed` when the client wants to change another state than the present one. */
export function mustMatch(context: RagContext, tag: string): void {
  const wanted = context.req.header('if-match')
  if (wanted === undefined || tagsIn(wanted).some((known) => known === '*' || known === tag)) return
  throw new CorralError('precondition_failed', 'it was changed meanwhile: read it again, and send the new ETag in If-Match')
}

function tagsIn(header: string | undefined): string[] {
  return (header ?? '')
    .split(',')
    .map((tag) => tag.trim())
    .filter((tag) => tag !== '')
}

/** The collection that the path names. Throws `collection_not_found`. */
export function collectionOf(context: RagContext, transaction: Transaction, tenant: string): Promise<Collection> {
  return existing(transaction, { tenant, name: parameter(context, 'name') }, { holds: false })
}

/** The same, as it is until the transaction ends. */
export function heldCollectionOf(context: RagContext, transaction: Transaction, tenant: string): Promise<Collection> {
  return existing(transaction, { tenant, name: parameter(context, 'name') }, { holds: true })
}

async function existing(transaction: Transaction, place: CollectionPlace, options: { readonly holds: boolean }): Promise<Collection> {
  const found = await getCollection(transaction, place, options)
  if (found === null) throw noCollection(place.name)
  return found
}

export function noCollection(name: string): CorralError {
  return new CorralError('collection_not_found', `no collection ${JSON.stringify(name.slice(0, 80))}: make it with POST /rag/collections`)
}

export function noDocument(id: string): CorralError {
  return new CorralError('document_not_found', `no document ${JSON.stringify(id.slice(0, 200))} in this collection`)
}

export const noStore = { 'cache-control': 'no-store' }

/** `value` as JSON with its tag, or 304. */
export function tagged(context: RagContext, value: object, tag: string): Response {
  const headers = { etag: tag, 'cache-control': 'no-cache' }
  return isKnown(context, tag) ? context.body(null, 304, headers) : context.json(value, 200, headers)
}
