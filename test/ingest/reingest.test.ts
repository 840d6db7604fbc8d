// What is there already and a new embedder: given again or made again, every chunk ends with a vector of the embedder as it is now.

import { expect, onTestFinished, test } from 'vitest'

import { openJobsMax, submitDocument } from '../../src/ingest/documents.ts'
import { wholeDocument } from '../../src/ingest/job-options.ts'
import { reingestCollection } from '../../src/ingest/reingest.ts'
import { type Database, goingOn } from '../../src/store/database.ts'
import { describeIngest, started } from './ingest-block.ts'
import {
  bytesOf,
  collection,
  count,
  embedderDown,
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
const shown = { isSearchableWithoutVectors: true }

describeIngest((block) => {
  async function setEmbedder(embedder: string | null): Promise<void> {
    const text = `update rag_collections set settings = jsonb_set(settings, '{embedder}', $1::jsonb) where tenant = $2`
    await block.store.tx({ tenant }, (transaction) => transaction.query(text, [JSON.stringify(embedder), tenant]))
  }

  /** Digest and vectors of each set. */
  async function sets(): Promise<unknown[][]> {
    const { rows } = await block.store.tx('system', ({ query }) => query('select digest, vectors from rag_vector_sets order by digest'))
    return rows.map(({ digest, vectors }) => [digest, Number(vectors)])
  }

  const away = (played: Played): void => {
    played.onEmbed = () => Promise.reject(embedderDown())
  }

  /** Gives `text` while the embedder is away; resolves when its words are shown. */
  async function shownByWords({ ingest }: Played, document: string, text: string) {
    return reached(ingest, await submitted(ingest, document, text, shown), ({ error }) => error !== null)
  }

  test('that all chunks of a document have their vectors is learned without reading the chunks', async () => {
    const counts = { rows: 0 }
    const database: Database = {
      kind: block.store.kind,
      close: () => block.store.close(),
      tx: (scope, work, options) =>
        block.store.tx(
          scope,
          (transaction) => {
            if (options?.name !== 'what_is_there') return work(transaction)
            const query: typeof transaction.query = async (text, values) => {
              const result = await transaction.query(text, values)
              counts.rows += result.rows.length
              return result
            }
            return work(goingOn({ query }))
          },
          options,
        ),
    }
    const { ingest } = await started(database)
    await finished(ingest, await submitted(ingest, 'a.md', sections(20)))
    counts.rows = 0
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(20)))).toMatchObject({ outcome: 'unchanged' })
    expect(counts.rows).toBeGreaterThan(0)
    expect(counts.rows).toBeLessThan(5)
  })

  test('a document with more fields of metadata than may be given now is made again with all of them', async () => {
    const { ingest } = await started(block.store)
    const metadata = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`f${index}`, index]))
    await finished(ingest, await submitted(ingest, 'a.md', sections(2), { metadata }))
    const job = await ingest.reingest(place('a.md'))
    expect(await finished(ingest, job ?? { tenant, id: '' })).toMatchObject({ outcome: 'written', metadata })
    expect(await count(block.store, 'rag_document_fields')).toBe(300)
  })

  test('the same bytes given after a collection has got an embedder get their vectors', async () => {
    const { ingest } = await started(block.store)
    await setEmbedder(null)
    await finished(ingest, await submitted(ingest, 'a.md', sections(3)))
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(3)))).toMatchObject({ outcome: 'unchanged' })
    await setEmbedder('all-minilm')
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(3)))).toMatchObject({ outcome: 'written' })
    expect((await keptVectors(block.store)).size).toBe(3)
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(3)))).toMatchObject({ outcome: 'unchanged' })
  })

  test('the same bytes given after the embedder was pulled anew get vectors of the new build, and the old set is gone', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(3)))
    played.digest = 'd2'
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(3)))).toMatchObject({ outcome: 'written' })
    expect(await sets()).toEqual([['d2', 3]])
  })

  test('of a document that changes after the embedder was pulled anew every chunk is embedded again', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(3)))
    played.digest = 'd2'
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(4)))).toMatchObject({ state: 'done', attempts: 1 })
    expect(await sets()).toEqual([['d2', 4]])
  })

  test('a collection that is removed while it is made again is a conflict', async () => {
    const { ingest } = await started(block.store)
    await finished(ingest, await submitted(ingest, 'a.md', sections(2)))
    const [isDeleted, mayEnd] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const removing = block.store.tx('system', async ({ query }) => {
      await query('delete from rag_collections where tenant = $1 and id = $2', [tenant, collection])
      isDeleted.resolve()
      await mayEnd.promise
    })
    await isDeleted.promise
    const again = ingest.reingestAll({ tenant, collection }).catch((error: unknown) => error)
    // The embedded store does one after the other: there nothing is left to be made again.
    const isAlone = block.store.kind === 'embedded'
    const waiting = `select count(*)::int as waiting from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database()`
    const countWaiting = () => block.store.tx('system', async ({ query }) => (await query(waiting)).rows[0]?.['waiting'])
    if (!isAlone) await expect.poll(countWaiting, { timeout: 5_000 }).toBe(1)
    mayEnd.resolve()
    await removing
    expect(await again).toEqual(isAlone ? 0 : expect.objectContaining({ code: 'conflict', message: 'the collection was removed' }))
  })

  test('a whole collection made again has all vectors of the new build, the old set is gone, and what was given of a document stays', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(
      ingest,
      await submitted(ingest, 'a.md', sections(3), { title: 'Kept', uri: 'https://example.org/a', metadata: { team: 'ops' } }),
    )
    await finished(ingest, await submitted(ingest, 'b.md', sections(2, ' too')))
    played.digest = 'd2'
    expect(await ingest.reingestAll({ tenant, collection })).toBe(2)
    for (const job of await ingest.jobs({ tenant, collection, limit: 2 })) {
      expect(await finished(ingest, job)).toMatchObject({ kind: 'reingest', state: 'done', outcome: 'written' })
    }
    expect(await sets()).toEqual([['d2', 5]])
    const { rows } = await block.store.tx('system', ({ query }) =>
      query(`select title, uri, metadata from rag_documents where id = 'a.md'`),
    )
    expect(rows).toEqual([{ title: 'Kept', uri: 'https://example.org/a', metadata: { team: 'ops' } }])
    expect(await ingest.reingestAll({ tenant, collection: 'none' })).toBe(0)
    expect(await ingest.reingestAll({ tenant: 'other', collection })).toBe(0)
  })

  test('making a collection again takes back no revision that was given before or meanwhile', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', 'First.'))
    const held = Promise.withResolvers<void>()
    played.onEmbed = () => held.promise
    const second = await submitted(ingest, 'a.md', 'Second.', { metadata: { revision: 2 } })
    await reached(ingest, second, ({ stage }) => stage === 'embed')
    expect(await ingest.reingestAll({ tenant, collection })).toBe(1)
    // A second wish takes the place of the first.
    expect(await ingest.reingestAll({ tenant, collection })).toBe(1)
    expect(await ingest.counts({ tenant, collection })).toMatchObject({ queued: 1, running: 1, cancelled: 1 })
    held.resolve()
    const [again] = await ingest.jobs({ tenant, collection, state: 'queued' })
    expect(await finished(ingest, second)).toMatchObject({ outcome: 'written' })
    expect(await finished(ingest, again ?? second)).toMatchObject({ kind: 'reingest', outcome: 'written' })
    expect(await texts(block.store, 'a.md')).toEqual(['Second.'])
    const { rows } = await block.store.tx('system', ({ query }) => query('select metadata from rag_documents'))
    expect(rows).toEqual([{ metadata: { revision: 2 } }])
  })

  test('what a job prepared of bytes that were replaced meanwhile is not shown as the new ones', async () => {
    const aborted = (signal: AbortSignal): Promise<never> =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(embedderDown()))
      })
    const first = await started(block.store)
    await finished(first.ingest, await submitted(first.ingest, 'a.md', 'First.'))
    // Its process ends when the job has prepared what is visible, and there is a newer revision to come.
    first.digest = 'd2'
    first.onEmbed = (_texts, { signal }) => aborted(signal)
    const again = await first.ingest.reingest(place('a.md'))
    if (again === null) throw new Error('no bytes')
    await reached(first.ingest, again, ({ stage }) => stage === 'embed')
    const newer = await submitted(first.ingest, 'a.md', 'Second.')
    await first.ingest.close()
    // The next one ends when the job has taken up the newer revision and has not read it.
    const second = play(block.store)
    const isReading = Promise.withResolvers<void>()
    second.onParse = async (_source, signal) => {
      if (second.parsed.length === 0) return
      isReading.resolve()
      await aborted(signal)
    }
    second.ingest.start()
    expect(await finished(second.ingest, newer)).toMatchObject({ outcome: 'written' })
    await isReading.promise
    await second.ingest.close()
    const third = play(block.store)
    onTestFinished(() => third.ingest.close())
    third.ingest.start()
    expect(await finished(third.ingest, again)).toMatchObject({ outcome: 'written' })
    expect(await texts(block.store, 'a.md')).toEqual(['Second.'])
  })

  test('however many documents wait to be made again, a collection can be made again and uploads are taken', async () => {
    const { ingest } = await started(block.store)
    await finished(ingest, await submitted(ingest, 'a.md', 'Text.'))
    await block.store.tx(
      { tenant },
      async (transaction) => {
        // Without indexes 200,000 rows take no time.
        await transaction.query('create temp table rag_jobs (like rag_jobs including defaults) on commit drop')
        const fill = (kind: string, jobs: number): Promise<unknown> =>
          transaction.query(
            `insert into rag_jobs (tenant, id, collection, document, kind, state, stage, priority, name, metadata, is_searchable_without_vectors, skips_duplicates)
              select $1, gen_random_uuid()::text, 'c-other', n::text, $2, 'queued', 'extract', 1, '', '{}', false, false from generate_series(1, $3::int) n`,
            [tenant, kind, jobs],
          )
        const database: Database = { ...block.store, tx: (_scope, work) => work(transaction) }
        await fill('reingest', openJobsMax + 1)
        expect(await reingestCollection(database, { tenant, collection })).toBe(1)
        expect(await submitDocument(database, { ...file('b.md'), kind: 'url', source: null })).toMatchObject({ isNew: true })
        await fill('upload', openJobsMax - 1)
        const oneMore = submitDocument(database, { ...file('c.md'), kind: 'url', source: null })
        await expect(oneMore).rejects.toMatchObject({ code: 'queue_full' })
      },
      wholeDocument,
    )
  })

  test('chunks that stay as they are keep their vectors when the language of their document becomes another', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(4)))
    await block.store.tx({ tenant }, ({ query }) =>
      query(`update rag_collections set settings = jsonb_set(settings, '{language}', '"de"') where tenant = $1`, [tenant]),
    )
    played.embedded.length = 0
    await finished(ingest, await submitted(ingest, 'a.md', sections(4).replace('part 2 says', 'part 2 no longer says')))
    expect(played.embedded).toHaveLength(1)
    expect((await keptVectors(block.store)).size).toBe(4)
    expect(await sets()).toEqual([['d1', 4]])
  })

  test('a chunk that stands in the next revision once more has the vector of the first', async () => {
    const played = await started(block.store)
    const { ingest } = played
    const part = '# Note\n\nThe same words stand here.'
    await finished(ingest, await submitted(ingest, 'a.md', [part, sections(2)].join('\n\n')))
    played.embedded.length = 0
    await finished(ingest, await submitted(ingest, 'a.md', [part, sections(2), part].join('\n\n')))
    expect(played.embedded).toEqual([])
    expect(await texts(block.store, 'a.md')).toHaveLength(4)
    expect(await sets()).toEqual([['d1', 4]])
  })

  test('a job that waits for an embedder goes on with another one that its collection is set to', async () => {
    const played = await started(block.store)
    const { ingest } = played
    played.onEmbed = (_texts, { model }) => (model === 'all-minilm' ? Promise.reject(embedderDown()) : Promise.resolve())
    const waiting = await shownByWords(played, 'a.md', sections(3))
    await setEmbedder('other-minilm')
    expect(await finished(ingest, waiting)).toMatchObject({ state: 'done', outcome: 'written' })
    expect((await keptVectors(block.store)).size).toBe(3)
  })

  test('a revision that is shown by its words is not finished when it is given again', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(10)))
    away(played)
    const changed = sections(10).replace('part 3 says', 'part 3 no longer says')
    const first = await shownByWords(played, 'a.md', changed)
    const second = await shownByWords(played, 'a.md', changed)
    expect(await ingest.job(first)).toMatchObject({ state: 'cancelled', error: { code: 'superseded' } })
    // As Ctrl-C does, and the same command again.
    await ingest.cancel(second)
    const third = await shownByWords(played, 'a.md', changed)
    played.onEmbed = async () => {}
    played.embedded.length = 0
    expect(await finished(ingest, third)).toMatchObject({ state: 'done', outcome: 'written' })
    expect(played.embedded).toEqual(['a.md › Part 3\nThis is what part 3 no longer says.'])
    expect((await keptVectors(block.store)).size).toBe(10)
  })

  test('nor is an earlier revision that was whole once', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(3)))
    away(played)
    await shownByWords(played, 'a.md', sections(3, ' now'))
    await shownByWords(played, 'a.md', sections(3))
    const last = await shownByWords(played, 'a.md', sections(3))
    played.onEmbed = async () => {}
    expect(await finished(ingest, last)).toMatchObject({ state: 'done', outcome: 'written' })
    expect((await keptVectors(block.store)).size).toBe(3)
  })

  test('what failed to take a document’s place changes neither its bytes nor what it is made of again', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', 'Readable.'))
    played.onParse = ({ name }) => (name === 'locked.pdf' ? Promise.reject(embedderDown()) : Promise.resolve())
    const { job } = await ingest.submitFile(file('a.md', { name: 'locked.pdf' }), bytesOf('%PDF'))
    expect(await finished(ingest, job)).toMatchObject({ state: 'failed' })
    expect((await ingest.source(place('a.md')))?.source).toMatchObject({ name: 'a.md', sizeBytes: 9 })
    const again = await ingest.reingest(place('a.md'))
    expect(await finished(ingest, again ?? job)).toMatchObject({ outcome: 'written', name: 'a.md' })
    expect(await texts(block.store, 'a.md')).toEqual(['Readable.'])
    // The failed one can still be tried again.
    expect(await ingest.retry(job)).toMatchObject({ isChanged: true })
  })
})
