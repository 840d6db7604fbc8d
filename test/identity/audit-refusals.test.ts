// Rights that are refused behind the door, by routes and by the relay, and limits that are met: each leaves a row that says whose and where.
import { expect, test } from 'vitest'

import { noLimits } from '../../src/core/principal.ts'
import type { AuditRow } from '../../src/identity/audit-log.ts'
import { chatBody } from '../fleet/ask.ts'
import { operatorAct } from './fixture.ts'
import { type KeyedGateway, startKeyedHerd } from './keyed-herd.ts'

async function oneGateway(): Promise<KeyedGateway> {
  const { gateways } = await startKeyedHerd()
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  return gateway
}

/** What was denied, as the log has it; the acts of making keys are left out. */
async function denials({ identity: { audit } }: KeyedGateway): Promise<AuditRow[]> {
  await audit.flush()
  const rows: AuditRow[] = []
  for await (const page of audit.read('system')) rows.push(...page)
  return rows.filter(({ decision }) => decision === 'denied')
}

const idOf = (text: string): string => text.slice(7, 19)

test('a right that a handler refuses is in the audit log, with the id that the client was told', async () => {
  const gateway = await oneGateway()
  await gateway.identity.tenants.put('acme', {}, operatorAct)
  const key = await gateway.key({ tenant: 'acme', scopes: ['admin'] })
  const change = async (method: string, path: string, body: string, headers: Readonly<Record<string, string>> = {}): Promise<string> => {
    const answer = await fetch(`${gateway.url}${path}`, { method, body, headers: { authorization: `Bearer ${key}`, ...headers } })
    expect([answer.status, await answer.text()]).toEqual([403, expect.any(String)])
    return answer.headers.get('x-request-id') ?? ''
  }
  const ids = [
    await change('POST', '/admin/keys', '{"title":"more","tenant":"local","scopes":["admin"]}'),
    await change('PUT', '/admin/tenants/acme', '{}'),
    await change('POST', '/admin/keys', '{}', { origin: gateway.url, 'content-type': 'text/plain' }),
  ]
  const rows = await denials(gateway)
  expect(rows.map(({ action, target }) => `${action}: ${target}`)).toEqual([
    'refuse scope: POST /admin/keys',
    'refuse scope: PUT /admin/tenants/:tenant',
    'refuse origin: POST /admin/keys',
  ])
  for (const [index, row] of rows.entries()) {
    expect(row).toMatchObject({ tenant: 'acme', actor: idOf(key), address: '127.0.0.1', requestId: ids[index], count: 1 })
  }
})

test('a model that the relay refuses is there too, and what was no question of a right is not', async () => {
  const gateway = await oneGateway()
  const key = await gateway.key({ models: ['nomic-*'] })
  expect((await gateway.ask('/api/chat', key, chatBody())).status).toBe(403)
  expect((await gateway.ask('/api/chat', key, chatBody({ model: 'nomic-unknown' }))).status).toBe(404)
  expect(await denials(gateway)).toMatchObject([
    { actor: idOf(key), action: 'refuse model', target: 'POST /api/chat', address: '127.0.0.1' },
  ])
})

test('a limit that is met has one row, at the latest when the gateway ends', async () => {
  const gateway = await oneGateway()
  const key = await gateway.key({ limits: { ...noLimits, requestsPerMinute: 1 } })
  const statuses: number[] = []
  for (let time = 0; time < 6; time += 1) statuses.push((await gateway.ask('/api/chat', key, chatBody())).status)
  expect(statuses).toEqual([200, 429, 429, 429, 429, 429])
  expect(await denials(gateway)).toEqual([])
  await gateway.app.close(0)
  expect(await denials(gateway)).toMatchObject([{ actor: idOf(key), action: 'limit requests', target: 'credential', count: 5 }])
})
