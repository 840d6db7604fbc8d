// Changes of nodes in the store: what is in force nowhere goes, and what is in force somewhere stays; a credential is not to be read there.
import { expect, test } from 'vitest'

import type { NodeChange } from '../../src/fleet/by-hand.ts'
import { createNodeStore } from '../../src/http/admin/node-store.ts'
import { migrations } from '../../src/migrations.ts'
import { migrate } from '../../src/store/migrate.ts'
import { systemClock } from '../../src/base/clock.ts'
import { describeStores, storeKinds } from '../store/stores.ts'

const node = { url: 'http://a:11434', name: 'a', headers: { authorization: 'Bearer s3cret' } }
const added: NodeChange = { kind: 'added', node, listed: null, draining: true }
const removed: NodeChange = { kind: 'removed', listed: { url: 'http://b:11434', headers: {}, slots: 2 } }
const secret = 'a secret of the installation, long enough'

describeStores(
  storeKinds.filter((kind) => kind !== 'pgbouncer'),
  (servers) => {
    test('rows come back as they were, only with the secret, and no credential is readable', async () => {
      const database = await servers.openForTest()
      await migrate(database, migrations, systemClock)
      const store = createNodeStore({ database, secret })
      const all = new Map<string, NodeChange>([
        ['a', added],
        ['b', removed],
        ['c', { kind: 'drained' }],
      ])
      for (const [name, change] of all) await store?.write(name, change)
      expect(await store?.load()).toEqual(all)
      expect(await createNodeStore({ database, secret: `another ${secret}` })?.load()).toEqual(new Map())
      const { rows } = await database.tx('system', ({ query }) => query('select * from node_changes'))
      expect(JSON.stringify(rows)).not.toContain('s3cret')
      await store?.write('b', null)
      expect([...((await store?.load()) ?? [])].map(([name]) => name).toSorted()).toEqual(['a', 'c'])
    })

    test('what was in force nowhere for ten minutes is forgotten', async () => {
      const database = await servers.openForTest()
      await migrate(database, migrations, systemClock)
      const store = createNodeStore({ database, secret })
      for (const name of ['in force', 'overtaken', 'just overtaken']) await store?.write(name, added)
      const age = (minutes: number, name: string): Promise<unknown> =>
        database.tx('system', ({ query }) =>
          query(`update node_changes set in_force_at = now() - make_interval(mins => $1) where name = $2`, [minutes, name]),
        )
      await age(11, 'in force')
      await age(11, 'overtaken')
      await age(9, 'just overtaken')
      for (let looks = 0; looks < 2; looks += 1) await store?.tend(['in force'])
      expect([...((await store?.load()) ?? [])].map(([name]) => name).toSorted()).toEqual(['in force', 'just overtaken'])
    })
  },
)
