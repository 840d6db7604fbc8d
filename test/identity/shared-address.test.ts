// Good keys behind one address with somebody who guesses: whoever was let in before goes on, whoever was not has to wait.
import { generateKeyPairSync, randomFillSync, sign } from 'node:crypto'

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import { makeKey } from '../../src/identity/key.ts'
import { goingOn, type Transaction } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { chatBody } from '../fleet/ask.ts'
import { operatorAct, wish } from './fixture.ts'
import { type KeyedGateway, type KeyedHerdOptions, startKeyedHerd } from './keyed-herd.ts'
import { authorizationOf, blobOf } from './ollama-signature.ts'
import { describePlaces, type Place } from './places.ts'

const idOf = (text: string): string => text.slice(7, 19)
const wrong = `corral_${'a'.repeat(51)}`

async function guessed(place: Place, options: KeyedHerdOptions = {}): Promise<KeyedGateway> {
  const sections = { limits: { address: { unauthenticatedPerMinute: 20 } }, ...options.sections }
  const { gateways } = await startKeyedHerd({ place, ...options, sections })
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  return gateway
}

/** A store that tells how many keys were looked up in it, and that hangs and then fails while it is away. */
class WatchedStore {
  lookedUp = 0
  isAway = false

  readonly before = (store: OpenableDatabase): OpenableDatabase => ({
    kind: store.kind,
    open: () => store.open(),
    connections: () => store.connections(),
    tlsPeers: () => [],
    tx: (scope, work, options) => (options?.name === 'look_up_keys' ? this.#lookUp(store, work) : store.tx(scope, work, options)),
    close: () => store.close(),
  })

  #lookUp<T>(store: OpenableDatabase, work: (transaction: Transaction) => Promise<T>): Promise<T> {
    return store.tx('system', ({ query }) => work(goingOn({ query: (text, values = []) => this.#counted(query, { text, values }) })))
  }

  async #counted(query: Transaction['query'], { text, values }: { text: string; values: readonly unknown[] }) {
    this.lookedUp += [values[0]].flat().length
    if (!this.isAway) return query(text, values)
    await systemClock.sleep(100)
    throw new CorralError('store_unavailable', 'the store is away')
  }
}

/** Well formed, and no key of anybody. */
const madeUp = (): string => makeKey((bytes) => void randomFillSync(bytes)).text

/** How often each status came. */
function counted(statuses: readonly number[]): Readonly<Record<number, number>> {
  return Object.fromEntries([...new Set(statuses)].map((status) => [status, statuses.filter((each) => each === status).length]))
}

/** Of 40 bad tries at once twenty are let through, and one for every three seconds that they took. */
async function guess(gateway: KeyedGateway): Promise<void> {
  const startedMs = systemClock.nowMs()
  const replies = await Promise.all(Array.from({ length: 40 }, () => gateway.ask('/api/tags', wrong)))
  const regained = Math.floor((systemClock.nowMs() - startedMs) / 3_000)
  const { 401: tried = 0, 429: limited = 0 } = counted(replies.map(({ status }) => status))
  expect(tried).toBeGreaterThanOrEqual(20)
  expect(tried).toBeLessThanOrEqual(20 + regained)
  expect([tried + limited, limited > 0]).toEqual([40, true])
}

const chat = async (gateway: KeyedGateway, key: string): Promise<number> => (await gateway.ask('/api/chat', key, chatBody())).status

describePlaces((place) => {
  test('twenty bad tries lock out guessers and newcomers, and no key that was let in before', async () => {
    const gateway = await guessed(place)
    const [known, fresh, gone] = [await gateway.key(), await gateway.key(), await gateway.key()]
    for (const key of [known, gone]) expect(await chat(gateway, key)).toBe(200)
    await guess(gateway)
    expect(await chat(gateway, known)).toBe(200)
    expect(await chat(gateway, fresh)).toBe(429)
    expect((await gateway.ask('/api/tags', null)).status).toBe(429)
    // A change elsewhere that nobody described makes every key be looked up again; it is no stranger for that.
    gateway.identity.forget()
    expect(await chat(gateway, known)).toBe(200)
    await gateway.identity.keys.revoke(idOf(gone), 'test', operatorAct)
    expect(await chat(gateway, gone)).toBe(401)
    expect(await chat(gateway, gone)).toBe(429)
  })

  test('the holder of a registered public key goes on too, and its public half alone is worth nothing', async () => {
    const gateway = await guessed(place)
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
    await gateway.identity.keys.create(wish({ publicKey: raw, scopes: ['models:read'] }), operatorAct)
    const ask = async (authorization: string, seconds: number): Promise<number> =>
      (await gateway.ask(`/api/tags?ts=${seconds}`, null, undefined, { authorization })).status
    const seconds = Math.floor(systemClock.wallMs() / 1_000)
    const good = authorizationOf({ publicKey, privateKey, method: 'GET', path: '/api/tags', seconds })
    const forged = `${blobOf(publicKey)}:${sign(null, Buffer.from('something else'), privateKey).toString('base64')}`
    expect(await ask(good, seconds)).toBe(200)
    await guess(gateway)
    expect(await ask(good, seconds)).toBe(200)
    expect(await ask(forged, seconds)).toBe(401)
  })

  test('forgeries in the name of a registered key are limited before they are verified, and lock out no other signer', async () => {
    const gateway = await guessed(place)
    const signer = async () => {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519')
      const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
      await gateway.identity.keys.create(wish({ publicKey: raw, scopes: ['models:read'] }), operatorAct)
      const seconds = Math.floor(systemClock.wallMs() / 1_000)
      const good = authorizationOf({ publicKey, privateKey, method: 'GET', path: '/api/tags', seconds })
      const ask = async (authorization: string): Promise<number> =>
        (await gateway.ask(`/api/tags?ts=${seconds}`, null, undefined, { authorization })).status
      return { ask, good, forged: () => `${blobOf(publicKey)}:${randomFillSync(Buffer.alloc(64)).toString('base64')}` }
    }
    const [named, other] = [await signer(), await signer()]
    expect([await named.ask(named.good), await other.ask(other.good)]).toEqual([200, 200])
    const startedMs = systemClock.nowMs()
    const statuses = await Promise.all(Array.from({ length: 300 }, () => named.ask(named.forged())))
    const regained = Math.floor((systemClock.nowMs() - startedMs) / 3_000)
    const { 401: tried = 0, 429: limited = 0 } = counted(statuses)
    expect(tried).toBeGreaterThanOrEqual(20)
    expect(tried).toBeLessThanOrEqual(20 + regained)
    expect(tried + limited).toBe(300)
    expect(await other.ask(other.good)).toBe(200)
  })

  test('a burst of keys at once is held to the limit before the store is asked', async () => {
    const store = new WatchedStore()
    const gateway = await guessed(place, { before: store.before })
    const replies = await Promise.all(Array.from({ length: 200 }, () => gateway.ask('/api/tags', madeUp())))
    expect(counted(replies.map(({ status }) => status))).toEqual({ 401: 20, 429: 180 })
    expect(store.lookedUp).toBe(20)
  })

  test('while the store is away too, which crowds out neither another address nor who was let in before', async () => {
    const store = new WatchedStore()
    const gateway = await guessed(place, {
      before: store.before,
      sections: { http: { trustedProxies: ['127.0.0.1'] }, limits: { address: { unauthenticatedPerMinute: 20 } } },
    })
    const from = (address: string, key: string) => gateway.ask('/api/tags', key, undefined, { 'x-forwarded-for': address })
    const known = await gateway.key({ scopes: ['models:read'] })
    expect((await from('192.0.2.1', known)).status).toBe(200)
    store.lookedUp = 0
    store.isAway = true
    const burst = Array.from({ length: 200 }, () => from('192.0.2.1', madeUp()))
    const other = await from('192.0.2.2', madeUp())
    expect(other.status).toBe(503)
    expect(other.text).toContain('the store is away')
    expect(counted((await Promise.all(burst)).map(({ status }) => status))).toEqual({ 503: 20, 429: 180 })
    expect(store.lookedUp).toBe(21)
    expect((await from('192.0.2.1', madeUp())).status).toBe(429)
    expect((await from('192.0.2.1', known)).status).toBe(200)
  })

  test('good keys that come at once from one address are all let in, and cost it nothing', async () => {
    const gateway = await guessed(place)
    const keys: string[] = []
    for (let index = 0; index < 60; index += 1) keys.push(await gateway.key({ scopes: ['models:read'] }))
    const replies = await Promise.all(keys.map((key) => gateway.ask('/api/tags', key)))
    expect(counted(replies.map(({ status }) => status))).toEqual({ 200: 60 })
    await guess(gateway)
  })
})
