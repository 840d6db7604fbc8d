// Documents over HTTP on a real Postgres: in, found, read, made again, removed.
import { expect, onTestFinished, test } from 'vitest'

import { describeStores, serverKinds } from '../store/stores.ts'
import { mustBe, startRagGateway } from './rag-gateway.ts'

describeStores(
  serverKinds.filter((kind) => kind === 'postgres'),
  (servers) => {
    test('a document is taken in, found, read, made again and removed without a rest', async () => {
      const gateway = await startRagGateway({ database: await servers.open() })
      onTestFinished(() => gateway.close())
      await gateway.collection('docs', { 'a/1': 'Quokkas hop about at dusk.', b: 'Wombats dig burrows by night.' })
      const body = { collection: 'docs', query: 'quokkas' }
      const found = mustBe(200, await gateway.ask('POST', '/rag/search', { body })).json
      expect(found['results']).toMatchObject([{ document: { id: 'a/1' } }, { document: { id: 'b' } }])
      const path = '/rag/collections/docs/documents/a%2F1'
      expect((await gateway.ask('GET', `${path}/source`)).text).toBe('Quokkas hop about at dusk.')
      mustBe(200, await gateway.ask('POST', `${path}/reingest?wait=true`))
      const nul = await gateway.ask('POST', '/rag/collections/docs/documents?id=nul&title=a%00b', { body: 'x' })
      expect([nul.status, nul.json['code']]).toEqual([400, 'invalid_request'])
      expect((await gateway.ask('DELETE', path)).status).toBe(204)
      mustBe(200, await gateway.ask('POST', '/rag/collections/docs/purge'))
      const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) =>
        transaction.query(`select (select count(*) from rag_documents)::int as documents, (select count(*) from rag_chunks)::int as chunks,
        (select count(*) from rag_sources)::int as sources, (select count(*) from rag_jobs)::int as jobs`),
      )
      expect(rows).toEqual([{ documents: 0, chunks: 0, sources: 0, jobs: 0 }])
    })

    test('a search waits out a restart of the server; a database that stays away is told', async () => {
      const gateway = await startRagGateway({ database: await servers.open(), config: { search: { outageWaitMs: '30s' } } })
      onTestFinished(() => gateway.close())
      await gateway.collection('docs', { a: 'Quokkas hop about at dusk.' })
      const search = (query: string) => gateway.ask('POST', '/rag/search', { body: { collection: 'docs', query } })
      await servers.postgres.stop('immediate')
      const waiting = search('quokkas')
      await servers.postgres.start()
      expect(mustBe(200, await waiting).json['results']).toMatchObject([{ document: { id: 'a' } }])

      const hasty = await startRagGateway({ database: await servers.open(), config: { search: { outageWaitMs: 0 } } })
      onTestFinished(() => hasty.close())
      await servers.postgres.stop('fast')
      onTestFinished(() => servers.postgres.start())
      expect((await hasty.ask('POST', '/rag/search', { body: { collection: 'docs', query: 'dusk' } })).status).toBe(503)
    })
  },
)
