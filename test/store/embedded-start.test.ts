// How the embedded store begins: the first start, one that was cut off, files that do not fit.

import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { bareFolder, embeddedFolder, unusedFolder } from '../support/postgres-embedded.ts'
import { embeddedOn } from './stores.ts'
import { count, opened, startWriter } from './writer.ts'

test('a first start makes the database, a second finds what was written', async () => {
  const dataDir = join(unusedFolder(), 'below', 'there')
  const first = embeddedOn(dataDir)
  await first.open()
  await first.tx('system', (transaction) => transaction.query('create table written as select 1 as key'))
  await first.close()
  expect(readdirSync(dataDir)).toEqual(['postgres'])
  expect(await count(await opened(dataDir))).toBe(1)
})

test('whoever asks while a first start makes the database makes none beside it', async () => {
  const dataDir = unusedFolder()
  const database = embeddedOn(dataDir)
  const opening = database.open()
  const one = () => database.tx('system', ({ query }) => query('select 1 as one'))
  await Promise.allSettled([one()])
  await opening
  expect((await one()).rows).toEqual([{ one: 1 }])
  expect(readdirSync(dataDir).filter((name) => name.startsWith('postgres'))).toEqual(['postgres'])
  await database.close()
})

test('pgvector is there', async () => {
  const database = await opened(await bareFolder())
  await database.tx('system', (transaction) => transaction.query('create extension vector'))
  const { rows } = await database.tx('system', (transaction) =>
    transaction.query(`select ('[1,2]'::vector <-> '[1,4]'::vector) as distance`),
  )
  expect(rows).toEqual([{ distance: 2 }])
})

test('all tables need no extension but pgvector', async () => {
  const database = await opened(await embeddedFolder())
  const { rows } = await database.tx('system', (transaction) => transaction.query('select extname from pg_extension order by extname'))
  expect(rows).toEqual([{ extname: 'plpgsql' }, { extname: 'vector' }])
})

test('a database whose settings preload pg_textsearch, as once all did, opens with what is in it', async () => {
  const dataDir = await bareFolder()
  const before = await opened(dataDir)
  await before.tx('system', (transaction) => transaction.query('create table written as select 1 as key'))
  await before.close()
  writeFileSync(join(dataDir, 'postgres', 'postgresql.conf'), '\nshared_preload_libraries=pg_textsearch')
  expect(await count(await opened(dataDir))).toBe(1)
})

test('what a first start that was killed left behind is removed', async () => {
  const dataDir = await bareFolder()
  mkdirSync(join(dataDir, 'postgres.new-1'))
  writeFileSync(join(dataDir, 'postgres.new-1', 'PG_VERSION'), '18')
  await opened(dataDir)
  expect(existsSync(join(dataDir, 'postgres.new-1'))).toBe(false)
})

test('a first start that is killed while it makes the database leaves a folder that the next start can use', async () => {
  const dataDir = unusedFolder()
  const { child } = startWriter(dataDir)
  await expect
    .poll(() => readdirSync(dataDir).some((name) => name.startsWith('postgres.new-')), { timeout: 10_000, interval: 5 })
    .toBe(true)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(existsSync(join(dataDir, 'postgres'))).toBe(false)
  const database = await opened(dataDir)
  await database.tx('system', (transaction) => transaction.query('create table written as select 1 as key'))
  expect(await count(database)).toBe(1)
})

test('files of another Postgres are refused with what to do', async () => {
  const dataDir = unusedFolder()
  mkdirSync(join(dataDir, 'postgres'))
  writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '17\n')
  await expect(embeddedOn(dataDir).open()).rejects.toThrow('files of Postgres 17, this Corral needs 18')
  expect(readdirSync(dataDir)).toEqual(['postgres'])
})
