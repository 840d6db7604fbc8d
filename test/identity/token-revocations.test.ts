// Tokens taken back: one, all of a subject, all of an issuer; here at once, elsewhere with the next look at the version.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import { AuditLog } from '../../src/identity/audit-log.ts'
import { TokenRevocations } from '../../src/identity/token-revocations.ts'
import { goingOn, type Database, type Row } from '../../src/store/database.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { lookEveryMs } from '../../src/store/database.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { actBy, judge, operatorAct, type Stand, standOn } from './fixture.ts'
import { fetchFrom, issuerSection, makeIssuer, nowSeconds } from './issuer.ts'

const issuer = makeIssuer()
const other = makeIssuer('https://other.example')
const sections = { mode: 'jwt' as const, issuers: [issuerSection(issuer), issuerSection(other)] }
const deps = { fetchText: fetchFrom([issuer, other]) }
const wish = { issuer: issuer.name, subject: null, tokenId: null, untilWallMs: null }
/** Beyond the tolerance that the issuer's clock is granted. */
const toleranceMs = 60_000

test('a reading that was begun before a revocation and ends after it does not undo it', async () => {
  const revoked = { issuer: issuer.name, subject: 'four', token_id: null, revoked_at: new Date(), until: new Date('2099-01-01') }
  const readings: ((rows: readonly Row[]) => void)[] = []
  const database: Database = {
    kind: 'embedded',
    tx: (_, work) =>
      work(goingOn({ query: () => new Promise((resolve) => readings.push((rows) => resolve({ rows, rowCount: rows.length }))) })),
    close: () => Promise.resolve(),
  }
  const audit = new AuditLog({ database, clock: systemClock, onFailure: () => undefined })
  const tokens = new TokenRevocations({ database, audit, clock: systemClock, issuers: [], onChanged: () => undefined })
  const [early, late] = [tokens.load(), tokens.load()]
  readings[1]?.([revoked])
  await late
  readings[0]?.([])
  await early
  expect(tokens.isRevoked({ issuer: issuer.name, subject: 'four', tokenId: null, issuedAtSeconds: 1 })).toBe(true)
})

describeStores(storeKinds, (servers) => {
  let database: OpenableDatabase
  let here: Stand
  let there: Stand

  beforeAll(async () => {
    database = await servers.open()
    here = await standOn(database, sections, deps)
    there = await standOn(database, sections, deps)
  })
  afterAll(async () => {
    await here.identity.close()
    await there.identity.close()
    await database.close()
  })

  test('one token by its jti, and no other of the same subject', async () => {
    const taken = issuer.token({ sub: 'one', jti: 't-1' })
    const kept = issuer.token({ sub: 'one', jti: 't-2' })
    expect([await judge(here, taken), await judge(there, taken)]).toEqual(['granted', 'granted'])
    await here.identity.tokens.revoke({ ...wish, tokenId: 't-1' }, operatorAct)
    expect([await judge(here, taken), await judge(here, kept)]).toEqual(['revoked', 'granted'])
    there.clock.pass(lookEveryMs(there.database))
    await expect.poll(() => judge(there, taken)).toBe('revoked')
    expect(await judge(there, kept)).toBe('granted')
  })

  test('the jti of one issuer says nothing about another', async () => {
    expect(await judge(here, other.token({ sub: 'one', jti: 't-1' }))).toBe('granted')
  })

  test('all tokens of a subject so far; one issued afterwards is good', async () => {
    const old = issuer.token({ sub: 'two' })
    await here.identity.tokens.revoke({ ...wish, subject: 'two' }, operatorAct)
    expect([await judge(here, old), await judge(here, issuer.token({ sub: 'twofold' }))]).toEqual(['revoked', 'granted'])
    here.clock.pass(toleranceMs + 1_000)
    const seconds = Math.floor(here.clock.wallMs() / 1_000)
    expect(await judge(here, issuer.token({ sub: 'two', iat: seconds, exp: seconds + 600 }))).toBe('granted')
  })

  test('it outlives the process, and ends when nothing it covers can be good', async () => {
    await here.identity.tokens.revoke({ ...wish, subject: 'three', untilWallMs: here.clock.wallMs() + 30_000 }, operatorAct)
    const token = issuer.token({ sub: 'three', iat: nowSeconds, exp: nowSeconds + 3_600 })
    const next = await standOn(database, sections, deps)
    expect(await judge(next, token)).toBe('revoked')
    next.clock.pass(5 * 60_000)
    next.identity.forget()
    await expect.poll(() => judge(next, token)).toBe('granted')
    await next.identity.close()
  })

  test('ended ones are deleted with the next', async () => {
    const count = async (): Promise<number> => {
      const { rows } = await database.tx('system', (transaction) => transaction.query('select count(*) as n from revoked_tokens'))
      return Number(rows[0]?.['n'])
    }
    await here.identity.tokens.revoke({ ...wish, tokenId: 'short', untilWallMs: here.clock.wallMs() + 1_000 }, operatorAct)
    const before = await count()
    here.clock.pass(60 * 60_000)
    await here.identity.tokens.revoke({ ...wish, tokenId: 'last' }, operatorAct)
    expect(await count()).toBeLessThanOrEqual(before)
  })

  test('it stands in the audit log, under the operator who did it', async () => {
    await here.identity.tokens.revoke({ ...wish, issuer: other.name }, { ...operatorAct, requestId: 'request-of-revocation' })
    const entries = []
    for await (const page of here.identity.audit.read('system', 0)) entries.push(...page)
    expect(entries).toContainEqual(expect.objectContaining({ action: 'revoke tokens', target: other.name, decision: 'allowed' }))
    expect(await judge(here, other.token({ sub: 'anybody' }))).not.toBe('granted')
  })
})

describe('what is refused', () => {
  test.each([
    ['an issuer nobody trusts', { ...wish, issuer: 'https://nobody.example' }, operatorAct, 'invalid_request'],
    ['a time that is over', { ...wish, untilWallMs: 1 }, operatorAct, 'invalid_request'],
    ['an admin of another tenant', wish, actBy({ ...openPrincipal, tenant: 'acme' }), 'insufficient_scope'],
  ])('%s', async (_, asked, act, code) => {
    const { tokenStand } = await import('./token-stand.ts')
    const stand = await tokenStand([issuer])
    await expect(stand.identity.tokens.revoke(asked, act)).rejects.toMatchObject({ code })
    await stand.identity.close()
  })
})
