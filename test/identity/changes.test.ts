// What a change of keys, tenants or tokens makes replicas look up again, and what it leaves alone; with the news of it lost, too.
import { expect, onTestFinished, test } from 'vitest'

import { noLimits } from '../../src/core/principal.ts'
import type { IdentityBus } from '../../src/identity/identity.ts'
import { readNews, writeNews } from '../../src/identity/touched.ts'
import { lookEveryMs } from '../../src/store/database.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { embeddedOn } from '../store/stores.ts'
import { judge, newKey, operatorAct, type Stand, standOn, type Sections } from './fixture.ts'
import { fetchFrom, issuerSection, makeIssuer } from './issuer.ts'

const idOf = (text: string): string => text.slice(7, 19)

/** Hands messages to all who listen, at once, unless they get lost. */
class Bus implements IdentityBus {
  readonly messages: string[] = []
  readonly #listeners = new Set<{ onMessage(message: string): void }>()
  isBroken = false

  publish(_: string, message: string): void {
    this.messages.push(message)
    if (!this.isBroken) for (const listener of this.#listeners) listener.onMessage(message)
  }

  subscribe(_: string, listener: { onMessage(message: string): void }): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}

async function twoReplicas(sections: Sections = { mode: 'keys' }, issuers: Parameters<typeof fetchFrom>[0] = []) {
  const inner = embeddedOn(await embeddedFolder())
  await inner.open()
  const bus = new Bus()
  const here = await standOn(inner, sections, { bus, fetchText: fetchFrom(issuers) })
  const there = await standOn(inner, sections, { bus, fetchText: fetchFrom(issuers) })
  onTestFinished(async () => {
    await here.identity.close()
    await there.identity.close()
    await inner.close()
  })
  return { here, there, bus }
}

/** Whether judging the key costs a look into the store. */
async function isLookedUp(stand: Stand, text: string): Promise<boolean> {
  const before = stand.database.transactions
  await judge(stand, text)
  return stand.database.transactions > before
}

/** The next look is over. */
async function settled(stand: Stand): Promise<void> {
  const before = stand.database.transactions
  stand.clock.pass(lookEveryMs(stand.database))
  await stand.database.rest()
  expect(stand.database.transactions).toBeGreaterThan(before)
}

test('a revoked key is refused by the other replica at once, and no other key is looked up again, then or at the next look', async () => {
  const { here, there } = await twoReplicas()
  const [kept, gone] = [await newKey(here), await newKey(here)]
  for (const key of [kept, gone]) expect(await judge(there, key)).toBe('granted')
  await here.identity.keys.revoke(idOf(gone), 'test', operatorAct)
  expect(await judge(there, gone)).toBe('revoked')
  expect(await isLookedUp(there, kept)).toBe(false)
  await settled(there)
  expect(await isLookedUp(there, kept)).toBe(false)
  expect(await judge(here, kept)).toBe('granted')
  expect(await isLookedUp(here, kept)).toBe(false)
})

test('a restored key is let in by the other replica at once, though it has just refused it', async () => {
  const { here, there } = await twoReplicas()
  const [kept, back] = [await newKey(here), await newKey(here)]
  for (const key of [kept, back]) await judge(there, key)
  await here.identity.keys.revoke(idOf(back), 'a slip', operatorAct)
  expect([await judge(here, back), await judge(there, back)]).toEqual(['revoked', 'revoked'])
  await here.identity.keys.restore(idOf(back), operatorAct)
  expect([await judge(here, back), await judge(there, back)]).toEqual(['granted', 'granted'])
  expect(await isLookedUp(there, kept)).toBe(false)
})

test('a rotation and a new key cost no other key a look-up', async () => {
  const { here, there } = await twoReplicas()
  const [kept, old] = [await newKey(here), await newKey(here)]
  for (const key of [kept, old]) await judge(there, key)
  await newKey(here)
  await here.identity.keys.rotate(idOf(old), { overlapMs: 500, lifeMs: null }, operatorAct)
  expect([await isLookedUp(there, old), await isLookedUp(there, kept)]).toEqual([true, false])
  there.clock.pass(500)
  expect(await judge(there, old)).toBe('expired')
})

test('a change of a tenant touches its keys alone', async () => {
  const { here, there } = await twoReplicas()
  for (const tenant of ['acme', 'rival']) await here.identity.tenants.put(tenant, {}, operatorAct)
  const [acme, rival] = [await newKey(here, { tenant: 'acme' }), await newKey(here, { tenant: 'rival' })]
  for (const key of [acme, rival]) expect(await judge(there, key)).toBe('granted')
  await settled(there)
  await here.identity.tenants.put('acme', { suspended: true }, operatorAct)
  expect(await judge(there, acme)).toBe('suspended')
  expect(await isLookedUp(there, rival)).toBe(false)
})

test('a tenant’s new limits reach tokens of it on the other replica by the news alone', async () => {
  const issuer = makeIssuer()
  const rule = { tenant: { claim: 'org', map: { research: 'acme' } } }
  const { here, there } = await twoReplicas({ mode: 'both', issuers: [issuerSection(issuer, rule)] }, [issuer])
  await here.identity.tenants.put('acme', { limits: noLimits }, operatorAct)
  const token = issuer.token({ org: 'research' })
  const limitOf = async (): Promise<number | null> => {
    const verdict = await there.identity.authenticate({ kind: 'token', text: token }, { method: 'GET', path: '/', query: '' })
    if (verdict.kind !== 'granted') throw new Error(verdict.kind)
    return verdict.principal.tenantLimits.requestsPerMinute
  }
  expect(await limitOf()).toBeNull()
  await here.identity.tenants.put('acme', { limits: { ...noLimits, requestsPerMinute: 7 } }, operatorAct)
  await expect.poll(limitOf).toBe(7)
})

test('when news is lost the next look finds the change, and everything is looked up again', async () => {
  const { here, there, bus } = await twoReplicas()
  const [kept, gone] = [await newKey(here), await newKey(here)]
  for (const key of [kept, gone]) await judge(there, key)
  bus.isBroken = true
  await here.identity.keys.revoke(idOf(gone), 'test', operatorAct)
  expect(await judge(there, gone)).toBe('granted')
  await settled(there)
  expect(await judge(there, gone)).toBe('revoked')
  expect(await isLookedUp(there, kept)).toBe(true)
})

test('news of a later change does not hide one that was lost', async () => {
  const { here, there, bus } = await twoReplicas()
  const [other, gone] = [await newKey(here), await newKey(here)]
  await judge(there, gone)
  bus.isBroken = true
  await here.identity.keys.revoke(idOf(gone), 'test', operatorAct)
  bus.isBroken = false
  await here.identity.keys.revoke(idOf(other), 'test', operatorAct)
  await settled(there)
  expect(await judge(there, gone)).toBe('revoked')
})

test('news that makes no sense makes everything be looked up again', async () => {
  const { here, there, bus } = await twoReplicas()
  const key = await newKey(here)
  await judge(there, key)
  bus.publish('identity', 'a replica of another version')
  expect(await isLookedUp(there, key)).toBe(true)
})

test('the news holds ids and no credential', async () => {
  const { here, bus } = await twoReplicas()
  const key = await newKey(here)
  expect(bus.messages.map(readNews)).toEqual([
    { sender: expect.any(String), change: { version: expect.any(BigInt), touched: { kind: 'key', id: idOf(key) } } },
  ])
  expect(bus.messages.join()).not.toContain(key)
})

test.each([
  ['{}'],
  ['null'],
  ['[]'],
  ['{"sender":"a","version":"-1","touched":{"kind":"tokens"}}'],
  ['{"sender":"a","version":"1","touched":{"kind":"all"}}'],
  [`{"sender":"a","version":"${'9'.repeat(40)}","touched":{"kind":"tokens"}}`],
  [''],
])('%s is no news', (message) => {
  expect(readNews(message)).toBeNull()
})

test('news is read as it was written', () => {
  const change = { version: 12n, touched: { kind: 'tenant', tenant: 'acme' } } as const
  expect(readNews(writeNews('me', change))).toEqual({ sender: 'me', change })
})
