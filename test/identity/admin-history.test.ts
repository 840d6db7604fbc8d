// The history of requests and the taking back of tokens, over HTTP: who may, and what comes out.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createIdentity } from '../../src/identity/identity.ts'
import { identityOptions } from '../../src/identity/options.ts'
import { goodChat } from '../http/gateway.ts'
import { HandClock, operatorAct, secret } from './fixture.ts'
import { type ClosedGateway, startClosedGateway } from './gateway.ts'
import { fetchFrom, issuerSection, makeIssuer } from './issuer.ts'

let gateway: ClosedGateway
let operator = ''
let acmeAdmin = ''
let acmeChat = ''

beforeAll(async () => {
  gateway = await startClosedGateway()
  await gateway.identity.tenants.put('acme', {}, operatorAct)
  await gateway.identity.tenants.put('rival', {}, operatorAct)
  operator = await gateway.key({ scopes: ['admin', 'chat'] })
  acmeAdmin = await gateway.key({ tenant: 'acme', scopes: ['admin', 'chat'] })
  acmeChat = await gateway.key({ tenant: 'acme', scopes: ['chat'] })
})
afterAll(() => gateway.close())

const bearer = (text: string): string[] => [`Authorization: Bearer ${text}`]

async function get(target: string, key: string): Promise<{ status: number; value: Record<string, unknown> }> {
  const { status, body } = await gateway.ask('GET', target, { headers: bearer(key) })
  return { status, value: JSON.parse(body) }
}

const chat = (key: string) => gateway.ask('POST', '/api/chat', { headers: bearer(key), body: goodChat })

test('an admin sees the requests of its tenant, the operator those of all, anybody else none', async () => {
  for (let time = 0; time < 3; time += 1) await chat(acmeChat)
  await chat(operator)
  const own = await get('/admin/requests/history?limit=2', acmeAdmin)
  expect(own.status).toBe(200)
  expect(own.value['requests']).toEqual([
    expect.objectContaining({ tenant: 'acme', route: '/api/chat' }),
    expect.objectContaining({ tenant: 'acme' }),
  ])
  const everything = await get('/admin/requests/history', operator)
  expect(everything.value['requests']).toHaveLength(4)
  expect((await get('/admin/requests/history', acmeChat)).status).toBe(403)
  expect((await get('/admin/requests/history?tenant=local', acmeAdmin)).value['requests']).toEqual([])

  const { next } = own.value
  const rest = await get(`/admin/requests/history?limit=2&before=${String(next)}`, acmeAdmin)
  expect([rest.value['requests'], rest.value['next']]).toEqual([[expect.objectContaining({ tenant: 'acme' })], null])
  for (const key of [operator, await gateway.key({ tenant: 'rival', scopes: ['admin'] })]) {
    expect((await get(`/admin/requests/history?before=${String(next)}`, key)).status).toBe(400)
  }
  for (const limit of ['-1', '0', '1000000000']) expect((await get(`/admin/requests/history?limit=${limit}`, operator)).status).toBe(400)
})

test('the history is cut by key, model, status and time, and comes as a table', async () => {
  const name = acmeChat.slice(7, 19)
  expect((await chat(`corral_${'a'.repeat(51)}`)).status).toBe(401)
  await chat(acmeChat)
  const of = async (query: string): Promise<unknown> => (await get(`/admin/requests/history?${query}`, acmeAdmin)).value['requests']
  expect(await of(`subject=${name}&status=2xx&model=small`)).not.toEqual([])
  expect(await of(`subject=${name}&status=200`)).toEqual(await of(`subject=${name}`))
  for (const none of ['status=5xx', 'status=404', 'model=other', 'subject=nobody', 'from=2999-01-01T00:00:00Z'])
    expect(await of(none)).toEqual([])
  for (const wrong of ['status=999', 'status=ok', 'status=2x', 'format=xml', 'colour=1']) {
    expect((await get(`/admin/requests/history?${wrong}`, acmeAdmin)).status).toBe(400)
  }

  const table = await gateway.ask('GET', '/admin/requests/history?format=csv&limit=1', { headers: bearer(acmeAdmin) })
  expect(table.headers).toMatchObject({ 'content-type': 'text/csv; charset=utf-8', 'cache-control': 'no-store' })
  const [head = '', row = '', ...rest] = table.body.split('\r\n')
  expect([head.split(',').slice(0, 4), row.split(',').slice(2, 5), rest]).toEqual([
    ['at', 'id', 'tenant', 'subject'],
    ['acme', name, 'small:latest'],
    [''],
  ])
  const next = /^<([^>]+)>; rel="next"$/.exec(table.headers['link'] ?? '')?.[1] ?? ''
  const second = await gateway.ask('GET', next, { headers: bearer(acmeAdmin) })
  expect([second.status, second.body.split('\r\n')[0]]).toEqual([200, head])
  expect(second.body).not.toContain(row)
  const sums = await gateway.ask('GET', '/admin/usage?by=subject,model&format=csv&status=2xx', { headers: bearer(acmeAdmin) })
  expect(sums.body).toMatch(new RegExp(`^subject,model,requests,.*gpuSeconds\r\n${name},small:latest,4,`))
})

test('a table of all is not cut at the first page', async () => {
  const key = await gateway.key({ tenant: 'rival', scopes: ['chat'] })
  for (let sent = 0; sent < 105; sent += 5) await Promise.all(Array.from({ length: 5 }, () => chat(key)))
  const { headers, body } = await gateway.ask('GET', '/admin/requests/history?format=csv&tenant=rival', { headers: bearer(operator) })
  const ids = body
    .trimEnd()
    .split('\r\n')
    .map((row) => row.split(',')[1])
  expect([ids[0], new Set(ids).size, ids.length, headers['link']]).toEqual(['id', 106, 106, undefined])
})

test('the operator takes a token back; an admin of another tenant may not', async () => {
  const seconds = Math.floor(systemClock.wallMs() / 1_000)
  const token = gateway.issuer.token({ sub: 'leaver', jti: 'token-1', iat: seconds, exp: seconds + 600 })
  const asked = {
    headers: [...bearer(operator), 'Content-Type: application/json'],
    body: JSON.stringify({ issuer: gateway.issuer.name, jti: 'token-1' }),
  }
  expect((await chat(token)).status).toBe(200)
  const refused = await gateway.ask('POST', '/admin/tokens/revoke', {
    ...asked,
    headers: [...bearer(acmeAdmin), 'Content-Type: application/json'],
  })
  expect(refused.status).toBe(403)
  expect((await chat(token)).status).toBe(200)
  const done = await gateway.ask('POST', '/admin/tokens/revoke', asked)
  expect([done.status, JSON.parse(done.body)]).toEqual([200, { until: expect.stringMatching(/^20\d\d-/) }])
  expect((await chat(token)).status).toBe(401)
  expect((await chat(gateway.issuer.token({ sub: 'leaver', jti: 'token-2', iat: seconds, exp: seconds + 600 }))).status).toBe(200)
})

test('before it was read what is revoked no token is judged', async () => {
  const issuer = makeIssuer()
  const identity = createIdentity({
    options: identityOptions.parse({ mode: 'jwt', issuers: [issuerSection(issuer)] }),
    database: gateway.database,
    secret,
    clock: new HandClock(),
    events: { decided: () => undefined, upkeepFailed: () => undefined },
    fetchText: fetchFrom([issuer]),
  })
  const ask = () => identity.authenticate({ kind: 'token', text: issuer.token() }, { method: 'GET', path: '/', query: '' })
  expect(await ask()).toMatchObject({ kind: 'undecided', error: { code: 'store_unavailable' } })
  await identity.start()
  expect(await ask()).toMatchObject({ kind: 'granted' })
  await identity.close()
})
