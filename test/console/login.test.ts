// Signing in to the console at an OpenID provider, over real sockets: there, back, and every way in which that must not work.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { type ClosedGateway, startClosedGateway } from '../identity/gateway.ts'
import { freePort } from '../support/postgres.ts'
import { startProvider, type TestProvider } from './oidc-provider.ts'

const clientId = 'corral-console'
let provider: TestProvider
let gateway: ClosedGateway

beforeAll(async () => {
  provider = await startProvider(clientId)
  const port = await freePort()
  const login = { clientId, consoleUrl: `http://127.0.0.1:${port}`, title: 'Ranch ID' }
  const scopes = { claim: 'scope', map: { operator: ['admin'] } }
  const tenant = { claim: 'sub', map: { 'user-1': 'local' } }
  gateway = await startClosedGateway({ port, issuer: provider.issuer, issuerFields: { login, scopes, tenant } })
}, 60_000)
beforeEach(() => {
  provider.refusal = null
  provider.claims = { scope: 'operator' }
})
afterAll(async () => {
  await gateway.close()
  await provider.close()
})

const go = (url: string, cookie = ''): Promise<Response> => fetch(url, { redirect: 'manual', headers: { cookie } })
const locationOf = (response: Response): string => response.headers.get('location') ?? ''
const cookiesOf = (response: Response): string[] => response.headers.getSetCookie()
const valueOf = (line: string | undefined): string => line?.split(';', 1)[0] ?? ''

/** To the provider and up to the way back: the URL that the provider sends to, and the cookie of the way. */
async function depart(): Promise<{ back: string; cookie: string }> {
  const departed = await go(`${gateway.url}/console/login?issuer=${encodeURIComponent(provider.issuer.name)}`)
  expect(departed.status).toBe(302)
  const [line] = cookiesOf(departed)
  expect(line).toMatch(/^corral-login=[\w-]+; Path=\/console\/login; HttpOnly; SameSite=Lax; Max-Age=600$/)
  return { back: locationOf(await go(locationOf(departed))), cookie: valueOf(line) }
}

test('the sign-in page is told where one can sign in', async () => {
  const session = await (await go(`${gateway.url}/console/session`)).json()
  expect(session).toMatchObject({ needsKey: true, logins: [{ issuer: provider.issuer.name, title: 'Ranch ID' }] })
})

test('a provider that is down is told, and asked again the next time', async () => {
  provider.isDown = true
  const login = `${gateway.url}/console/login?issuer=${encodeURIComponent(provider.issuer.name)}`
  expect(locationOf(await go(login))).toBe('/console/?signin=unreachable')
  provider.isDown = false
  expect(locationOf(await go(login))).toContain(`${provider.issuer.name}/authorize?`)
})

test('whoever comes back from the provider has a session with the rights of the token', async () => {
  const { back, cookie } = await depart()
  const arrived = await go(back, cookie)
  expect([arrived.status, await arrived.text()]).toEqual([200, expect.stringContaining('url=/console/')])
  const [over, session] = cookiesOf(arrived)
  expect(over).toMatch(/^corral-login=; .*Max-Age=0$/)
  expect(session).toMatch(/^corral-session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/)
  expect((await go(`${gateway.url}/admin/fleet`, valueOf(session))).status).toBe(200)
})

test('a token that gives no rights here opens a session with none', async () => {
  provider.claims = { scope: 'nothing' }
  const { back, cookie } = await depart()
  const session = cookiesOf(await go(back, cookie))[1]
  expect((await go(`${gateway.url}/admin/fleet`, valueOf(session))).status).toBe(403)
})

test.each([
  ['without the cookie of the way', async (): Promise<string[]> => [(await depart()).back, '']],
  ['with the cookie of another way', async () => [(await depart()).back, (await depart()).cookie]],
  [
    'with a cookie that was changed',
    async () => Object.values(await depart()).map((text, at) => (at === 1 ? `${text.slice(0, -2)}AA` : text)),
  ],
  [
    'with a state of its own',
    async () => Object.values(await depart()).map((text, at) => (at === 0 ? text.replace(/state=[^&]*/, 'state=x') : text)),
  ],
  [
    'with a code of its own',
    async () => Object.values(await depart()).map((text, at) => (at === 0 ? text.replace(/code=[^&]*/, 'code=x') : text)),
  ],
])('no session for one that comes back %s', async (_, begin) => {
  const [back = '', cookie = ''] = await begin()
  const arrived = await go(back, cookie)
  expect([arrived.status, locationOf(arrived)]).toEqual([302, expect.stringMatching(/^\/console\/\?signin=(over|refused)$/)])
  expect(cookiesOf(arrived).filter((line) => line.startsWith('corral-session'))).toEqual([])
})

test('a code is good for one session', async () => {
  const { back, cookie } = await depart()
  expect((await go(back, cookie)).status).toBe(200)
  expect(locationOf(await go(back, cookie))).toBe('/console/?signin=refused')
})

test('a token for somebody else opens none, nor does a provider that says no; the log has the reason', async () => {
  provider.claims = { aud: 'another' }
  const foreign = await depart()
  expect(locationOf(await go(foreign.back, foreign.cookie))).toBe('/console/?signin=unknown')
  provider.refusal = 'access_denied'
  const refused = await depart()
  expect(locationOf(await go(refused.back, refused.cookie))).toBe('/console/?signin=refused')
  expect(await gateway.logText()).toContain('access_denied')
})

test('an issuer that nobody configured leads nowhere', async () => {
  const response = await go(`${gateway.url}/console/login?issuer=${encodeURIComponent('https://evil.example')}`)
  expect([response.status, locationOf(response)]).toEqual([302, '/console/?signin=unknown'])
})
