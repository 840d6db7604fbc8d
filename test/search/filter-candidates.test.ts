// Documents found by the index of metadata fields, on both stores: they hold all who pass a filter, whatever the values are.
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { FilterCondition, Metadata, MetadataValue } from '../../src/core/corpus.ts'
import { migrations } from '../../src/migrations.ts'
import { deleteCollection, getCollection, purgeCollection } from '../../src/search/collections.ts'
import { deleteDocument } from '../../src/search/delete-document.ts'
import { allowedNumbers, FilterMemory } from '../../src/search/filter-allowed.ts'
import { candidateIds } from '../../src/search/filter-candidates.ts'
import { filterSql, SqlParameters } from '../../src/search/filter.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import type { Database, QueryResult, Transaction } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { describeStores, type StoreKind } from '../store/stores.ts'
import { hasPostgres } from '../support/postgres.ts'
import { tenant } from './keyword-corpus.ts'
import { put, withVectors } from './vector-corpus.ts'

const kinds: readonly StoreKind[] = hasPostgres() ? ['embedded', 'postgres'] : ['embedded']

const long = 'x'.repeat(249)
const texts = ['red', 'Red', '5', 'true', 'null', '', 'ж', `${long}🐈a`, `${long}🐈b`]
const dates = ['2026-01-31', '2026-01-31T23:30:00-02:00', '2026-02-01T00:00:00Z', '9999-12-31T23:59:59Z', '2026-01-31T10:00:00+0530']
const noDates = ['2026-02-31', '2026-02-01 and later', '0044-03-15 BC', '2026-1-3']
const numbers = [5, 5.5, -0, 0, 1e-7, 1e300, -5e-324, 2 ** 53, 0.1]
const lists = [[], ['red', 5], ['2026-01-31']]
const values: readonly MetadataValue[] = [...texts, ...dates, ...noDates, ...numbers, true, false, null, ...lists]
const scalars = values.filter((value) => value !== null && typeof value !== 'object')

function conditionOf(random: () => number, field: string): FilterCondition {
  const one = (): string | number | boolean => scalars[Math.floor(random() * scalars.length)] ?? 0
  const number = (): number => Math.floor(random() * 12) - 3
  const day = (): string => ['2026-01-30', '2026-01-31', '2026-02-01T01:00:00Z', '1000-01-01', '9999-12-31'][Math.floor(random() * 5)] ?? ''
  switch (Math.floor(random() * 5)) {
    case 0:
      return { field, op: 'eq', value: one() }
    case 1:
      return { field, op: 'in', values: [one(), one(), one()] }
    case 2:
      return { field, op: 'range', from: number() }
    case 3:
      return random() < 0.5 ? { field, op: 'range', from: day() } : { field, op: 'range', to: day() }
    default:
      return { field, op: 'exists', present: true }
  }
}

describeStores(kinds, (servers) => {
  let database: OpenableDatabase
  beforeAll(async () => {
    database = await servers.open()
  })
  afterAll(() => database.close())
  beforeEach(() => withVectors(database))

  async function write(documents: Readonly<Record<string, Metadata>>): Promise<void> {
    for (const [id, metadata] of Object.entries(documents))
      await put(database, { id, chunks: [`text of ${id}`], metadata, isEmbedded: false })
  }

  async function candidates(...filter: readonly FilterCondition[]): Promise<readonly string[] | null> {
    const found = await database.tx({ tenant }, (transaction) =>
      candidateIds(transaction, { tenant, collection: { id: 'c1', documents: 0 }, filter }),
    )
    return found?.toSorted() ?? null
  }

  test('each kind of condition finds its documents alone; of several the one that finds fewest is taken', async () => {
    await write({
      a: { team: 'north', year: 2024, made: '2026-01-31', open: true, tags: ['x'] },
      b: { team: 'south', year: 2026, made: '2026-02-01T00:30:00+02:00', open: false, gone: null },
      c: { team: 'south', year: 2027, made: 'later', note: `${long}yz` },
    })
    expect(await candidates({ field: 'team', op: 'eq', value: 'south' })).toEqual(['b', 'c'])
    expect(await candidates({ field: 'open', op: 'eq', value: false })).toEqual(['b'])
    expect(await candidates({ field: 'team', op: 'in', values: ['north', 5, 'west'] })).toEqual(['a'])
    expect(await candidates({ field: 'year', op: 'range', from: 2025, to: 2026.5 })).toEqual(['b'])
    expect(await candidates({ field: 'made', op: 'range', from: '2026-01-31T12:00:00Z' })).toEqual(['b'])
    expect(await candidates({ field: 'tags', op: 'exists', present: true })).toEqual(['a'])
    expect(await candidates({ field: 'gone', op: 'exists', present: true })).toEqual([])
    expect(await candidates({ field: 'note', op: 'eq', value: `${long}yw` }), 'as far as the index has the text').toEqual(['c'])
    expect(await candidates({ field: 'team', op: 'eq', value: 'south' }, { field: 'year', op: 'range', from: 2027 })).toEqual(['c'])
    expect(await candidates({ field: 'team', op: 'ne', value: 'south' }, { field: 'id', op: 'eq', value: 'a' })).toBeNull()
    expect(await candidates({ field: 'tags', op: 'contains', value: 'x' }, { field: 'team', op: 'exists', present: false })).toBeNull()
  })

  test('who passes by the index is who passes when every document is looked at', async () => {
    const random = randomSequence(11)
    const any = (): MetadataValue => values[Math.floor(random() * values.length)] ?? null
    await write(Object.fromEntries(Array.from({ length: 120 }, (_, at) => [`d${at}`, { f: any(), 'g "h"': any() }])))
    const collection = await database.tx({ tenant }, (transaction) => getCollection(transaction, { tenant, name: 'docs' }))
    if (collection === null) throw new Error('no collection')
    for (let round = 0; round < 150; round += 1) {
      const filter = [conditionOf(random, 'f'), ...(random() < 0.3 ? [conditionOf(random, 'g "h"')] : [])]
      const found = await database.tx({ tenant }, (transaction) =>
        allowedNumbers(transaction, { tenant, collection, filter }, new FilterMemory()),
      )
      expect(found, JSON.stringify(filter)).toEqual(new Set(await passing(filter)))
    }
  })

  /** Numbers of the chunks whose documents pass, without any index. */
  async function passing(filter: readonly FilterCondition[]): Promise<number[]> {
    const parameters = new SqlParameters([tenant])
    const text = `select c.number from rag_documents d join rag_chunks c on c.tenant = d.tenant and c.document = d.id where d.tenant = $1 and ${filterSql(filter, parameters)}`
    const { rows } = await database.tx({ tenant }, ({ query }) => query(text, parameters.values))
    return rows.map(({ number }) => Number(number))
  }

  test('a new revision is found by its new values alone, and a deleted document by none', async () => {
    await write({ a: { team: 'north', year: 1 }, b: { team: 'north' } })
    await write({ a: { team: 'south' } })
    expect(await candidates({ field: 'team', op: 'eq', value: 'north' })).toEqual(['b'])
    expect(await candidates({ field: 'year', op: 'exists', present: true })).toEqual([])
    await database.tx({ tenant }, (transaction) => deleteDocument(transaction, { tenant, collection: 'c1', document: 'a' }))
    expect(await countFields(database)).toBe(1)
  })

  test('a collection that is emptied or removed leaves none', async () => {
    const removals = {
      emptied: (transaction: Transaction): Promise<unknown> => purgeCollection(transaction, { tenant, name: 'docs' }),
      removed: (transaction: Transaction): Promise<unknown> => deleteCollection(transaction, { tenant, name: 'docs' }),
    }
    for (const [how, remove] of Object.entries(removals)) {
      await write({ a: { team: 'north' }, b: { year: 1 } })
      await database.tx({ tenant }, remove)
      expect(await countFields(database), how).toBe(0)
    }
  })

  test('a condition that most documents pass is left to a look at all of them', async () => {
    await write({ a: {} })
    await database.tx('system', ({ query }) =>
      query(
        `insert into rag_document_fields (tenant, collection, document, field, number_value) select $1, 'c1', 'a', 'n', i from generate_series(1, 2001) i`,
        [tenant],
      ),
    )
    expect(await candidates({ field: 'n', op: 'range', from: 2 })).toHaveLength(2_000)
    expect(await candidates({ field: 'n', op: 'range', from: 1 })).toBeNull()
  })

  test('an index finds them, under row-level security and without statistics too', async () => {
    await write({ a: {} })
    await database.tx('system', ({ query }) =>
      query(
        `insert into rag_document_fields (tenant, collection, document, field, text_value, number_value, time_value)
          select $1, 'c1', 'a', 'f' || i % 5, i::text, i, now() from generate_series(1, 3000) i`,
        [tenant],
      ),
    )
    const plan = (condition: string): Promise<string> =>
      database.tx({ tenant }, async ({ query }) =>
        planOf(
          await query(
            `explain select document from rag_document_fields where tenant = $1 and collection = 'c1' and field = 'f1' and ${condition}`,
            [tenant],
          ),
        ),
      )
    expect(await plan(`text_value = any('{a,b}'::text[])`)).toMatch(/fields_text.*Index Cond: .*field = 'f1'.*text_value = ANY/s)
    expect(await plan('number_value >= 3 and number_value < 4')).toMatch(/fields_number.*Index Cond: .*number_value >= /s)
    expect(await plan(`time_value >= '2026-01-01'`)).toMatch(/fields_time.*Index Cond: .*time_value >= /s)
    expect(await plan('true')).toMatch(/fields_text.*Index Cond: .*field = 'f1'/s)
  })
})

describeStores(kinds, (servers) => {
  /** A database as it was before the index was made. */
  async function openOld(): Promise<OpenableDatabase> {
    const database = await servers.openBareForTest()
    await migrate(
      database,
      migrations.filter(({ number }) => number < 1060),
      systemClock,
    )
    await database.tx('system', ({ query }) =>
      query(`insert into rag_collections (tenant, id, name, settings) values ($1, 'c1', 'docs', '{}')`, [tenant]),
    )
    return database
  }

  /** As a Corral of before the index writes a document. */
  function writeOld({ query }: Transaction, id: string, metadata: Metadata): Promise<unknown> {
    return query(
      `insert into rag_documents (tenant, collection, id, title, metadata, content_type, content_hash, size_bytes, text, language, chunks)
        values ($1, 'c1', $2, '', $3::jsonb, '', '', 0, '', 'en', 0)
        on conflict (tenant, collection, id) do update set metadata = excluded.metadata`,
      [tenant, id, JSON.stringify(metadata)],
    )
  }

  test('documents of before the index was made are in it', async () => {
    const database = await openOld()
    await database.tx({ tenant }, (transaction) => writeOld(transaction, 'old', { team: 'north', year: 2024, tags: ['x'], gone: null }))
    await migrate(database, migrations, systemClock)
    expect(await countFields(database)).toBe(3)
  })

  test('so are those that a Corral of before it writes, changes and deletes afterwards', async () => {
    const database = await openOld()
    await migrate(database, migrations, systemClock)
    const fields = async (): Promise<unknown[]> => {
      const text = 'select document, field, text_value, number_value from rag_document_fields order by document, field'
      return (await database.tx({ tenant }, ({ query }) => query(text))).rows.map((row) => Object.values(row))
    }
    await database.tx({ tenant }, async (transaction) => {
      await writeOld(transaction, 'a', { team: 'north', year: 2024 })
      await writeOld(transaction, 'b', { team: 'north' })
    })
    await database.tx({ tenant }, (transaction) => writeOld(transaction, 'a', { team: 'south' }))
    expect(await fields()).toEqual([
      ['a', 'team', 'south', null],
      ['b', 'team', 'north', null],
    ])
    await database.tx({ tenant }, ({ query }) => query(`delete from rag_documents where id = 'a'`))
    expect(await fields()).toEqual([['b', 'team', 'north', null]])
    await database.tx({ tenant }, ({ query }) => query('delete from rag_collections'))
    expect(await fields()).toEqual([])
  })

  test.runIf(servers.kind === 'postgres')('a document that is being written while the index is made is in it', async () => {
    const database = await openOld()
    const migrated = await database.tx({ tenant }, async (transaction) => {
      await writeOld(transaction, 'a', { team: 'north' })
      const migrating = migrate(database, migrations, systemClock)
      await vi.waitFor(async () => {
        const { rows } = await transaction.query(`select from pg_locks where relation = 'rag_documents'::regclass and not granted`)
        expect(rows).toHaveLength(1)
      }, 10_000)
      return { migrating }
    })
    await migrated.migrating
    expect(await countFields(database)).toBe(1)
  })
})

async function countFields(database: Database): Promise<number> {
  const { rows } = await database.tx('system', ({ query }) => query('select count(*)::int as count from rag_document_fields'))
  return Number(rows[0]?.['count'])
}

function planOf({ rows }: QueryResult): string {
  return rows.map((row) => String(row['QUERY PLAN'])).join('\n')
}
