// The life of a key, on each kind of store: made, used, rotated, revoked, restored, expired; and who may do what to whose.
import { beforeAll, afterAll, describe, expect, test } from 'vitest'

import { noLimits, openPrincipal, type Principal, type Scope } from '../../src/core/principal.ts'
import { restoreMsMax } from '../../src/identity/key-rows.ts'
import { keyPrefix } from '../../src/identity/key.ts'
import { lookEveryMs } from '../../src/store/database.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { actBy, judge, newKey, operatorAct, type Stand, standOn, wish } from './fixture.ts'

const dayMs = 86_400_000

function admin(fields: Partial<Principal> = {}): Principal {
  return { ...openPrincipal, tenant: 'acme', method: 'key', subject: 'acmeadminkey', scopes: new Set<Scope>(['admin', 'chat']), ...fields }
}

describeStores(storeKinds, (servers) => {
  let stand: Stand
  let close: () => Promise<void>

  beforeAll(async () => {
    const database = await servers.open()
    stand = await standOn(database)
    close = async () => {
      await stand.identity.close()
      await database.close()
    }
    await stand.identity.tenants.put('acme', { title: 'Acme' }, operatorAct)
    await stand.identity.tenants.put('rival', {}, operatorAct)
  })
  afterAll(() => close())

  describe('a key', () => {
    test('opens, and shows its text and digest nowhere again', async () => {
      const text = await newKey(stand)
      expect(await judge(stand, text)).toBe('granted')
      const listed = JSON.stringify(await stand.identity.keys.list(openPrincipal))
      expect(listed).not.toContain(text.slice(20))
      expect(listed).not.toContain('digest')
      const { rows } = await stand.database.tx('system', (transaction) => transaction.query('select * from api_keys'))
      expect(JSON.stringify(rows)).not.toContain(text.slice(20))
    })

    test('carries its rights, and the limits of its tenant', async () => {
      const limits = { ...noLimits, requestsPerMinute: 10 }
      await stand.identity.tenants.put('acme', { limits: { ...noLimits, concurrency: 3 } }, operatorAct)
      const text = await newKey(stand, {
        tenant: 'acme',
        scopes: ['chat', 'embed'],
        models: ['llama3:*'],
        nodeGroup: 'gpu',
        cache: 'off',
        limits,
      })
      const verdict = await stand.identity.authenticate({ kind: 'token', text }, { method: 'GET', path: '/', query: '' })
      expect(verdict).toMatchObject({
        kind: 'granted',
        principal: {
          tenant: 'acme',
          method: 'key',
          subject: text.slice(7, 19),
          scopes: new Set(['chat', 'embed']),
          models: ['llama3:*'],
          nodeGroup: 'gpu',
          cache: 'off',
          limits,
          tenantLimits: { ...noLimits, concurrency: 3 },
        },
      })
    })

    test('that was revoked is refused at once, and says why in lists (B26)', async () => {
      const text = await newKey(stand)
      expect(await judge(stand, text)).toBe('granted')
      await stand.identity.keys.revoke(text.slice(7, 19), 'found in a repository', operatorAct)
      expect(await judge(stand, text)).toBe('revoked')
      const view = await stand.identity.keys.get(text.slice(7, 19), openPrincipal)
      expect(view.revokedReason).toBe('found in a repository')
    })

    test('that expired is refused in the millisecond, cached or not (B26)', async () => {
      const text = await newKey(stand, { lifeMs: 10_000 })
      expect(await judge(stand, text)).toBe('granted')
      stand.clock.pass(9_999)
      expect(await judge(stand, text)).toBe('granted')
      stand.clock.pass(1)
      expect(await judge(stand, text)).toBe('expired')
    })

    test('lives for ever only where that was asked', async () => {
      const made = await stand.identity.keys.create(wish({ lifeMs: 'never' }), operatorAct)
      expect(made.view.expiresAt).toBeNull()
      const other = await stand.identity.keys.create(wish({ lifeMs: 5 * dayMs }), operatorAct)
      expect(Date.parse(other.view.expiresAt ?? '') - stand.clock.wallMs()).toBe(5 * dayMs)
    })

    test('with the right id and another secret is refused as an unknown one is', async () => {
      const one = await newKey(stand)
      const other = await newKey(stand)
      expect(await judge(stand, one)).toBe('granted')
      const { checksum } = await import('../../src/identity/base62.ts')
      const body = keyPrefix + one.slice(7, 20) + other.slice(20, -6)
      expect(await judge(stand, body + checksum(body))).toBe('wrong_secret')
    })

    test('was last used at about the time it was', async () => {
      const text = await newKey(stand)
      await judge(stand, text)
      const usedAt = stand.clock.wallMs()
      const before = stand.database.transactions
      for (let index = 0; index < 50; index += 1) await judge(stand, text)
      expect(stand.database.transactions).toBe(before)
      stand.clock.pass(60_000)
      await expect
        .poll(async () => (await stand.identity.keys.get(text.slice(7, 19), openPrincipal)).lastUsedAt)
        .toBe(new Date(usedAt).toISOString())
    })
  })

  describe('a rotation', () => {
    test('leaves both keys working for the overlap and only the new one after it', async () => {
      const old = await newKey(stand, { models: ['llama3:latest'] })
      const { text, view } = await stand.identity.keys.rotate(old.slice(7, 19), { overlapMs: 60_000, lifeMs: null }, operatorAct)
      const fresh = text ?? ''
      expect(view).toMatchObject({ models: ['llama3:latest'], scopes: ['chat'], rotatedFrom: old.slice(7, 19) })
      expect(await judge(stand, old)).toBe('granted')
      expect(await judge(stand, fresh)).toBe('granted')
      stand.clock.pass(59_999)
      expect(await judge(stand, old)).toBe('granted')
      stand.clock.pass(1)
      expect(await judge(stand, old)).toBe('expired')
      expect(await judge(stand, fresh)).toBe('granted')
    })

    test('never lengthens the life of the old key', async () => {
      const old = await newKey(stand, { lifeMs: 5_000 })
      await stand.identity.keys.rotate(old.slice(7, 19), { overlapMs: dayMs, lifeMs: null }, operatorAct)
      stand.clock.pass(5_000)
      expect(await judge(stand, old)).toBe('expired')
    })

    test('of a revoked key is refused', async () => {
      const old = await newKey(stand)
      await stand.identity.keys.revoke(old.slice(7, 19), 'lost', operatorAct)
      await expect(stand.identity.keys.rotate(old.slice(7, 19), { overlapMs: 0, lifeMs: null }, operatorAct)).rejects.toMatchObject({
        code: 'conflict',
      })
    })
  })

  describe('a restoration', () => {
    async function revoked(fields: Parameters<typeof newKey>[1] = {}): Promise<{ text: string; id: string }> {
      const text = await newKey(stand, fields)
      const id = text.slice(7, 19)
      await stand.identity.keys.revoke(id, 'a slip', operatorAct)
      expect(await judge(stand, text)).toBe('revoked')
      return { text, id }
    }

    test('lets the key in at once as it was, and is in the audit log', async () => {
      const { text, id } = await revoked({ scopes: ['embed'], lifeMs: dayMs })
      const before = await stand.identity.keys.get(id, openPrincipal)
      expect(before.restorableUntil).toBe(new Date(stand.clock.wallMs() + restoreMsMax).toISOString())
      const view = await stand.identity.keys.restore(id, operatorAct)
      expect(view).toEqual({ ...before, revokedAt: null, revokedReason: null, restorableUntil: null })
      expect(await judge(stand, text)).toBe('granted')
      const actions: unknown[] = []
      for await (const page of stand.identity.audit.read('system', 0))
        for (const { action, target } of page) if (target === id) actions.push(action)
      expect(actions).toEqual(['create key', 'revoke key', 'restore key'])
    })

    test('is possible to the last millisecond of its time, which another revocation does not lengthen', async () => {
      const { text, id } = await revoked()
      stand.clock.pass(restoreMsMax)
      await stand.identity.keys.revoke(id, 'once more', operatorAct)
      await stand.identity.keys.restore(id, operatorAct)
      expect(await judge(stand, text)).toBe('granted')
      await stand.identity.keys.revoke(id, 'for good', operatorAct)
      const until = new Date(stand.clock.wallMs() + restoreMsMax).toISOString()
      stand.clock.pass(restoreMsMax + 1)
      await expect(stand.identity.keys.restore(id, operatorAct)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining(`could be restored until ${until}`),
      })
      expect(await judge(stand, text)).toBe('revoked')
    })

    test('of a key in use changes nothing, and of one that is over is refused', async () => {
      const text = await newKey(stand)
      const id = text.slice(7, 19)
      expect(await stand.identity.keys.restore(id, operatorAct)).toEqual(await stand.identity.keys.get(id, openPrincipal))
      expect(await judge(stand, text)).toBe('granted')
      const short = await revoked({ lifeMs: 5_000 })
      stand.clock.pass(5_000)
      await expect(stand.identity.keys.restore(short.id, operatorAct)).rejects.toMatchObject({ code: 'conflict' })
    })

    test('and registrations of its public key at the same time let one of them in, and tell the others of the conflict', async () => {
      for (let round = 0; round < 8; round += 1) {
        const publicKey = Buffer.alloc(32, 100 + round)
        const register = () => stand.identity.keys.create(wish({ publicKey }), operatorAct)
        const first = await register()
        await stand.identity.keys.revoke(first.view.id, 'a slip', operatorAct)
        const restore = () => stand.identity.keys.restore(first.view.id, operatorAct)
        const ends = await Promise.allSettled([restore(), register(), register(), register()])
        expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
        for (const end of ends) if (end.status === 'rejected') expect(end.reason).toMatchObject({ code: 'conflict' })
      }
    })

    test('gives nobody more than he has: neither rights, nor life, nor keys of another tenant', async () => {
      const restoring = (id: string, by: Partial<Principal> = {}) => stand.identity.keys.restore(id, actBy(admin(by)))
      const plain = await revoked({ tenant: 'acme' })
      const strong = await revoked({ tenant: 'acme', scopes: ['models:write'] })
      const foreign = await revoked({ tenant: 'rival' })
      await expect(restoring(strong.id)).rejects.toMatchObject({ code: 'insufficient_scope' })
      await expect(restoring(foreign.id)).rejects.toMatchObject({ code: 'key_not_found' })
      const soon = stand.clock.wallMs() + dayMs / 2
      await expect(restoring(plain.id, { expiresAtWallMs: soon })).rejects.toMatchObject({ code: 'insufficient_scope' })
      for (const { text } of [plain, strong, foreign]) expect(await judge(stand, text)).toBe('revoked')
      await restoring(plain.id)
      expect(await judge(stand, plain.text)).toBe('granted')
    })

    test('reaches another replica as a revocation does', async () => {
      const { text, id } = await revoked()
      const other = await standOn(stand.database)
      expect(await judge(other, text)).toBe('revoked')
      await stand.identity.keys.restore(id, operatorAct)
      other.clock.pass(lookEveryMs(other.database))
      await expect.poll(() => judge(other, text)).toBe('granted')
      await other.identity.close()
    })
  })

  describe('a maker', () => {
    test.each<[string, Partial<Principal>, Parameters<typeof wish>[0]]>([
      ['a scope', {}, { scopes: ['chat', 'models:write'] }],
      ['all models', { models: ['llama3:*'] }, { models: null }],
      ['another model', { models: ['llama3:*'] }, { models: ['llama3:8b', 'qwen3:4b'] }],
      ['a wider pattern', { models: ['llama3:*'] }, { models: ['llama*'] }],
      ['other nodes', { nodeGroup: 'a' }, { nodeGroup: 'b' }],
      ['all nodes', { nodeGroup: 'a' }, { nodeGroup: null }],
      ['no limit', { limits: { ...noLimits, tokensPerMinute: 5 } }, {}],
      ['a higher limit', { limits: { ...noLimits, tokensPerMinute: 5 } }, { limits: { ...noLimits, tokensPerMinute: 6 } }],
      ['another tenant', {}, { tenant: 'rival' }],
      ['the operator’s tenant', {}, { tenant: 'local' }],
    ])('cannot give %s that it has not', async (_, maker, wanted) => {
      const making = stand.identity.keys.create(wish({ tenant: 'acme', ...wanted }), actBy(admin(maker)))
      await expect(making).rejects.toMatchObject({ code: 'insufficient_scope' })
    })

    test('can give what it has, or less', async () => {
      const by = admin({ models: ['llama3:*'], limits: { ...noLimits, tokensPerMinute: 5 } })
      const limits = { ...noLimits, tokensPerMinute: 5, concurrency: 1 }
      const made = await stand.identity.keys.create(wish({ tenant: 'acme', models: ['llama3:8b', 'llama3:7*'], limits }), actBy(by))
      expect(made.view.createdBy).toBe('acmeadminkey')
    })

    test('cannot rotate a key that has more than itself', async () => {
      const strong = await newKey(stand, { tenant: 'acme', scopes: ['models:write'] })
      const rotating = stand.identity.keys.rotate(strong.slice(7, 19), { overlapMs: 0, lifeMs: null }, actBy(admin()))
      await expect(rotating).rejects.toMatchObject({ code: 'insufficient_scope' })
    })

    test('sees and touches keys of its own tenant alone', async () => {
      const foreign = (await newKey(stand, { tenant: 'rival' })).slice(7, 19)
      const by = admin()
      const { keys } = stand.identity
      expect((await keys.list(by)).keys.every(({ tenant }) => tenant === 'acme')).toBe(true)
      expect(await keys.list(by, { tenant: 'rival' })).toEqual({ keys: [], next: null })
      await expect(keys.get(foreign, by)).rejects.toMatchObject({ code: 'key_not_found' })
      await expect(keys.revoke(foreign, 'mine now', actBy(by))).rejects.toMatchObject({ code: 'key_not_found' })
      await expect(keys.rotate(foreign, { overlapMs: 0, lifeMs: null }, actBy(by))).rejects.toMatchObject({ code: 'key_not_found' })
      expect((await stand.identity.tenants.list(by)).tenants.map(({ tenant }) => tenant)).toEqual(['acme'])
      await expect(stand.identity.tenants.put('acme', { limits: noLimits }, actBy(by))).rejects.toMatchObject({
        code: 'insufficient_scope',
      })
    })

    test('needs a tenant that is there', async () => {
      await expect(stand.identity.keys.create(wish({ tenant: 'nobody' }), operatorAct)).rejects.toMatchObject({ code: 'conflict' })
    })

    test("waits for the operator's tenant, which the start makes", async () => {
      await stand.database.tx('system', async (transaction) => {
        await transaction.query(`delete from api_keys where tenant = 'local'`)
        await transaction.query(`delete from tenants where tenant = 'local'`)
      })
      const early = stand.identity.keys.create(wish(), operatorAct)
      await expect(early).rejects.toMatchObject({ code: 'store_unavailable', retryAfterMs: expect.any(Number) })
      await stand.identity.tenants.ensureOperator()
      expect(await judge(stand, await newKey(stand))).toBe('granted')
    })
  })

  describe('a tenant', () => {
    test('that is suspended lets none of its keys in, until it is resumed', async () => {
      const text = await newKey(stand, { tenant: 'rival' })
      expect(await judge(stand, text)).toBe('granted')
      await stand.identity.tenants.put('rival', { suspended: true }, operatorAct)
      expect(await judge(stand, text)).toBe('suspended')
      await stand.identity.tenants.put('rival', { suspended: false }, operatorAct)
      expect(await judge(stand, text)).toBe('granted')
    })

    test('of the operator cannot be suspended', async () => {
      await expect(stand.identity.tenants.put('local', { suspended: true }, operatorAct)).rejects.toMatchObject({ code: 'conflict' })
    })
  })

  describe('another replica', () => {
    test('refuses a revoked key at its next look, by the version alone', async () => {
      const text = await newKey(stand)
      const other = await standOn(stand.database)
      expect(await judge(other, text)).toBe('granted')
      await stand.identity.keys.revoke(text.slice(7, 19), 'gone', operatorAct)
      expect(await judge(other, text)).toBe('granted')
      other.clock.pass(lookEveryMs(other.database))
      await expect.poll(() => judge(other, text)).toBe('revoked')
      await other.identity.close()
    })
  })

  describe('the first start', () => {
    test('finds an admin key that is in use and makes none', async () => {
      await newKey(stand, { scopes: ['admin'] })
      expect(await stand.identity.makeFirstKey()).toBeNull()
    })
  })

  describe('a key does not outlive the key it is made with', () => {
    const inTenDays = (): Principal => admin({ expiresAtWallMs: stand.clock.wallMs() + 10 * dayMs })
    const lifeOf = (expiresAt: string | null): number => Date.parse(expiresAt ?? '') - stand.clock.wallMs()
    const own = (fields: Partial<Parameters<typeof wish>[0]>) => wish({ tenant: 'acme', ...fields })

    test.each([['longer', 11 * dayMs] as const, ['for ever', 'never'] as const])('asked to live %s it is refused', async (_, lifeMs) => {
      const making = stand.identity.keys.create(own({ lifeMs }), actBy(inTenDays()))
      await expect(making).rejects.toMatchObject({ code: 'insufficient_scope' })
    })

    test('within it gets what was asked for, and without a wish what is left', async () => {
      const { keys } = stand.identity
      const by = inTenDays()
      expect(lifeOf((await keys.create(own({ lifeMs: 9 * dayMs }), actBy(by))).view.expiresAt)).toBe(9 * dayMs)
      expect(lifeOf((await keys.create(own({ lifeMs: null }), actBy(by))).view.expiresAt)).toBe(10 * dayMs)
      expect(lifeOf((await keys.create(own({ lifeMs: null }), operatorAct)).view.expiresAt)).toBe(90 * dayMs)
    })

    test('a rotation gives no more, but to the operator', async () => {
      const { keys } = stand.identity
      const { view } = await keys.create(own({ lifeMs: 40 * dayMs }), operatorAct)
      const rotated = await keys.rotate(view.id, { overlapMs: dayMs, lifeMs: null }, actBy(inTenDays()))
      expect(lifeOf(rotated.view.expiresAt)).toBe(10 * dayMs)
      const more = keys.rotate(rotated.view.id, { overlapMs: dayMs, lifeMs: 20 * dayMs }, actBy(inTenDays()))
      await expect(more).rejects.toMatchObject({ code: 'insufficient_scope' })
      const operator = { ...openPrincipal, expiresAtWallMs: stand.clock.wallMs() + dayMs }
      const renewed = await keys.rotate(rotated.view.id, { overlapMs: dayMs, lifeMs: 40 * dayMs }, actBy(operator))
      expect(lifeOf(renewed.view.expiresAt)).toBe(40 * dayMs)
    })
  })
})

describeStores(['embedded'], (servers) => {
  test('the first start of an empty store makes one admin key, and the second none', async () => {
    const stand = await standOn(await servers.openForTest())
    const text = await stand.identity.makeFirstKey()
    expect(await judge(stand, text ?? '')).toBe('granted')
    expect(await stand.identity.makeFirstKey()).toBeNull()
    const [view] = (await stand.identity.keys.list(openPrincipal)).keys
    expect(view?.scopes).toContain('admin')
    expect(view?.expiresAt).not.toBeNull()
    await stand.identity.close()
  })

  test('in open mode no key is made', async () => {
    const stand = await standOn(await servers.openForTest(), { mode: 'open' })
    expect(await stand.identity.makeFirstKey()).toBeNull()
    await stand.identity.close()
  })
})
