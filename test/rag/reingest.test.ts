// Another embedder for what is there already, over HTTP: the same bytes given again, or the whole collection made again.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { embedModel } from './scripted-fleet.ts'
import { makeTenants } from './tenants.ts'

let gateway: RagGateway
let key: string
let reader: string
beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' } })
  ;({ acme: key, reader } = await makeTenants(gateway))
})
afterAll(() => gateway.close())

const post = (path: string, body?: unknown, headers: Record<string, string> = {}) =>
  gateway.ask('POST', path, { key, headers, ...(body === undefined ? {} : { body }) })

/** Why a search by meaning alone is degraded; null when it is not, with what it found. */
async function byMeaning(collection: string): Promise<{ readonly reason: unknown; readonly found: number }> {
  const { json } = mustBe(200, await post('/rag/search', { collection, query: 'the weight of copper', mode: 'vector' }))
  return { reason: json['degradedReason'], found: (json['results'] as unknown[]).length }
}

/** Resolves when no job of the collection is open. */
async function untilDone(collection: string): Promise<void> {
  const counts = async () => (await gateway.ask('GET', `/rag/jobs?collection=${collection}`, { key })).json['counts']
  await expect.poll(counts, { timeout: 20_000 }).toEqual({ done: expect.any(Number) })
}

const documents = { copper: 'The weight of copper is 63 units.', tin: 'Tin melts at 232 degrees.' }

test('a collection of words gets an embedder, and the same bytes then get their vectors', async () => {
  mustBe(201, await post('/rag/collections', { name: 'words', settings: { embedder: null } }))
  for (const [id, text] of Object.entries(documents)) await gateway.put('words', id, text, { key })
  mustBe(200, await gateway.ask('PATCH', '/rag/collections/words', { key, body: { settings: { embedder: embedModel } } }))
  expect((await byMeaning('words')).reason).toContain('"corral collections reingest words"')
  for (const [id, text] of Object.entries(documents)) await gateway.put('words', id, text, { key })
  expect(await byMeaning('words')).toEqual({ reason: null, found: 2 })
})

test('a collection is made again for an embedder that was pulled anew, once per idempotency key', async () => {
  await gateway.collection('pulled', documents, { key })
  expect(await byMeaning('pulled')).toEqual({ reason: null, found: 2 })
  const before = gateway.app.fleet.digestOf(embedModel)
  gateway.fleet.embedBuild = 'second'
  await expect.poll(() => gateway.app.fleet.digestOf(embedModel), { timeout: 20_000 }).not.toBe(before)
  expect((await byMeaning('pulled')).reason).toContain('has no vectors of')
  const again = () => post('/rag/collections/pulled/reingest', undefined, { 'idempotency-key': 'again-1' })
  expect(mustBe(202, await again()).json).toEqual({ jobs: 2, withoutBytes: 0 })
  const repeated = mustBe(202, await again())
  expect([repeated.json, repeated.headers.get('idempotent-replayed')]).toEqual([{ jobs: 2, withoutBytes: 0 }, 'true'])
  await untilDone('pulled')
  expect(await byMeaning('pulled')).toEqual({ reason: null, found: 2 })
  const { rows } = await gateway.database.tx('system', ({ query }) =>
    query(`select s.digest, s.vectors from rag_vector_sets s join rag_collections c on c.id = s.collection where c.name = 'pulled'`),
  )
  expect(rows.map(({ digest, vectors }) => [digest, Number(vectors)])).toEqual([[gateway.app.fleet.digestOf(embedModel), 2]])
  const jobs = (await gateway.ask('GET', '/rag/jobs?collection=pulled', { key })).json['jobs'] as { kind: string; state: string }[]
  expect(jobs.filter(({ kind, state }) => kind === 'reingest' && state === 'done')).toHaveLength(2)
})

test('who may not write, and a collection that is not there, are refused', async () => {
  await gateway.collection('kept', { tin: documents.tin }, { key })
  expect((await gateway.ask('POST', '/rag/collections/kept/reingest', { key: reader })).status).toBe(403)
  expect((await gateway.ask('POST', '/rag/collections/kept/reingest')).status).toBe(401)
  const none = await post('/rag/collections/nosuch/reingest')
  expect([none.status, none.headers.get('content-type'), none.json['code']]).toEqual([
    404,
    'application/problem+json',
    'collection_not_found',
  ])
})

test('texts that were embedded for one collection are not embedded again for another', async () => {
  const text = '# Brass\n\nBrass is copper and zinc.\n\n# Bronze\n\nBronze is copper and tin.'
  await gateway.collection('first', { alloys: text }, { key })
  const asked = gateway.fleet.embedded.length
  await gateway.collection('second', { alloys: text }, { key })
  expect(gateway.fleet.embedded.slice(asked)).toEqual([])
  expect((await byMeaning('second')).reason).toBeNull()
})
