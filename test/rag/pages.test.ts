// Lists of the RAG API page by page, over HTTP: each row once, and cursors that lead on in their own list only.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'

import { answerView } from '../../src/http/rag/answer-shapes.ts'
import { mustBe, type RagGateway, startRagGateway } from './rag-gateway.ts'
import { chatModel } from './scripted-fleet.ts'
import { makeTenants } from './tenants.ts'

const page = z.looseObject({ next: z.string().nullable() })
const names = ['a', 'b', 'c', 'd', 'e'].map((letter) => `row-${letter}`)

let gateway: RagGateway
let acme: string
let rival: string
/** Each list with five rows, and the field of a row that tells it from others. */
const lists: Record<string, { readonly rows: string; readonly id: string; readonly expected: readonly string[] | null }> = {
  '/rag/collections': { rows: 'collections', id: 'name', expected: names },
  '/rag/collections/row-a/documents': { rows: 'documents', id: 'id', expected: names },
  '/rag/collections/row-b/documents': { rows: 'documents', id: 'id', expected: names },
  '/rag/jobs': { rows: 'jobs', id: 'id', expected: null },
  '/rag/assistants': { rows: 'assistants', id: 'name', expected: names },
}

beforeAll(async () => {
  gateway = await startRagGateway({ identity: { mode: 'keys' } })
  ;({ acme, rival } = await makeTenants(gateway))
  for (const name of names) await gateway.collection(name, {}, { key: acme })
  for (const key of [acme, rival]) {
    if (key === rival) await gateway.collection('row-a', {}, { key })
    for (const id of names) await gateway.put('row-a', id, `The weight of ${id} is 63 units.`, { key })
  }
  for (const id of names) await gateway.put('row-b', id, `Text of ${id}.`, { key: acme })
  for (const name of names.toReversed()) {
    const body = { name, collections: ['row-a'], model: chatModel }
    mustBe(201, await gateway.ask('POST', '/rag/assistants', { key: acme, body }))
  }
  const asked = { collection: 'row-a', model: chatModel, question: 'weight of row-a', stream: false }
  const { id } = answerView.parse(mustBe(200, await gateway.ask('POST', '/rag/chat', { key: acme, body: asked })).json)
  const path = `/rag/answers/${id}/feedback`
  for (const rating of ['up', 'down', 'up', 'down', 'up']) {
    const key = await gateway.key({ tenant: 'acme', scopes: ['rag:read', 'rag:write'] })
    mustBe(201, await gateway.ask('POST', path, { key, body: { rating } }))
  }
  // Given at one moment, as by a script: only the id tells them apart.
  await gateway.database.tx('system', ({ query }) =>
    query(`update rag_feedback set created_at = '2026-01-01T00:00:00.000123Z' where rating = 'up'`),
  )
  lists[path] = { rows: 'feedback', id: 'id', expected: null }
})
afterAll(() => gateway.close())

function read(path: string, cursor: string | null, key = acme): ReturnType<RagGateway['ask']> {
  const query = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
  return gateway.ask('GET', `${path}?limit=2${query}`, { key })
}

async function firstCursor(path: string, key = acme): Promise<string> {
  return page.parse(mustBe(200, await read(path, null, key)).json).next ?? ''
}

test('each list gives each of its rows once, a page at a time', async () => {
  expect(Object.keys(lists)).toHaveLength(6)
  for (const [path, { rows, id, expected }] of Object.entries(lists)) {
    const seen: unknown[] = []
    let next: string | null = null
    do {
      const { json } = mustBe(200, await read(path, next))
      const found = z.array(z.looseObject({})).max(2).parse(json[rows])
      seen.push(...found.map((row) => row[id]))
      next = page.parse(json).next
    } while (next !== null)
    expect(new Set(seen).size, path).toBe(seen.length)
    if (expected === null) expect(seen.length, path).toBeGreaterThanOrEqual(5)
    else expect(seen, path).toEqual(expected)
  }
})

test('a cursor leads on in its own list of its own tenant alone', async () => {
  for (const path of Object.keys(lists)) {
    const cursor = await firstCursor(path)
    mustBe(200, await read(path, cursor))
    for (const other of Object.keys(lists).filter((one) => one !== path)) {
      const { status, json } = await read(other, cursor)
      expect([path, other, status, json['code'], json['detail']]).toEqual([
        path,
        other,
        400,
        'invalid_request',
        expect.stringContaining('give the "next" of the page before of this very list'),
      ])
    }
  }
  const shared = '/rag/collections/row-a/documents'
  expect((await read(shared, await firstCursor(shared), rival)).status).toBe(400)
  expect((await read(shared, await firstCursor(shared, rival), rival)).status).toBe(200)
})

test('a cursor that was made up or changed is refused', async () => {
  const cursor = await firstCursor('/rag/collections')
  const [place = '', mac = ''] = cursor.split('.')
  const moved = Buffer.from(JSON.stringify(['zzz'])).toString('base64url')
  for (const forged of [
    moved,
    `${moved}.${mac}`,
    place,
    `${place}.`,
    `${place}.${mac.slice(0, -4)}`,
    `${place}.${'A'.repeat(mac.length)}`,
    '.',
    'x',
  ]) {
    const { status, json } = await read('/rag/collections', forged)
    expect([forged, status, json['code']]).toEqual([forged, 400, 'invalid_request'])
  }
})
