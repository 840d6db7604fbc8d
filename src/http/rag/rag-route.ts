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

export interface Page {
  /** Where the page before ended; nothing for the first one. */
  readonly after: readonly string[]
  /** Rows of a page; one more is to be read, which tells whether there is another page. */
  readonly limit: number
  /** The page out of what was read, and the cursor of the one after it. */
  of<Row>(rows: readonly Row[], placeOf: (last: Row) => readonly string[]): { readonly page: readonly Row[]; readonly next: string | null }
}

/** The page a client asks for of the list at this path. Throws `invalid_request`, also for a cursor of another list or tenant. */
export function pageOf(context: RagContext, deps: RagDeps): Page {
  const { limit = String(pageDefault), cursor } = context.req.query()
  const { cursors } = deps.service
  const list = [tenantOf(context, deps), context.req.path]
  const rowsMax = Number(limit)
  if (!Number.isInteger(rowsMax) || rowsMax < 1 || rowsMax > pageMax) throw new CorralError('invalid_request', `limit is 1 to ${pageMax}`)
  const after = cursor === undefined ? [] : cursors.open(cursor, list)
  if (after === null) throw new CorralError('invalid_request', 'cursor: give the "next" of the page before of this very list, as it was')
  return {
    after,
    limit: rowsMax,
    of(rows, placeOf) {
      const page = rows.slice(0, rowsMax)
      const last = page.at(-1)
      return { page, next: rows.length <= rowsMax || last === undefined ? null : cursors.make(placeOf(last), list) }
    },
  }
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
