// The audit log: complete, in order, and not to be changed afterwards, on each kind of store.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import type { AuditRow } from '../../src/identity/audit-log.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { newKey, operatorAct, type Stand, standOn } from './fixture.ts'

describeStores(storeKinds, (servers) => {
  let stand: Stand
  let close: () => Promise<void>

  beforeAll(async () => {
    const database = await servers.open()
    stand = await standOn(database)
    await stand.identity.tenants.put('acme', {}, operatorAct)
    close = async () => {
      await stand.identity.close()
      await database.close()
    }
  })
  afterAll(() => close())

  async function read(scope: { tenant: string } | 'system' = 'system', after = 0): Promise<AuditRow[]> {
    const rows: AuditRow[] = []
    for await (const page of stand.identity.audit.read(scope, after)) rows.push(...page)
    return rows
  }

  function denial(fields: Partial<Parameters<Stand['identity']['audit']['deny']>[0]> = {}) {
    const entry = {
      tenant: 'local',
      actor: 'anonymous',
      action: 'refuse unknown',
      target: 'POST /api/chat',
      requestId: 'r',
      address: '10.0.0.1',
    }
    return { ...entry, decision: 'denied' as const, ...fields }
  }

  describe('the audit log', () => {
    test('holds each act once, with who, what and for which request', async () => {
      const text = await newKey(stand)
      await stand.identity.keys.revoke(text.slice(7, 19), 'lost', operatorAct)
      const [made, revoked] = (await read()).slice(-2)
      expect(made).toMatchObject({ action: 'create key', target: text.slice(7, 19), decision: 'allowed', requestId: 'request-1', count: 1 })
      expect(revoked).toMatchObject({ action: 'revoke key', target: text.slice(7, 19), actor: 'open' })
    })

    test('holds no act that failed', async () => {
      const before = (await read()).length
      await expect(stand.identity.keys.revoke('nosuchkey123', 'lost', operatorAct)).rejects.toThrow('no key')
      expect(await read()).toHaveLength(before)
    })

    test('gathers denials that are alike, and writes them within a second', async () => {
      for (let index = 0; index < 500; index += 1) stand.identity.audit.deny(denial({ requestId: `r${index}` }))
      stand.identity.audit.deny(denial({ address: '10.0.0.2' }))
      stand.clock.pass(1_000)
      await stand.identity.audit.flush()
      const rows = (await read()).slice(-2)
      expect(rows.map(({ address, count }) => [address, count])).toEqual([
        ['10.0.0.1', 500],
        ['10.0.0.2', 1],
      ])
    })

    test('holds who met which limit once a minute, however often, also when the store was down at its end', async () => {
      const before = (await read()).at(-1)?.seq
      const { audit } = stand.identity
      const meet = (subject: string, dimension: string, times: number): void => {
        const principal = { ...openPrincipal, tenant: 'acme', subject }
        for (let time = 0; time < times; time += 1) audit.denyByLimit({ principal, requestId: 'r', dimension, scope: 'credential' })
      }
      meet('key-1', 'requests', 500)
      meet('key-2', 'tokens', 2)
      stand.clock.pass(59_999)
      await audit.flush()
      expect(await read('system', before)).toEqual([])
      meet('key-1', 'requests', 1)
      stand.database.down = new CorralError('store_unavailable', 'down')
      stand.clock.pass(1)
      await audit.flush()
      stand.database.down = null
      meet('key-1', 'requests', 1)
      stand.clock.pass(60_000)
      await audit.flush()
      const rows = await read({ tenant: 'acme' }, before)
      expect(rows.map(({ actor, action, target, count }) => `${actor}: ${action} ${target} (${count})`)).toEqual([
        'key-1: limit requests credential (502)',
        'key-2: limit tokens credential (2)',
      ])
    })

    test('has a bound for denials of a thousand kinds, and counts the rest', async () => {
      const before = await read()
      for (let index = 0; index < 1_500; index += 1) stand.identity.audit.deny(denial({ address: `10.1.${index}` }))
      await stand.identity.audit.flush()
      const rows = await read('system', before.at(-1)?.seq)
      expect(rows).toHaveLength(1_001)
      expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(1_500)
    })

    test('lists every act by itself, whatever a flood of denials does', async () => {
      const before = await read()
      const { audit } = stand.identity
      for (let index = 0; index < 1_500; index += 1) audit.deny(denial({ address: `10.2.${index}` }))
      for (let index = 0; index < 3; index += 1) audit.noteAct('drain node', `node-${index}`, operatorAct)
      stand.database.down = new CorralError('store_unavailable', 'down')
      await audit.flush()
      for (let index = 0; index < 1_500; index += 1) audit.deny(denial({ address: `10.3.${index}` }))
      audit.noteAct('drain node', 'node-0', operatorAct)
      stand.database.down = null
      await audit.flush()
      const rows = await read('system', before.at(-1)?.seq)
      const acts = rows.filter(({ decision }) => decision === 'allowed')
      expect(acts.map(({ actor, action, target, count }) => `${actor}: ${action} ${target} (${count})`)).toEqual([
        'open: drain node node-0 (1)',
        'open: drain node node-1 (1)',
        'open: drain node node-2 (1)',
        'open: drain node node-0 (1)',
      ])
      expect(rows.length).toBeLessThanOrEqual(1_001 + 4)
      expect(await audit.verify()).toBeNull()
    })

    test('reports acts beyond ten thousand that wait', async () => {
      const { audit } = stand.identity
      stand.database.down = new CorralError('store_unavailable', 'down')
      for (let index = 0; index < 10_000; index += 1) audit.noteAct('drain node', `node-${index}`, operatorAct)
      await audit.flush()
      audit.noteAct('undrain node', 'one-more', operatorAct)
      stand.database.down = null
      expect(stand.told.failures.at(-1)).toBe('audit log: 10000 acts wait to be written; not kept: undrain node by open')
      await audit.flush()
      expect((await read()).at(-1)).toMatchObject({ target: 'node-9999' })
    })

    test('keeps denials while the store is down', async () => {
      const before = await read()
      stand.database.down = new CorralError('store_unavailable', 'down')
      stand.identity.audit.deny(denial({ target: 'kept' }))
      await stand.identity.audit.flush()
      stand.identity.audit.deny(denial({ target: 'kept' }))
      stand.database.down = null
      await stand.identity.audit.flush()
      expect(await read('system', before.at(-1)?.seq)).toMatchObject([{ target: 'kept', count: 2 }])
      expect(stand.told.failures).toContain('audit log: down')
    })

    test('takes texts that Postgres cannot store, cut and cleaned', async () => {
      stand.identity.audit.deny(denial({ address: `a\0b\ud800${'x'.repeat(500)}` }))
      await stand.identity.audit.flush()
      expect((await read()).at(-1)?.address).toHaveLength(199)
    })

    test('shows a tenant its own entries alone', async () => {
      stand.identity.audit.deny(denial({ tenant: 'acme' }))
      await stand.identity.audit.flush()
      const rows = await read({ tenant: 'acme' })
      expect(rows.length).toBeGreaterThan(0)
      expect(rows.every(({ tenant }) => tenant === 'acme')).toBe(true)
    })

    test.each(['update audit_log set actor = $$x$$', 'delete from audit_log', 'truncate audit_log'])('refuses: %s', async (sql) => {
      for (const scope of ['system', { tenant: 'acme' }] as const) {
        await expect(stand.database.tx(scope, (transaction) => transaction.query(sql))).rejects.toThrow()
      }
      expect(await stand.identity.audit.verify()).toBeNull()
    })

    test('is whole after writers at once', async () => {
      await Promise.all(Array.from({ length: 10 }, () => newKey(stand)))
      expect(await stand.identity.audit.verify()).toBeNull()
    })
  })
})

describeStores(['embedded'], (servers) => {
  test.each([
    ['changed', `update audit_log set actor = 'somebody else' where seq = 2`, 2],
    ['taken out', 'delete from audit_log where seq = 2', 2],
    ['taken off the end', 'delete from audit_log where seq = 4', 4],
  ])(
    'an entry that was %s behind the log’s back is found',
    async (_, sql, seq) => {
      const stand = await standOn(await servers.openForTest())
      for (let index = 0; index < 4; index += 1) await newKey(stand)
      expect(await stand.identity.audit.verify()).toBeNull()
      await stand.database.tx('system', async (transaction) => {
        await transaction.query('alter table audit_log disable trigger all')
        await transaction.query(sql)
        await transaction.query('alter table audit_log enable trigger all')
      })
      expect(await stand.identity.audit.verify()).toBe(seq)
      await stand.identity.close()
    },
    30_000,
  )
})
