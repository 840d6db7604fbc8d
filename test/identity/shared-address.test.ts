// Good keys behind one address with somebody who guesses: whoever was let in before goes on, whoever was not has to wait.
import { generateKeyPairSync, sign } from 'node:crypto'

import { expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { chatBody } from '../fleet/ask.ts'
import { operatorAct, wish } from './fixture.ts'
import { type KeyedGateway, startKeyedHerd } from './keyed-herd.ts'
import { authorizationOf, blobOf } from './ollama-signature.ts'

const idOf = (text: string): string => text.slice(7, 19)
const wrong = `corral_${'a'.repeat(51)}`

async function guessed(): Promise<KeyedGateway> {
  const { gateways } = await startKeyedHerd({ sections: { limits: { address: { unauthenticatedPerMinute: 20 } } } })
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  return gateway
}

async function guess(gateway: KeyedGateway): Promise<void> {
  const statuses: number[] = []
  for (let time = 0; time < 25; time += 1) statuses.push((await gateway.ask('/api/tags', wrong)).status)
  expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 401))
  expect(statuses.at(-1)).toBe(429)
}

const chat = async (gateway: KeyedGateway, key: string): Promise<number> => (await gateway.ask('/api/chat', key, chatBody())).status

test('twenty bad tries lock out guessers and newcomers, and no key that was let in before', async () => {
  const gateway = await guessed()
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
  const gateway = await guessed()
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
