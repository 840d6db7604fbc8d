// The move of an embedded store to a server: every row of every kind of column arrives, or nothing changes.

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { inOrder } from '../../src/store/copy.ts'
import { moveTo } from '../../src/store/move.ts'
import { digest, filled, later, migrations, parentCount } from './filled.ts'
import { describeStores, postgresOn, serverKinds } from './stores.ts'

describeStores(serverKinds, (servers) => {
  test('an embedded store moves to the server with every row, and stays as it is', async () => {
    const { database } = await filled()
    const at = await servers.postgres.createDatabase()
    const target = postgresOn(servers.urlOf(at))
    onTestFinished(() => target.close())
    const moved = await moveTo(database, target, { clock: systemClock, migrations })
    expect(moved.map(({ name, rowCount }) => [name, rowCount])).toEqual([
      ['log', 1],
      ['parents', parentCount],
      ['a_children', 701],
    ])
    expect(await digest(target)).toEqual(await digest(database))
    const { rows } = await target.tx({ tenant: 'new' }, (transaction) =>
      transaction.query(`insert into a_children (tenant, parent) values ('new', 1) returning key`),
    )
    expect(rows).toEqual([{ key: '702' }])

    await expect(moveTo(database, target, { clock: systemClock, migrations })).rejects.toThrow('the target is not empty')
    expect(await target.tx('system', (transaction) => transaction.query('select 1 from a_children'))).toMatchObject({ rowCount: 702 })
  })

  test('a move that fails leaves the target empty', async () => {
    const { database } = await filled()
    const target = postgresOn(servers.urlOf(await servers.postgres.createDatabase()))
    onTestFinished(() => target.close())
    const impossible = {
      ...later,
      sql: `do $$ begin if (select rolsuper from pg_roles where rolname = current_user) is false then raise 'no'; end if; end $$`,
    }
    await expect(moveTo(database, target, { clock: systemClock, migrations: [...migrations, impossible] })).rejects.toThrow('no')
    expect(await target.tx('system', (transaction) => transaction.query(`select to_regclass('parents')::text as name`))).toMatchObject({
      rows: [{ name: null }],
    })
  })

  test('a move on which a row gets lost is told by the counts, and leaves the target empty', async () => {
    const { database } = await filled()
    const target = postgresOn(servers.urlOf(await servers.postgres.createDatabase()))
    onTestFinished(() => target.close())
    // Only at the server, and no trigger, for those sleep while rows are copied.
    const losing = {
      ...later,
      sql: `do $$ begin if (select rolsuper from pg_roles where rolname = current_user) is false then
        create rule lose as on insert to parents where new.key = 2000 do instead nothing; end if; end $$`,
    }
    const moved = moveTo(database, target, { clock: systemClock, migrations: [...migrations, losing] })
    await expect(moved).rejects.toThrow(`table parents has ${parentCount} rows, but ${parentCount - 1} arrived: nothing was copied`)
    expect(await target.tx('system', (transaction) => transaction.query(`select to_regclass('parents')::text as name`))).toMatchObject({
      rows: [{ name: null }],
    })
  })
})

test('tables come after those they refer to, rings last', () => {
  const references = [
    { child: 'a', parent: 'b' },
    { child: 'b', parent: 'c' },
    { child: 'x', parent: 'y' },
    { child: 'y', parent: 'x' },
  ]
  expect(inOrder(['a', 'x', 'b', 'y', 'c'], references)).toEqual(['c', 'b', 'a', 'x', 'y'])
})
