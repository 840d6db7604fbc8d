/** `/rag/jobs`: what becomes of documents that were given. */
import type { Hono } from 'hono'

import { CorralError } from '../../core/errors.ts'
import type { Ingest } from '../../ingest/ingest.ts'
import type { Job } from '../../ingest/job.ts'
import { json, ownRoute, parameter } from '../own-route.ts'
import type { NodeBindings } from '../server.ts'
import { change } from './idempotency.ts'
import { followJob } from './job-answer.ts'
import { JobFeed, type JobsRead } from './job-feed.ts'
import { jobViews } from './job-view.ts'
import type { RagDeps } from './rag-deps.ts'
import { collectionOf, noCollection, pageOf, type RagContext, tenantOf } from './rag-route.ts'
import { getCollection } from '../../search/collections.ts'

const controls = ['pause', 'resume', 'cancel', 'retry'] as const
const states: ReadonlySet<string> = new Set<Job['state']>(['queued', 'running', 'paused', 'done', 'failed', 'cancelled'])

export function mountJobs(app: Hono<NodeBindings>, deps: RagDeps): void {
  const feed = new JobFeed(deps)
  app.get(
    '/rag/jobs',
    ownRoute(deps, (context) => list(context, deps, feed)),
  )
  app.get(
    '/rag/jobs/:id',
    ownRoute(deps, async (context) => {
      const job = await found(context, deps)
      if (wantsEvents(context)) return followJob(context, deps, job)
      return json(context, (await jobViews(deps.database, [job]))[0] ?? {})
    }),
  )
  for (const action of controls)
    app.post(
      `/rag/jobs/:id/${action}`,
      ownRoute(
        deps,
        change(deps, (context) => control(context, deps, action)),
      ),
    )
  app.post(
    '/rag/collections/:name/retry-failed',
    ownRoute(
      deps,
      change(deps, async (context) => {
        const tenant = tenantOf(context, deps)
        const { id } = await deps.database.tx({ tenant }, (transaction) => collectionOf(context, transaction, tenant), {
          name: 'find_collection',
          readOnly: true,
        })
        return json(context, { retried: await deps.service.ingest.retryFailed({ tenant, collection: id }) })
      }),
    ),
  )
}

function wantsEvents(context: RagContext): boolean {
  return (context.req.header('accept') ?? '').includes('text/event-stream')
}

async function list(context: RagContext, deps: RagDeps, feed: JobFeed): Promise<Response> {
  const read = (): Promise<JobsRead> => readJobs(context, deps)
  return wantsEvents(context) ? feed.follow(context, tenantOf(context, deps), read) : json(context, (await read()).page)
}

async function readJobs(context: RagContext, deps: RagDeps): Promise<JobsRead> {
  const tenant = tenantOf(context, deps)
  const asked = pageOf(context, deps)
  const { state, collection: name, document } = context.req.query()
  if (state !== undefined && !isState(state)) throw new CorralError('invalid_request', `state is one of ${[...states].join(', ')}`)
  const collection = name === undefined ? undefined : await idOf(deps, { tenant, name })
  const [createdAt, id] = asked.after
  const rows = await deps.service.ingest.jobs({
    tenant,
    limit: asked.limit + 1,
    ...(state === undefined ? {} : { state }),
    ...(collection === undefined ? {} : { collection }),
    ...(document === undefined ? {} : { document }),
    ...(createdAt === undefined || id === undefined ? {} : { after: { createdAtMs: Number(createdAt), id } }),
  })
  const { page, next } = asked.of(rows, (job) => [String(job.createdAtMs), job.id])
  const counts = await deps.service.ingest.counts({ tenant, collection: collection ?? null })
  const isMoving = (counts.running ?? 0) + (counts.queued ?? 0) > 0
  return { page: { jobs: await jobViews(deps.database, page), counts, next }, isMoving }
}

function isState(text: string): text is Job['state'] {
  return states.has(text)
}

async function idOf({ database }: RagDeps, place: { readonly tenant: string; readonly name: string }): Promise<string> {
  const collection = await database.tx({ tenant: place.tenant }, (transaction) => getCollection(transaction, place), {
    name: 'find_collection',
    readOnly: true,
  })
  if (collection === null) throw noCollection(place.name)
  return collection.id
}

async function found(context: RagContext, deps: RagDeps): Promise<Job> {
  const id = parameter(context, 'id')
  const job = await deps.service.ingest.job({ tenant: tenantOf(context, deps), id })
  if (job === null) throw noJob(id)
  return job
}

function noJob(id: string): CorralError {
  return new CorralError('job_not_found', `no job ${id.slice(0, 80)}: finished jobs are listed for a while only (ingest.keepJobsMs)`)
}

async function control(context: RagContext, deps: RagDeps, action: (typeof controls)[number]): Promise<Response> {
  const id = parameter(context, 'id')
  const verdict = await deps.service.ingest[action satisfies keyof Ingest]({ tenant: tenantOf(context, deps), id })
  if (verdict === null) throw noJob(id)
  if (!verdict.isChanged) throw new CorralError('conflict', `a job that is ${verdict.job.state} cannot be asked to ${action}`)
  return json(context, (await jobViews(deps.database, [verdict.job]))[0] ?? {})
}
