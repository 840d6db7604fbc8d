// Lists of the admin API that are longer than a page, and what is refused before it is kept.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { noLimits, openPrincipal, type Principal } from '../../src/core/principal.ts'
import { type Database } from '../../src/store/database.ts'
import { Servers } from '../store/stores.ts'
import { corral } from '../cli/corral.ts'
import { newKey, operatorAct, type Stand, standOn } from './fixture.ts'
import { startClosedGateway } from './gateway.ts'

const servers = new Servers('embedded')
let stand: Stand
let database: Database

beforeAll(async () => {
  database = await servers.open()
  stand = await standOn(database)
  for (const tenant of ['acme', 'rival']) await stand.identity.tenants.put(tenant, {}, operatorAct)
})
afterAll(async () => {
  await stand.identity.close()
  await database.close()
})

const admin: Principal = { ...openPrincipal, tenant: 'acme', subject: 'acmeadminkey' }

test('keys and tenants are read page by page to the end, with cursors of their own lists alone', async () => {
  const { keys, tenants } = stand.identity
  for (let index = 0; index < 5; index += 1) await newKey(stand, { tenant: index === 2 ? 'rival' : 'acme' })
  const all = (await keys.list(admin)).keys
  expect(all).toHaveLength(4)
  const paged: string[] = []
  let before: string | undefined
  do {
    const page = await keys.list(admin, { limit: 3, before })
    expect(page.keys.length).toBeLessThanOrEqual(3)
    paged.push(...page.keys.map(({ id }) => id))
    before = page.next ?? undefined
  } while (before !== undefined)
  expect(paged).toEqual(all.map(({ id }) => id))
  const { next } = await keys.list(admin, { limit: 1 })
  for (const wrong of [keys.list(openPrincipal, { before: next ?? '' }), tenants.list(admin, { before: next ?? '' })]) {
    await expect(wrong).rejects.toMatchObject({ code: 'invalid_request' })
  }
  const first = await tenants.list(openPrincipal, { limit: 1 })
  const rest = await tenants.list(openPrincipal, { before: first.next ?? '' })
  expect([...first.tenants, ...rest.tenants].map(({ tenant }) => tenant)).toEqual(['acme', 'local', 'rival'])
  expect(rest.next).toBeNull()
})

test('a tenant behind ten thousand others is held to its suspension and its limits', async () => {
  const { tenants } = stand.identity
  for (let from = 1; from <= 10_001; from += 500) {
    await database.tx('system', ({ query }) =>
      query(
        `insert into tenants (tenant, limits, created_at)
         select 'many-' || lpad(n::text, 6, '0'), '{}'::jsonb, now() from generate_series($1::int, $1::int + 499) as n`,
        [from],
      ),
    )
  }
  const limits = { ...noLimits, requestsPerMinute: 1 }
  await tenants.put('zeta', { suspended: true, limits }, operatorAct)
  expect([tenants.isSuspended('zeta'), tenants.limitsOf('zeta')]).toEqual([true, limits])
})

test('the operator is told whether the audit log is as it was written, by the command too, and nobody else is', async () => {
  const gateway = await startClosedGateway()
  await gateway.identity.tenants.put('acme', {}, operatorAct)
  const operator = await gateway.key({ scopes: ['admin'] })
  const ask = (key: string) => gateway.ask('GET', '/admin/audit/verify', { headers: [`Authorization: Bearer ${key}`] })
  const verify = () => corral(['audit', 'verify', '--url', gateway.url], { env: { CORRAL_API_KEY: operator } })
  expect(JSON.parse((await ask(operator)).body)).toEqual({ intact: true, brokenAt: null })
  expect((await ask(await gateway.key({ tenant: 'acme', scopes: ['admin'] }))).status).toBe(403)
  expect(await verify()).toMatchObject({ code: 0, stderr: expect.stringContaining('the audit log is whole') })
  await gateway.database.tx('system', async ({ query }) => {
    await query('alter table audit_log disable trigger audit_log_rows')
    await query(`update audit_log set actor = 'somebody' where seq = 2`)
  })
  expect(JSON.parse((await ask(operator)).body)).toEqual({ intact: false, brokenAt: 2 })
  expect(await verify()).toMatchObject({ code: 1, stderr: expect.stringContaining('entry 2 does not follow') })
  await gateway.close()
})

test('the API refuses a limit that cannot be counted, of a key and of a tenant, and a page of no size', async () => {
  const gateway = await startClosedGateway()
  const headers = [`Authorization: Bearer ${await gateway.key({ scopes: ['admin', 'chat'] })}`, 'Content-Type: application/json']
  const ask = (method: string, path: string, body?: unknown) =>
    gateway.ask(method, path, { headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  const key = await ask('POST', '/admin/keys', { scopes: ['chat'], limits: { requestsPerMinute: 0.5 } })
  const tenant = await ask('PUT', '/admin/tenants/globex', { limits: { tokensPerMinute: 1e16 } })
  expect([key.status, tenant.status]).toEqual([400, 400])
  expect(key.body).toContain('requestsPerMinute: expected a whole number from 1 to 100000000')
  expect(tenant.body).toContain('tokensPerMinute: expected a whole number from 1 to 100000000')
  expect((await ask('GET', '/admin/keys?limit=0')).status).toBe(400)
  const one = await ask('GET', '/admin/keys?limit=1')
  expect(JSON.parse(one.body)).toMatchObject({ keys: [{ tenant: 'local' }], next: null })
  await gateway.close()
})
