// The durable layer on each kind of database: what it keeps, for whom, for how long, and that a database in trouble is a miss.
import { createHash } from 'node:crypto'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { type Cache, createCache } from '../../src/cache/layer.ts'
import { migrations } from '../../src/migrations.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { createPostgresLayer, type PostgresLayer } from '../../src/cache/postgres-layer.ts'
import type { StoredFacts } from '../../src/cache/second-layer.ts'
import type { Tags } from '../../src/cache/tags.ts'
import { goingOn, type Database, type QueryResult } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { describeStores, type Servers, storeKinds } from '../store/stores.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { oneBuild, secret } from './cached.ts'
import { embeds } from './embedding-upstream.ts'

const tags: Tags = { tenant: 'a', kind: 'inference', digest: 'd1' }
const facts: StoredFacts = { ageMs: 0, freshForMs: 60_000, staleMs: 0, originMs: 2_000, tags, replaces: false }
const vectors: StoredFacts = { ...facts, originMs: 1, tags: { ...tags, kind: 'embedding' } }
const keyOf = (text: string): string => createHash('sha256').update(text).digest('hex')
/** Other tests share the machine: the server ends no statement for that here. */
const patientMs = 5_000
const none = { tenant: null, kind: null, digest: null, key: null }

interface Opened {
  readonly database: Database
  readonly layer: PostgresLayer
  sql(text: string, values?: readonly unknown[]): Promise<QueryResult>
}

/** The layer on an empty table. The sweep is run by the test. */
async function open(servers: Servers, bytesMax = 1_000_000_000): Promise<Opened> {
  const database = await servers.openForTest()
  await migrate(database, migrations, systemClock)
  const layer = createPostgresLayer({ database, clock: manualClock(), random: () => 0.5, bytesMax, readMsMax: patientMs })
  layer.start()
  onTestFinished(() => layer.close())
  return { database, layer, sql: (text, values) => database.tx('system', (transaction) => transaction.query(text, values)) }
}

async function count({ sql }: Opened): Promise<number> {
  return Number((await sql('select count(*) as count from cache_entries')).rows[0]?.['count'])
}

describeStores(storeKinds, (servers) => {
  test('keeps the first entry of a key unless another replaces it, and tells its age by the clock of the database', async () => {
    const { layer } = await open(servers)
    await layer.put(keyOf('k'), Buffer.from([0, 1, 255]), { ...facts, ageMs: 5_000 })
    await layer.put(keyOf('k'), Buffer.from('second'), facts)
    const found = await layer.get(keyOf('k'), tags)
    expect(found?.bytes).toEqual(Buffer.from([0, 1, 255]))
    expect(found?.ageMs).toBeGreaterThanOrEqual(5_000)
    expect(found?.ageMs).toBeLessThan(30_000)
    expect(found?.freshForMs).toBeLessThanOrEqual(60_000)
    expect(found?.freshForMs).toBeGreaterThan(30_000)
    expect(await layer.get(keyOf('other'), tags)).toBeNull()
    await layer.put(keyOf('k'), Buffer.from('third'), { ...facts, replaces: true })
    const replaced = await layer.get(keyOf('k'), tags)
    expect(replaced?.bytes.toString()).toBe('third')
    expect(replaced?.ageMs).toBeLessThan(5_000)
  })

  test('keeps vectors whatever they took, and answers that took two seconds', async () => {
    const opened = await open(servers)
    expect(await opened.layer.put(keyOf('quick'), Buffer.from('x'), { ...facts, originMs: 1_999 })).toBe(false)
    await opened.layer.put(keyOf('slow'), Buffer.from('x'), facts)
    await opened.layer.put(keyOf('vector'), Buffer.from('x'), vectors)
    expect(await count(opened)).toBe(2)
  })

  test('I1 one tenant never finds what is another’s', async () => {
    const { layer } = await open(servers)
    await layer.put(keyOf('k'), Buffer.from('of a'), facts)
    const other = { ...tags, tenant: 'b' }
    expect(await layer.get(keyOf('k'), other)).toBeNull()
    await layer.put(keyOf('k'), Buffer.from('of b'), { ...facts, tags: other })
    expect((await layer.get(keyOf('k'), tags))?.bytes.toString()).toBe('of a')
    expect((await layer.get(keyOf('k'), other))?.bytes.toString()).toBe('of b')
  })

  test('writes a batch at once and finds many in one statement', async () => {
    const opened = await open(servers)
    const keys = Array.from({ length: 150 }, (_, index) => keyOf(`k${index}`))
    await opened.layer.putMany?.(
      keys.map((key) => ({ key, bytes: Buffer.from(key) })),
      vectors,
    )
    expect(await count(opened)).toBe(150)
    const found = await opened.layer.getMany?.([...keys, keyOf('missing')], vectors.tags)
    expect(found?.size).toBe(150)
    for (const key of keys) expect(found?.get(key)?.bytes.toString()).toBe(key)
  })

  test('I7 values swapped between two rows, and changed ones, are found broken', async () => {
    const { layer, sql } = await open(servers)
    await layer.put(keyOf('a'), Buffer.from('of a'), facts)
    await layer.put(keyOf('b'), Buffer.from('of b'), facts)
    await sql(`update cache_entries set key = key || '!'`)
    await sql('update cache_entries set key = case when key = $1 then $2 else $3 end', [`${keyOf('a')}!`, keyOf('b'), keyOf('a')])
    for (const key of ['a', 'b']) expect((await layer.get(keyOf(key), tags))?.bytes).toHaveLength(0)
    await layer.delete(keyOf('a'), tags)
    expect(await layer.get(keyOf('a'), tags)).toBeNull()
  })

  test('an entry that is over is no entry, may be written anew, and is swept', async () => {
    const opened = await open(servers)
    const { layer, sql } = opened
    await layer.put(keyOf('k'), Buffer.from('old'), facts)
    await layer.put(keyOf('gone'), Buffer.from('old'), facts)
    await sql(`update cache_entries set drop_at = now() - interval '1 second'`)
    expect(await layer.get(keyOf('k'), tags)).toBeNull()
    await layer.put(keyOf('k'), Buffer.from('new'), facts)
    expect((await layer.get(keyOf('k'), tags))?.bytes.toString()).toBe('new')
    expect(await layer.sweep()).toBe(1)
    expect(await count(opened)).toBe(1)
  })

  test('the sweep holds the limit in bytes, those first that would end first', async () => {
    const opened = await open(servers, 1_500_000)
    const entries = Array.from({ length: 1_500 }, (_, index) => ({ key: keyOf(`k${index}`), bytes: Buffer.alloc(700) }))
    await opened.layer.putMany?.(entries.slice(0, 1_000), { ...vectors, freshForMs: 10_000 })
    await opened.layer.putMany?.(entries.slice(1_000), vectors)
    expect(await opened.layer.sweep()).toBe(0)
    expect(opened.layer.evictions).toBe(0)
    await opened.layer.put(keyOf('one more'), Buffer.alloc(1_000), vectors)
    expect(await opened.layer.sweep()).toBe(1_000)
    expect(opened.layer.evictions).toBe(1_000)
    expect(await opened.layer.get(keyOf('one more'), vectors.tags)).not.toBeNull()
    expect(await count(opened)).toBe(501)
  })

  test('purges by tenant, kind, model and key', async () => {
    const opened = await open(servers)
    const { layer } = opened
    const kept = [facts, { ...facts, tags: { ...tags, tenant: 'b' } }, vectors, { ...facts, tags: { ...tags, digest: 'd2' } }]
    for (const [index, own] of kept.entries()) await layer.put(`${keyOf(`k${index}`)}s`, Buffer.from('x'), own)
    expect(await layer.purge({ ...none, key: keyOf('k0') })).toBe(1)
    expect(await layer.purge({ ...none, tenant: 'a', kind: 'embedding' })).toBe(1)
    expect(await layer.purge({ ...none, digest: 'd2' })).toBe(1)
    expect(await count(opened)).toBe(1)
    expect(await layer.purge(none)).toBe(1)
  })

  test('W5 a new process finds the vectors of the one before', async () => {
    const { database } = await open(servers)
    const node = embeds(systemClock)
    const options = cacheOptions.parse({})
    const startProcess = (): Cache => {
      const layer = createPostgresLayer({ database, clock: manualClock(), random: () => 0.5, readMsMax: patientMs })
      layer.start()
      return createCache({
        options: () => options,
        clock: systemClock,
        random: () => 0.5,
        secret,
        ...oneBuild,
        layers: [layer],
      })
    }
    const ask = (cache: Cache, input: readonly string[]): Promise<Taken> =>
      take(cache.layer(node.relay)(requestOf('/api/embed', { model: 'e', input }), newCall()))
    const texts = Array.from({ length: 100 }, (_, index) => `chunk ${index}`)
    const before = startProcess()
    const live = await ask(before, texts)
    await before.close()
    const after = startProcess()
    onTestFinished(() => after.close())
    const hit = await ask(after, texts)
    expect(hit.headers['cache-status']).toContain('detail=postgres')
    expect(hit.text.replace(/"total.*/, '')).toBe(live.text.replace(/"total.*/, ''))
    expect((await ask(after, [...texts.slice(2), 'new', 'too'])).headers['x-corral-cache']).toBe('partial')
    expect(node.calls.map(({ length }) => length)).toEqual([100, 2])
  })
})

/** A database that does as the test says. */
function scripted(tx: () => Promise<never>): Database {
  return { kind: 'postgres', tx, close: () => Promise.resolve() }
}

const given = { random: () => 0.5 }

test('nothing is asked before the schema is there, and nothing after the end', () => {
  const layer = createPostgresLayer({ ...given, database: scripted(() => Promise.reject(new Error('asked'))), clock: manualClock() })
  expect(layer.get(keyOf('k'), tags)).toBeNull()
  expect(layer.put(keyOf('k'), Buffer.from('x'), facts)).toBeNull()
  layer.start()
  layer.close()
  expect(layer.get(keyOf('k'), tags)).toBeNull()
})

test('F3 a database that does not answer costs 50 ms three times, then nothing until one call finds it well', async () => {
  const clock = manualClock()
  let calls = 0
  const layer = createPostgresLayer({
    ...given,
    clock,
    database: scripted(() => {
      calls += 1
      return new Promise(() => undefined)
    }),
  })
  layer.start()
  onTestFinished(() => layer.close())
  for (let index = 0; index < 3; index += 1) {
    const asked = layer.get(keyOf('k'), tags)
    clock.advance(49)
    expect(await Promise.race([asked, Promise.resolve('waits')])).toBe('waits')
    clock.advance(1)
    expect(await asked).toBeNull()
  }
  expect(layer.get(keyOf('k'), tags)).toBeNull()
  expect(calls).toBe(3)
  clock.advance(1_000)
  const probe = layer.get(keyOf('k'), tags)
  expect(probe).not.toBeNull()
  expect(layer.get(keyOf('k'), tags)).toBeNull()
  expect(calls).toBe(4)
})

test('F3 a database that fails is left alone for longer each time, and asked again when it is well', async () => {
  const clock = manualClock()
  let isWell = false
  let calls = 0
  const database: Database = {
    kind: 'postgres',
    tx: async (_, work) => {
      calls += 1
      if (!isWell) throw new Error('down')
      return work(goingOn({ query: () => Promise.resolve({ rows: [], rowCount: 0 }) }))
    },
    close: () => Promise.resolve(),
  }
  const layer = createPostgresLayer({ ...given, clock, database })
  layer.start()
  onTestFinished(() => layer.close())
  for (let index = 0; index < 3; index += 1) expect(await layer.get(keyOf('k'), tags)).toBeNull()
  expect(layer.get(keyOf('k'), tags)).toBeNull()
  clock.advance(1_000)
  expect(await layer.get(keyOf('k'), tags)).toBeNull()
  clock.advance(1_000)
  expect(layer.get(keyOf('k'), tags)).toBeNull()
  clock.advance(1_000)
  isWell = true
  expect(await layer.get(keyOf('k'), tags)).toBeNull()
  const before = calls
  await Promise.all([layer.get(keyOf('k'), tags), layer.get(keyOf('l'), tags)])
  expect(calls).toBe(before + 2)
})

test('a look-up waits for eight times what others took lately, 20 to 50 ms, and longer again for a database that has become slow', async () => {
  const clock = manualClock()
  let tookMs = 2
  const database: Database = {
    kind: 'postgres',
    close: () => Promise.resolve(),
    tx: (_, work) =>
      new Promise((resolve, reject) => {
        const answer = (): Promise<void> => work(goingOn({ query: () => Promise.resolve({ rows: [], rowCount: 0 }) })).then(resolve, reject)
        clock.after(tookMs, () => void answer())
      }),
  }
  const layer = createPostgresLayer({ database, clock, random: () => 0.5 })
  layer.start()
  /** How long a look-up keeps its caller waiting, in ms. */
  const waitedMs = async (): Promise<number> => {
    let isOver = false
    void layer.get(keyOf('a'), tags)?.then(() => (isOver = true))
    for (let ms = 1; ms <= 100; ms += 1) {
      clock.advance(1)
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
      if (isOver) return ms
    }
    return Infinity
  }
  for (let lookup = 0; lookup < 50; lookup += 1) expect(await waitedMs()).toBe(2)
  tookMs = 45
  // Each one that is too late doubles what the next one gets.
  expect([await waitedMs(), await waitedMs(), await waitedMs()]).toEqual([20, 40, 45])
  layer.close()
})
