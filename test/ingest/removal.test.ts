// What leaves nothing behind: documents that are removed, whose time is over, or whose file is gone, and bytes that nothing needs.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Job } from '../../src/ingest/job.ts'
import type { DeleteDocument } from '../../src/ingest/job-deps.ts'
import { removeExpired } from '../../src/ingest/removal.ts'
import { storeSource } from '../../src/ingest/sources.ts'
import { type WatchedCollection, watchInto } from '../../src/ingest/watch-collection.ts'
import { migrations } from '../../src/migrations.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { deleteVectors } from '../../src/search/vector-write.ts'
import type { Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { describeIngest, started } from './ingest-block.ts'
import {
  bytesOf,
  collection,
  count,
  file,
  finished,
  keptVectors,
  play,
  type Played,
  reached,
  sections,
  submitted,
  tenant,
  texts,
} from './pipeline-play.ts'

const place = (document: string) => ({ tenant, collection, document })
const deleteSearched: DeleteDocument = (transaction, one) => deleteDocument(transaction, one, deleteVectors)

/** A watched folder with `a.md` in it, of which a collection also loses what is deleted. */
function watchedFolder(): WatchedCollection {
  const folder = mkdtempSync(join(tmpdir(), 'corral-watched-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'a.md'), 'From the folder.')
  return {
    folder,
    include: ['*.md'],
    exclude: [],
    bytesMax: 1_000,
    removesDeleted: true,
    everyMs: 60_000,
    name: 'docs',
    tenant,
    collection,
  }
}

describeIngest((block) => {
  const age = (change: string): Promise<unknown> => block.store.tx('system', ({ query }) => query(change))

  test('removes a document with its bytes and jobs, and leaves no row of it in any table', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(3)))
    const held = Promise.withResolvers<void>()
    played.onEmbed = () => held.promise
    const running = await submitted(ingest, 'a.md', sections(5, ' now'))
    await reached(ingest, running, ({ stage }) => stage === 'embed')
    const changed = (): Promise<never> => Promise.reject(new Error('changed meanwhile'))
    await expect(ingest.remove(place('a.md'), changed)).rejects.toThrow('changed meanwhile')
    expect(await ingest.source(place('a.md'))).not.toBeNull()
    expect(await ingest.remove(place('a.md'))).toBe(true)
    held.resolve()
    await ingest.close()
    const tables = ['rag_documents', 'rag_chunks', 'rag_sources', 'rag_source_parts', 'rag_jobs', 'rag_job_parts', 'rag_job_vectors']
    for (const table of tables) expect([table, await count(block.store, table)]).toEqual([table, 0])
    expect((await keptVectors(block.store)).size).toBe(0)
    expect(await ingest.job(running)).toBeNull()
    expect(await ingest.remove(place('a.md'))).toBe(false)
  })

  test('removes documents that are older than their collection keeps them', async () => {
    const { ingest } = await started(block.store)
    await finished(ingest, await submitted(ingest, 'old.md', 'Old.'))
    await finished(ingest, await submitted(ingest, 'new.md', 'New.'))
    await block.store.tx('system', async (transaction) => {
      await transaction.query(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '7')`)
      await transaction.query(`update rag_documents set updated_at = now() - interval '8 days'`)
      await transaction.query(`update rag_sources set given_at = now() - interval '8 days' where document = 'old.md'`)
    })
    expect(await ingest.sweep()).toBe(1)
    expect([await texts(block.store, 'old.md'), await texts(block.store, 'new.md')]).toEqual([[], ['New.']])
  })

  /** Ingest that is not at work, over two documents whose time is over in a collection that keeps them for a week. */
  async function overTime(): Promise<Played> {
    const { ingest } = await started(block.store)
    for (const id of ['a.md', 'b.md']) await finished(ingest, await submitted(ingest, id, `Of ${id}.`))
    await ingest.close()
    await age(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '7')`)
    await age(`update rag_documents set updated_at = now() - interval '8 days'`)
    await age(`update rag_sources set given_at = now() - interval '8 days'`)
    return play(block.store)
  }

  const byUrl = (document: string) => ({ ...file(document), uri: `https://example.com/${document}` })

  test('time does not remove a document that was given again by its URL, nor the job that has yet to fetch it', async () => {
    const { ingest } = await overTime()
    const { job } = await ingest.submitUrl(byUrl('a.md'))
    for (const state of ['queued', 'paused']) {
      await age(`update rag_jobs set state = '${state}' where id = '${job.id}'`)
      await ingest.sweep()
      expect([await ingest.job(job), await texts(block.store, 'a.md')]).toMatchObject([{ state }, ['Of a.md.']])
    }
    expect(await texts(block.store, 'b.md')).toEqual([])
    await age(`update rag_jobs set state = 'cancelled' where id = '${job.id}'`)
    expect(await ingest.sweep()).toBe(1)
  })

  test('time removes a document whose job was accepted before the time began and waits still, with that job', async () => {
    const { ingest } = await overTime()
    await age(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '1')`)
    const jobs = [await submitted(ingest, 'a.md', 'Changed.'), (await ingest.submitUrl(byUrl('b.md'))).job]
    await age(`update rag_jobs set state = 'paused' where document = 'a.md' and state = 'queued'`)
    await age(`update rag_jobs set created_at = now() - interval '23 hours'`)
    await age(`update rag_sources set given_at = now() - interval '400 days'`)
    expect(await ingest.sweep()).toBe(0)
    expect([await texts(block.store, 'a.md'), await texts(block.store, 'b.md')]).toEqual([['Of a.md.'], ['Of b.md.']])
    await age(`update rag_jobs set created_at = now() - interval '400 days'`)
    expect(await ingest.sweep()).toBe(2)
    expect([await count(block.store, 'rag_documents'), await count(block.store, 'rag_sources')]).toEqual([0, 0])
    expect(await Promise.all(jobs.map((job) => ingest.job(job)))).toEqual([null, null])
  })

  test('time removes a document that only waits to be made again from its old bytes', async () => {
    const { ingest } = await overTime()
    expect(await ingest.reingest(place('a.md'))).not.toBeNull()
    expect(await ingest.sweep()).toBe(2)
    expect(await count(block.store, 'rag_jobs')).toBe(0)
  })

  test('a job that is accepted while time removes keeps its document', async () => {
    const { ingest } = await overTime()
    let job: Job | null = null
    const database: Database = {
      kind: block.store.kind,
      close: () => block.store.close(),
      tx: async (scope, work, options) => {
        const found = await block.store.tx(scope, work, options)
        if (options?.name === 'find_expired') ({ job } = await ingest.submitUrl(byUrl('a.md')))
        return found
      },
    }
    expect(await removeExpired({ database, deleteDocument: deleteSearched, forgetAnswers: async () => {} })).toBe(1)
    expect([job, await texts(block.store, 'a.md'), await texts(block.store, 'b.md')]).toMatchObject([{ state: 'queued' }, ['Of a.md.'], []])
    expect(await ingest.job(job ?? { tenant, id: '' })).toMatchObject({ state: 'queued' })
  })

  test('what was stored before given times were noted was given when it was made', async () => {
    const database = await block.servers.openBareForTest()
    await migrate(
      database,
      migrations.filter(({ number }) => number < 1101),
      systemClock,
    )
    await database.tx('system', async ({ query }) => {
      await query(`insert into rag_collections (tenant, id, name, settings) values ($1, $2, 'docs', '{"retentionDays": 7}')`, [
        tenant,
        collection,
      ])
      for (const [id, days] of Object.entries({ 'old.md': 8, 'new.md': 6 })) {
        await query(
          `insert into rag_documents (tenant, collection, id, title, content_type, content_hash, size_bytes, text, language, chunks, updated_at)
            values ($1, $2, $3, '', '', $3, 0, '', 'en', 0, now() - interval '8 days')`,
          [tenant, collection, id],
        )
        await query(
          `insert into rag_sources (tenant, id, collection, document, name, sha256, created_at)
            values ($1, $3, $2, $3, '', $3, now() - make_interval(days => $4))`,
          [tenant, collection, id, days],
        )
      }
    })
    await migrate(database, migrations, systemClock)
    expect(await play(database).ingest.sweep()).toBe(1)
    const { rows } = await database.tx('system', ({ query }) => query('select id from rag_documents'))
    expect(rows).toEqual([{ id: 'new.md' }])
  })

  test('a watched folder feeds a collection, and removes what was its own only', async () => {
    const { ingest } = await started(block.store)
    const watched = watchedFolder()
    await finished(ingest, await submitted(ingest, 'uploaded.md', 'Uploaded.'))
    const skipped: string[] = []
    writeFileSync(join(watched.folder, 'stays.md'), 'Stays.')
    const deps = {
      ingest,
      database: block.store,
      clock: systemClock,
      onSkipped: (document: string) => skipped.push(document),
      onLoss: () => {},
    }
    const { given } = await watchInto(watched, deps).pass()
    for (const { job } of given) await finished(ingest, job)
    expect(await texts(block.store, 'a.md')).toEqual(['From the folder.'])
    rmSync(join(watched.folder, 'a.md'))
    expect(await watchInto(watched, deps).pass()).toMatchObject({ removed: 1 })
    expect([await texts(block.store, 'a.md'), await texts(block.store, 'uploaded.md'), skipped]).toEqual([[], ['Uploaded.'], []])
  })

  test('a folder that is found empty after a start keeps its documents', async () => {
    const { ingest } = await started(block.store)
    const watched = watchedFolder()
    const losses: string[] = []
    const deps = {
      ingest,
      database: block.store,
      clock: systemClock,
      onSkipped: () => {},
      onLoss: (reason: string) => losses.push(reason),
    }
    for (const { job } of (await watchInto(watched, deps).pass()).given) await finished(ingest, job)
    rmSync(join(watched.folder, 'a.md'))
    expect(await watchInto(watched, deps).pass()).toMatchObject({ removed: 0, kept: 1 })
    expect(await texts(block.store, 'a.md')).toEqual(['From the folder.'])
    expect(losses).toEqual([expect.stringContaining('1 of 1 files are gone at once')])
  })

  test('a document that is given again as it is has its time anew, and only the first of its bytes are kept', async () => {
    const { ingest } = await started(block.store)
    await finished(ingest, await submitted(ingest, 'daily.md', 'Daily.'))
    await finished(ingest, await submitted(ingest, 'once.md', 'Once.'))
    await age(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '7')`)
    await age(`update rag_documents set updated_at = now() - interval '8 days'`)
    await age(`update rag_sources set given_at = now() - interval '8 days'`)
    expect(await finished(ingest, await submitted(ingest, 'daily.md', 'Daily.'))).toMatchObject({ outcome: 'unchanged' })
    expect(await count(block.store, 'rag_sources')).toBe(2)
    expect(await ingest.sweep()).toBe(1)
    expect([await texts(block.store, 'once.md'), await texts(block.store, 'daily.md')]).toEqual([[], ['Daily.']])
  })

  test('time forgets the kept answers of a tenant once, whatever it removes, and those of no other', async () => {
    const { ingest, forgotten } = await started(block.store)
    for (const id of ['a.md', 'b.md', 'c.md']) await finished(ingest, await submitted(ingest, id, `Of ${id}.`))
    await age(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '7')`)
    await age(`update rag_documents set updated_at = now() - interval '8 days'`)
    await age(`update rag_sources set given_at = now() - interval '8 days'`)
    expect(await ingest.sweep()).toBe(3)
    expect(forgotten).toEqual([tenant])
    expect(await ingest.sweep()).toBe(0)
    expect(forgotten).toEqual([tenant])
  })

  test('time does not remove what lies in a watched folder', async () => {
    const { ingest } = await started(block.store)
    const watched = watchedFolder()
    const deps = { ingest, database: block.store, clock: systemClock, onSkipped: () => {}, onLoss: () => {} }
    const { given } = await watchInto(watched, deps).pass()
    for (const { job } of given) await finished(ingest, job)
    await age(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '7')`)
    await age(`update rag_documents set updated_at = now() - interval '8 days'`)
    await age(`update rag_sources set given_at = now() - interval '8 days'`)
    expect(await watchInto(watched, deps).pass()).toMatchObject({ given: [], unchanged: 1 })
    expect(await ingest.sweep()).toBe(0)
    expect(await texts(block.store, 'a.md')).toEqual(['From the folder.'])
  })

  test('a folder that is looked at each hour writes only what retention will ask, and that twice a day where there is none', async () => {
    const { ingest } = await started(block.store)
    const watched = watchedFolder()
    const deps = { ingest, database: block.store, clock: systemClock, onSkipped: () => {}, onLoss: () => {} }
    for (const { job } of (await watchInto(watched, deps).pass()).given) await finished(ingest, job)
    const other = await storeSource(block.store, file('a.md'), { bytes: bytesOf('Never a job.'), bytesMax: 1_000 })
    /** Whether the source of the document and the other one were noted anew. */
    const noted = async (minutes: number, retention: string): Promise<boolean[]> => {
      await age(`update rag_collections set settings = jsonb_set(settings, '{retentionDays}', '${retention}')`)
      await age(`update rag_sources set given_at = now() - interval '${minutes} minutes'`)
      await watchInto(watched, deps).pass()
      const { rows } = await block.store.tx('system', ({ query }) =>
        query(`select id = $1 as other, given_at > now() - interval '5 minutes' as noted from rag_sources order by other`, [other.id]),
      )
      return rows.map((row) => row['noted'] === true)
    }
    expect(await noted(20, '7')).toEqual([false, false])
    expect(await noted(60, '7')).toEqual([true, false])
    expect(await noted(660, 'null')).toEqual([false, false])
    expect(await noted(780, 'null')).toEqual([true, false])
  })

  test('a document that only failed can be removed, and nothing of it stays', async () => {
    const played = await started(block.store)
    const { ingest } = played
    played.onParse = () => Promise.reject(new CorralError('invalid_request', 'the document is encrypted'))
    await finished(ingest, await submitted(ingest, 'locked.pdf', '%PDF'))
    expect(await count(block.store, 'rag_sources')).toBe(1)
    expect(await ingest.remove(place('locked.pdf'))).toBe(true)
    expect([await count(block.store, 'rag_sources'), await count(block.store, 'rag_jobs')]).toEqual([0, 0])
    expect(await ingest.remove(place('locked.pdf'))).toBe(false)
  })

  test('the bytes of a job that failed go when it is listed no more', async () => {
    const played = await started(block.store)
    const { ingest } = played
    played.onParse = () => Promise.reject(new CorralError('invalid_request', 'the document is encrypted'))
    await finished(ingest, await submitted(ingest, 'locked.pdf', '%PDF'))
    await age(`update rag_sources set created_at = now() - interval '2 hours'`)
    await ingest.sweep()
    expect([await count(block.store, 'rag_sources'), await count(block.store, 'rag_jobs')]).toEqual([1, 1])
    await age(`update rag_jobs set finished_at = now() - interval '31 days'`)
    await ingest.sweep()
    expect([await count(block.store, 'rag_sources'), await count(block.store, 'rag_jobs')]).toEqual([0, 0])
  })

  test('bytes that a process left when it was killed are swept, and no others', async () => {
    const { ingest } = await started(block.store)
    const stored = (document: string, text: string) => storeSource(block.store, file(document), { bytes: bytesOf(text), bytesMax: 1_000 })
    await finished(ingest, await submitted(ingest, 'kept.md', 'Kept.'))
    await stored('kept.md', 'Never a job.')
    await stored('kept.md', 'Kept.')
    await stored('new.md', 'Never a document.')
    await ingest.sweep()
    expect(await count(block.store, 'rag_sources')).toBe(4)
    await age(`update rag_sources set created_at = created_at - interval '2 hours'`)
    await stored('new.md', 'A moment ago.')
    await ingest.sweep()
    const { rows } = await block.store.tx('system', ({ query }) => query('select document, size_bytes from rag_sources order by document'))
    expect(rows.map(({ document, size_bytes: bytes }) => [document, Number(bytes)])).toEqual([
      ['kept.md', 5],
      ['new.md', 13],
    ])
    const kept = await ingest.source(place('kept.md'))
    expect(kept).not.toBeNull()
  })
})
