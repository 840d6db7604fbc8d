// How many keys end soon, on a real embedded store: which of them somebody has to renew, for all tenants, now and then and never by a scrape.
import { expect, onTestFinished, test } from 'vitest'

import { addKeyMetrics } from '../../src/observe/expiry-metrics.ts'
import { makeObserver, sample, scrapeOf } from '../observe/fixtures.ts'
import { embeddedOn } from '../store/stores.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { operatorAct, type Sections, type Stand, standOn, wish } from './fixture.ts'

const dayMs = 86_400_000
const everyMs = 300_000
const publicKey = Buffer.alloc(32, 7)

async function stand(sections: Sections = { mode: 'keys' }): Promise<Stand> {
  const inner = embeddedOn(await embeddedFolder())
  await inner.open()
  const made = await standOn(inner, sections)
  onTestFinished(async () => {
    made.database.down = null
    await made.identity.close()
    await inner.close()
  })
  return made
}

/** What the next look finds, by kind. */
async function looked({ identity, clock, database }: Stand): Promise<{ secret: unknown; ed25519: unknown }> {
  clock.pass(everyMs)
  await database.rest()
  const of = (wanted: string): unknown => {
    const found = identity.keyEnds()?.find(({ kind }) => kind === wanted)
    return found === undefined ? null : [found.expiring, found.firstEndsAtWallMs]
  }
  return { secret: of('secret'), ed25519: of('ed25519') }
}

/** Makes a key that ends `leftDays` from now and was made for `lifeDays`; its id and when it ends. */
async function keyOf(
  given: Stand,
  { lifeDays, leftDays, ...rest }: { lifeDays: number; leftDays: number; tenant?: string; publicKey?: Buffer },
) {
  const { view } = await given.identity.keys.create(wish({ lifeMs: lifeDays * dayMs, ...rest }), operatorAct)
  given.clock.pass((lifeDays - leftDays) * dayMs)
  return { id: view.id, endsAtWallMs: Date.parse(view.expiresAt ?? '') }
}

test('a store without keys has none that end', async () => {
  const given = await stand()
  await expect
    .poll(() => given.identity.keyEnds())
    .toEqual([
      { kind: 'secret', expiring: 0, firstEndsAtWallMs: null },
      { kind: 'ed25519', expiring: 0, firstEndsAtWallMs: null },
    ])
})

test('keys of all tenants and kinds count from 7 days before their end, until it comes', async () => {
  const given = await stand()
  await given.identity.tenants.put('other', {}, operatorAct)
  const first = await keyOf(given, { lifeDays: 90, leftDays: 90 })
  const signing = await keyOf(given, { lifeDays: 95, leftDays: 95, tenant: 'other', publicKey })
  await given.identity.keys.create(wish({ lifeMs: 'never' }), operatorAct)
  expect(await looked(given)).toEqual({ secret: [0, first.endsAtWallMs], ed25519: [0, signing.endsAtWallMs] })
  given.clock.pass(83 * dayMs - everyMs)
  expect(await looked(given)).toEqual({ secret: [1, first.endsAtWallMs], ed25519: [0, signing.endsAtWallMs] })
  given.clock.pass(5 * dayMs)
  expect(await looked(given)).toEqual({ secret: [1, first.endsAtWallMs], ed25519: [1, signing.endsAtWallMs] })
  given.clock.pass(3 * dayMs)
  expect(await looked(given)).toEqual({ secret: [0, null], ed25519: [1, signing.endsAtWallMs] })
})

test('a key with a successor needs nobody, unless that one was taken back', async () => {
  const given = await stand()
  const { id } = await keyOf(given, { lifeDays: 90, leftDays: 3 })
  const { view } = await given.identity.keys.rotate(id, { overlapMs: 2 * dayMs, lifeMs: null }, operatorAct)
  expect(await looked(given)).toMatchObject({ secret: [0, Date.parse(view.expiresAt ?? '')] })
  await given.identity.keys.revoke(view.id, 'by mistake', operatorAct)
  expect(await looked(given)).toMatchObject({ secret: [1, expect.any(Number)] })
  await given.identity.keys.revoke(id, 'nobody needs it', operatorAct)
  expect(await looked(given)).toMatchObject({ secret: [0, null] })
})

test('keys that were made to end, and those of a suspended tenant, need nobody', async () => {
  const given = await stand()
  await keyOf(given, { lifeDays: 14, leftDays: 1 })
  expect(await looked(given)).toMatchObject({ secret: [0, null] })
  await given.identity.tenants.put('other', {}, operatorAct)
  await keyOf(given, { lifeDays: 15, leftDays: 5, tenant: 'other' })
  expect(await looked(given)).toMatchObject({ secret: [1, expect.any(Number)] })
  await given.identity.tenants.put('other', { suspended: true }, operatorAct)
  expect(await looked(given)).toMatchObject({ secret: [0, null] })
})

test('while the store is away what was found stands, and the trouble is told', async () => {
  const given = await stand()
  const { endsAtWallMs } = await keyOf(given, { lifeDays: 90, leftDays: 3 })
  const found = { secret: [1, endsAtWallMs], ed25519: [0, null] }
  expect(await looked(given)).toEqual(found)
  given.database.down = new Error('nobody there')
  expect(await looked(given)).toEqual(found)
  expect(given.told.failures).toContain('ends of keys: nobody there')
  given.database.down = null
  given.clock.pass(4 * dayMs)
  expect(await looked(given)).toEqual({ secret: [0, null], ed25519: [0, null] })
})

test('one look costs one transaction; a scrape costs none, and names no key', async () => {
  const given = await stand()
  const { id, endsAtWallMs } = await keyOf(given, { lifeDays: 90, leftDays: 3 })
  const { observer } = makeObserver()
  addKeyMetrics(observer.metrics, given.identity)
  await looked(given)
  const before = given.database.transactions
  const text = await scrapeOf(observer)
  expect(given.database.transactions).toBe(before)
  expect(sample(text, 'corral_keys_expiring{kind="secret"}')).toBe(1)
  expect(sample(text, 'corral_keys_expiring{kind="ed25519"}')).toBe(0)
  expect(sample(text, 'corral_key_earliest_expiry_timestamp_seconds{kind="secret"}')).toBe(endsAtWallMs / 1_000)
  expect(text).not.toContain('corral_key_earliest_expiry_timestamp_seconds{kind="ed25519"}')
  expect(text).not.toContain(id)
})

test.each(['open', 'jwt'] as const)('in mode %s keys are not looked at', async (mode) => {
  const given = await stand({ mode })
  await keyOf(given, { lifeDays: 90, leftDays: 3 })
  expect(await looked(given)).toEqual({ secret: null, ed25519: null })
  const { observer } = makeObserver()
  addKeyMetrics(observer.metrics, given.identity)
  expect(await scrapeOf(observer)).not.toMatch(/^corral_key/m)
})
