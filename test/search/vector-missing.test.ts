// A server without pgvector, before and after an admin installs it.
import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { migrations } from '../../src/migrations.ts'
import { search } from '../../src/search/search.ts'
import { lacksVectors } from '../../src/search/vector/held-vectors.ts'
import { migrate } from '../../src/store/migrate.ts'
import { describeStores, postgresOn } from '../store/stores.ts'
import { asSuperuser, hasPostgres } from '../support/postgres.ts'
import { tenant } from './keyword-corpus.ts'
import { depsOf, put, requestOf, withVectors } from './vector-corpus.ts'

describeStores(hasPostgres() ? ['postgres'] : [], (servers) => {
  test('without pgvector documents are written and found by words, marked as degraded', async () => {
    const place = await servers.postgres.createDatabase()
    await asSuperuser(place.superuserUrl, 'drop extension vector')
    const database = postgresOn(place.url)
    await database.open()
    await migrate(database, migrations, systemClock)
    await withVectors(database)
    await put(database, { id: 'a', chunks: ['alpha beta'] })
    const answer = await search(requestOf('alpha'), depsOf(database))
    expect(answer.results.map(({ chunk }) => chunk.id)).toEqual(['a#0'])
    expect(answer.degraded?.reason).toContain('docs has no vectors')
    const lacks = () =>
      database.tx({ tenant }, (transaction) => lacksVectors(transaction, { tenant, collection: 'c1', document: 'a' }, null))
    expect(await lacks()).toBe(false)
    await asSuperuser(place.superuserUrl, 'create extension vector')
    expect(await lacks()).toBe(true)
    await put(database, { id: 'a', chunks: ['alpha beta'] })
    expect((await search(requestOf('alpha'), depsOf(database))).degraded).toBeNull()
    await database.close()
  })
})
