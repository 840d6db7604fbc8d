/**
 * Collections: making, listing, changing and removing them. A name belongs to one tenant; an id is never used again, so what is
 * remembered of a removed collection fits no other. Removing one leaves nothing of it in any table of `search`: the tables of vectors
 * are cleared by the function that is handed in.
 */
import { z } from 'zod'

import type { Collection, CollectionSettings } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { ConstraintError, type Row, type Transaction } from '../store/database.ts'
import { languages } from './language.ts'

/** Small letters, digits, dots, dashes and underscores, a letter or digit first, 63 at most: as a path segment it needs no escaping. */
export const collectionNamePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/

/** Of one tenant. */
export const collectionsMax = 10_000

const tokens = z.number().int().min(1).max(100_000)

/** What one collection may have of its own. Keys that other parts add to the settings pass through. */
export const collectionSettings = z.looseObject({
  embedder: z.string().min(1).max(200).nullable(),
  language: z.string().refine((language) => languages.includes(language), { error: `one of: ${languages.join(', ')}` }),
  chunking: z
    .strictObject({ targetTokens: tokens, maxTokens: tokens, overlapTokens: z.number().int().min(0).max(100_000) })
    .refine(({ targetTokens, maxTokens, overlapTokens }) => overlapTokens < targetTokens && targetTokens <= maxTokens, {
      error: 'overlapTokens < targetTokens <= maxTokens is needed',
    }),
  fusionWeight: z.number().min(0).max(1),
  retentionDays: z.number().int().min(1).max(36_500).nullable(),
})

/** Where a collection is: by tenant and name. */
export interface CollectionPlace {
  readonly tenant: string
  readonly name: string
}

/** Clears the vectors of a collection, in its transaction. */
export type PurgeVectors = (transaction: Transaction, place: { readonly tenant: string; readonly collection: string }) => Promise<void>

const collectionRow = z
  .object({
    id: z.string(),
    name: z.string(),
    settings: collectionSettings,
    version: z.coerce.number(),
    documents: z.number(),
    chunks: z.number(),
    created_at: z.date(),
    updated_at: z.date(),
  })
  .transform(({ created_at: createdAt, updated_at: updatedAt, ...rest }): Collection => ({
    ...rest,
    createdAtMs: createdAt.getTime(),
    updatedAtMs: updatedAt.getTime(),
  }))

const columns = 'id, name, settings, version, documents, chunks, created_at, updated_at'

function decode(row: Row | undefined): Collection | null {
  return row === undefined ? null : collectionRow.parse(row)
}

function checkName(name: string): void {
  if (collectionNamePattern.test(name)) return
  const hint = 'a name has 1 to 63 small letters, digits, dots, dashes or underscores, and begins with a letter or digit'
  throw new CorralError('invalid_request', `collection name ${JSON.stringify(name.slice(0, 80))}: ${hint}`)
}

function checkSettings(settings: unknown): CollectionSettings {
  const parsed = collectionSettings.safeParse(settings)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CorralError('invalid_request', `collection settings: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`, {
    cause: parsed.error,
  })
}

/**
 * Makes a collection. `id` comes from the caller's source of ids and is unique over all time. Throws `invalid_request` for a bad name or
 * bad settings or when the tenant has too many, `conflict` for a name that is taken.
 */
export async function createCollection(
  transaction: Transaction,
  { tenant, id, name, settings }: CollectionPlace & { readonly id: string; readonly settings: CollectionSettings },
): Promise<Collection> {
  checkName(name)
  const checked = checkSettings(settings)
  try {
    const { rows } = await transaction.query(
      `insert into rag_collections (tenant, id, name, settings)
        select $1, $2, $3, $4::jsonb where (select count(*) from rag_collections where tenant = $1) < $5 returning ${columns}`,
      [tenant, id, name, JSON.stringify(checked), collectionsMax],
    )
    const made = decode(rows[0])
    if (made === null) throw new CorralError('invalid_request', `a tenant has at most ${collectionsMax} collections: remove one first`)
    return made
  } catch (error) {
    if (!(error instanceof ConstraintError) || error.kind !== 'unique') throw error
    throw new CorralError('conflict', `a collection ${name} exists already: take another name, or change its settings`, { cause: error })
  }
}

/** A page of a tenant's collections by name, those after `after`. */
export async function listCollections(
  transaction: Transaction,
  { tenant, after = '', limit = 100 }: { readonly tenant: string; readonly after?: string; readonly limit?: number },
): Promise<Collection[]> {
  const { rows } = await transaction.query(
    `select ${columns} from rag_collections where tenant = $1 and name collate "C" > $2 order by name collate "C" limit $3`,
    [tenant, after, Math.min(Math.max(limit, 1), 1_000)],
  )
  return rows.map((row) => collectionRow.parse(row))
}

/** By name; null when there is none. `holds`: nobody else changes it until the transaction ends. */
export async function getCollection(
  transaction: Transaction,
  { tenant, name }: CollectionPlace,
  { holds = false }: { readonly holds?: boolean } = {},
): Promise<Collection | null> {
  const text = `select ${columns} from rag_collections where tenant = $1 and name = $2${holds ? ' for update' : ''}`
  const { rows } = await transaction.query(text, [tenant, name])
  return decode(rows[0])
}

/** Several by name, in one round trip; those that do not exist are missing. */
export async function getCollections(
  transaction: Pick<Transaction, 'query'>,
  { tenant, names }: { readonly tenant: string; readonly names: readonly string[] },
): Promise<Collection[]> {
  const { rows } = await transaction.query(`select ${columns} from rag_collections where tenant = $1 and name = any($2::text[])`, [
    tenant,
    names,
  ])
  return rows.map((row) => collectionRow.parse(row))
}

/** Names of collections by their ids; those that do not exist are missing. */
export async function collectionNames(
  transaction: Transaction,
  { tenant, ids }: { readonly tenant: string; readonly ids: readonly string[] },
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await transaction.query('select id, name from rag_collections where tenant = $1 and id = any($2::text[])', [tenant, ids])
  return new Map(rows.map(({ id, name }) => [String(id), String(name)]))
}

/**
 * Changes settings (those given) and raises the version; null when there is no such collection. Another language or chunking holds for
 * documents written from now on: those there keep theirs until they are ingested again. Throws `invalid_request`.
 */
export async function updateCollection(
  transaction: Transaction,
  { tenant, name, settings }: CollectionPlace & { readonly settings: Partial<CollectionSettings> },
): Promise<Collection | null> {
  const place = [tenant, name]
  const before = decode(
    (await transaction.query(`select ${columns} from rag_collections where tenant = $1 and name = $2 for update`, place)).rows[0],
  )
  if (before === null) return null
  const checked = checkSettings({ ...before.settings, ...settings })
  const { rows } = await transaction.query(
    `update rag_collections set settings = $3::jsonb, version = version + 1, updated_at = now() where tenant = $1 and name = $2 returning ${columns}`,
    [...place, JSON.stringify(checked)],
  )
  return decode(rows[0])
}

/** Removes all documents of a collection but not itself; raises its version. Null when there is no such collection. */
export async function purgeCollection(
  transaction: Transaction,
  place: CollectionPlace,
  purgeVectors?: PurgeVectors,
): Promise<Collection | null> {
  const found = await lockCollection(transaction, place)
  if (found === null) return null
  await removeContents(transaction, { tenant: place.tenant, collection: found.id }, purgeVectors)
  const { rows } = await transaction.query(
    `update rag_collections set chunks = 0, keyword_length = 0, documents = 0, languages = '{}', version = version + 1, updated_at = now()
      where tenant = $1 and id = $2 returning ${columns}`,
    [place.tenant, found.id],
  )
  return decode(rows[0])
}

/** Removes a collection with all that is in it; false when there is none. */
export async function deleteCollection(transaction: Transaction, place: CollectionPlace, purgeVectors?: PurgeVectors): Promise<boolean> {
  const found = await lockCollection(transaction, place)
  if (found === null) return false
  await removeContents(transaction, { tenant: place.tenant, collection: found.id }, purgeVectors)
  await transaction.query('delete from rag_collections where tenant = $1 and id = $2', [place.tenant, found.id])
  return true
}

async function lockCollection(transaction: Transaction, { tenant, name }: CollectionPlace): Promise<{ readonly id: string } | null> {
  const { rows } = await transaction.query('select id from rag_collections where tenant = $1 and name = $2 for update', [tenant, name])
  return rows[0] === undefined ? null : z.object({ id: z.string() }).parse(rows[0])
}

async function removeContents(
  transaction: Transaction,
  place: { readonly tenant: string; readonly collection: string },
  purgeVectors: PurgeVectors | undefined,
): Promise<void> {
  await purgeVectors?.(transaction, place)
  for (const table of ['rag_postings', 'rag_segments', 'rag_chunks', 'rag_documents']) {
    await transaction.query(`delete from ${table} where tenant = $1 and collection = $2`, [place.tenant, place.collection])
  }
}
