/** The operator's view of the configuration, and capabilities switched while the gateway runs, on a real store. */
import { afterAll, beforeAll, expect, test } from 'vitest'

import { featureKeys } from '../../src/config/schema.ts'
import type { FeatureState, SettingsPage } from '../../src/core/operator-settings.ts'
import type { Dependency } from '../../src/core/operator-settings.ts'
import { errorCounts } from '../../src/http/admin/support-bundle.ts'
import { secret } from './fixture.ts'
import { type ClosedGateway, metricsToken, startClosedGateway } from './gateway.ts'

let gateway: ClosedGateway
let key: string

beforeAll(async () => {
  gateway = await startClosedGateway()
  key = await gateway.key({ scopes: ['admin', 'chat'] })
})
afterAll(() => gateway.close())

async function ask(method: string, path: string, body?: object) {
  const headers = [`Authorization: Bearer ${key}`, 'Content-Type: application/json']
  const answer = await gateway.ask(method, path, { headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  return { status: answer.status, headers: answer.headers, text: answer.body }
}

async function read<T>(path: string): Promise<T> {
  const { status, text } = await ask('GET', path)
  expect(status).toBe(200)
  return JSON.parse(text) as T
}

const featureOf = async (name: string): Promise<FeatureState | undefined> =>
  (await read<{ features: FeatureState[] }>('/admin/features')).features.find((feature) => feature.name === name)

const chat = () => ask('POST', '/api/chat', { model: 'small', messages: [{ role: 'user', content: 'hi' }], stream: false })

test('every capability is listed with its key, a meaning, and why it cannot be switched where it cannot', async () => {
  const { features } = await read<{ features: FeatureState[] }>('/admin/features')
  expect(features.map(({ name, key: path }) => [name, path])).toEqual(Object.entries(featureKeys))
  expect(features.filter(({ meaning }) => meaning.length < 10)).toEqual([])
  expect(features.filter(({ switchable, reason }) => switchable !== (reason === null))).toEqual([])
})

test('a switch holds at once, says who did it, is in the audit log, and ends with its reset', async () => {
  const isRouteSaid = async (): Promise<boolean> => 'x-corral-node' in (await chat()).headers
  expect(await isRouteSaid()).toBe(true)
  expect((await ask('PUT', '/admin/features/routeHeaders', { on: false })).status).toBe(200)
  expect(await isRouteSaid()).toBe(false)
  const off = await featureOf('routeHeaders')
  expect(off).toMatchObject({ on: false, configured: true, kept: true })
  expect(off?.origin).toMatch(/^switched at run time by \S+ at \d{4}-/)
  const page = await read<SettingsPage>('/admin/config')
  expect(page.values.find(({ key: name }) => name === 'http.routeHeaders')).toEqual({
    key: 'http.routeHeaders',
    value: false,
    origin: off?.origin,
  })
  expect((await ask('DELETE', '/admin/features/routeHeaders')).status).toBe(200)
  expect(await featureOf('routeHeaders')).toMatchObject({ on: true, origin: 'default', kept: null })
  const isAudited = async (): Promise<boolean> =>
    /switch off.*switch back|switch back.*switch off/s.test((await ask('GET', '/admin/audit')).text)
  await expect.poll(isAudited, { timeout: 30_000 }).toBe(true)
})

test('what needs a restart, what would close the way back, and what nobody knows is refused with the reason', async () => {
  const restart = await ask('PUT', '/admin/features/store', { on: false })
  expect([restart.status, restart.text]).toEqual([409, expect.stringContaining('needs a restart')])
  const admin = await ask('PUT', '/admin/features/admin', { on: false })
  expect([admin.status, admin.text]).toEqual([409, expect.stringContaining('way back')])
  const unknown = await ask('PUT', '/admin/features/hegding', { on: false })
  expect([unknown.status, unknown.text]).toEqual([404, expect.stringContaining('did you mean hedging')])
  expect((await ask('PUT', '/admin/features/cache', {})).status).toBe(400)
})

test('a store that is away keeps nobody from switching, and hears of it when it is back', async () => {
  gateway.outage = true
  const { settings } = gateway.app
  const done = await settings.switchFeature('trace', false, 'somebody')
  expect(done).toMatchObject({ on: false, kept: false })
  gateway.outage = false
  await expect.poll(async () => (await featureOf('trace'))?.kept, { timeout: 30_000 }).toBe(true)
  await settings.switchFeature('trace', null, 'somebody')
})

test('a configuration that was refused is told with its problems', async () => {
  gateway.app.noteRefused(['http.port: expected a number'])
  const { lastReload } = await read<SettingsPage>('/admin/config')
  expect(lastReload).toMatchObject({ kind: 'kept', problems: ['http.port: expected a number'] })
})

test('the database, the nodes and the issuers tell how they are', async () => {
  const { dependencies } = await read<{ dependencies: Dependency[] }>('/admin/dependencies')
  const one = (kind: Dependency['kind']) => dependencies.find((dependency) => dependency.kind === kind)
  expect(one('database')).toMatchObject({ up: true, version: expect.stringMatching(/^\d+\./), lastError: null })
  expect(one('node')).toMatchObject({ name: 'n1', up: true, latencyMs: expect.any(Number) })
  expect(one('issuer')).toMatchObject({ up: true, detail: { keys: expect.any(Number) } })
})

test('the support bundle holds every part and no secret', async () => {
  expect((await chat()).status).toBe(200)
  const { text } = await ask('GET', '/admin/support-bundle')
  const bundle = JSON.parse(text) as Record<string, unknown>
  expect(Object.keys(bundle)).toEqual(
    expect.arrayContaining(['version', 'runtime', 'config', 'features', 'fleet', 'dependencies', 'errors', 'metrics']),
  )
  expect(text).toContain('corral_requests_total')
  for (const hidden of [secret, metricsToken, key, key.slice(-20)]) expect(text).not.toContain(hidden)
})

test('errors are counted from the scrape: neither what went well nor zeros', () => {
  const scrape = [
    '# TYPE corral_requests counter',
    'corral_requests_total{op="chat",model="m",outcome="ok"} 7',
    'corral_requests_total{op="chat",model="a b",outcome="node_error"} 3',
    'corral_internal_errors_total 0',
    'corral_usage_dropped_total 2',
  ]
  expect(errorCounts(scrape.join('\n'))).toEqual({
    'corral_requests_total{op="chat",model="a b",outcome="node_error"}': 3,
    corral_usage_dropped_total: 2,
  })
})
