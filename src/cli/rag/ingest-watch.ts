/**
 * `corral ingest --watch`: the folder as its collection, kept up to date. What changes is given again; a file that is deleted while this watches takes its
 * document with it. Documents that others gave are never touched.
 */
import { systemClock } from '../../base/clock.ts'
import { FolderWatch } from '../../ingest/watch.ts'
import { exitCodes } from '../exit-code.ts'
import { type Gateway, GatewayError } from '../gateway.ts'
import { printable, printData, printMessage } from '../output.ts'
import { lookUpJobs } from './ingest-follow.ts'
import type { GivenSource } from './ingest-sources.ts'
import { bytesRequest, pause, upload } from './ingest-upload.ts'
import { allPages, collectionPath, isOver, type JobView, ragRequest } from './rag-api.ts'
import { z } from 'zod'

const everyMs = 10_000
const pollMs = 500
/** Above what any gateway takes: that one says what its limit is. */
const bytesMax = 1_000_000_000
const documentPage = z
  .object({ documents: z.array(z.object({ id: z.string(), contentHash: z.string() })), next: z.string().nullable() })
  .transform(({ documents: rows, next }) => ({ rows, next }))

export interface WatchWishes {
  readonly gateway: Gateway
  readonly collection: string
  readonly paths: readonly string[]
  readonly include: readonly string[]
  readonly exclude: readonly string[]
  /** What was given before. */
  readonly sources: readonly GivenSource[]
  readonly json: boolean
}

/** Watches for as long as the process lives. */
export async function watchFolder(wishes: WatchWishes): Promise<never> {
  const { gateway, collection, paths, include, exclude, sources } = wishes
  const [folder = '.'] = paths
  const { signal } = new AbortController()
  const open = new Map<string, string>()
  const failed = new Set<string>()
  const say = sayer(wishes)
  const hashes = await knownHashes(gateway, collection, new Set(sources.map(({ document }) => document)))
  const watch = new FolderWatch<JobView>(
    { folder, include, exclude, bytesMax, removesDeleted: true, everyMs },
    {
      clock: systemClock,
      give: async (document, bytes) => {
        const given = { collection, document, request: () => bytesRequest(bytes) }
        const job = await upload(given, {
          gateway,
          clock: systemClock,
          signal,
          onSent: () => {},
          onWait: (reason) => reason !== null && say('', 'waiting', reason),
        })
        open.set(job.id, document)
        failed.delete(document)
        hashes.set(document, '')
        return job
      },
      remove: async (document) => {
        hashes.delete(document)
        await removeDocument(gateway, collection, document)
        say(document, 'removed', '')
      },
      known: () => Promise.resolve(hashes),
      keep: async (documents) => {
        const held = await knownHashes(gateway, collection, new Set(documents))
        const under = new Set(open.values())
        return documents.filter((document) => !held.has(document) && !under.has(document) && !failed.has(document))
      },
      onSkipped: (document, reason) => say(document, 'failed', reason),
      onLoss: (reason) => say(folder, 'kept', reason),
    },
  )
  process.once('SIGINT', () => process.exit(exitCodes.interrupted))
  watch.start()
  if (!wishes.json) printMessage(`watching ${printable(folder)}; Ctrl-C ends it`)
  for (;;) {
    await pause(pollMs, { clock: systemClock, signal })
    if (open.size === 0) continue
    // A gateway that is away is asked again.
    const jobs = await lookUpJobs(gateway, collection, [...open.keys()]).catch(() => [])
    for (const job of jobs.filter(isOver)) {
      open.delete(job.id)
      if (job.state === 'failed') failed.add(job.document)
      say(job.document, job.state === 'done' ? (job.outcome ?? 'written') : job.state, job.error?.message ?? '')
    }
  }
}

function sayer({ json }: Pick<WatchWishes, 'json'>): (document: string, what: string, reason: string) => void {
  return (document, what, reason) => {
    if (json) printData(JSON.stringify({ event: 'watched', document, what, reason: reason === '' ? null : reason }))
    else printMessage([printable(document), what, reason === '' ? '' : `(${printable(reason)})`].filter((part) => part !== '').join(' '))
  }
}

async function removeDocument(gateway: Gateway, collection: string, document: string): Promise<void> {
  try {
    await ragRequest(gateway, ['DELETE', collectionPath(collection, `/documents/${encodeURIComponent(document)}`)])
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'document_not_found') throw error
  }
}

/** Hashes of those of `documents` that the gateway has. */
async function knownHashes(gateway: Gateway, collection: string, documents: ReadonlySet<string>): Promise<Map<string, string>> {
  const there = await allPages(gateway, collectionPath(collection, '/documents'), documentPage)
  return new Map(there.filter(({ id }) => documents.has(id)).map(({ id, contentHash }) => [id, contentHash]))
}
