// `corral migrate`, `backup` and `restore` as a shell sees them.

import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'

import { migrations } from '../../src/migrations.ts'
import { embeddedOn, postgresOn, Servers, serverKinds } from '../store/stores.ts'
import { bareFolder, unusedFolder } from '../support/postgres-embedded.ts'
import { corral } from './corral.ts'

const on = (dataDir: string) => ['--set', `store.dataDir=${dataDir}`]

test('status, up and a dry run agree', async () => {
  const dataDir = await bareFolder()
  const before = await corral(['migrate', 'status', ...on(dataDir)])
  expect(before).toMatchObject({ code: 0, stderr: `embedded Postgres in ${dataDir}: 0 migrations applied, ${migrations.length} pending\n` })
  const dry = await corral(['migrate', 'up', '--dry-run', ...on(dataDir)])
  for (const { number, name, sql } of migrations) expect(dry.stdout).toContain(`-- ${number} ${name}\n${sql.trim()}`)
  const up = await corral(['migrate', 'up', ...on(dataDir)])
  expect(up).toMatchObject({ code: 0, stdout: migrations.map(({ number, name }) => `${number} ${name}\n`).join('') })
  const after = await corral(['migrate', 'status', '--json', ...on(dataDir)])
  expect(JSON.parse(after.stdout)).toMatchObject({ applied: migrations.map(({ number }) => ({ number })), pending: [] })
})

test('what cannot be done is one sentence and an exit code', async () => {
  const dataDir = await bareFolder()
  const holder = embeddedOn(dataDir)
  await holder.open()
  onTestFinished(() => holder.close())
  const cases: readonly [readonly string[], number, string][] = [
    [['migrate', 'up', ...on(dataDir)], 1, `${dataDir} is in use by process ${process.pid}`],
    [['backup', join(dataDir, 'b'), ...on(dataDir)], 1, `${dataDir} is in use by process ${process.pid}`],
    [['restore', join(dataDir, 'none'), ...on(unusedFolder())], 1, 'cannot be read: ENOENT'],
    [['migrate', '--to', 'http://x', ...on(dataDir)], 2, '--to wants a URL'],
    [['migrate', 'up', '--set', 'store.enabled=false'], 2, 'the store is switched off'],
    [['backup', 'b', '--set', 'store.url=postgres://a:hidden@127.0.0.1:1/b'], 2, 'pg_dump'],
    [
      ['migrate', 'up', '--set', 'store.url=postgres://a:hidden@127.0.0.1:1/b'],
      1,
      'cannot connect to the database: connect ECONNREFUSED 127.0.0.1:1',
    ],
  ]
  for (const [args, code, text] of cases) {
    const ended = await corral(args)
    expect(ended).toMatchObject({ code, stdout: '' })
    expect(ended.stderr).toContain(text)
    expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1)
    expect(ended.stderr).not.toContain('hidden')
  }
})

test('a backup and its restore', async () => {
  const dataDir = await bareFolder()
  const file = join(unusedFolder(), 'corral.backup')
  await corral(['migrate', 'up', ...on(dataDir)])
  expect(await corral(['backup', file, ...on(dataDir)])).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('rows') })
  const fresh = unusedFolder()
  expect(await corral(['restore', file, ...on(fresh)])).toMatchObject({ code: 0, stderr: expect.stringContaining('restored') })
  expect(readdirSync(fresh)).toEqual(['postgres'])
  writeFileSync(file, 'broken')
  expect(await corral(['restore', file, ...on(fresh)])).toMatchObject({ code: 1, stderr: expect.stringContaining('cannot be read') })
  expect(existsSync(join(fresh, 'postgres'))).toBe(true)
})

describe.each(serverKinds.slice(0, 1))('%s', () => {
  test('an embedded store moves to a server, whose password is not printed', async () => {
    const servers = new Servers('postgres')
    await servers.start()
    onTestFinished(() => servers.remove())
    const dataDir = await bareFolder()
    const at = await servers.postgres.createDatabase()
    const moved = await corral(['migrate', '--to', at.url.replace('@', ':hidden@'), ...on(dataDir)])
    expect(moved).toMatchObject({ code: 0, stderr: expect.stringContaining('counts compared') })
    expect(moved.stdout + moved.stderr).not.toContain('hidden')
    const status = await corral(['migrate', 'status', '--set', `store.url=${at.url}`])
    expect(status.stderr).toBe(
      `postgres://corral_owner@127.0.0.1:${servers.postgres.port}/${at.name}: up to date, ${migrations.length} migrations\n`,
    )
    const target = postgresOn(at.url)
    const { rows } = await target.tx('system', (transaction) => transaction.query('select count(*)::int as count from corral_migrations'))
    expect(rows).toEqual([{ count: migrations.length }])
    await target.close()
  })
})
