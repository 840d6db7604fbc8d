// Jobs over HTTP: listed, followed, held and tried again, with an embedder that fails when the test wants it.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'

import { mountJobs } from '../../src/http/rag/job-routes.ts'
import { requestBytes } from '../http/gateway.ts'
import { RawClient } from '../http/raw-client.ts'
import { HandClock } from '../identity/fixture.ts'
import { listenByHand } from './hand-server.ts'
import { eventsOf, mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'

interface JobView {
  readonly id: string
  readonly document: string
  readonly collection: string
  readonly state: string
  readonly stage: string
  readonly stages: readonly { readonly stage: string; readonly done: number; readonly total: number }[]
  readonly error: { readonly code: string; readonly message: string } | null
}

let gateway: RagGateway
beforeAll(async () => {
  const ingest = { retryDelayMs: 20, retryDelayMsMax: 20, waitsMax: 1, pollMs: 50, attemptsMax: 2 }
  gateway = await startRagGateway({ config: { ingest } })
  await gateway.collection('desk', {})
})
afterAll(() => gateway.close())
afterEach(() => void (gateway.fleet.embeds = true))

const get = (path: string, headers: Record<string, string> = {}) => gateway.ask('GET', path, { headers })
const post = (path: string) => gateway.ask('POST', path)

async function submit(id: string, text = `The text of ${id}.`): Promise<JobView> {
  const answer = await gateway.ask('POST', `/rag/collections/desk/documents?id=${id}`, {
    body: text,
    headers: { 'content-type': 'text/plain' },
  })
  return one((mustBe(202, answer).json['jobs'] as JobView[])[0])
}

function one<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing there')
  return value
}

async function jobOf(id: string): Promise<JobView> {
  return mustBe(200, await get(`/rag/jobs/${id}`)).json as unknown as JobView
}

async function untilState(id: string, state: string): Promise<JobView> {
  await expect.poll(async () => (await jobOf(id)).state, { timeout: 10_000 }).toBe(state)
  return jobOf(id)
}

/** A job that the embedder keeps from being done. */
async function heldJob(id: string): Promise<JobView> {
  gateway.fleet.embeds = false
  const { id: job } = await submit(id)
  expect((await post(`/rag/jobs/${job}/pause`)).status).toBe(200)
  return untilState(job, 'paused')
}

test('a job tells its stages as JSON, with counts', async () => {
  const { id } = await submit('staged', 'Sentences of some length follow each other here. '.repeat(100))
  const job = await untilState(id, 'done')
  expect(job).toMatchObject({ collection: 'desk', document: 'staged', kind: 'upload', outcome: 'written', error: null })
  expect(job.stages.map(({ stage }) => stage)).toEqual(['upload', 'extract', 'chunk', 'embed', 'index'])
  for (const { done, total } of job.stages) expect([done > 0, done]).toEqual([true, total])
})

test('a job is followed as events until it is done', async () => {
  const { id } = await submit('followed', 'Sentences of some length follow each other here. '.repeat(100))
  const answer = mustBe(200, await get(`/rag/jobs/${id}`, { accept: 'text/event-stream' }))
  expect([answer.headers.get('content-type'), answer.headers.get('x-accel-buffering')]).toEqual(['text/event-stream', 'no'])
  const events = eventsOf(answer.text)
  expect(events.at(-1)).toMatchObject({ event: 'done', data: { id, state: 'done' } })
  expect(events.slice(0, -1).every(({ event }) => event === 'progress')).toBe(true)
  // One that is over already ends at once.
  expect(eventsOf((await get(`/rag/jobs/${id}`, { accept: 'text/event-stream' })).text)).toMatchObject([{ event: 'done' }])
})

test('events go on through a pause and end when the document is deleted', async () => {
  const { id } = await heldJob('watched')
  const client = await RawClient.open(Number(new URL(gateway.url).port))
  client.send(requestBytes('GET', `/rag/jobs/${id}`, { headers: ['Accept: text/event-stream'] }))
  await client.until('"state":"paused"')
  gateway.fleet.embeds = true
  expect((await post(`/rag/jobs/${id}/resume`)).status).toBe(200)
  await client.until('event: done')
  client.destroy()
})

test('a client that leaves its events takes the listener with it', async () => {
  const { id } = await heldJob('unheard')
  for (let round = 0; round < 3; round += 1) {
    const client = await RawClient.open(Number(new URL(gateway.url).port))
    client.send(requestBytes('GET', `/rag/jobs/${id}`, { headers: ['Accept: text/event-stream'] }))
    await client.until('event: progress')
    client.destroy()
    await client.closed
  }
  expect((await post(`/rag/jobs/${id}/cancel`)).status).toBe(200)
  expect((await jobOf(id)).state).toBe('cancelled')
})

test('events that nobody reads leave no timer behind', async () => {
  const { id } = await heldJob('headless')
  const clock = new HandClock()
  const { port } = await listenByHand(gateway, clock, mountJobs)
  const client = await RawClient.open(port)
  client.send(requestBytes('HEAD', `/rag/jobs/${id}`, { headers: ['Accept: text/event-stream'] }))
  await client.until('\r\n\r\n')
  await expect.poll(() => clock.timers).toBe(0)
  client.destroy()
  expect((await post(`/rag/jobs/${id}/cancel`)).status).toBe(200)
})

test('the list is followed as events: what changed is pushed, and a minute later the stream is over', async () => {
  const clock = new HandClock()
  const { port } = await listenByHand(gateway, clock, mountJobs)
  const client = await RawClient.open(port)
  client.send(requestBytes('GET', '/rag/jobs?collection=desk&limit=1', { headers: ['Accept: text/event-stream'] }))
  await client.until('event: jobs')
  const { id } = await submit('fed')
  await untilState(id, 'done')
  // The look that finds it, and one that finds nothing new.
  for (let look = 0; look < 2; look += 1) {
    await expect.poll(() => clock.timers).toBe(1)
    clock.pass(3_000)
  }
  await client.until('"document":"fed"')
  await expect.poll(() => clock.timers).toBe(1)
  expect(client.text.split('event: jobs').length - 1).toBe(2)
  clock.pass(60_000)
  await client.until('\r\n0\r\n')
  expect(clock.timers).toBe(0)
  client.destroy()
})

test('a list that nobody follows any more is looked at by nobody', async () => {
  const clock = new HandClock()
  const { port } = await listenByHand(gateway, clock, mountJobs)
  const client = await RawClient.open(port)
  client.send(requestBytes('GET', '/rag/jobs', { headers: ['Accept: text/event-stream'] }))
  await client.until('event: jobs')
  client.destroy()
  await expect.poll(() => clock.timers).toBe(0)
})

test('a paused job stays, goes on when it is resumed, and only then is its document there', async () => {
  const { id } = await heldJob('paused')
  gateway.fleet.embeds = true
  const pausedAgain = await post(`/rag/jobs/${id}/pause`)
  expect([pausedAgain.status, pausedAgain.json['code']]).toEqual([409, 'conflict'])
  expect(pausedAgain.json['detail']).toContain('paused')
  expect(mustBe(200, await post(`/rag/jobs/${id}/resume`)).json).toMatchObject({ id, collection: 'desk' })
  await untilState(id, 'done')
  expect((await get('/rag/collections/desk/documents/paused')).status).toBe(200)
  for (const action of ['pause', 'resume', 'cancel', 'retry'])
    expect([action, (await post(`/rag/jobs/${id}/${action}`)).status]).toEqual([action, 409])
})

test('a cancelled job leaves nothing of what it made', async () => {
  const { id } = await heldJob('cancelled')
  expect(mustBe(200, await post(`/rag/jobs/${id}/cancel`)).json).toMatchObject({ state: 'cancelled' })
  const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
    transaction.query(
      `select (select count(*) from rag_sources where document = 'cancelled')::int as sources,
        (select count(*) from rag_job_parts where job = $1)::int as parts`,
      [id],
    ),
  )
  expect(rows).toEqual([{ sources: 0, parts: 0 }])
  expect((await get('/rag/collections/desk/documents/cancelled/source')).status).toBe(404)
})

test('only what failed is tried again', async () => {
  const good = await submit('fine')
  await untilState(good.id, 'done')
  const bad = await Promise.all(['broken-1', 'broken-2'].map((id) => submit(id, '\u007fELF\u0000\u0001\u0002\u0000')))
  for (const { id } of bad) expect(await untilState(id, 'failed')).toMatchObject({ error: { code: 'document_unsupported' } })
  const failed = (await get('/rag/jobs?collection=desk&state=failed')).json
  expect((failed['jobs'] as JobView[]).map(({ document }) => document).toSorted()).toEqual(['broken-1', 'broken-2'])
  expect(failed['counts']).toMatchObject({ failed: 2 })
  expect(mustBe(200, await post('/rag/collections/desk/retry-failed')).json).toEqual({ retried: 2 })
  for (const { id } of bad) await untilState(id, 'failed')
  expect(mustBe(200, await post(`/rag/jobs/${one(bad[0]).id}/retry`)).json).toMatchObject({ state: 'queued', error: null })
  await untilState(one(bad[0]).id, 'failed')
  // A better revision of the document takes the place of the failed job.
  await gateway.put('desk', 'broken-1', 'Words this time.')
  expect((await jobOf(one(bad[0]).id)).state).toBe('cancelled')
  expect(mustBe(200, await post('/rag/collections/desk/retry-failed')).json).toEqual({ retried: 1 })
  expect((await post('/rag/collections/nosuch/retry-failed')).json['code']).toBe('collection_not_found')
})

test('jobs are listed newest first, a page at a time, each one once', async () => {
  mustBe(201, await gateway.ask('POST', '/rag/collections', { body: { name: 'paged' } }))
  const ids = ['d1', 'd2', 'd3', 'd4', 'd5']
  for (const id of ids) await gateway.put('paged', id, `Page ${id}.`)
  const seen: string[] = []
  let cursor = ''
  do {
    const { jobs, next } = mustBe(200, await get(`/rag/jobs?collection=paged&limit=2${cursor}`)).json as {
      jobs: JobView[]
      next: string | null
    }
    seen.push(...jobs.map(({ document }) => document))
    cursor = next === null ? '' : `&cursor=${next}`
  } while (cursor !== '')
  expect(seen).toEqual(ids.toReversed())
})

test.each([
  ['state=nosuch', 400, 'invalid_request'],
  ['collection=nosuch', 404, 'collection_not_found'],
  ['collection=a%00b', 400, 'invalid_request'],
  ['document=a%00b', 400, 'invalid_request'],
  [`cursor=${Buffer.from('["x","y"]').toString('base64url')}`, 400, 'invalid_request'],
  [`cursor=${Buffer.from('["9e99","y"]').toString('base64url')}`, 400, 'invalid_request'],
  [`cursor=${Buffer.from('["9000000000000000","y"]').toString('base64url')}`, 400, 'invalid_request'],
])('jobs by %s are refused', async (query, status, code) => {
  const answer = await get(`/rag/jobs?${query}`)
  expect([answer.status, answer.json['code']]).toEqual([status, code])
})

test.each(['GET /rag/jobs/nosuch', ...['pause', 'resume', 'cancel', 'retry'].map((action) => `POST /rag/jobs/nosuch/${action}`)])(
  '%s: there is no such job',
  async (route) => {
    const [method = '', path = ''] = route.split(' ')
    const answer = await gateway.ask(method, path)
    expect([answer.status, answer.json['code']]).toEqual([404, 'job_not_found'])
    expect(answer.json['detail']).toContain('ingest.keepJobsMs')
  },
)

test('while the embedder is away a document waits, and can be found by its words', async () => {
  gateway.fleet.embeds = false
  const { id } = await submit('lexical', 'Quokkas hop about at dusk.')
  await untilState(id, 'paused')
  const search = { collection: 'desk', query: 'quokkas' }
  const found = mustBe(200, await gateway.ask('POST', '/rag/search', { body: search })).json
  expect((found['results'] as { document: { id: string } }[])[0]?.document.id).toBe('lexical')
  gateway.fleet.embeds = true
  await untilState(id, 'done')
})
