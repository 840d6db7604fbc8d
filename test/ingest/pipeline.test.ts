// From bytes to a visible document on each store: what is embedded and what is not, waiting for the embedder, what is cleared.

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Enrich } from '../../src/ingest/job-deps.ts'
import type { Database } from '../../src/store/database.ts'
import { describeIngest, started } from './ingest-block.ts'
import {
  bytesOf,
  collection,
  count,
  embedderDown,
  emptyStore,
  file,
  finished,
  keptVectors,
  play,
  prepareStore,
  reached,
  sections,
  submitted,
  tenant,
  texts,
  vectorOf,
} from './pipeline-play.ts'

const place = (document: string) => ({ tenant, collection, document })

describeIngest((block) => {
  test('makes a document findable with the vector of each chunk, and keeps nothing of the way there', async () => {
    const { ingest, troubles } = await started(block.store)
    const job = await finished(ingest, await submitted(ingest, 'a.md', sections(9), { metadata: { team: 'ops' } }))
    expect(job).toMatchObject({ state: 'done', outcome: 'written', counts: { embed: { done: 9, total: 9 }, index: { done: 1, total: 1 } } })
    expect(await texts(block.store, 'a.md')).toHaveLength(9)
    const vectors = await keptVectors(block.store)
    expect(vectors.size).toBe(9)
    const [first] = await texts(block.store, 'a.md')
    const wanted = vectorOf(`a.md › Part 0\nThis is what part 0 says.`)
    expect(first).toBe('# Part 0\n\nThis is what part 0 says.')
    vectors.get(`a.md: ${first}`)?.forEach((value, index) => expect(value).toBeCloseTo(wanted[index] ?? 9, 5))
    expect([await count(block.store, 'rag_job_parts'), await count(block.store, 'rag_job_vectors')]).toEqual([0, 0])
    const kept = await ingest.source(place('a.md'))
    const parts: Uint8Array[] = []
    for await (const part of kept?.bytes ?? []) parts.push(part)
    expect(Buffer.concat(parts).toString()).toBe(sections(9))
    expect(troubles).toEqual([])
  })

  test('cuts what enrichers make of a parsed document, each given what the one before made, and the bytes', async () => {
    await emptyStore(block.store)
    await prepareStore(block.store)
    const adding =
      (mark: string): Enrich =>
      async (parsed, { bytes }) => {
        const text = `${parsed.text}\n\nFound by ${mark} in ${bytes.length} bytes.`
        const found = {
          kind: 'paragraph',
          start: parsed.text.length + 2,
          end: text.length,
          page: 3,
          headings: [mark],
          level: null,
        } as const
        return { ...parsed, text, blocks: [...parsed.blocks, found] }
      }
    const { ingest } = play(block.store, {}, { enrichers: [adding('OCR'), adding('tables')] })
    onTestFinished(() => ingest.close())
    ingest.start()
    expect(await finished(ingest, await submitted(ingest, 'a.md', 'Given.'))).toMatchObject({ state: 'done' })
    expect(await texts(block.store, 'a.md')).toEqual(['Given.', 'Found by OCR in 6 bytes.', 'Found by tables in 6 bytes.'])
    const { rows } = await block.store.tx('system', ({ query }) => query('select page, headings from rag_chunks order by ordinal'))
    expect(rows.slice(1)).toEqual([
      { page: 3, headings: ['OCR'] },
      { page: 3, headings: ['tables'] },
    ])
  })

  test('embeds only the chunks that changed, and shows the old revision until the new one is whole', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(6)))
    played.embedded.length = 0
    const held = Promise.withResolvers<void>()
    played.onEmbed = () => held.promise
    const job = await submitted(ingest, 'a.md', sections(6).replace('part 3 says', 'part 3 no longer says'))
    await reached(ingest, job, ({ stage }) => stage === 'embed')
    expect((await texts(block.store, 'a.md')).join('\n')).toContain('part 3 says')
    held.resolve()
    await finished(ingest, job)
    expect(played.embedded).toEqual(['a.md › Part 3\nThis is what part 3 no longer says.'])
    expect((await texts(block.store, 'a.md')).join('\n')).toContain('part 3 no longer says')
    expect((await keptVectors(block.store)).size).toBe(6)
    expect(await count(block.store, 'rag_sources')).toBe(1)
  })

  test('answers the same bytes with a job that did nothing, and embeds all again when asked to', async () => {
    const played = await started(block.store)
    const { ingest } = played
    await finished(ingest, await submitted(ingest, 'a.md', sections(2)))
    played.embedded.length = 0
    const again = await finished(ingest, await submitted(ingest, 'a.md', sections(2)))
    expect(again).toMatchObject({ state: 'done', outcome: 'unchanged' })
    expect(played.parsed).toHaveLength(1)
    expect(await count(block.store, 'rag_sources')).toBe(1)
    expect(await finished(ingest, (await ingest.reingest(place('a.md'))) ?? again)).toMatchObject({ outcome: 'written' })
    expect(played.embedded).toHaveLength(2)
    const renamed = await finished(ingest, await submitted(ingest, 'a.md', sections(2), { metadata: { team: 'ops' } }))
    expect(renamed.outcome).toBe('written')
    expect(await ingest.reingest(place('none.md'))).toBeNull()
  })

  test('says of which document another is a duplicate, and does not write it when asked not to', async () => {
    const { ingest } = await started(block.store)
    await finished(ingest, await submitted(ingest, 'a.md', sections(1)))
    expect(await finished(ingest, await submitted(ingest, 'b.md', sections(1)))).toMatchObject({ outcome: 'written', duplicateOf: 'a.md' })
    const skipped = await finished(ingest, await submitted(ingest, 'c.md', sections(1), { skipsDuplicates: true }))
    expect(skipped).toMatchObject({ outcome: 'duplicate', duplicateOf: 'a.md' })
    expect(await texts(block.store, 'c.md')).toEqual([])
    expect(await count(block.store, 'rag_sources')).toBe(2)
  })

  test('a document that is there gets its new contents, also when another one has the same and duplicates are skipped', async () => {
    const { ingest } = await started(block.store)
    await finished(ingest, await submitted(ingest, 'p.md', 'It costs ten euros.'))
    await finished(ingest, await submitted(ingest, 'q.md', 'It costs twenty euros.'))
    const changed = await finished(ingest, await submitted(ingest, 'p.md', 'It costs twenty euros.', { skipsDuplicates: true }))
    expect(changed).toMatchObject({ outcome: 'written', duplicateOf: 'q.md' })
    expect(await texts(block.store, 'p.md')).toEqual(['It costs twenty euros.'])
    const again = await finished(ingest, await submitted(ingest, 'p.md', 'It costs twenty euros.', { skipsDuplicates: true }))
    expect(again.outcome).toBe('unchanged')
  })

  test('waits for a missing embedder without using up attempts, says so, and goes on where it was', async () => {
    const played = await started(block.store)
    const { ingest } = played
    let batches = 0
    played.onEmbed = async () => {
      batches += 1
      if (batches > 1) throw embedderDown()
    }
    played.options = { ...played.options, embedInFlight: 1 }
    const waiting = await reached(ingest, await submitted(ingest, 'a.md', sections(8)), ({ state }) => state === 'paused')
    expect(waiting.error).toEqual({ code: 'no_node', message: 'waits for the embedder: no node has all-minilm' })
    expect(waiting.attempts).toBe(0)
    expect(await texts(block.store, 'a.md')).toEqual([])
    expect(await count(block.store, 'rag_job_vectors')).toBe(4)
    played.onEmbed = async () => {}
    expect(await finished(ingest, waiting)).toMatchObject({ state: 'done', attempts: 1, error: null })
    expect(played.embedded).toHaveLength(8)
    expect(played.parsed).toHaveLength(1)
  })

  test('at rest looks for work every poll interval where other processes write too, and else only when something is due', async () => {
    const asked: string[] = []
    const counted: Database = {
      kind: block.store.kind,
      tx: (scope, work, options) => {
        asked.push(options?.name ?? '')
        return block.store.tx(scope, work, options)
      },
      close: () => Promise.resolve(),
    }
    const { ingest } = await started(counted, { pollMs: 10, leaseMs: 60_000 })
    await systemClock.sleep(300)
    asked.length = 0
    await systemClock.sleep(500)
    if (block.store.kind === 'embedded') expect(asked).toEqual([])
    else await expect.poll(() => asked.filter((name) => name === 'look_for_jobs').length).toBeGreaterThan(10)
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(1)))).toMatchObject({ state: 'done' })
  })

  test('a job that is put off is begun when it is due, long before anybody would look by themselves', async () => {
    const played = await started(block.store, { pollMs: 10, leaseMs: 600_000, retryDelayMs: 200, retryDelayMsMax: 200 })
    let tries = 0
    played.onEmbed = async () => {
      tries += 1
      if (tries === 1) throw embedderDown()
    }
    const startMs = performance.now()
    expect(await finished(played.ingest, await submitted(played.ingest, 'a.md', sections(1)))).toMatchObject({ state: 'done' })
    expect(tries).toBe(2)
    // A sixth of the lease is 100 s.
    expect(performance.now() - startMs).toBeLessThan(30_000)
  })

  test('shows a document by its words while the embedder is missing, when that is asked for', async () => {
    const played = await started(block.store)
    const { ingest } = played
    played.onEmbed = async () => {
      throw embedderDown()
    }
    const waiting = await reached(
      ingest,
      await submitted(ingest, 'a.md', sections(3), { isSearchableWithoutVectors: true }),
      ({ error }) => error !== null,
    )
    expect(await texts(block.store, 'a.md')).toHaveLength(3)
    expect((await keptVectors(block.store)).size).toBe(0)
    played.onEmbed = async () => {}
    expect(await finished(ingest, waiting)).toMatchObject({ state: 'done', outcome: 'written' })
    expect((await keptVectors(block.store)).size).toBe(3)
  })

  test('mixes no vectors of two digests: those made before the model changed are made again', async () => {
    const played = await started(block.store)
    const { ingest } = played
    played.options = { ...played.options, embedInFlight: 1 }
    let batches = 0
    played.onEmbed = async () => {
      batches += 1
      if (batches === 2) played.digest = 'd2'
    }
    expect(await finished(ingest, await submitted(ingest, 'a.md', sections(8)))).toMatchObject({ state: 'done' })
    expect(new Set(played.embedded).size).toBe(8)
    expect(played.embedded.length).toBeGreaterThanOrEqual(12)
    const { rows } = await block.store.tx('system', (transaction) => transaction.query('select digest, vectors from rag_vector_sets'))
    expect(rows.map(({ digest, vectors }) => [digest, Number(vectors)])).toEqual([['d2', 8]])
  })

  test('fails a document that cannot be read at once with the reason, tries what may pass again, and gives up in the end', async () => {
    const played = await started(block.store)
    const { ingest, troubles } = played
    played.onParse = async ({ name }) => {
      if (name === 'locked.pdf') throw new CorralError('invalid_request', 'the document is encrypted: save it without a password')
      if (name === 'broken.pdf') throw new Error('a bug')
    }
    const locked = await finished(ingest, await submitted(ingest, 'locked.pdf', 'x'))
    expect(locked).toMatchObject({
      state: 'failed',
      attempts: 1,
      error: { code: 'invalid_request', message: expect.stringContaining('without a password') },
    })
    const broken = await finished(ingest, await submitted(ingest, 'broken.pdf', 'x'))
    expect(broken).toMatchObject({
      state: 'failed',
      attempts: 3,
      error: { code: 'internal', message: 'gave up after 3 attempts: internal error' },
    })
    expect(troubles).toHaveLength(3)
    expect(await finished(ingest, await submitted(ingest, 'good.md', 'Good.'))).toMatchObject({ state: 'done' })
    played.onParse = async () => {}
    expect(await ingest.retryFailed({ tenant, collection })).toBe(2)
    expect(await finished(ingest, broken)).toMatchObject({ state: 'done', attempts: 1 })
  })

  test('refuses a document over the limit and keeps nothing of it', async () => {
    const { ingest } = await started(block.store, { sourceBytesMax: 10 })
    await expect(ingest.submitFile(file('big'), bytesOf('more than ten bytes'))).rejects.toMatchObject({ code: 'body_too_large' })
    expect([await count(block.store, 'rag_sources'), await count(block.store, 'rag_source_parts')]).toEqual([0, 0])
  })

  test('fetches a page by its address, and keeps its bytes as its source', async () => {
    const { ingest } = await started(block.store)
    const { declaredType, ...given } = file('page')
    expect(declaredType).toBeNull()
    const { job } = await ingest.submitUrl({ ...given, uri: 'https://example.org/a' })
    expect(await finished(ingest, job)).toMatchObject({ state: 'done', counts: { upload: { done: 1, total: 1 } } })
    expect(await texts(block.store, 'page')).toEqual(['Fetched from https://example.org/a'])
    expect((await ingest.source(place('page')))?.source).toMatchObject({ uri: 'https://example.org/a', name: 'page' })
  })
})
