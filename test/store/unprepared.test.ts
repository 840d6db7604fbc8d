// A store that is open before its schema is there, as during the first start, asks to wait: nobody is told of a bug.
import { expect, test } from 'vitest'

import { embeddedOn } from './stores.ts'
import { bareFolder } from '../support/postgres-embedded.ts'

test('before the first migration a transaction of a tenant, and one of the system, are told that the database is being prepared', async () => {
  const database = embeddedOn(await bareFolder())
  await database.open()
  const starting = { code: 'store_unavailable', message: 'starting: the database is still being prepared' }
  await expect(database.tx({ tenant: 'acme' }, ({ query }) => query('select 1'))).rejects.toMatchObject(starting)
  await expect(database.tx('system', ({ query }) => query('select 1 from rag_collections'))).rejects.toMatchObject(starting)
  await database.close()
})
