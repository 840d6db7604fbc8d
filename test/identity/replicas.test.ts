// Several gateways on one store: what one revokes the others refuse, at once by Redis and within a second without it.
import { generateKeyPairSync } from 'node:crypto'

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import { noLimits, openPrincipal } from '../../src/core/principal.ts'
import type { OpenableDatabase } from '../../src/store/openable.ts'
import { chatBody } from '../fleet/ask.ts'
import { until } from '../support/gateway.ts'
import { startRedis } from '../support/redis.ts'
import { operatorAct, wish } from './fixture.ts'
import { type KeyedGateway, type KeyedHerdOptions, startKeyedHerd } from './keyed-herd.ts'
import { authorizationOf } from './ollama-signature.ts'
import { describePlaces, type Place } from './places.ts'

const idOf = (text: string): string => text.slice(7, 19)

async function twoReplicas(place: Place, options: KeyedHerdOptions = {}): Promise<[KeyedGateway, KeyedGateway]> {
  const { gateways } = await startKeyedHerd({ replicas: 2, place, ...options })
  const [a, b] = gateways
  if (a === undefined || b === undefined) throw new Error('not two')
  return [a, b]
}

async function statusOf(gateway: KeyedGateway, key: string): Promise<number> {
  return (await gateway.ask('/api/chat', key, chatBody())).status
}

/** Revokes a key at one replica; resolves when the other no longer serves it, with what it says then. `onRevoked` runs in between. */
async function refusedAt([a, b]: readonly [KeyedGateway, KeyedGateway], onRevoked = (): void => {}): Promise<number> {
  const key = await a.key({ limits: noLimits })
  expect([await statusOf(a, key), await statusOf(b, key)]).toEqual([200, 200])
  await a.identity.keys.revoke(idOf(key), 'test', { ...operatorAct, by: openPrincipal })
  onRevoked()
  for (;;) {
    const status = await statusOf(b, key)
    if (status !== 200) return status
  }
}

/** One signed request, as often as wished: what each gateway says of it. */
async function signedRequest({ identity }: KeyedGateway): Promise<(gateway: KeyedGateway) => Promise<number>> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  await identity.keys.create(wish({ publicKey: raw, scopes: ['models:read'] }), operatorAct)
  const seconds = Math.floor(systemClock.wallMs() / 1_000)
  const authorization = authorizationOf({ publicKey, privateKey, method: 'GET', path: '/api/tags', seconds })
  return async (gateway) => (await gateway.ask(`/api/tags?ts=${seconds}`, null, undefined, { authorization })).status
}

const replayMs = 150
const signatures = { identity: { signatures: { replayMs } } }

describePlaces((place) => {
  test('with Redis a signature that one replica took is a replay at the other', async () => {
    const redis = await startRedis()
    const [a, b] = await twoReplicas(place, { redisUrl: redis.url, sections: signatures })
    const ask = await signedRequest(a)
    expect(await ask(a)).toBe(200)
    await systemClock.sleep(2 * replayMs)
    expect([await ask(a), await ask(b)]).toEqual([401, 401])
  })

  test('with Redis stalled a replica goes by the signatures that it saw itself', async () => {
    const redis = await startRedis()
    const [a, b] = await twoReplicas(place, { redisUrl: redis.url, sections: signatures })
    const ask = await signedRequest(a)
    redis.freeze()
    expect(await ask(a)).toBe(200)
    await systemClock.sleep(2 * replayMs)
    expect([await ask(a), await ask(b)]).toEqual([401, 200])
  })

  test('without Redis workers of one machine tell each other, and replicas do not know', async () => {
    for (const [areWorkers, atOther] of [
      [true, 401],
      [false, 200],
    ] as const) {
      const [a, b] = await twoReplicas(place, { redisUrl: null, areWorkers, sections: signatures })
      const ask = await signedRequest(a)
      expect(await ask(a)).toBe(200)
      await systemClock.sleep(2 * replayMs)
      expect(await ask(b)).toBe(atOther)
    }
  })

  test('with Redis the other replica hears of a revoked key, and needs no look into the store to stop serving it', async () => {
    const redis = await startRedis()
    let isAway = false
    const before = (store: OpenableDatabase): OpenableDatabase => ({
      kind: store.kind,
      open: () => store.open(),
      connections: () => store.connections(),
      tlsPeers: () => [],
      tx: (...asked) => (isAway ? Promise.reject(new CorralError('store_unavailable', 'the store is away')) : store.tx(...asked)),
      close: () => store.close(),
    })
    const replicas = await twoReplicas(place, { redisUrl: redis.url, before })
    // What was known of the key counts no more, and what it is now cannot be asked.
    expect(await refusedAt(replicas, () => (isAway = true))).toBe(503)
  })

  test('with Redis stalled the look each second finds it, and a revocation waits for nothing', async () => {
    const redis = await startRedis()
    const replicas = await twoReplicas(place, { redisUrl: redis.url })
    redis.freeze()
    expect(await refusedAt(replicas)).toBe(401)
    redis.thaw()
    await until(() => replicas.every(({ redisState }) => redisState() === 'up'), 'Redis is back', 10_000)
    expect(await refusedAt(replicas)).toBe(401)
  })

  test('without Redis too', async () => {
    expect(await refusedAt(await twoReplicas(place, { redisUrl: null }))).toBe(401)
  })
})
