// Requests with and without credentials through a whole gateway, on each place: what is answered, in whose words, and what never happens.
import { randomFillSync } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openPrincipal } from '../../src/core/principal.ts'
import { makeKey } from '../../src/identity/key.ts'
import { goodChat } from '../http/gateway.ts'
import { RawClient } from '../http/raw-client.ts'
import { operatorAct } from './fixture.ts'
import { type ClosedGateway, metricsToken, startClosedGateway } from './gateway.ts'
import { describePlaces } from './places.ts'

let gateway: ClosedGateway
let chatKey = ''
let adminKey = ''
/** Everything that must be in no log: keys and tokens as they were sent. */
const secrets: string[] = []

const bearer = (text: string): string[] => [`Authorization: Bearer ${text}`]
const json = 'Content-Type: application/json'

function chat(headers: readonly string[], target = '/api/chat') {
  return gateway.ask('POST', target, { headers: [...headers, json], body: goodChat })
}

/** A token good now. */
function token(claims: Readonly<Record<string, unknown>> = {}, header: Readonly<Record<string, unknown>> = {}): string {
  const iat = Math.floor(Date.now() / 1_000)
  const text = gateway.issuer.token({ iat, exp: iat + 600, ...claims }, header)
  secrets.push(text)
  return text
}

const otherwise: readonly (readonly [string, readonly string[]])[] = [
  ['no credential (B24)', []],
  ['an empty Authorization (B24)', ['Authorization:']],
  ['Basic (B24)', ['Authorization: Basic dXNlcjpwYXNz']],
  ['Bearer and a tab (B24)', ['Authorization: Bearer\tx']],
  ['a key of another prefix (B25)', bearer('sk-1234567890abcdef')],
  ['a key with a wrong checksum (B25)', bearer(`corral_${'a'.repeat(12)}_${'b'.repeat(39)}`)],
  ['a key that is too long (B25)', bearer(`corral_${'a'.repeat(12)}_${'b'.repeat(4_000)}`)],
  ['a key with a quote (B25)', bearer(`corral_aaaa'or1=1--_${'b'.repeat(39)}`)],
  ['a key beyond ASCII (B25)', ['x-api-key: corral_\xe4\xf6\xfc']],
  ['a token of two parts (B31)', bearer('eyJhbGciOiJub25lIn0.e30')],
]

describePlaces((place) => {
  beforeAll(async () => {
    gateway = await startClosedGateway({ place })
    chatKey = await gateway.key({ scopes: ['chat', 'models:read'] })
    adminKey = await gateway.key({ lifeMs: 'never', scopes: ['admin', 'chat', 'embed', 'models:read', 'models:write', 'metrics', 'relay'] })
    await gateway.identity.tenants.put('acme', {}, operatorAct)
    secrets.push(chatKey, adminKey, metricsToken)
  })
  afterAll(() => gateway.close())

  describe('a key opens the door', () => {
    test.each<[string, () => Promise<{ status: number; body: string }>]>([
      ['as a bearer token', () => chat(bearer(chatKey))],
      ['as x-api-key', () => chat([`x-api-key: ${chatKey}`])],
      ['as api-key', () => chat([`api-key: ${chatKey}`])],
      ['in the path', () => chat([], `/k/${chatKey}/api/chat`)],
      ['in the path and beside it', () => chat(bearer(chatKey), `/k/${chatKey}/api/chat`)],
      ['in the path of an OpenAI client', () => chat([], `/k/${chatKey}/v1/chat/completions`)],
      ['as a signed token', () => chat(bearer(token()))],
    ])('%s', async (_, ask) => {
      const before = gateway.node.received.length
      const answer = await ask()
      expect(answer.status, answer.body).toBe(200)
      expect(gateway.node.received.length).toBe(before + 1)
    })

    test('and never reaches a node, nor does the path it stood in', async () => {
      await chat(bearer(chatKey), `/k/${chatKey}/api/chat`)
      await chat([`x-api-key: ${chatKey}`, `api-key: ${chatKey}`])
      for (const { url, headers } of gateway.node.received) {
        const text = url + JSON.stringify(headers)
        for (const secret of secrets) expect(text).not.toContain(secret)
        expect(Object.keys(headers)).not.toContain('authorization')
      }
    })

    test('for HEAD / below the key, as every Ollama command begins', async () => {
      for (const end of ['/', '']) expect((await gateway.ask('HEAD', `/k/${chatKey}${end}`)).status).toBe(200)
      expect((await gateway.ask('GET', '/')).body).toBe('Ollama is running')
    })
  })

  describe('without a good credential', () => {
    test.each(otherwise)('%s is answered 401, with nothing read, asked or reached', async (_, headers) => {
      const before = gateway.node.received.length
      const answer = await chat(headers)
      expect(answer.status).toBe(401)
      expect(JSON.parse(answer.body)).toEqual({ error: 'no valid credential: send an API key as "Authorization: Bearer corral_..."' })
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer realm="corral"/)
      expect(gateway.node.received.length).toBe(before)
    })

    test('two Authorization headers are a 400 (B24)', async () => {
      expect((await chat([...bearer(chatKey), ...bearer(chatKey)])).status).toBe(400)
    })

    test('two different credentials are a 400', async () => {
      expect((await chat([...bearer(chatKey), `x-api-key: ${adminKey}`])).status).toBe(400)
    })

    test('a key in the query is a 400, and in no log (B23)', async () => {
      const answer = await gateway.ask('GET', `/api/tags?api_key=${chatKey}`, { headers: bearer(chatKey) })
      expect(answer.status).toBe(400)
      expect(answer.body).not.toContain(chatKey)
    })

    test('an Authorization of 20 KB is refused (B24)', async () => {
      const answer = await chat(bearer('x'.repeat(20_000)))
      expect([401, 431]).toContain(answer.status)
    })

    test('a revoked and an expired key are answered in the same words as an unknown one (B26)', async () => {
      const revoked = await gateway.key()
      await gateway.identity.keys.revoke(revoked.slice(7, 19), 'lost', operatorAct)
      const expired = await gateway.key({ lifeMs: 1 })
      const unknown = makeKey((bytes) => void randomFillSync(bytes)).text
      secrets.push(revoked, expired, unknown)
      const answers = await Promise.all([revoked, expired, unknown].map((text) => chat(bearer(text))))
      expect(answers.map(({ status }) => status)).toEqual([401, 401, 401])
      expect(new Set(answers.map(({ body }) => body)).size).toBe(1)
      expect(new Set(answers.map(({ headers }) => headers['www-authenticate'])).size).toBe(1)
    })

    test.each([
      ['/v1/chat/completions', { error: { type: 'invalid_request_error', param: null, code: 'invalid_api_key' } }],
      ['/v1/messages', { type: 'error', error: { type: 'authentication_error' } }],
      ['/admin/fleet', { status: 401, code: 'unauthenticated' }],
    ])('%s answers in its own dialect', async (target, shape) => {
      const answer = await gateway.ask(target.startsWith('/admin') ? 'GET' : 'POST', target)
      expect(answer.status).toBe(401)
      expect(JSON.parse(answer.body)).toMatchObject(shape)
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="corral"')
    })

    test('the Ollama CLI is told by a 403, since it hides the words of any 401', async () => {
      const cli = ['User-Agent: ollama/0.33.0 (amd64 linux) Go/go1.26']
      const answer = await chat(cli)
      expect(answer.status).toBe(403)
      expect(JSON.parse(answer.body)).toMatchObject({ error: expect.stringContaining('OLLAMA_HOST=http://HOST:PORT/k/YOUR_KEY') as string })
      expect((await chat(['User-Agent: ollama-python/0.6.1'])).status).toBe(401)
      expect((await gateway.ask('HEAD', '/', { headers: cli })).status).toBe(200)
    })

    test('a body of any size is not taken in', async () => {
      const client = await RawClient.open(gateway.port)
      client.send('POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n')
      const answer = await client.answer()
      expect(answer.status).toBe(401)
      expect(answer.headers['connection']).toBe('close')
      client.destroy()
    })

    test('a body that waits for 100-continue is never asked for', async () => {
      const client = await RawClient.open(gateway.port)
      client.send('POST /api/chat HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n')
      expect((await client.answer()).status).toBe(401)
      client.destroy()
    })

    test('a small body leaves the connection good for the next request', async () => {
      const client = await RawClient.open(gateway.port)
      const lines = `Host: localhost\r\nContent-Length: ${goodChat.length}\r\n`
      client.send(`POST /api/chat HTTP/1.1\r\n${lines}\r\n${goodChat}`)
      expect((await client.answer()).status).toBe(401)
      client.send(`POST /api/chat HTTP/1.1\r\n${lines}Authorization: Bearer ${chatKey}\r\n\r\n${goodChat}`)
      expect((await client.answer()).status).toBe(200)
      client.destroy()
    })

    test.each(['X-Forwarded-For: 127.0.0.1', 'X-Real-IP: 127.0.0.1', 'X-Tenant-Id: local', 'X-User: admin', 'X-Corral-Principal: admin'])(
      '%s opens nothing (B54)',
      async (line) => {
        expect((await chat([line])).status).toBe(401)
      },
    )
  })

  describe('with too little', () => {
    test('a scope that is missing is a 403 that names it (B27)', async () => {
      const answer = await gateway.ask('POST', '/api/embed', { headers: [...bearer(chatKey), json], body: '{"model":"small","input":"x"}' })
      expect(answer.status).toBe(403)
      expect(answer.headers['www-authenticate']).toBe('Bearer realm="corral", error="insufficient_scope", scope="embed"')
    })

    test.each([
      ['GET', '/admin/fleet'],
      ['GET', '/admin/keys'],
      ['DELETE', '/admin/nodes/n1'],
      ['HEAD', '/admin/fleet'],
      ['OPTIONS', '/admin/fleet'],
      ['GET', '/metrics'],
      ['GET', '/anything-else'],
      ['DELETE', '/api/delete'],
      ['POST', '/api/pull'],
      ['GET', '/api/whatever-comes-next'],
    ])('%s %s is refused to a chat key (B69)', async (method, target) => {
      expect((await gateway.ask(method, target, { headers: bearer(chatKey) })).status).toBe(403)
    })

    test('a method override changes nothing (B69)', async () => {
      const headers = [...bearer(chatKey), 'X-HTTP-Method-Override: DELETE', json]
      expect((await gateway.ask('POST', '/admin/nodes/n1', { headers, body: '{}' })).status).toBe(403)
    })

    test('an admin of another tenant sees its keys, and nothing of the fleet', async () => {
      const text = await gateway.key({ tenant: 'acme', scopes: ['admin', 'metrics'] })
      secrets.push(text)
      expect((await gateway.ask('GET', '/admin/keys', { headers: bearer(text) })).status).toBe(200)
      for (const target of ['/admin/fleet', '/admin/requests', '/admin/keysx', '/admin/%6beys']) {
        expect((await gateway.ask('GET', target, { headers: bearer(text) })).status, target).toBe(403)
      }
    })
  })

  describe('models', () => {
    test('that the key does not allow are refused after the envelope, on every route', async () => {
      const text = await gateway.key({ scopes: ['chat', 'embed', 'models:read', 'models:write', 'relay'], models: ['other:*'] })
      secrets.push(text)
      const before = gateway.node.received.length
      for (const [method, target, body] of [
        ['POST', '/api/chat', goodChat],
        ['POST', '/v1/chat/completions', goodChat],
        ['POST', '/v1/messages', goodChat],
        ['POST', '/api/embed', '{"model":"small","input":"x"}'],
        ['POST', '/api/show', '{"model":"SMALL:latest"}'],
        ['GET', '/v1/models/small', undefined],
        ['DELETE', '/api/delete', '{"name":"small"}'],
        ['POST', '/api/copy', '{"source":"small","destination":"other:mine"}'],
        ['POST', '/api/create', '{"model":"other:mine","from":"small"}'],
        ['POST', '/api/next-year', '{"x":1}'],
      ] as const) {
        const answer = await gateway.ask(method, target, { headers: [...bearer(text), json], ...(body === undefined ? {} : { body }) })
        expect(answer.status, `${target} ${answer.body}`).toBe(403)
      }
      expect(gateway.node.received.length).toBe(before)
    })

    test('that the key allows are served', async () => {
      const text = await gateway.key({ models: ['small:latest'] })
      secrets.push(text)
      expect((await chat(bearer(text))).status).toBe(200)
    })

    test('are judged by the name that was asked for, alias or not', async () => {
      const text = await gateway.key({ scopes: ['chat', 'models:read'], models: ['house:latest'] })
      secrets.push(text)
      const body = goodChat.replace('"small"', '"house"')
      expect((await gateway.ask('POST', '/api/chat', { headers: [...bearer(text), json], body })).status).toBe(200)
      expect((await chat(bearer(text))).status).toBe(403)
      expect((await gateway.ask('GET', '/v1/models', { headers: bearer(text) })).body).toMatch(/"data":\[\{"id":"house"[^{]*\]/)
    })

    test.each(['/api/tags', '/v1/models', '/api/ps'])('%s lists what the key allows', async (target) => {
      const some = await gateway.key({ scopes: ['models:read'], models: ['smal*'] })
      const none = await gateway.key({ scopes: ['models:read'], models: ['other'] })
      secrets.push(some, none)
      expect((await gateway.ask('GET', target, { headers: bearer(some) })).body).toContain('small:latest')
      expect((await gateway.ask('GET', target, { headers: bearer(none) })).body).not.toContain('small')
      expect((await gateway.ask('GET', target, { headers: bearer(chatKey) })).body).toContain('small:latest')
    })
  })

  describe('health and metrics', () => {
    test('health is open', async () => {
      expect((await gateway.ask('GET', '/livez')).status).toBe(200)
      expect((await gateway.ask('GET', '/readyz')).status).toBe(200)
    })

    test('metrics are for the scope, or for the scraper’s token', async () => {
      expect((await gateway.ask('GET', '/metrics')).status).toBe(401)
      expect((await gateway.ask('GET', '/metrics', { headers: bearer(adminKey) })).status).toBe(200)
      expect((await gateway.ask('GET', '/metrics', { headers: bearer(metricsToken) })).status).toBe(200)
    })

    test('the scraper’s token opens nothing else', async () => {
      const ask = (target: string) => gateway.ask('GET', target, { headers: bearer(metricsToken) })
      expect([(await ask('/api/tags')).status, (await ask('/admin/fleet')).status]).toEqual([401, 401])
    })
  })

  describe('the admin API', () => {
    const ask = async (method: string, target: string, body?: unknown) => {
      const options = body === undefined ? {} : { body: JSON.stringify(body) }
      const answer = await gateway.ask(method, target, { headers: [...bearer(adminKey), json], ...options })
      return { status: answer.status, value: JSON.parse(answer.body) as Record<string, unknown> }
    }

    test('makes, shows, rotates, revokes and restores a key', async () => {
      const made = await ask('POST', '/admin/keys', { title: 'ci', scopes: ['chat'], expiresIn: '30d', models: ['Small'] })
      expect(made.status).toBe(201)
      const { id, key } = made.value
      expect(made.value).toMatchObject({ title: 'ci', models: ['small:latest'], createdBy: adminKey.slice(7, 19) })
      expect((await chat(bearer(String(key)))).status).toBe(200)
      const shown = await ask('GET', `/admin/keys/${String(id)}`)
      expect(Object.keys(shown.value)).not.toContain('key')
      const rotated = await ask('POST', `/admin/keys/${String(id)}/rotate`, { overlap: '1h' })
      expect(rotated.status).toBe(201)
      secrets.push(String(key), String(rotated.value['key']))
      expect((await ask('POST', `/admin/keys/${String(id)}/revoke`, { reason: 'rotated' })).value['revokedReason']).toBe('rotated')
      expect((await chat(bearer(String(key)))).status).toBe(401)
      expect((await ask('POST', `/admin/keys/${String(id)}/restore`)).value['revokedAt']).toBeNull()
      expect((await chat(bearer(String(key)))).status).toBe(200)
      expect((await chat(bearer(String(rotated.value['key'])))).status).toBe(200)
    })

    test.each([
      ['a field that is none', { scopes: ['chat'], owner: 'me' }],
      ['a prototype', JSON.parse('{"scopes":["chat"],"__proto__":{"scopes":["admin"]}}')],
      ['a scope that is none', { scopes: ['root'] }],
      ['no scopes', { title: 'x' }],
      ['a life that is none', { scopes: ['chat'], expiresIn: 'soon' }],
      ['control characters', { scopes: ['chat'], title: 'a\nb' }],
      ['a public key that is none', { scopes: ['chat'], publicKey: 'ssh-rsa AAAA' }],
      ['a limit that is none', { scopes: ['chat'], limits: { concurrency: -1 } }],
    ])('refuses %s', async (_, body) => {
      const answer = await ask('POST', '/admin/keys', body)
      expect(answer.status).toBe(400)
    })

    test('refuses a form from a foreign page', async () => {
      const headers = [...bearer(adminKey), 'Origin: http://localhost', 'Content-Type: text/plain']
      expect((await gateway.ask('POST', '/admin/keys', { headers, body: '{"scopes":["chat"]}' })).status).toBe(403)
    })

    test('makes tenants, and shows the audit log line by line', async () => {
      expect((await ask('PUT', '/admin/tenants/globex', { title: 'Globex', limits: { concurrency: 2 } })).status).toBe(200)
      expect(JSON.stringify((await ask('GET', '/admin/tenants')).value)).toContain('globex')
      const answer = await gateway.ask('GET', '/admin/audit', { headers: bearer(adminKey) })
      const rows = answer.body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { action: string; target: string; actor: string })
      expect(rows.find(({ target }) => target === 'globex')?.actor).toBe(adminKey.slice(7, 19))
      const denied = rows.filter(({ action }) => action.startsWith('refuse '))
      expect(denied.map(({ target }) => target)).toContain('POST /api/chat')
      expect(await gateway.identity.audit.verify()).toBeNull()
    })

    test('writes down who drained a node, under the id of the request', async () => {
      const drained = await gateway.ask('POST', '/admin/nodes/n1/drain', { headers: [...bearer(adminKey), json] })
      expect(drained.status).toBe(200)
      expect((await ask('POST', '/admin/nodes/n1/undrain', {})).status).toBe(200)
      const { body } = await gateway.ask('GET', '/admin/audit', { headers: bearer(adminKey) })
      expect(body).toContain(`"actor":"${adminKey.slice(7, 19)}","action":"drain","target":"n1"`)
      expect(body).toContain(`"requestId":"${drained.headers['x-request-id']}"`)
    })
  })

  describe('while the store is down', () => {
    test('keys that are known go on, others are answered 503', async () => {
      const known = await gateway.key()
      const fresh = await gateway.key()
      secrets.push(known, fresh)
      expect((await chat(bearer(known))).status).toBe(200)
      gateway.outage = true
      try {
        expect((await chat(bearer(known))).status).toBe(200)
        const answer = await chat(bearer(fresh))
        expect(answer.status).toBe(503)
        expect((await chat(bearer(token()))).status).toBe(200)
        expect((await gateway.ask('GET', '/admin/keys', { headers: bearer(known) })).status).toBe(403)
      } finally {
        gateway.outage = false
      }
      expect((await chat(bearer(fresh))).status).toBe(200)
    })

    test('a client that leaves while its key is looked up costs nothing', async () => {
      const text = await gateway.key()
      secrets.push(text)
      const client = await RawClient.open(gateway.port)
      client.send(`POST /api/chat HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${text}\r\nContent-Length: 5\r\n\r\n`)
      client.destroy()
      expect((await chat(bearer(text))).status).toBe(200)
      await expect.poll(() => gateway.app.calls.size).toBe(0)
    })
  })

  test('no key and no token stands in the log, the metrics, the audit log or the store', async () => {
    const log = await gateway.logText()
    expect(log.split('\n').length).toBeGreaterThan(50)
    const { body: metrics } = await gateway.ask('GET', '/metrics', { headers: bearer(adminKey) })
    const { body: audit } = await gateway.ask('GET', '/admin/audit', { headers: bearer(adminKey) })
    const keys = JSON.stringify(await gateway.identity.keys.list(openPrincipal))
    const everything = [log, metrics, audit, keys].join('\n')
    expect(secrets.length).toBeGreaterThan(15)
    for (const secret of secrets) {
      // Nor the half of it that matters.
      for (const part of [secret, secret.slice(-24)]) expect(everything).not.toContain(part)
    }
    expect(everything).not.toContain('/k/corral_')
  })
})
