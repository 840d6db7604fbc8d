// Documents that nobody deletes by hand: those whose time is over, and those whose file is gone. The answers made from them go as well (C4).
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { inMemory } from './kept-texts.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'

const folder = mkdtempSync(join(tmpdir(), 'corral-forgotten-'))
let gateway: RagGateway
beforeAll(async () => {
  writeFileSync(join(folder, 'tin.txt'), 'Tin melts at 232 degrees.')
  // A folder that is empty at once would keep its documents.
  writeFileSync(join(folder, 'zinc.txt'), 'Zinc boils at 907 degrees.')
  const folders = [{ name: 'metals', path: folder, collection: 'metals', everyMs: 1_000 }]
  gateway = await startRagGateway({ identity: { mode: 'keys' }, config: { ingest: { sweepMs: 100, folders } } })
})
afterAll(async () => {
  await gateway.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A key of a tenant, which has asked about `collection`, and keeps the answer. */
async function asked(tenant: string, collection: string, question: string): Promise<string> {
  const key = await gateway.key({ tenant, scopes: ['rag:read', 'rag:write'] })
  mustBe(200, await gateway.ask('POST', '/rag/chat', { key, body: { collection, question, model: chatModel, stream: false } }))
  expect(await inMemory(gateway, tenant, 'answer')).toBeGreaterThan(0)
  expect(await inMemory(gateway, tenant, 'retrieval')).toBeGreaterThan(0)
  return key
}

async function expectForgotten(tenant: string): Promise<void> {
  await expect.poll(() => inMemory(gateway, tenant, 'answer'), { timeout: 20_000 }).toBe(0)
  expect(await inMemory(gateway, tenant, 'retrieval')).toBe(0)
}

test('of a document whose time is over no answer is kept', async () => {
  const key = await gateway.key({ tenant: 'timed', scopes: ['rag:read', 'rag:write'] })
  await gateway.collection('old', { copper: 'The weight of copper is 63 units.' }, { key })
  mustBe(200, await gateway.ask('PATCH', '/rag/collections/old', { key, body: { settings: { retentionDays: 1 } } }))
  await asked('timed', 'old', 'weight of copper')
  await gateway.database.tx({ tenant: 'timed' }, async ({ query }) => {
    await query(`update rag_documents set updated_at = now() - interval '2 days'`)
    await query(`update rag_sources set given_at = now() - interval '2 days'`)
  })
  await expectForgotten('timed')
  expect((await gateway.ask('GET', '/rag/collections/old', { key })).json).toMatchObject({ documents: 0 })
})

test('of a document whose file is gone no answer is kept', async () => {
  const key = await gateway.key({ tenant: 'local', scopes: ['rag:read'] })
  const documents = async () => (await gateway.ask('GET', '/rag/collections/metals', { key })).json['documents']
  await expect.poll(documents, { timeout: 20_000 }).toBe(2)
  await asked('local', 'metals', 'tin melts at how many degrees')
  rmSync(join(folder, 'tin.txt'))
  await expectForgotten('local')
  expect(await documents()).toBe(1)
})
