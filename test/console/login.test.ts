// Signing in to the console at an OpenID provider, over real sockets: there, back, and every way in which that must not work.
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { freePort } from '../support/free-port.ts'
import { systemClock } from '../../src/base/clock.ts'
import { Logins } from '../../src/http/auth/login.ts'
import { identityOptions, issuerOptions } from '../../src/identity/options.ts'
import { type ClosedGateway, startClosedGateway } from '../identity/gateway.ts'
import { issuerSection } from '../identity/issuer.ts'
import { startProvider, type TestProvider } from './oidc-provider.ts'

const clientId = 'corral-console'
let provider: TestProvider
let gateway: ClosedGateway

beforeAll(async () => {
  provider = await startProvider(clientId)
  const port = await freePort()
  const login = { id: 'ranch', clientId, consoleUrl: `http://127.0.0.1:${port}`, title: 'Ranch ID' }
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
const loginUrl = (): string => `${gateway.url}/console/login/ranch`
const locationOf = (response: Response): string => response.headers.get('location') ?? ''
const cookiesOf = (response: Response): string[] => response.headers.getSetCookie()
const valueOf = (line: string | undefined): string => line?.split(';', 1)[0] ?? ''

/** To the provider and up to the way back: the URL that the provider sends to, and the cookie of the way. */
async function depart(): Promise<{ back: string; cookie: string }> {
  const departed = await go(loginUrl())
  expect(departed.status).toBe(302)
  const [line] = cookiesOf(departed)
  expect(line).toMatch(/^corral-login=[\w-]+; Path=\/console\/login; HttpOnly; SameSite=Lax; Max-Age=600$/)
  return { back: locationOf(await go(locationOf(departed))), cookie: valueOf(line) }
}

/** With another character in the middle; one at the end may hold no bit that counts. */
function changed(text: string): string {
  const at = text.length >> 1
  return `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
}

test('the sign-in page is told where one can sign in', async () => {
  const session = await (await go(`${gateway.url}/console/session`)).json()
  expect(session).toMatchObject({ needsKey: true, logins: [{ url: loginUrl(), title: 'Ranch ID' }] })
})

test('a provider that is down is told, and asked again the next time', async () => {
  provider.isDown = true
  expect(locationOf(await go(loginUrl()))).toBe('/console/?signin=unreachable')
  provider.isDown = false
  expect(locationOf(await go(loginUrl()))).toContain(`${provider.issuer.name}/authorize?`)
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
  ['with a cookie that was changed', async () => Object.values(await depart()).map((text, at) => (at === 1 ? changed(text) : text))],
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

test('an id that nobody configured leads nowhere, there or back', async () => {
  expect((await go(`${gateway.url}/console/login/other`)).status).toBe(404)
  expect(locationOf(await go(`${gateway.url}/console/login/other/callback?code=x&state=y`))).toBe('/console/?signin=over')
})

test('nobody comes back from one issuer on the way of another', async () => {
  const deps = { secret: 'a secret of thirty-two characters', clock: systemClock }
  const issuer = (id: string, consoleUrl: string) =>
    issuerOptions.parse(issuerSection(provider.issuer, { login: { id, clientId, consoleUrl } }))
  const logins = new Logins([issuer('one', 'http://127.0.0.1:1'), issuer('two', 'http://127.0.0.1:1')], deps)
  const departure = await logins.depart('one')
  const cookies = valueOf(departure?.cookie)
  const query = new URL(locationOf(await go(departure?.location ?? ''))).search
  expect(await logins.arrive('two', { query, cookies })).toBeNull()
  expect(await logins.arrive('one', { query, cookies })).toMatchObject({ isSecure: false })
  const secure = new Logins([issuer('one', 'https://corral.example')], deps)
  expect((await secure.depart('one'))?.cookie).toMatch(/^__Host-corral-login=[\w-]+; Path=\/; Secure; HttpOnly; SameSite=Lax; Max-Age=600$/)
})

test('the log has the reason in words, and nothing that was sent', async () => {
  const { back, cookie } = await depart()
  const code = 'a-code-that-is-none'
  expect(locationOf(await go(back.replace(/code=[^&]*/, `code=${code}`), cookie))).toBe('/console/?signin=refused')
  const log = await gateway.logText()
  expect(log).toContain('invalid_grant')
  expect(log).not.toContain(code)
})

test('an address whose sign-ins fail has to wait', async () => {
  const port = await freePort()
  const login = { id: 'ranch', clientId, consoleUrl: `http://127.0.0.1:${port}` }
  const watched = await startClosedGateway({ port, issuer: provider.issuer, issuerFields: { login }, unauthenticatedPerMinute: 2 })
  const callback = `${watched.url}/console/login/ranch/callback?code=x&state=y`
  const answers = [await go(callback), await go(callback), await go(callback), await go(`${watched.url}/console/login/ranch`)]
  expect(answers.map(locationOf)).toEqual(['over', 'over', 'limited', 'limited'].map((failure) => `/console/?signin=${failure}`))
  await watched.close()
})

test.each([
  ['http elsewhere', { issuer: 'http://id.example.net', login: { id: 'a' } }, 'it has a login'],
  ['scopes without openid', { login: { id: 'a', scopes: ['profile'] } }, 'openid'],
  ['an id with a slash', { login: { id: 'a/b' } }, 'small letters'],
])('the options of a login are held to what it needs: %s', (_, { login, ...fields }, words) => {
  const section = issuerSection(provider.issuer, { login: { clientId, consoleUrl: 'https://corral.example', ...login }, ...fields })
  expect(identityOptions.safeParse({ issuers: [section] }).error?.message).toContain(words)
})

test('two logins have two ids', () => {
  const section = issuerSection(provider.issuer, { login: { id: 'a', clientId, consoleUrl: 'https://corral.example' } })
  expect(identityOptions.safeParse({ issuers: [section, section] }).error?.message).toContain('login.id')
})
