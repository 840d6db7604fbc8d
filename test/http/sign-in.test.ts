/** A node that is not signed in at ollama.com says where to do it, with its host name and public key: callers are not told. */
import { afterEach, expect, it } from 'vitest'

import { sendJson } from './fake-node.ts'
import { type Gateway, startGateway } from './gateway.ts'

const secret = 'https://ollama.com/connect?name=gpu-host-7&key=c3NoLWVkMjU1MTk'
const unauthorized = '{"error":"unauthorized"}'
let gateway: Gateway | null = null

afterEach(async () => {
  await gateway?.close()
  gateway = null
})

it.each([
  ['POST', '/api/me', undefined],
  ['POST', '/api/signout', undefined],
  ['DELETE', '/api/user/keys/abc', undefined],
  ['POST', '/api/experimental/web_search', '{"query":"x"}'],
  ['POST', '/api/chat', '{"model":"small:cloud","messages":[{"role":"user","content":"hi"}]}'],
  ['POST', '/api/newer', '{}'],
])('%s %s', async (method, path, body) => {
  gateway = await startGateway({ fleet: { cloudModels: true } })
  gateway.node.script = (_incoming, outgoing) => sendJson(outgoing, 401, { error: 'unauthorized', signin_url: secret })
  const answer = await gateway.ask(method, path, body === undefined ? {} : { body })
  expect([answer.status, answer.body]).toEqual([401, unauthorized])
  expect(answer.headers['content-length']).toBe(String(unauthorized.length))
})
