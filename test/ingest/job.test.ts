// Jobs under many hands: fairness, priorities, leases, take-over, pause and cancel, idempotency, progress, several processes.

import { randomUUID } from 'node:crypto'
import { expect, onTestFinished, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import type { Job } from '../../src/ingest/job.ts'
import { claimJob, reclaimJobs } from '../../src/ingest/jobs/claim.ts'
import { stageViews } from '../../src/ingest/progress.ts'
import type { Database } from '../../src/store/database.ts'
import { until } from '../support/gateway.ts'
import { describeIngest, played } from './ingest-block.ts'
import {
  bytesOf,
  collection,
  count,
  embedderDown,
  file,
  finished,
  play,
  prepareStore,
  reached,
  sections,
  submitted,
  tenant,
  texts,
} from './pipeline-play.ts'

const claim = (database: Database, owner = randomUUID()): Promise<Job | null> =>
  claimJob(database, { owner, leaseMs: 60_000, attemptsMax: 3 })

describeIngest((block) => {
  test('serves collections by turns and tenants by what they have running, and what somebody waits for first', async () => {
    const { ingest } = await played(block.store, {}, ['c-many', 'c-few'])
    await prepareStore(block.store, ['c-other'], 'other')
    for (const name of ['m1', 'm2', 'm3', 'm4']) await submitted(ingest, name, name, { collection: 'c-many', priority: 1 })
    for (const name of ['f1', 'f2']) await submitted(ingest, name, name, { collection: 'c-few', priority: 1 })
    await submitted(ingest, 'o1', 'o1', { tenant: 'other', collection: 'c-other', priority: 1 })
    await submitted(ingest, 'urgent', 'urgent', { collection: 'c-many', priority: 0 })
    const order: string[] = []
    for (let turn = 0; turn < 8; turn += 1) order.push((await claim(block.store))?.document ?? 'none')
    expect(order[0]).toBe('urgent')
    expect(order[1]).toBe('o1')
    expect(order.slice(2, 6).filter((name) => name.startsWith('f'))).toEqual(['f1', 'f2'])
    expect(order.slice(2).filter((name) => name.startsWith('m'))).toEqual(['m1', 'm2', 'm3', 'm4'])
    expect(await claim(block.store)).toBeNull()
  })

  test('gives a job to one worker only, and two jobs of one document never at the same time', async () => {
    const { ingest } = await played(block.store)
    for (let index = 0; index < 6; index += 1) await submitted(ingest, `d${index}`, 'text')
    const claims: (Job | null)[] = []
    // A claim that meets another may come back without a job.
    for (let round = 0; round < 6; round += 1) claims.push(...(await Promise.all(Array.from({ length: 4 }, () => claim(block.store)))))
    const taken = claims.filter((job) => job !== null).map(({ document }) => document)
    expect(taken.toSorted()).toEqual(['d0', 'd1', 'd2', 'd3', 'd4', 'd5'])
    await submitted(ingest, 'd0', 'other text')
    expect(await claim(block.store)).toBeNull()
  })

  test('takes a job over when its worker is silent, and fails the one that takes all its workers with it', async () => {
    const { ingest } = await played(block.store)
    const { id } = await submitted(ingest, 'a.md', 'text')
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      expect(await claimJob(block.store, { owner: `w${attempt}`, leaseMs: 1, attemptsMax: 3 })).toMatchObject({ id, attempts: attempt })
      await expect.poll(() => reclaimJobs(block.store, 3)).toBe(1)
    }
    expect(await ingest.job({ tenant, id })).toMatchObject({
      state: 'failed',
      error: { code: 'worker_lost', message: 'the process that worked on it ended at stage extract, attempt 3 of 3' },
    })
  })

  test('a worker that was taken for dead and comes back writes nothing', async () => {
    const made = await played(block.store)
    const { ingest } = made
    const held = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<AbortSignal>()
    made.onEmbed = (_texts, { signal }) => {
      begun.resolve(signal)
      return held.promise
    }
    ingest.start()
    const job = await submitted(ingest, 'a.md', sections(3))
    await begun.promise
    await block.store.tx('system', (transaction) =>
      transaction.query(`update rag_jobs set lease_owner = 'another worker', lease_until = now() + interval '1 hour'`),
    )
    held.resolve()
    await ingest.close()
    expect(await ingest.job(job)).toMatchObject({ state: 'running', leaseOwner: 'another worker', error: null })
    expect([await count(block.store, 'rag_documents'), await count(block.store, 'rag_job_vectors')]).toEqual([0, 0])
  })

  test('a block.store that fails for a while uses up no attempt', async () => {
    const made = await played(block.store)
    const { ingest } = made
    let failures = 0
    made.onParse = async () => {
      failures += 1
      if (failures <= 6) throw new CorralError('store_timeout', 'the block.store did not answer in time')
    }
    ingest.start()
    expect(await finished(ingest, await submitted(ingest, 'a.md', 'Text.'))).toMatchObject({ state: 'done', attempts: 1 })
    expect(made.troubles).toHaveLength(6)
  })

  test('cancel ends the parser and the embedding at once and removes what was made', async () => {
    const aborted: string[] = []
    const parsing = Promise.withResolvers<void>()
    const made = await played(block.store)
    made.ingest.start()
    made.onParse = (_, signal) =>
      new Promise((_resolve, reject) => {
        parsing.resolve()
        signal.addEventListener('abort', () => {
          aborted.push('parse')
          reject(signal.reason)
        })
      })
    const first = await submitted(made.ingest, 'a.md', sections(8))
    await parsing.promise
    expect(await made.ingest.cancel(first)).toMatchObject({ isChanged: true, job: { state: 'cancelled' } })
    await expect.poll(() => aborted).toEqual(['parse'])
    made.onParse = async () => {}
    const embedding = Promise.withResolvers<void>()
    made.onEmbed = (_texts, { signal }) =>
      new Promise((_resolve, reject) => {
        embedding.resolve()
        signal.addEventListener('abort', () => {
          aborted.push('embed')
          reject(signal.reason)
        })
      })
    const second = await submitted(made.ingest, 'b.md', sections(3))
    await embedding.promise
    await made.ingest.cancel(second)
    await expect.poll(() => aborted).toEqual(['parse', 'embed'])
    await made.ingest.close()
    expect(await made.ingest.job(second)).toMatchObject({ state: 'cancelled', attempts: 1 })
    const tables = ['rag_documents', 'rag_sources', 'rag_job_parts', 'rag_job_vectors']
    for (const table of tables) expect([table, await count(block.store, table)]).toEqual([table, 0])
    expect(await made.ingest.cancel(second)).toMatchObject({ isChanged: false })
    expect(await made.ingest.cancel({ tenant, id: 'none' })).toBeNull()
    expect(await made.ingest.cancel({ tenant: 'other', id: second.id })).toBeNull()
  })

  test('pause keeps what was made, resume goes on with the rest', async () => {
    const made = await played(block.store, { embedInFlight: 1 })
    const { ingest } = made
    ingest.start()
    const paused = Promise.withResolvers<void>()
    let batches = 0
    made.onEmbed = async (_texts, { signal }) => {
      batches += 1
      if (batches !== 2) return
      paused.resolve()
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    }
    const job = await submitted(ingest, 'a.md', sections(8))
    await paused.promise
    expect(await ingest.pause(job)).toMatchObject({ isChanged: true, job: { state: 'paused', runAtMs: null } })
    expect(await count(block.store, 'rag_job_vectors')).toBe(4)
    expect(await claim(block.store)).toBeNull()
    await ingest.resume(job)
    expect(await finished(ingest, job)).toMatchObject({ state: 'done' })
    expect(made.embedded).toHaveLength(8)
    expect(made.parsed).toHaveLength(1)
  })

  test('a process that closes gives its jobs back, and another goes on with them at once', async () => {
    const made = await played(block.store)
    made.ingest.start()
    const embedding = Promise.withResolvers<void>()
    made.onEmbed = (_texts, { signal }) =>
      new Promise((_resolve, reject) => {
        embedding.resolve()
        signal.addEventListener('abort', () => reject(signal.reason))
      })
    const job = await submitted(made.ingest, 'a.md', sections(3))
    await embedding.promise
    await made.ingest.close()
    expect(await made.ingest.job(job)).toMatchObject({ state: 'queued', attempts: 0 })
    const next = play(block.store)
    onTestFinished(() => next.ingest.close())
    next.ingest.start()
    expect(await finished(next.ingest, job)).toMatchObject({ state: 'done', attempts: 1 })
    expect(next.parsed).toEqual([])
  })

  test('an idempotency key gives the first job again for the same, and a conflict for something else', async () => {
    const { ingest } = await played(block.store)
    const given = file('a.md', { idempotencyKey: 'k1' })
    const [first, second] = await Promise.all([ingest.submitFile(given, bytesOf('text')), ingest.submitFile(given, bytesOf('text'))])
    expect(second.job.id).toBe(first.job.id)
    expect(first.isNew).toBe(!second.isNew)
    expect(await count(block.store, 'rag_sources')).toBe(1)
    await expect(ingest.submitFile(given, bytesOf('other'))).rejects.toMatchObject({ code: 'conflict' })
    expect(await count(block.store, 'rag_sources')).toBe(1)
  })

  test('the newest of several jobs of a document wins, whatever state the others are in', async () => {
    const made = await played(block.store)
    const { ingest } = made
    const first = await submitted(ingest, 'a.md', 'First.')
    const second = await submitted(ingest, 'a.md', 'Second.')
    expect(await ingest.job(first)).toMatchObject({ state: 'cancelled', error: { code: 'superseded' } })
    const held = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    made.onEmbed = () => {
      begun.resolve()
      return held.promise
    }
    ingest.start()
    await begun.promise
    const third = await submitted(ingest, 'a.md', 'Third.')
    held.resolve()
    expect(await finished(ingest, second)).toMatchObject({ state: 'done' })
    expect(await finished(ingest, third)).toMatchObject({ state: 'done' })
    expect(await texts(block.store, 'a.md')).toEqual(['Third.'])
  })

  test('a job that has to wait is over when a newer one of its document was given while it ran', async () => {
    const made = await played(block.store)
    const { ingest } = made
    const begun = Promise.withResolvers<void>()
    const held = Promise.withResolvers<void>()
    made.onEmbed = async ([text = '']) => {
      if (!text.includes('First')) return
      begun.resolve()
      await held.promise
      throw embedderDown()
    }
    ingest.start()
    const first = await submitted(ingest, 'a.md', 'First.')
    await begun.promise
    const second = await submitted(ingest, 'a.md', 'Second.')
    held.resolve()
    expect(await finished(ingest, first)).toMatchObject({ state: 'cancelled', error: { code: 'superseded' } })
    expect(await finished(ingest, second)).toMatchObject({ state: 'done' })
    expect(await texts(block.store, 'a.md')).toEqual(['Second.'])
    expect([await count(block.store, 'rag_sources'), await count(block.store, 'rag_job_parts')]).toEqual([1, 0])
  })

  test('tells progress in this process and in another, with a rate and the time that is left', async () => {
    const made = await played(block.store, { embedInFlight: 1, embedBatchTexts: 2 })
    const { ingest } = made
    made.onEmbed = async () => {
      await new Promise((resolve) => setTimeout(resolve, 150))
    }
    const job = await submitted(ingest, 'a.md', sections(16))
    const other = play(block.store).ingest
    const seen: Job[] = []
    const elsewhere = (async () => {
      for await (const state of other.watch(job, AbortSignal.timeout(20_000))) if (state !== null) seen.push(state)
    })()
    await until(() => seen.length > 0, 'the other process sees the job')
    ingest.start()
    const underWay = await reached(ingest, job, ({ counts }) => (counts.embed?.done ?? 0) >= 8)
    const embed = stageViews(underWay).find(({ stage }) => stage === 'embed')
    expect(embed).toMatchObject({ total: 16 })
    expect(embed?.ratePerSecond).toBeGreaterThan(1)
    expect(embed?.etaMs).toBeGreaterThan(50)
    expect(embed?.etaMs).toBeLessThan(8_000)
    await elsewhere
    expect(seen[0]?.state).toBe('queued')
    expect(seen.at(-1)?.state).toBe('done')
    expect(new Set(seen.map(({ counts }) => counts.embed?.done)).size).toBeGreaterThan(2)
  })

  test('lists jobs newest first in pages, and counts them by state', async () => {
    const { ingest } = await played(block.store)
    for (const name of ['a', 'b', 'c']) await submitted(ingest, name, name)
    const [newest, next] = await ingest.jobs({ tenant, collection, limit: 2 })
    expect([newest?.document, next?.document]).toEqual(['c', 'b'])
    const rest = await ingest.jobs({ tenant, collection, after: next ?? { createdAtMs: 0, id: '' } })
    expect(rest.map(({ document }) => document)).toEqual(['a'])
    expect(await ingest.counts({ tenant, collection })).toEqual({ queued: 3 })
    expect(await ingest.jobs({ tenant: 'other' })).toEqual([])
  })

  test('several processes on one block.store share the work and write each document once', async () => {
    const first = await played(block.store, { workers: 3 })
    const others = [play(block.store, { workers: 3 }), play(block.store, { workers: 3 })]
    for (const { ingest } of others) onTestFinished(() => ingest.close())
    const jobs: Job[] = []
    for (let index = 0; index < 20; index += 1) jobs.push(await submitted(first.ingest, `d${index}`, sections(3, ` of ${index}`)))
    for (const { ingest } of [first, ...others]) ingest.start()
    for (const job of jobs) expect(await finished(first.ingest, job)).toMatchObject({ state: 'done', attempts: 1 })
    expect(await count(block.store, 'rag_documents')).toBe(20)
    expect(await count(block.store, 'rag_chunks')).toBe(60)
    const embedded = [first, ...others].flatMap((one) => one.embedded)
    expect(embedded).toHaveLength(new Set(embedded).size)
    for (const { troubles } of [first, ...others]) expect(troubles).toEqual([])
  })
})
