// Who reads an explanation: whoever sent the request, an admin of its tenant, the operator. To anybody else it never was.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { chatBody } from '../fleet/ask.ts'
import { startRedis } from '../support/redis.ts'
import { operatorAct } from './fixture.ts'
import { type ClosedGateway, startClosedGateway } from './gateway.ts'
import { startKeyedHerd } from './keyed-herd.ts'

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

async function status(url: string, id: string, key: string): Promise<number> {
  const answer = await fetch(`${url}/admin/requests/${id}/explain`, { headers: { authorization: `Bearer ${key}` } })
  await answer.arrayBuffer()
  return answer.status
}

test('with Redis another replica tells it, to the same people; while Redis is away only the one that served the request', async () => {
  const redis = await startRedis()
  const { gateways } = await startKeyedHerd({ replicas: 2, redisUrl: redis.url })
  const [served, other] = gateways
  if (served === undefined || other === undefined) throw new Error('not two')
  await expect.poll(() => [served.redisState(), other.redisState()]).toEqual(['up', 'up'])
  const [sender, colleague] = [await served.key({ scopes: ['chat'] }), await served.key({ scopes: ['chat'] })]
  const { headers } = await served.ask('/api/chat', sender, chatBody(), { 'x-corral-explain': 'true' })
  const id = headers['x-request-id']?.toString() ?? ''
  await expect.poll(() => status(other.url, id, sender)).toBe(200)
  expect(await status(other.url, id, colleague)).toBe(404)
  const [key = ''] = (await redis.send('KEYS *explained:*')).match(/\S*explained:/) ?? []
  for (const nonsense of ['no-JSON', '[]', '{"id":"odd","tenant":7}']) {
    await redis.send(`SET ${key}odd ${nonsense}`)
    expect(await status(other.url, 'odd', await served.key({ scopes: ['admin'] }))).toBe(404)
  }
  redis.freeze()
  expect([await status(other.url, id, sender), await status(served.url, id, sender)]).toEqual([404, 200])
  redis.thaw()
})
