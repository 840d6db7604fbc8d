// What is given around a hit on both stores: neighbours and sections, always the document's own text between its offsets.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { SearchHit, SearchRequest } from '../../src/core/corpus.ts'
import { search } from '../../src/search/search.ts'
import { widenHits } from '../../src/search/widen.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { tenant } from './keyword-corpus.ts'
import { depsOf, put, requestOf, withVectors, writeOf } from './vector-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'pgbouncer'] : ['embedded']

/** Signs that are two code units in JavaScript and one character to a database stand before, within and behind what is looked for. */
const guide = {
  id: 'guide',
  chunks: [
    '🚀 Begin here. 🚀',
    'Warp drives need 🐈 cats.',
    'Zirconium holds the 🐈 drive.',
    'Spare parts 🔧 lie aft.',
    'Bills are paid monthly.',
  ],
  headings: [[], ['Drive'], ['Drive', 'Metal'], ['Drive', 'Metal', 'Parts'], ['Bills']],
}

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  let text: string
  beforeAll(async () => {
    database = await servers.open()
    text = (await writeOf(guide)).document.text
  })
  afterAll(() => database.close())
  beforeEach(async () => {
    await withVectors(database)
    await put(database, guide)
  })

  async function find(query: string, overrides: Partial<SearchRequest>): Promise<SearchHit> {
    const { results } = await search(requestOf(query, { mode: 'keyword', ...overrides }), depsOf(database))
    const [first] = results
    if (first === undefined) throw new Error('nothing was found')
    return first
  }

  function expectQuote({ before, chunk, after, passage }: SearchHit, ...chunks: readonly (string | undefined)[]): void {
    expect(before + chunk.text + after).toBe(text.slice(passage.start, passage.end))
    expect(before + chunk.text + after).toBe(chunks.join('\n'))
  }

  test('a hit alone is its chunk', async () => {
    expectQuote(await find('zirconium', {}), guide.chunks[2])
  })

  test('neighbours are chunks before and after, as far as there are any', async () => {
    expectQuote(await find('zirconium', { neighbours: 1 }), ...guide.chunks.slice(1, 4))
    expectQuote(await find('bills', { neighbours: 1 }), ...guide.chunks.slice(3))
    expectQuote(await find('zirconium', { neighbours: 5 }), ...guide.chunks)
  })

  test('a section is what stands below the heading of the hit, sections within it included', async () => {
    expectQuote(await find('warp', { section: true }), ...guide.chunks.slice(1, 4))
    expectQuote(await find('zirconium', { section: true }), ...guide.chunks.slice(2, 4))
    expectQuote(await find('bills', { section: true }), guide.chunks[4])
  })

  test('without a heading the section is the document', async () => {
    expectQuote(await find('begin', { section: true }), ...guide.chunks)
  })

  test('whole chunks are given, the nearest first, as long as they fit', async () => {
    const [before = '', own = '', after = ''] = guide.chunks.slice(1, 4)
    const all = [before, own, after].join('\n').length
    expectQuote(await find('zirconium', { neighbours: 1, passageCharacters: all }), before, own, after)
    expectQuote(await find('zirconium', { neighbours: 1, passageCharacters: all - 1 }), before, own)
    expectQuote(await find('zirconium', { section: true, passageCharacters: 1 }), own)
  })

  test('a section ends where the same heading comes again after another', async () => {
    const again = { id: 'again', chunks: ['Quartz one.', 'Feldspar.', 'Quartz two.'], headings: [['A'], ['B'], ['A']] }
    await put(database, again)
    const hit = await find('one', { section: true })
    expect([hit.before, hit.after]).toEqual(['', ''])
  })

  test('what repeats the chunk before stands there once', async () => {
    const write = await writeOf({ id: 'lap', chunks: ['Onyx is black.', 'black. Opal is white.'] })
    const [first, second] = write.chunks
    if (first === undefined || second === undefined) throw new Error('two chunks')
    const document = { ...write.document, text: 'Onyx is black. Opal is white.' }
    await put(database, {
      ...write,
      document,
      chunks: [
        { ...first, start: 0, end: 14 },
        { ...second, start: 8, end: 29 },
      ],
    })
    const hit = await find('opal', { neighbours: 1 })
    expect([hit.before, hit.passage]).toEqual(['Onyx is ', { start: 0, end: 29 }])
  })

  test('signs that take two code units stay what they are, also before the sign for what could not be read', async () => {
    const chunks = ['Signs 🐈\ufffd\ufffd🔧 \ufffd stay.', 'Agate 🚀🚀\ufffd lies here.', 'Beryl 🐈 ends.']
    await put(database, { id: 'signs', chunks })
    const hit = await find('agate', { neighbours: 1 })
    expect([hit.before, hit.after]).toEqual([`${chunks[0]}\n`, `\n${chunks[2]}`])
  })

  test('twenty hits in one long text take less than nine times what one takes', async () => {
    const filling = '🚀🐈'.repeat(100_000)
    const chunks = Array.from({ length: 20 }, (_, index) => `Line ${index} of the end.`)
    const write = await writeOf({ id: 'long', chunks })
    const middles = write.chunks.map(({ ordinal, start, end, text: own }) => {
      return { document: 'long', ordinal, start: start + filling.length, end: end + filling.length, text: own }
    })
    await put(database, {
      ...write,
      document: { ...write.document, text: filling + write.document.text },
      chunks: write.chunks.map((chunk, place) => ({ ...chunk, ...middles[place] })),
    })
    const msFor = async (count: number): Promise<number> => {
      const wish = { tenant, collection: 'c1', by: 1, charactersMax: 1_000, middles: middles.slice(-count) }
      const startedMs = systemClock.nowMs()
      // A busy machine may take longer than the store's own second and a half.
      const options = { readOnly: true, statementTimeoutMs: 60_000 }
      const around = await database.tx({ tenant }, (transaction) => widenHits(transaction, wish), options)
      const tookMs = systemClock.nowMs() - startedMs
      expect(around.at(-1)?.before).toBe(`${chunks[18]}\n`)
      return tookMs
    }
    // By turns, so that what else the machine does meets both; the least of each is what it takes by itself.
    const least = { twenty: Infinity, one: Infinity }
    const ratioSoFar = async (): Promise<number> => {
      least.twenty = Math.min(least.twenty, await msFor(20))
      least.one = Math.min(least.one, await msFor(1))
      return least.twenty / least.one
    }
    for (let turn = 0; turn < 3; turn += 1) await ratioSoFar()
    await expect.poll(ratioSoFar).toBeLessThan(9)
  })

  test('a document that became another one meanwhile is not widened', async () => {
    const middle = { document: 'guide', ordinal: 2, start: 40, end: 45, text: 'gone!' }
    const wish = { tenant, collection: 'c1', by: 1, charactersMax: 1_000, middles: [middle, { ...middle, document: 'none' }] }
    const around = await database.tx({ tenant }, (transaction) => widenHits(transaction, wish), { readOnly: true })
    expect(around).toEqual([0, 1].map(() => ({ before: '', after: '', passage: { start: 40, end: 45 } })))
  })
})
