/** Takes documents in: each file of a request becomes a job, and so does a page that is named by its URL. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { createHash } from 'node:crypto'

import type { Metadata } from '../../core/corpus.ts'
import { documentIdCharsMax, documentIdOf, isDocumentId } from '../../core/document-id.ts'
import { CorralError } from '../../core/errors.ts'
import type { GivenFile } from '../../ingest/ingest.ts'
import type { Job } from '../../ingest/job.ts'
import { PauseWatch } from '../pause-watch.ts'
import { condemn } from '../connection.ts'
import { heldTo } from '../decode-json.ts'
import { readJson, sameSite } from '../own-route.ts'
import { sendError } from '../send-error.ts'
import { noteError, requestIdOf } from '../traffic.ts'
import { keyOf } from './idempotency.ts'
import { answerJobs } from './job-answer.ts'
import type { RagDeps } from './rag-deps.ts'
import { collectionOf, jsonBytesMax, type RagContext, tenantOf } from './rag-route.ts'
import { metadataShape, urlDocument, urlDocumentType } from './shapes.ts'
import { baseName, uploadedFiles, type UploadedFile } from './upload.ts'

/** Priority of what somebody waits for, and of all else. */
const waitedFor = 0
const inBulk = 1
/** What a body of many files may be over the largest one. */
const bodyFactorMax = 20
/** An upload in which no byte moves for so long is ended. */
const pauseMsMax = 30_000

interface Wishes {
  readonly id: string | undefined
  readonly title: string | null
  readonly uri: string | null
  readonly metadata: Metadata
  readonly skipsDuplicates: boolean
  readonly waits: boolean
  readonly idempotencyKey: string | null
}

/** `POST …/documents`. A request that is refused leaves nothing behind; of several files those before a broken one are kept, and told of. */
export async function takeDocuments(context: RagContext, deps: RagDeps): Promise<Response> {
  const { incoming, outgoing } = context.env
  const tenant = tenantOf(context, deps)
  try {
    const declared = Number(incoming.headers['content-length'] ?? 0)
    const most = deps.service.documentBytesMax()
    if (declared > (isMultipart(incoming.headers['content-type']) ? most * bodyFactorMax : most)) {
      throw new CorralError('body_too_large', `the body has ${declared} bytes; a document may have ${most} (ingest.sourceBytesMax)`)
    }
    const { id: collection } = await deps.database.tx({ tenant }, (transaction) => collectionOf(context, transaction, tenant), {
      name: 'find_collection',
      readOnly: true,
    })
    const isUrl = (incoming.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() === urlDocumentType
    const owner = { tenant, collection }
    return isUrl ? await fromUrl(context, deps, owner) : await watched(context, deps, fromFiles(context, deps, owner))
  } catch (error) {
    if (incoming.complete || !(error instanceof CorralError)) throw error
    // Whoever is still sending has to hear it before the connection ends.
    condemn(incoming, outgoing)
    // Ends whatever still waits for a byte of it.
    outgoing.once('close', () => incoming.destroy())
    noteError(outgoing, error.code)
    sendError({ incoming, outgoing, clock: deps.clock }, 'problem', error, requestIdOf(outgoing, deps.newId))
    return RESPONSE_ALREADY_SENT
  }
}

/** `taking`, until the upload stands still; its connection is closed then, and what it was in the middle of is undone. */
async function watched(context: RagContext, { clock }: RagDeps, taking: Promise<Response>): Promise<Response> {
  const watch = new PauseWatch(context.env.incoming, clock, pauseMsMax)
  try {
    return await Promise.race([taking, watch.broken])
  } finally {
    watch.stop()
  }
}

function isMultipart(type: string | undefined): boolean {
  return /^multipart\//i.test(type ?? '')
}

interface Owner {
  readonly tenant: string
  readonly collection: string
}

async function fromUrl(context: RagContext, deps: RagDeps, owner: Owner): Promise<Response> {
  const wishes = readWishes(context, new Map())
  const { url, id, title, metadata } = await readJson(context, {
    clock: deps.clock,
    what: 'document',
    bytesMax: jsonBytesMax,
    shape: urlDocument,
  })
  // Before anything of it is kept: it may hold a password.
  deps.service.checkUrl(url)
  const { job } = await deps.service.ingest.submitUrl({
    ...owner,
    document: checkedId(id ?? wishes.id ?? documentIdOf(url)),
    name: baseName(new URL(url).pathname) || url,
    title: title ?? wishes.title,
    uri: url,
    metadata: metadata ?? wishes.metadata,
    priority: wishes.waits ? waitedFor : inBulk,
    isSearchableWithoutVectors: true,
    skipsDuplicates: wishes.skipsDuplicates,
    idempotencyKey: wishes.idempotencyKey,
  })
  return answerJobs(context, deps, [job])
}

async function fromFiles(context: RagContext, deps: RagDeps, owner: Owner): Promise<Response> {
  if (context.req.header('origin') !== undefined && formTypes.test(context.req.header('content-type') ?? '')) await sameOrigin(context)
  const jobs: Job[] = []
  try {
    for await (const file of uploadedFiles(context.env.incoming)) {
      const wishes = readWishes(context, file.fields)
      if (jobs.length > 0 && wishes.id !== undefined) {
        throw new CorralError('invalid_request', 'id names one document: send its file alone, or leave id out')
      }
      const given = givenOf(file, wishes, { newId: deps.newId, place: jobs.length })
      const isTwin = jobs.some(({ document }) => document === given.document)
      const { job } = await deps.service.ingest.submitFile({ ...owner, ...given, ...(isTwin ? { refusal: twinRefusal } : {}) }, file.bytes)
      jobs.push(job)
    }
  } catch (error) {
    throw error instanceof CorralError && jobs.length > 0 ? withTaken(error, jobs) : error
  }
  if (jobs.length === 0) throw new CorralError('invalid_request', 'the request carries no file')
  return answerJobs(context, deps, jobs)
}

/** As a further revision it would take the place of the file before it, without a word. */
const twinRefusal = 'another file of the same request has this id: send both with their paths as file names, or each alone with an id'

function withTaken({ code, message, cause, retryAfterMs }: CorralError, jobs: readonly Job[]): CorralError {
  const taken = `files before this one are taken in, as jobs ${jobs.map(({ id }) => id).join(', ')}`
  return new CorralError(code, `${message}; ${taken}`, { cause, ...(retryAfterMs === null ? {} : { retryAfterMs }) })
}

/** What a plain form of a foreign page could send; nothing at all counts with it. */
const formTypes = /^\s*($|multipart\/|text\/plain|application\/x-www-form-urlencoded)/i

/** The front let the origin in; a form cannot set this header. */
async function sameOrigin(context: RagContext): Promise<void> {
  if (context.req.header('x-requested-with') === undefined) {
    await sameSite(() => new Response())(context)
  }
}

function givenOf(
  { name, path, declaredType }: UploadedFile,
  wishes: Wishes,
  { newId, place }: { readonly newId: () => string; readonly place: number },
): Omit<GivenFile, keyof Owner> {
  const idempotencyKey = wishes.idempotencyKey === null ? null : `${wishes.idempotencyKey}#${place}`
  const document = checkedId(wishes.id ?? (path === '' ? nameless(idempotencyKey, newId) : path))
  return {
    document,
    name: name === '' ? baseName(document) || 'document' : name,
    declaredType,
    title: wishes.title,
    uri: wishes.uri,
    metadata: wishes.metadata,
    priority: wishes.waits ? waitedFor : inBulk,
    isSearchableWithoutVectors: true,
    skipsDuplicates: wishes.skipsDuplicates,
    idempotencyKey,
  }
}

/** The id of a document without any name: the same when the request is sent again. */
function nameless(idempotencyKey: string | null, newId: () => string): string {
  return idempotencyKey === null ? newId() : createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 32)
}

/** From the query, else from a field of the form. */
function readWishes(context: RagContext, fields: ReadonlyMap<string, string>): Wishes {
  const told = (name: string): string | undefined => context.req.query(name) ?? fields.get(name)
  return {
    id: told('id'),
    title: told('title')?.slice(0, 500) ?? null,
    uri: told('uri')?.slice(0, 2_048) ?? null,
    metadata: readMetadata(told('metadata')),
    skipsDuplicates: told('skipDuplicates') === 'true',
    waits: context.req.query('wait') === 'true',
    idempotencyKey: keyOf(context),
  }
}

function readMetadata(text: string | undefined): Metadata {
  if (text === undefined || text === '') return {}
  return heldTo(metadataShape, parse(text), 'metadata (a flat JSON object)')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new CorralError('invalid_request', 'metadata: a flat JSON object is needed, such as {"team":"ops"}')
  }
}

function checkedId(id: string): string {
  if (isDocumentId(id)) return id
  throw new CorralError(
    'invalid_request',
    `id: 1 to ${documentIdCharsMax} characters without control characters, backslashes, and the path segments "." and ".."`,
  )
}
