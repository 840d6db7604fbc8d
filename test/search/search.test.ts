// Whole searches on both stores: modes, fusion, what is left out, what is added, what happens when a part cannot be had.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import type { SearchAnswer, SearchRequest } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { rerankPassagesMax, type RerankCall } from '../../src/search/rerank.ts'
import { createSearchMemory, search, type SearchDeps } from '../../src/search/search.ts'
import { deleteVectors } from '../../src/search/vector-write.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { tenant } from './keyword-corpus.ts'
import { depsOf, embed, embedderDown, makeCollection, put, requestOf, withVectors } from './vector-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']

const animals = {
  cats: ['The cat sleeps on the warm roof.', 'A cat eats fish in the evening.', 'Kittens play with wool all day.'],
  dogs: ['The dog guards the farm at night.', 'A dog buries its bone in the garden.'],
  fish: ['Salmon swim up the cold river to spawn.'],
}

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
  })
  afterAll(() => database.close())
  beforeEach(async () => {
    await withVectors(database)
    for (const [id, chunks] of Object.entries(animals))
      await put(database, { id, chunks, metadata: { kind: id === 'fish' ? 'water' : 'land' } })
  })

  const ask = (query: string, overrides: Partial<SearchRequest> = {}, deps: Partial<SearchDeps> = {}): Promise<SearchAnswer> =>
    search(requestOf(query, overrides), depsOf(database, deps))
  const idsOf = ({ results }: SearchAnswer): string[] => results.map(({ chunk }) => chunk.id)

  test('puts first what both legs put first, with the scores of each', async () => {
    const answer = await ask('where does the dog bury its bone')
    const [first] = answer.results
    expect(first?.chunk.id).toBe('dogs#1')
    expect(first?.document).toEqual({ id: 'dogs', title: 'dogs', uri: null, metadata: { kind: 'land' } })
    expect(first?.scores.keyword).toBeGreaterThan(0)
    expect(first?.scores.vector).toBeGreaterThan(0)
    expect(answer.degraded).toBeNull()
    expect(answer.results.every(({ score }, place) => score <= (answer.results[place - 1]?.score ?? 1))).toBe(true)
  })

  test('marks what matched, by offsets into the text', async () => {
    const [first] = (await ask('salmon in rivers')).results
    expect(first?.highlights.map(({ start, end }) => first.chunk.text.slice(start, end))).toEqual(['Salmon', 'river'])
  })

  test('asks no embedder by words alone, and finds nothing without a word in common', async () => {
    const deps = { embed: () => Promise.reject(new Error('asked')) }
    expect(idsOf(await ask('kittens', { mode: 'keyword' }, deps))).toEqual(['cats#2'])
    expect(idsOf(await ask('zebra', { mode: 'keyword' }, deps))).toEqual([])
  })

  test('finds by vectors alone what has no word in common, by its cosine', async () => {
    const answer = await ask('zebra', { mode: 'vector' })
    expect(answer.results).toHaveLength(6)
    expect(answer.results.every(({ scores }) => scores.keyword === null && scores.vector !== null)).toBe(true)
  })

  test('gives what words find, and says why, while the embedder is down', async () => {
    for (const mode of ['hybrid', 'vector'] as const) {
      const answer = await ask('kittens', { mode }, { embed: embedderDown })
      expect(idsOf(answer)).toEqual(['cats#2'])
      expect(answer.degraded?.reason).toContain('no node has hash-embedder')
    }
    expect((await ask('kittens', {}, { embed: null })).degraded?.reason).toContain('no fleet')
  })

  test('gives all that words find by vectors alone, too, while the embedder is down', async () => {
    const found = await ask('cat dog', { mode: 'vector' }, { embed: embedderDown })
    expect(idsOf(found).toSorted()).toEqual(['cats#0', 'cats#1', 'dogs#0', 'dogs#1'])
    expect(idsOf(found)).toEqual(idsOf(await ask('cat dog', { mode: 'keyword' })))
  })

  test('documents without a vector keep their place by words beside those that have one, and the answer says so', async () => {
    await withVectors(database)
    await put(database, { id: 'manual', chunks: ['Order the spare part K-4711 by telephone.', 'Oil the part.'], isEmbedded: false })
    expect((await ask('K-4711', { mode: 'keyword' })).degraded, 'nobody asked for vectors').toBeNull()
    await put(database, { id: 'news', chunks: ['The canteen opens at noon.'] })
    for (const mode of ['hybrid', 'vector'] as const) {
      const found = await ask('spare part K-4711', { mode })
      expect(found.results.map(({ chunk, score }) => [chunk.id, score])).toEqual([
        ['manual#0', 1],
        ['news#0', mode === 'vector' ? 1 : 0.5],
        ['manual#1', expect.closeTo(0.05, 2)],
      ])
      expect(found.results.map(({ lacksVector }) => lacksVector)).toEqual([true, undefined, true])
      expect(found.degraded?.reason).toBe(
        '2 of 3 chunks of docs have no vector of hash-embedder and are found by words: "corral collections reingest docs"',
      )
    }
    await put(database, { id: 'manual', chunks: ['Order the spare part K-4711 by telephone.', 'Oil the part.'] })
    expect((await ask('spare part K-4711')).degraded).toBeNull()
  })

  test('while a collection is embedded anew, what the new embedder has not reached is found by words', async () => {
    const anew: typeof embed = async (...call) => ({ ...(await embed(...call)), digest: 'sha256:new' })
    await put(database, { id: 'fish', chunks: animals.fish, digest: 'sha256:new' })
    const found = await ask('dog bone', { mode: 'vector' }, { embed: anew })
    expect(idsOf(found).toSorted()).toEqual(['dogs#0', 'dogs#1', 'fish#0'])
    expect(idsOf(await ask('dog bone', {}, { embed: anew }))[0]).toBe('dogs#1')
    expect(found.degraded?.reason).toContain('5 of 6 chunks of docs have no vector')
  })

  test('says when the embedder is another than the one that made the vectors', async () => {
    const deps = { embed: async (...call: Parameters<typeof embed>) => ({ ...(await embed(...call)), digest: 'sha256:new' }) }
    const answer = await ask('kittens', {}, deps)
    expect(idsOf(answer)).toEqual(['cats#2'])
    expect(answer.degraded?.reason).toContain('docs has no vectors of hash-embedder as it is now')
  })

  test('is not degraded where a collection goes by words by its own settings', async () => {
    await makeCollection(database, { id: 'c2', name: 'words', settings: { embedder: null } })
    await put(database, { collection: 'c2', id: 'w', chunks: ['Kittens are young cats.'], isEmbedded: false })
    const answer = await ask('kittens', { collections: ['words'] })
    expect(idsOf(answer)).toEqual(['w#0'])
    expect(answer.degraded).toBeNull()
  })

  test('searches several collections together, each by its own weight', async () => {
    await makeCollection(database, { id: 'c2', name: 'more', settings: { fusionWeight: 0 } })
    await put(database, { collection: 'c2', id: 'm', chunks: ['Kittens are young cats.', 'Nothing here fits.'] })
    const answer = await ask('kittens', { collections: ['docs', 'more'], explain: true })
    expect(
      answer.results
        .slice(0, 2)
        .map(({ collection, chunk }) => `${collection} ${chunk.id}`)
        .toSorted(),
    ).toEqual(['docs cats#2', 'more m#0'])
    expect(answer.results.find(({ chunk }) => chunk.id === 'm#1')?.score).toBe(0)
    expect(Object.keys(answer.versions).toSorted()).toEqual(['docs', 'more'])
    expect(answer.explain?.some((line) => line.startsWith('more, vectors: exact'))).toBe(true)
  })

  test('keeps to the filter in both legs, and counts facets over all that passes', async () => {
    const answer = await ask('the', { mode: 'vector', filter: [{ field: 'kind', op: 'eq', value: 'water' }], facets: ['kind'] })
    expect(idsOf(answer)).toEqual(['fish#0'])
    expect(answer.facets).toEqual({ kind: [{ value: 'water', count: 1 }] })
    expect((await ask('kittens', { mode: 'keyword', facets: ['kind'] })).facets, 'whatever the query').toEqual({
      kind: [
        { value: 'land', count: 2 },
        { value: 'water', count: 1 },
      ],
    })
    expect(idsOf(await ask('the cat', { filter: [{ field: 'kind', op: 'eq', value: 'air' }] }))).toEqual([])
  })

  test('sees a change of the documents at the next search under the same filter', async () => {
    const memory = createSearchMemory()
    const filter = [{ field: 'kind', op: 'eq', value: 'water' }] as const
    const before = await ask('salmon', { filter }, { memory })
    await put(database, { id: 'trout', chunks: ['Trout and salmon are fish.'], metadata: { kind: 'water' } })
    await database.tx({ tenant }, (transaction) =>
      deleteDocument(transaction, { tenant, collection: 'c1', document: 'fish' }, deleteVectors),
    )
    const after = await ask('salmon', { filter }, { memory })
    expect([idsOf(before), idsOf(after)]).toEqual([['fish#0'], ['trout#0']])
    expect(after.versions['docs']).toBe((before.versions['docs'] ?? 0) + 2)
  })

  test('gives one hit per document when asked', async () => {
    const answer = await ask('cat dog', { perDocument: true })
    expect(answer.results.map(({ document }) => document.id).toSorted()).toEqual(['cats', 'dogs', 'fish'])
  })

  test('leaves out near-duplicates of a better hit', async () => {
    const long = 'The heron waits in the shallow water of the lake until a careless frog comes near enough to be caught.'
    await put(database, { id: 'h1', chunks: [long] })
    await put(database, { id: 'h2', chunks: [long] })
    await put(database, { id: 'h3', chunks: [`${long} Indeed.`] })
    const answer = await ask('heron in the shallow lake')
    expect(answer.results.filter(({ document }) => document.id.startsWith('h'))).toHaveLength(1)
  })

  test('orders by the reranking model, which sees at most 20 passages', async () => {
    const asked: RerankCall[] = []
    const deps = {
      ask: (call: RerankCall) => {
        asked.push(call)
        return Promise.resolve('3, 1')
      },
    }
    const plain = idsOf(await ask('cat'))
    const answer = await ask('cat', { reranker: 'judge' }, deps)
    expect(idsOf(answer)).toEqual([plain[2], plain[0], plain[1], ...plain.slice(3)])
    expect(answer.results[0]?.scores.rerank).toBe(1)
    expect(asked[0]?.prompt.match(/^\[\d+\]/gmu)?.length).toBeLessThanOrEqual(rerankPassagesMax)
  })

  test('leaves the order alone, and says so, when the reranking model fails or babbles', async () => {
    const plain = idsOf(await ask('cat'))
    const failing = await ask('cat', { reranker: 'judge' }, { ask: () => Promise.reject(new CorralError('no_node', 'no node has judge')) })
    const babbling = await ask('cat', { reranker: 'judge' }, { ask: () => Promise.resolve('I cannot say.') })
    expect([idsOf(failing), idsOf(babbling)]).toEqual([plain, plain])
    expect(failing.degraded?.reason).toBe('not reranked: no node has judge')
    expect(babbling.degraded?.reason).toBe('not reranked: judge named no passage')
  })

  test('refuses what it cannot search and says why', async () => {
    await expect(ask('cat', { collections: ['none'] })).rejects.toMatchObject({
      code: 'collection_not_found',
      status: 404,
      message: 'no collection "none"',
    })
    await expect(ask('  ')).rejects.toThrow('the query is empty')
    await expect(ask('cat', { limit: 0 })).rejects.toThrow('limit is 1 to 100')
    await expect(ask('cat', { collections: [] })).rejects.toThrow('1 to 10 collections')
    await expect(ask('cat', { neighbours: 6 })).rejects.toThrow('neighbours is 0 to 5')
    await expect(ask('cat', { neighbours: 1, section: true })).rejects.toThrow('neighbours or section, not both')
    await expect(ask('cat', { section: true, passageCharacters: 0 })).rejects.toThrow('passageCharacters is 1 to 20000')
    await expect(ask('cat', { filter: [{ field: 'kind', op: 'range' }] })).rejects.toThrow('kind: a range needs')
  })

  test('ends with what the caller aborted with', async () => {
    const controller = new AbortController()
    const gone = new CorralError('client_gone', 'gone')
    const deps = {
      signal: controller.signal,
      embed: () => {
        controller.abort(gone)
        return Promise.reject(gone)
      },
    }
    await expect(ask('cat', {}, deps)).rejects.toBe(gone)
  })

  test('shows a tenant nothing of another', async () => {
    await expect(ask('cat', { tenant: 'other' })).rejects.toMatchObject({ status: 404 })
  })
})
