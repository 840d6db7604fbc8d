// The console's session over real sockets: a key opens it, its cookie is a credential with the key's own rights, and it ends with the key.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { operatorAct } from '../identity/fixture.ts'
import { type ClosedGateway, startClosedGateway } from '../identity/gateway.ts'

let gateway: ClosedGateway
beforeAll(async () => {
  gateway = await startClosedGateway()
  await gateway.identity.tenants.put('acme', {}, operatorAct)
}, 60_000)
afterAll(() => gateway.close())

const changing = { 'x-corral-console': '1', 'content-type': 'application/json' }

function ask(method: string, path: string, headers: Record<string, string> = {}, body?: object): Promise<Response> {
  return fetch(gateway.url + path, { method, headers, redirect: 'manual', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}

async function open(key: string, headers: Record<string, string> = {}): Promise<{ cookie: string; line: string }> {
  const response = await ask('POST', '/console/session', { ...changing, authorization: `Bearer ${key}`, ...headers })
  expect(response.status).toBe(200)
  const line = response.headers.get('set-cookie') ?? ''
  return { line, cookie: line.split(';', 1)[0] ?? '' }
}

test('a key opens a session whose cookie no script can read and no other site sends', async () => {
  const key = await gateway.key({ tenant: 'local', scopes: ['admin'] })
  const { line, cookie } = await open(key)
  expect(line).toMatch(/^corral-session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
  expect(cookie).not.toContain(key)
  const fleet = await ask('GET', '/admin/fleet', { cookie })
  expect(fleet.status).toBe(200)
})

test('behind https the cookie is bound to its host and sent over https only', async () => {
  const { line } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }), { origin: gateway.url.replace('http:', 'https:') })
  expect(line).toMatch(/^__Host-corral-session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+; Secure$/)
})

test('behind https the cookie that others of the domain could set does not count', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  expect((await ask('GET', '/admin/fleet', { cookie, 'x-forwarded-proto': 'https' })).status).toBe(401)
  expect((await ask('GET', '/admin/fleet', { cookie })).status).toBe(200)
})

test('a wrong key opens none', async () => {
  const response = await ask('POST', '/console/session', { ...changing, authorization: 'Bearer corral_nobody' })
  expect([response.status, response.headers.get('set-cookie')]).toEqual([401, null])
})

test('a session ends with its key', async () => {
  const key = await gateway.key({ tenant: 'local', scopes: ['admin'] })
  const { cookie } = await open(key)
  expect((await ask('GET', '/admin/keys', { cookie })).status).toBe(200)
  await gateway.identity.keys.revoke(key.split('_')[1] ?? '', 'lost', operatorAct)
  expect((await ask('GET', '/admin/keys', { cookie })).status).toBe(401)
  expect(await (await ask('GET', '/console/session', { cookie })).json()).toMatchObject({ caller: null, needsKey: true })
})

test('a change with a cookie needs the header that only a page of the console sends', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  const drain = '/admin/nodes/n1/drain'
  const bare = await ask('POST', drain, { cookie, 'content-type': 'application/json' })
  expect([bare.status, await bare.json()]).toMatchObject([403, { code: 'origin_refused' }])
  expect(gateway.app.fleet.nodes.map(({ draining }) => draining)).toEqual([false])
  expect((await ask('POST', drain, { cookie, ...changing })).status).toBe(200)
  expect((await ask('POST', '/admin/nodes/n1/undrain', { cookie, ...changing })).status).toBe(200)
})

test('another origin, even one that may use the API, cannot use the cookie', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  const origin = 'http://localhost:3000'
  expect((await ask('GET', '/admin/fleet', { cookie, origin })).status).toBe(401)
  expect((await ask('POST', '/admin/nodes/n1/drain', { cookie, origin, ...changing })).status).toBe(401)
})

test('the cookie carries the rights and the tenant of its key and no more', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'acme', scopes: ['chat', 'admin'] }))
  const session = await (await ask('GET', '/console/session', { cookie })).json()
  expect(session).toMatchObject({ caller: { tenant: 'acme', operator: false, scopes: expect.arrayContaining(['chat', 'admin']) } })
  expect((await ask('GET', '/admin/fleet', { cookie })).status).toBe(403)
  const { keys } = (await (await ask('GET', '/admin/keys', { cookie })).json()) as { keys: { tenant: string }[] }
  expect(new Set(keys.map(({ tenant }) => tenant))).toEqual(new Set(['acme']))
})

test('a key of the request itself counts before the cookie', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  const chatOnly = await gateway.key({ tenant: 'acme', scopes: ['chat'] })
  expect((await ask('GET', '/admin/fleet', { cookie, authorization: `Bearer ${chatOnly}` })).status).toBe(403)
})

test('a cookie that was changed is none', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  const last = cookie.at(-1) === 'A' ? 'Q' : 'A'
  expect((await ask('GET', '/admin/fleet', { cookie: cookie.slice(0, -1) + last })).status).toBe(401)
  expect((await ask('GET', '/admin/fleet', { cookie: 'corral-session=' })).status).toBe(401)
})

test('a hostile cookie opens nothing and breaks nothing', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  const sealed = cookie.slice(cookie.indexOf('=') + 1)
  const hostile = [
    `corral-session=${'A'.repeat(7_000)}`,
    `corral-session=${sealed}${sealed}`,
    `corral-session=%00%ff${sealed}`,
    `corral-session="${sealed}"`,
    `Corral-Session=${sealed}`,
    `corral-session=; corral-session=${sealed}`,
    `__proto__=${sealed}; constructor=x; =; ;;`,
    `corral-session=${sealed.split('').toReversed().join('')}`,
    `corral-session=\xff\xfe${sealed}`,
    `${'a=b; '.repeat(1_000)}corral-session={"token":"x","endsAtWallMs":9e99}`,
  ]
  for (const each of hostile) {
    const { status } = await gateway.ask('GET', '/admin/fleet', { headers: ['cookie: ' + each] })
    expect([each.slice(0, 40), status]).toEqual([each.slice(0, 40), 401])
  }
  expect(await gateway.logText()).not.toContain('unexpected error')
  expect((await ask('GET', '/admin/fleet', { cookie: `a=b; ${cookie}; c=d` })).status).toBe(200)
})

test('signing out clears the cookie, for the console only', async () => {
  const { cookie } = await open(await gateway.key({ tenant: 'local', scopes: ['admin'] }))
  expect((await ask('DELETE', '/console/session', { cookie })).status).toBe(403)
  const response = await ask('DELETE', '/console/session', { cookie, ...changing })
  expect([response.status, response.headers.get('set-cookie')]).toEqual([204, expect.stringMatching(/^corral-session=; .*Max-Age=0$/)])
})

test('asking who is signed in is no try that counts as a failed one, and tells nothing', async () => {
  const response = await ask('GET', '/console/session')
  expect(await response.json()).toEqual({ version: '0.0.0-test', logins: [], needsKey: true, caller: null })
})
