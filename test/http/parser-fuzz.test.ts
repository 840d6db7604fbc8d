/** Random bytes and mutated requests: whatever comes, the process lives, no slot leaks and nothing but 2xx–5xx goes out. */
import { randomSequence } from '../../src/sim/hash.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { type Gateway, goodChat, requestBytes, startGateway } from './gateway.ts'
import { RawClient } from './raw-client.ts'

let gateway: Gateway
beforeAll(async () => {
  gateway = await startGateway({ http: { headersTimeoutMs: 1_000, bodyPauseMsMax: 200 } })
})
afterAll(() => gateway.close())

const spice = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ':',
  ' ',
  '\t',
  '\x7f',
  '\xff',
  '%',
  '%2e',
  '..',
  '//',
  'Content-Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  '"',
  '{',
  '}',
  '[',
  '\\',
  '\\u0000',
  'HTTP/1.1',
]

function mutate(bytes: string, random: () => number): string {
  let text = bytes
  const times = 1 + Math.floor(random() * 4)
  for (let index = 0; index < times; index += 1) {
    const at = Math.floor(random() * text.length)
    const kind = random()
    if (kind < 0.4) text = text.slice(0, at) + (spice[Math.floor(random() * spice.length)] ?? '') + text.slice(at)
    else if (kind < 0.7) text = text.slice(0, at) + String.fromCharCode(Math.floor(random() * 256)) + text.slice(at + 1)
    else text = text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 10))
  }
  return text
}

async function provoke(bytes: string): Promise<string> {
  const client = await RawClient.open(gateway.port)
  client.send(bytes)
  await Promise.race([
    client.closed,
    client.until('\r\n\r\n').catch(() => undefined),
    new Promise((resolve) => {
      setTimeout(resolve, 80)
    }),
  ])
  const { text } = client
  client.destroy()
  return text
}

test.each([1, 2, 3, 4])('600 mutated requests of seed %d leave the gateway whole', async (seed) => {
  const random = randomSequence(seed)
  const bases = [
    requestBytes('POST', '/api/chat', { body: goodChat, headers: ['Content-Type: application/json', 'Origin: http://localhost:1'] }),
    requestBytes('GET', '/v1/models/small%3Alatest?x=y', { headers: ['Accept: */*'] }),
    requestBytes('POST', '/v1/messages', { body: goodChat.replace('{', '{"stream":true,'), headers: ['X-Api-Key: k'] }),
    requestBytes('DELETE', '/api/user/keys/abc', {}),
  ].map((bytes) => bytes.toString('latin1'))
  for (let round = 0; round < 30; round += 1) {
    const sent = Array.from({ length: 20 }, () => mutate(bases[Math.floor(random() * bases.length)] ?? '', random))
    const answers = await Promise.all(sent.map(provoke))
    for (const [index, answer] of answers.entries()) {
      if (answer === '') continue
      expect(answer, JSON.stringify(sent[index])).toMatch(/^HTTP\/1\.[01] [2345]\d\d /)
      expect(answer, JSON.stringify(sent[index])).not.toMatch(/^HTTP\/1\.[01] 500 |internal error|node_modules|\bat .*\.ts:/)
    }
  }
  await gateway.assertHealthy()
})
