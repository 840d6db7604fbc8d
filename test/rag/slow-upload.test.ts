// An upload that stands still is ended by the clock, and nothing of it stays.
import { expect, onTestFinished, test } from 'vitest'

import { mountDocuments } from '../../src/http/rag/document-routes.ts'
import { RawClient } from '../http/raw-client.ts'
import { HandClock } from '../identity/fixture.ts'
import { listenByHand } from './hand-server.ts'
import { startRagGateway } from './rag-gateway.ts'

test.each([
  ['a body', 'text/plain', ''],
  ['a form', 'multipart/form-data; boundary=b', '--b\r\ncontent-disposition: form-data; name="f"; filename="slow"\r\n\r\n'],
])('%s that stops coming is ended after 30 seconds, one that comes slowly is not', async (_, type, begin) => {
  const gateway = await startRagGateway()
  onTestFinished(() => gateway.close())
  await gateway.collection('slow', {})
  const clock = new HandClock()
  const { port, bytesRead } = await listenByHand(gateway, clock, mountDocuments)
  const client = await RawClient.open(port)
  const sources = async (): Promise<unknown> => {
    const { rows } = await gateway.database.tx({ tenant: 'local' }, (transaction) => transaction.query('select id from rag_sources'))
    return rows.length
  }
  const head = `POST /rag/collections/slow/documents?id=slow HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 1000\r\n\r\n`
  const words = 'Some words. '.repeat(10)
  let sent = 0
  for (const piece of [`${head}${begin}${words}`, words, words, words]) {
    client.send(piece)
    sent += piece.length
    await expect.poll(bytesRead).toBe(sent)
    await expect.poll(sources).toBe(1)
    clock.pass(20_000)
  }
  expect([client.text, await sources()]).toEqual(['', 1])
  clock.pass(30_000)
  clock.pass(30_000)
  const answer = await client.answer()
  expect([answer.status, answer.headers['connection'], JSON.parse(answer.body)]).toMatchObject([408, 'close', { code: 'body_timeout' }])
  clock.pass(1_000)
  await client.closed
  await expect.poll(sources).toBe(0)
})
