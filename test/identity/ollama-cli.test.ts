// The Ollama CLI with OLLAMA_AUTH=1 by the shape of its requests: `?ts=` behind every path, `HEAD /` first, a signature on each, the
// user agent it has. The header is built from the description of its wire form (`ollama-signature.ts`), not by the CLI itself.
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { RawClient } from '../http/raw-client.ts'
import { chatBody } from '../fleet/ask.ts'
import { operatorAct, wish } from './fixture.ts'
import { startKeyedHerd } from './keyed-herd.ts'
import { authorizationOf, blobOf } from './ollama-signature.ts'

/** RFC 8032 §7.1, test 1. */
const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
const publicHex = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a'
const pkcs8 = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex')
const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
const publicKey = createPublicKey(privateKey)

test('the header is a key blob of 68 characters, a colon, and a signature of 88 over method, path and time', () => {
  const header = authorizationOf({ publicKey, privateKey, method: 'POST', path: '/api/chat', seconds: 1_700_000_000 })
  const [blob = '', signature = ''] = header.split(':')
  expect([blob.length, signature.length]).toEqual([68, 88])
  expect(Buffer.from(blob, 'base64').toString('hex')).toBe(`0000000b${Buffer.from('ssh-ed25519').toString('hex')}00000020${publicHex}`)
  expect(verify(null, Buffer.from('POST,/api/chat?ts=1700000000'), publicKey, Buffer.from(signature, 'base64'))).toBe(true)
  expect(blobOf(publicKey)).toBe(blob)
})

test('recorded requests of Ollama to its cloud carry the time as the query, in whole seconds', () => {
  const folder = new URL('../data/ollama-transcripts/', import.meta.url)
  const texts = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'))
  const targets = texts.flatMap((text) => [...text.matchAll(/ollama\.com:443(\/[\w/-]+\?[^\\": ]+)/g)].map((match) => match[1] ?? ''))
  expect(targets.length).toBeGreaterThan(0)
  for (const target of targets) expect(target).toMatch(/^\/[\w/-]+\?ts=\d{10}$/)
})

test('a session of the CLI is let in with a registered key, and told what to do without one', async () => {
  const { gateways } = await startKeyedHerd()
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  const { port } = new URL(gateway.url)
  const rawKey = Buffer.from(publicHex, 'hex')
  await gateway.identity.keys.create(wish({ publicKey: rawKey, scopes: ['chat', 'models:read'] }), operatorAct)
  const stranger = generateKeyPairSync('ed25519')
  const send = async (keys: typeof stranger, method: string, path: string, body = ''): Promise<{ status: number; body: string }> => {
    const seconds = Math.floor(systemClock.wallMs() / 1_000)
    const lines = [
      `${method} ${path}?ts=${seconds} HTTP/1.1`,
      `Host: 127.0.0.1:${port}`,
      'User-Agent: ollama/0.33.0 (amd64 linux) Go/go1.26',
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Accept: application/x-ndjson',
      `Authorization: ${authorizationOf({ ...keys, method, path, seconds })}`,
      'Content-Type: application/json',
      'Accept-Encoding: gzip',
    ]
    const client = await RawClient.open(Number(port))
    client.send(`${lines.join('\r\n')}\r\n\r\n${body}`)
    const answer = await client.answer({ head: method === 'HEAD' })
    client.destroy()
    return answer
  }
  const own = { publicKey, privateKey }
  expect((await send(own, 'HEAD', '/')).status).toBe(200)
  expect((await send(own, 'GET', '/api/tags')).status).toBe(200)
  expect((await send(own, 'POST', '/api/chat', JSON.stringify(chatBody()))).status).toBe(200)
  const refused = await send(stranger, 'GET', '/api/tags')
  expect([refused.status, refused.body]).toEqual([403, expect.stringContaining('OLLAMA_AUTH=1')])
  expect((await send(own, 'DELETE', '/api/delete', '{"model":"small"}')).status).toBe(403)
})
