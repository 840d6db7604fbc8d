// What a gateway must never say: no key, token or password stands in anything that it writes or answers, in good times and bad.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

import { expect, onTestFinished, test } from 'vitest'

import { corral, type Running, serve } from '../cli/corral.ts'
import { startOllama } from '../cli/ollama.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'
import { startRedis } from '../support/redis.ts'
import { testSecrets } from '../support/test-secrets.ts'
import { makeIssuer } from './issuer.ts'

const { redisPassword: password, databasePassword, otherSecret: installation, otherMetricsToken: scraper } = testSecrets

/** Everything that clients were answered, but for the one answer that a key is told in. */
class Heard {
  text = ''
  readonly #url: string

  constructor(url: string) {
    this.#url = url
  }

  async ask(path: string, headers: Readonly<Record<string, string>> = {}, body?: unknown): Promise<{ status: number; text: string }> {
    const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
    const response = await fetch(this.#url + path, { ...init, headers: { 'content-type': 'application/json', ...headers } })
    const text = await response.text()
    const tellsKey = path.startsWith('/admin/keys') && body !== undefined && response.ok
    if (!tellsKey) this.text += `${JSON.stringify([...response.headers])}\n${text}\n`
    return { status: response.status, text }
  }
}

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

/** An identity provider on a socket. */
async function startIssuer(): Promise<{
  readonly section: string
  readonly token: (claims?: Readonly<Record<string, unknown>>) => string
}> {
  const issuer = makeIssuer()
  const server = createServer((_, outgoing) => void outgoing.end(JSON.stringify({ keys: [issuer.publicJwk] })))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const scopes = { claim: 'scope', map: { use: ['chat', 'models:read'] } }
  const iat = Math.floor(Date.now() / 1_000)
  return {
    section: JSON.stringify([{ issuer: issuer.name, audience: ['corral'], jwksUrl: `http://127.0.0.1:${port}/`, scopes }]),
    token: (claims = {}) => issuer.token({ iat, exp: iat + 600, ...claims }),
  }
}

/** All ways by which a credential comes, rightly and wrongly. */
async function presentEverywhere(heard: Heard, text: string): Promise<void> {
  for (const headers of [
    bearer(text),
    { 'x-api-key': text },
    { 'api-key': text },
    { authorization: `Basic ${text}` },
    { authorization: text },
  ]) {
    await heard.ask('/api/tags', headers)
    await heard.ask('/v1/chat/completions', headers, { model: 'nosuch', messages: [] })
    await heard.ask('/admin/keys', headers)
  }
  await heard.ask(`/k/${text}/api/tags`)
  await heard.ask(`/k/${text}/v1/messages`, {}, { model: 'nosuch', messages: [] })
  await heard.ask(`/api/tags?api_key=${text}`)
  await heard.ask(`/nowhere/${text}`)
}

function expectSilence(secrets: readonly string[], running: Running, heard: Heard): void {
  expect(heard.text.length).toBeGreaterThan(10_000)
  const said = [running.stdout, running.stderr, heard.text].join('\n')
  for (const secret of secrets) expect([secret, said.includes(secret)]).toEqual([secret, false])
}

function untilRedis(heard: Heard, series: string): Promise<void> {
  return expect.poll(async () => (await heard.ask('/metrics', bearer(scraper))).text, { timeout: 10_000 }).toContain(series)
}

/** A credential, and the part of it that matters. */
const secretsOf = (text: string): string[] => [text, text.slice(-24)]

test('a gateway with all its stores says no key, no token and no password, nor when Redis dies', async () => {
  const [node, redis, issuer] = await Promise.all([startOllama(), startRedis({ arguments: ['--requirepass', password] }), startIssuer()])
  const settings = { 'identity.mode': 'both', 'identity.metricsToken': scraper, 'observe.log.level': 'debug', 'observe.log.access': 'true' }
  const args = ['--node', node.url, '--set', `store.dataDir=${await embeddedFolder()}`, '--set', `identity.issuers=${issuer.section}`]
  for (const [key, value] of Object.entries(settings)) args.push('--set', `${key}=${value}`)
  const redisUrl = `redis://:${password}@127.0.0.1:${redis.port}`
  const { running, url } = await serve(args, { env: { REDIS_URL: redisUrl, CORRAL_SECRET: installation } })
  const [first] = await running.until(/corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}/)
  const heard = new Heard(url)
  await untilRedis(heard, 'corral_redis_up 1')

  const made = JSON.parse((await heard.ask('/admin/keys', bearer(first), { title: 'one', scopes: ['chat', 'models:read'] })).text)
  const rotated = JSON.parse((await heard.ask(`/admin/keys/${made.id}/rotate`, bearer(first), {})).text)
  const [good, expired] = [issuer.token(), issuer.token({ exp: 1_000 })]
  expect((await heard.ask('/api/tags', bearer(good))).status).toBe(200)
  expect((await heard.ask('/api/tags', bearer(made.key))).status).toBe(200)
  const forged = `${good.slice(0, -6)}AAAAAA`
  const credentials: string[] = [made.key, rotated.key, good, expired, forged]
  for (const text of credentials) await presentEverywhere(heard, text)
  await redis.kill()
  await untilRedis(heard, 'corral_redis_up 0')
  for (const text of credentials) await presentEverywhere(heard, text)
  await heard.ask(`/admin/keys/${made.id}/revoke`, bearer(first), { reason: 'over' })
  await presentEverywhere(heard, made.key)
  const views = ['keys', 'keys?all=true', 'tenants', 'usage', 'requests', 'requests/history', 'audit', 'cache', 'fleet', `keys/${made.id}`]
  for (const view of views) expect([view, (await heard.ask(`/admin/${view}`, bearer(first))).status]).toEqual([view, 200])

  const secrets = [...credentials.flatMap(secretsOf), password, installation, scraper]
  expectSilence(secrets, running, heard)
  // Said once, with the command to go on with.
  expect(running.stderr.split(first)).toHaveLength(3)
  expect(heard.text).not.toContain(first)
})

test('nor does one whose Postgres and Redis are not there, nor a command that meets them', async () => {
  const node = await startOllama()
  const env = {
    DATABASE_URL: `postgres://corral:${databasePassword}@127.0.0.1:1/corral`,
    REDIS_URL: `redis://someone:${password}@127.0.0.1:1/0`,
    CORRAL_SECRET: installation,
    CORRAL_IDENTITY__MODE: 'keys',
    CORRAL_IDENTITY__METRICS_TOKEN: scraper,
    CORRAL_OBSERVE__LOG__LEVEL: 'debug',
  }
  const { running, url } = await serve(['--node', node.url, '--set', 'store.enabled=true'], { env })
  await running.until(/the database is not there yet/)
  await running.until(/Redis is down|ECONNREFUSED/)
  const heard = new Heard(url)
  const key = `corral_${'a'.repeat(12)}_${'b'.repeat(39)}`
  await presentEverywhere(heard, key)
  for (const path of ['/readyz', '/livez', '/metrics']) await heard.ask(path, bearer(scraper))
  expectSilence([...secretsOf(key), databasePassword, password, installation, scraper], running, heard)

  for (const args of [['config', 'show', '--origin'], ['check'], ['migrate', 'status'], ['doctor']]) {
    const { stdout, stderr } = await corral(args, { env })
    for (const secret of [databasePassword, password, installation, scraper]) {
      expect([args[0], secret, (stdout + stderr).includes(secret)]).toEqual([args[0], secret, false])
    }
  }
})
