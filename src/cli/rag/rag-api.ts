/** The routes below `/rag` as the commands use them: what they answer, decoded, and lists that come in pages. */
import { z } from 'zod'

import { systemClock } from '../../base/clock.ts'
import { searchedCollectionsMax } from '../../core/corpus.ts'
import { everyPage } from '../every-page.ts'
import { CliError, exitCodes } from '../exit-code.ts'
import { type Gateway, GatewayError } from '../gateway.ts'
import { printMessage } from '../output.ts'

export const collectionView = z.looseObject({
  name: z.string(),
  settings: z.looseObject({ embedder: z.string().nullable(), language: z.string(), fusionWeight: z.number() }),
  documents: z.number(),
  chunks: z.number(),
  updatedAt: z.string(),
})
export type CollectionView = z.infer<typeof collectionView>

const stages = ['upload', 'extract', 'chunk', 'embed', 'index'] as const
export type Stage = (typeof stages)[number]

export const jobView = z.looseObject({
  id: z.string(),
  collection: z.string().nullable(),
  document: z.string(),
  state: z.enum(['queued', 'running', 'paused', 'done', 'failed', 'cancelled']),
  stage: z.enum(stages),
  stages: z.array(z.looseObject({ stage: z.enum(stages), done: z.number(), total: z.number(), etaMs: z.number().nullable() })),
  outcome: z.enum(['written', 'unchanged', 'duplicate']).nullable(),
  duplicateOf: z.string().nullable(),
  error: z.looseObject({ code: z.string(), message: z.string() }).nullable(),
  createdAt: z.string(),
})
export type JobView = z.infer<typeof jobView>

/** Nothing more will happen to it by itself. */
export function isOver({ state }: Pick<JobView, 'state'>): boolean {
  return state === 'done' || state === 'failed' || state === 'cancelled'
}

const next = z.string().nullable()

/** The gateway waits some seconds itself before it says that its store is not there. */
const startWaitsMax = 10
const startWaitMs = 1_000
const collectionPage = z.object({ collections: z.array(collectionView), next })
export const jobPage = z.object({ jobs: z.array(jobView), next })
export const jobList = z.object({ jobs: z.array(jobView) })

/** `value` as `shape`, or the error for a gateway of another version. */
export function decodeRag<T>(shape: z.ZodType<T>, value: unknown): T {
  const parsed = shape.safeParse(value)
  if (!parsed.success) throw new CliError(exitCodes.failure, 'the gateway answered in a form that this version of Corral does not know')
  return parsed.data
}

/** The address of a collection, and of what is below it. */
export function collectionPath(name: string, below = ''): string {
  return `/rag/collections/${encodeURIComponent(name)}${below}`
}

/** Asks for something below `/rag`. What is not there at all is said as what it is. */
export async function askRag<T>(gateway: Gateway, shape: z.ZodType<T>, request: Parameters<Gateway['request']>): Promise<T> {
  return decodeRag(shape, await ragRequest(gateway, request))
}

function sayWaiting(reason: string): void {
  printMessage(`waiting: ${reason}`)
}

/** The same for an answer that nobody reads. A store that is only starting, as after the very first start, is waited for. */
export async function ragRequest(gateway: Gateway, request: Parameters<Gateway['request']>, onWait = sayWaiting): Promise<unknown> {
  for (let wait = 0; ; wait += 1) {
    try {
      return await gateway.request(...request)
    } catch (error) {
      if (wait >= startWaitsMax || !(error instanceof GatewayError) || error.code !== 'store_unavailable') throw asRagError(error, gateway)
      // Once is a busy moment, and nobody's concern.
      if (wait === 1) onWait(error.message)
      await systemClock.sleep(startWaitMs)
    }
  }
}

/** A route that is not there means that the whole of `/rag` is not. */
export function asRagError(error: unknown, { url }: Pick<Gateway, 'url'>): unknown {
  if (!(error instanceof GatewayError) || error.status !== 404) return error
  if (error.code !== null && error.code !== 'route_not_found') return error
  return new CliError(
    exitCodes.failure,
    `${url}/rag is not there: this is no Corral gateway, features.rag is off, or it has no store (store.enabled)`,
  )
}

/** Null when there is none of this name. */
export async function findCollection(gateway: Gateway, name: string): Promise<CollectionView | null> {
  try {
    return await askRag(gateway, collectionView, ['GET', collectionPath(name)])
  } catch (error) {
    if (error instanceof GatewayError && error.code === 'collection_not_found') return null
    throw error
  }
}

/** All rows of a list that comes in pages, as `read` takes them from a page. */
export function allPages<Row>(
  gateway: Gateway,
  path: string,
  read: z.ZodType<{ readonly rows: readonly Row[]; readonly next: string | null }>,
): Promise<readonly Row[]> {
  return everyPage(path, {
    query: new URLSearchParams({ limit: '100' }),
    cursor: 'cursor',
    read: async (page) => {
      const { rows, next: following } = await askRag(gateway, read, ['GET', page])
      return { items: rows, next: following }
    },
  })
}

/** All collections, by name. */
export function allCollections(gateway: Gateway): Promise<readonly CollectionView[]> {
  return allPages(
    gateway,
    '/rag/collections',
    collectionPage.transform(({ collections: rows, next: following }) => ({ rows, next: following })),
  )
}

/** The collections that are meant when `named` are: these, else all there are. Exit code 2 when it cannot be told which. */
export async function collectionsMeant(gateway: Gateway, named: readonly string[]): Promise<readonly string[]> {
  if (named.length > 0) return named
  const names = (await allCollections(gateway)).map(({ name }) => name)
  if (names.length === 0) throw new CliError(exitCodes.failure, 'there is no collection yet: make one with "corral ingest PATH"')
  if (names.length > searchedCollectionsMax) {
    throw new CliError(
      exitCodes.usage,
      `there are ${names.length} collections, and ${searchedCollectionsMax} are searched at once: name some with --collection`,
    )
  }
  return names
}
