// Filters and facets as SQL on both stores, against metadata of every kind.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import type { FilterCondition, Metadata } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { countFacets } from '../../src/search/facets.ts'
import { filterSql, SqlParameters } from '../../src/search/filter.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { tenant } from './keyword-corpus.ts'
import { put, withVectors } from './vector-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'postgres'] : ['embedded']

const documents: Readonly<Record<string, Metadata>> = {
  red: { colour: 'red', size: 3, tags: ['new', 'sale'], made: '2026-01-31', active: true, note: '100%_sure' },
  green: { colour: 'green', size: 10, tags: ['sale'], made: '2026-01-31T23:30:00-02:00', active: false, note: 'say \\ it' },
  blue: { colour: 'blue', size: 7.5, tags: [], made: '2026-02-01T00:00:00', note: null },
  odd: { colour: 5, size: 'ten', tags: 'sale', made: '2026-02-31', 'a.b "c"': 'quoted' },
  bare: {},
}

const cases: readonly (readonly [string, readonly FilterCondition[], readonly string[]])[] = [
  ['no condition', [], ['bare', 'blue', 'green', 'odd', 'red']],
  ['eq on a text', [{ field: 'colour', op: 'eq', value: 'red' }], ['red']],
  ['eq keeps types apart', [{ field: 'colour', op: 'eq', value: '5' }], []],
  ['eq on a number', [{ field: 'size', op: 'eq', value: 7.5 }], ['blue']],
  ['eq on a boolean', [{ field: 'active', op: 'eq', value: false }], ['green']],
  ['ne takes those without the field too', [{ field: 'colour', op: 'ne', value: 'red' }], ['bare', 'blue', 'green', 'odd']],
  ['in', [{ field: 'colour', op: 'in', values: ['red', 5] }], ['odd', 'red']],
  ['in nothing', [{ field: 'colour', op: 'in', values: [] }], []],
  ['a range of numbers passes texts by', [{ field: 'size', op: 'range', from: 3, to: 7.5 }], ['blue', 'red']],
  ['a range with an open end', [{ field: 'size', op: 'range', from: 8 }], ['green']],
  ['a range of dates in their zones, without impossible ones', [{ field: 'made', op: 'range', from: '2026-02-01' }], ['blue', 'green']],
  ['a range to a day holds all of that day', [{ field: 'made', op: 'range', to: '2026-01-31' }], ['red']],
  ['a range to the last day of all', [{ field: 'made', op: 'range', to: '9999-12-31' }], ['blue', 'green', 'red']],
  ['a range between moments', [{ field: 'made', op: 'range', from: '2026-02-01T01:00:00Z', to: '2026-02-01T02:00:00Z' }], ['green']],
  ['exists passes null by', [{ field: 'note', op: 'exists', present: true }], ['green', 'red']],
  ['exists not', [{ field: 'note', op: 'exists', present: false }], ['bare', 'blue', 'odd']],
  ['contains in a list, or in a text', [{ field: 'tags', op: 'contains', value: 'sale' }], ['green', 'odd', 'red']],
  ['contains takes wildcards literally', [{ field: 'note', op: 'contains', value: '%_S' }], ['red']],
  ['contains takes a backslash literally', [{ field: 'note', op: 'contains', value: '\\' }], ['green']],
  ['an unknown field', [{ field: 'nothing', op: 'eq', value: 1 }], []],
  ['a field with quotes', [{ field: 'a.b "c"', op: 'eq', value: 'quoted' }], ['odd']],
  ['an attack is a value', [{ field: `colour' or true --`, op: 'eq', value: `x' or 'x' = 'x` }], []],
  [
    'conditions together',
    [
      { field: 'tags', op: 'contains', value: 'sale' },
      { field: 'active', op: 'eq', value: true },
    ],
    ['red'],
  ],
  ['the own id', [{ field: 'id', op: 'in', values: ['red', 'bare'] }], ['bare', 'red']],
  ['the own title by a part', [{ field: 'title', op: 'contains', value: 'RE' }], ['bare', 'green', 'red']],
  ['the own uri that is not there', [{ field: 'uri', op: 'exists', present: true }], []],
  ['the own time', [{ field: 'createdAt', op: 'range', from: '2020-01-01', to: '2020-12-31' }], []],
]

const refused: readonly (readonly [string, FilterCondition, RegExp])[] = [
  ['a range without ends', { field: 'size', op: 'range' }, /size: a range needs/],
  ['a date that is none', { field: 'made', op: 'range', from: 'yesterday' }, /made: "yesterday" is no ISO 8601 date/],
  ['ends of two kinds', { field: 'made', op: 'range', from: 1, to: '2026-01-01' }, /both ends/],
  ['a number that is none', { field: 'size', op: 'eq', value: Number.NaN }, /size: NaN/],
  ['too many values', { field: 'size', op: 'in', values: Array.from({ length: 101 }, (_, at) => at) }, /at most 100 values, not 101/],
  ['a text that is too long', { field: 'colour', op: 'eq', value: 'x'.repeat(1_001) }, /at most 1000 characters/],
  ['a NUL', { field: 'colour', op: 'eq', value: 'a\0' }, /not a text/],
  ['a field without a name', { field: '', op: 'eq', value: 1 }, /1 to 128 characters/],
  ['a range of a text of the document', { field: 'title', op: 'range', from: 1 }, /title is a text/],
  ['an eq of a time', { field: 'createdAt', op: 'eq', value: '2026-01-01' }, /createdAt is a date/],
]

test.each(refused)('refuses %s and says why', (_, condition, message) => {
  const attempt = (): string => filterSql([condition], new SqlParameters([]))
  expect(attempt).toThrow(CorralError)
  expect(attempt).toThrow(message)
})

test('refuses more than 20 conditions', () => {
  const condition = { field: 'size', op: 'eq', value: 1 } as const
  expect(() =>
    filterSql(
      Array.from({ length: 21 }, () => condition),
      new SqlParameters([]),
    ),
  ).toThrow(/at most 20 conditions, this one 21/)
})

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
    await withVectors(database)
    for (const [id, metadata] of Object.entries(documents)) await put(database, { id, chunks: [`text of ${id}`], metadata })
  })
  afterAll(() => database.close())

  test.each(cases)('%s', async (_, filter, expected) => {
    const parameters = new SqlParameters([tenant])
    const condition = filterSql(filter, parameters)
    const { rows } = await database.tx({ tenant }, ({ query }) =>
      query(`select d.id from rag_documents d where d.tenant = $1 and ${condition} order by d.id`, parameters.values),
    )
    expect(rows.map((row) => z.object({ id: z.string() }).parse(row).id)).toEqual(expected)
  })

  test('facets count the values of what the filter lets through, lists by each of their values', async () => {
    const facets = await database.tx({ tenant }, (transaction) =>
      countFacets(transaction, {
        tenant,
        collections: ['c1'],
        filter: [{ field: 'tags', op: 'exists', present: true }],
        fields: ['tags', 'active', 'nothing'],
      }),
    )
    expect(facets).toEqual({
      tags: [
        { value: 'sale', count: 3 },
        { value: 'new', count: 1 },
      ],
      active: [
        { value: 'false', count: 1 },
        { value: 'true', count: 1 },
      ],
      nothing: [],
    })
  })

  test('facets count titles and content types, and refuse dates', async () => {
    const count = (fields: readonly string[]) =>
      database.tx({ tenant }, (transaction) => countFacets(transaction, { tenant, collections: ['c1'], filter: [], fields }))
    const { title, contentType } = await count(['title', 'contentType'])
    expect(title).toContainEqual({ value: 'red', count: 1 })
    const { rows } = await database.tx({ tenant }, ({ query }) =>
      query('select content_type as value, count(*)::int as count from rag_documents where tenant = $1 group by 1', [tenant]),
    )
    expect(contentType).toEqual(rows)
    await expect(count(['createdAt'])).rejects.toMatchObject({ code: 'invalid_request' })
  })
})
