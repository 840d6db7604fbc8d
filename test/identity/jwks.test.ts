// Key sets when their issuer is slow, down, lying or changing (F49).
import { createServer, type Server, type ServerResponse } from 'node:http'

import { afterEach, describe, expect, test } from 'vitest'

import { fetchText } from '../../src/identity/jwks-fetch.ts'
import { identityOptions } from '../../src/identity/options.ts'
import { judge } from './fixture.ts'
import { makeIssuer } from './issuer.ts'
import { tokenStand } from './token-stand.ts'

const hourMs = 3_600_000

/** A token that is good at the moment the clock shows. */
function fresh(issuer: ReturnType<typeof makeIssuer>, wallMs: number, header = {}): string {
  const iat = Math.floor(wallMs / 1_000)
  return issuer.token({ iat, exp: iat + 600 }, header)
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
}

describe('an issuer that is down', () => {
  test.each([
    ['refuses', () => Promise.reject(new Error('connect refused'))],
    ['answers with HTML', () => '<html>maintenance</html>'],
    ['answers with an empty set', () => '{"keys":[]}'],
    ['answers with no set', () => '{"error":"x"}'],
  ])('and %s costs no error for keys that are known, for a day', async (_, broken) => {
    const issuer = makeIssuer()
    const stand = await tokenStand([issuer])
    issuer.keySet = broken
    for (let hour = 0; hour < 23; hour += 1) {
      stand.clock.pass(hourMs)
      await settle()
      expect(await judge(stand, fresh(issuer, stand.clock.wallMs())), `after ${hour + 1} h`).toBe('granted')
    }
    stand.clock.pass(2 * hourMs)
    await settle()
    expect(await judge(stand, fresh(issuer, stand.clock.wallMs()))).toBe('invalid_token')
    expect(stand.told.failures.length).toBeGreaterThan(0)
  })

  test('at the start is asked again, and its tokens are taken once it is back', async () => {
    const issuer = makeIssuer()
    const { keySet } = issuer
    issuer.keySet = () => Promise.reject(new Error('not up yet'))
    const stand = await tokenStand([issuer])
    expect(await judge(stand, issuer.token())).toBe('invalid_token')
    issuer.keySet = keySet
    stand.clock.pass(10_000)
    await settle()
    expect(await judge(stand, issuer.token())).toBe('granted')
  })
})

describe('a key id that nobody knows', () => {
  test('costs one fetch in ten seconds, however many ask', async () => {
    const issuer = makeIssuer()
    const stand = await tokenStand([issuer])
    stand.clock.pass(11_000)
    const before = issuer.fetches
    const asked = await Promise.all(Array.from({ length: 50 }, (_, index) => judge(stand, issuer.token({}, { kid: `k${index}` }))))
    expect(new Set(asked)).toEqual(new Set(['invalid_token']))
    for (let index = 50; index < 100; index += 1) await judge(stand, issuer.token({}, { kid: `k${index}` }))
    expect(issuer.fetches - before).toBe(1)
    stand.clock.pass(10_000)
    await judge(stand, issuer.token({}, { kid: 'k1' }))
    expect(issuer.fetches - before).toBe(2)
  })

  test('is taken when the issuer has it by now', async () => {
    const old = makeIssuer()
    const stand = await tokenStand([old])
    const next = makeIssuer(old.name, 'key-2')
    old.keySet = () => JSON.stringify({ keys: [old.publicJwk, next.publicJwk] })
    stand.clock.pass(10_000)
    expect(await judge(stand, fresh(next, stand.clock.wallMs()))).toBe('granted')
    expect(await judge(stand, fresh(old, stand.clock.wallMs()))).toBe('granted')
  })
})

test('a key that the issuer took out is refused from the next fetch on, for tokens that were good too', async () => {
  const issuer = makeIssuer()
  const stand = await tokenStand([issuer])
  const token = issuer.token()
  expect(await judge(stand, token)).toBe('granted')
  const next = makeIssuer(issuer.name, 'key-2')
  issuer.keySet = next.keySet
  stand.clock.pass(300_000)
  await expect.poll(() => judge(stand, token)).toBe('invalid_token')
})

test('keys are fetched anew at half of their life, with nobody waiting', async () => {
  const issuer = makeIssuer()
  const stand = await tokenStand([issuer])
  expect(issuer.fetches).toBe(1)
  stand.clock.pass(299_999)
  expect(issuer.fetches).toBe(1)
  stand.clock.pass(1)
  expect(issuer.fetches).toBe(2)
})

describe('the fetch', () => {
  let server: Server | null = null
  const serve = (answer: (response: ServerResponse) => void): Promise<string> =>
    new Promise((resolve) => {
      server = createServer((_, response) => answer(response)).listen(0, '127.0.0.1', () => {
        const address = server?.address()
        if (typeof address === 'object' && address !== null) resolve(`http://127.0.0.1:${address.port}/jwks`)
      })
    })
  afterEach(() => {
    server?.closeAllConnections()
    server?.close()
  })

  test('returns the body of a 200', async () => {
    expect(await fetchText(await serve((response) => response.end('{"keys":[]}')))).toBe('{"keys":[]}')
  })

  test('follows no redirect', async () => {
    const url = await serve((response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end())
    await expect(fetchText(url)).rejects.toThrow('answered 302')
  })

  test('ends at 256 KB', async () => {
    const url = await serve((response) => {
      response.on('error', () => undefined)
      response.end('x'.repeat(1_000_000))
    })
    await expect(fetchText(url)).rejects.toThrow('more than 262144 bytes')
  })

  test('ends after 3 s, also when bytes trickle', async () => {
    const url = await serve((response) => {
      const timer = setInterval(() => response.write(' '), 100)
      response.on('close', () => clearInterval(timer))
    })
    await expect(fetchText(url)).rejects.toThrow()
  }, 6_000)
})

test.each([
  ['http://idp.example/jwks', false],
  ['https://user:pass@idp.example/jwks', false],
  ['file:///etc/passwd', false],
  ['idp.example/jwks', false],
  ['http://127.0.0.1:9000/jwks', true],
  ['https://idp.example/jwks', true],
])('a key set at %s: %s', (jwksUrl, isTaken) => {
  const parsed = identityOptions.safeParse({ issuers: [{ issuer: 'https://idp.example', audience: ['corral'], jwksUrl }] })
  expect(parsed.success).toBe(isTaken)
})

test('no algorithm with a shared key can be configured', () => {
  const issuer = { issuer: 'https://idp.example', audience: ['corral'], jwksUrl: 'https://idp.example/jwks', algorithms: ['HS256'] }
  expect(identityOptions.safeParse({ issuers: [issuer] }).success).toBe(false)
})
