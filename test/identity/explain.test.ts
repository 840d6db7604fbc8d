// Who reads an explanation: whoever sent the request, an admin of its tenant, the operator. To anybody else it never was.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { operatorAct } from './fixture.ts'
import { type ClosedGateway, startClosedGateway } from './gateway.ts'

let gateway: ClosedGateway
beforeAll(async () => {
  gateway = await startClosedGateway()
  for (const tenant of ['acme', 'rival']) await gateway.identity.tenants.put(tenant, { title: tenant }, operatorAct)
})
afterAll(() => gateway.close())

const bearer = (key: string): string => `Authorization: Bearer ${key}`

async function explainedTo(key: string | null, id: string): Promise<number> {
  return (await gateway.ask('GET', `/admin/requests/${id}/explain`, key === null ? {} : { headers: [bearer(key)] })).status
}

test("an explanation is its sender's, its tenant's admins' and the operator's", async () => {
  const sender = await gateway.key({ tenant: 'acme', scopes: ['chat'] })
  const answer = await gateway.ask('POST', '/api/chat', {
    headers: [bearer(sender), 'Content-Type: application/json', 'X-Corral-Explain: true'],
    body: '{"model":"small","messages":[{"role":"user","content":"a secret plan"}]}',
  })
  const id = answer.headers['x-request-id'] ?? ''
  const told = await gateway.ask('GET', `/admin/requests/${id}/explain`, { headers: [bearer(sender)] })
  expect(told.status).toBe(200)
  expect(told.body).not.toContain('secret plan')
  expect(gateway.node.received.at(-1)?.headers['x-corral-explain']).toBeUndefined()
  const readers = {
    colleague: await gateway.key({ tenant: 'acme', scopes: ['chat'] }),
    admin: await gateway.key({ tenant: 'acme', scopes: ['admin'] }),
    operator: await gateway.key({ scopes: ['admin'] }),
    stranger: await gateway.key({ tenant: 'rival', scopes: ['chat'] }),
    foreignAdmin: await gateway.key({ tenant: 'rival', scopes: ['admin'] }),
  }
  const statuses: Record<string, number> = { nobody: await explainedTo(null, id) }
  for (const [name, key] of Object.entries(readers)) statuses[name] = await explainedTo(key, id)
  expect(statuses).toEqual({ nobody: 401, colleague: 404, admin: 200, operator: 200, stranger: 404, foreignAdmin: 404 })
})
