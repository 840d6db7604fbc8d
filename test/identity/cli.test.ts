// Keys by the command line, against a gateway that wants them: from the first key, said once, to the last one revoked.
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'

import { corral, serve, start } from '../cli/corral.ts'
import { startOllama } from '../cli/ollama.ts'
import { embeddedFolder } from '../support/postgres-embedded.ts'

const mode = ['--set', 'identity.mode=keys']

test('a first start in keys mode says an admin key once; with it keys are made, listed, rotated and revoked', async () => {
  const folder = await embeddedFolder()
  const node = await startOllama()
  const { running, url } = await serve(['--node', node.url, ...mode, '--set', `store.dataDir=${folder}`])
  const [first] = await running.until(/corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}/)
  expect(running.stdout).not.toContain(first)
  const as = (key: string) => ({ env: { CORRAL_API_KEY: key } })

  const without = await corral(['keys', 'ls', '--url', url])
  expect([without.code, without.stderr]).toEqual([
    4,
    'corral: the gateway wants a credential: set CORRAL_API_KEY to a key with the scope admin\n',
  ])
  const wrong = await corral(['nodes', 'ls', '--url', url], as('corral_nonsense'))
  expect([wrong.code, wrong.stderr]).toEqual([4, expect.stringContaining('the key in CORRAL_API_KEY is not valid there')])

  const made = await corral(['keys', 'create', '--title', 'ci', '--expires', '30d', '--rpm', '60', '--url', url], as(first))
  expect([made.code, made.stdout]).toEqual([0, expect.stringMatching(/^corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}\n$/)])
  const key = made.stdout.trim()
  const id = key.slice(7, 19)
  expect(made.stderr).toContain(`key ${id} of local, scopes chat embed models:read: this is shown only now; keep it; it expires on `)
  const tags = (text: string) => fetch(`${url}/api/tags`, { headers: { authorization: `Bearer ${text}` } })
  expect((await tags(key)).status).toBe(200)
  expect((await fetch(`${url}/k/${key}/api/tags`)).status).toBe(200)

  const refused = await corral(['keys', 'ls', '--url', url], as(key))
  expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining('this needs the scope admin')])

  const listed = await corral(['keys', 'ls', '--url', url], as(first))
  expect(listed.stdout).toMatch(new RegExp(`${id} +active +local +chat embed models:read +all +20\\d\\d-`))
  const rotated = await corral(['keys', 'rotate', id, '--overlap', '1h', '--url', url], as(first))
  expect(rotated.code).toBe(0)
  expect((await tags(rotated.stdout.trim())).status).toBe(200)
  expect((await tags(key)).status).toBe(200)
  const revoked = await corral(['keys', 'revoke', id, '--reason', 'left the house', '--url', url], as(first))
  expect([revoked.code, revoked.stdout]).toEqual([0, ''])
  expect((await tags(key)).status).toBe(401)
  expect(revoked.stderr).toContain(`"corral keys restore ${id}" takes it back until 20`)
  const restored = await corral(['keys', 'restore', id, '--url', url], as(first))
  expect([restored.code, restored.stdout, (await tags(key)).status]).toEqual([0, '', 200])
  await corral(['keys', 'revoke', id, '--reason', 'left the house', '--url', url], as(first))
  const all = await corral(['keys', 'ls', '--all', '--url', url], as(first))
  expect(all.stdout).toMatch(new RegExp(`${id} +revoked .*ci {2}left the house`))

  const uncached = await corral(['keys', 'create', '--title', 'no copies', '--cache', 'off', '--json', '--url', url], as(first))
  expect([uncached.code, JSON.parse(uncached.stdout)]).toMatchObject([0, { title: 'no copies', cache: 'off' }])
  const nonsense = await corral(['keys', 'create', '--cache', 'sometimes', '--url', url], as(first))
  expect([nonsense.code, nonsense.stdout]).toEqual([1, ''])
  expect(nonsense.stderr).toMatch(/cache.*auto.*on.*off/)

  const { publicKey } = generateKeyPairSync('ed25519')
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const blob = Buffer.concat([Buffer.from('0000000b', 'hex'), Buffer.from('ssh-ed25519'), Buffer.from('00000020', 'hex'), raw]).toString(
    'base64',
  )
  const pub = join(folder, 'id_ed25519.pub')
  writeFileSync(pub, `ssh-ed25519 ${blob} me@laptop\n`)
  const registered = await corral(['keys', 'create', '--public-key', pub, '--url', url], as(first))
  expect(registered.stderr).toContain('the public key is registered')

  const tenant = await corral(['tenants', 'set', 'acme', '--title', 'Acme', '--concurrency', '2', '--url', url], as(first))
  expect([tenant.code, tenant.stderr]).toEqual([0, 'tenant acme: limits concurrency=2\n'])
  const tenants = await corral(['tenants', 'ls', '--url', url], as(first))
  expect(tenants.stdout).toMatch(/acme +active +concurrency=2 +Acme/)

  // The key itself, and the command to go on with.
  expect(running.stderr.split(first)).toHaveLength(3)
  expect(running.stdout).not.toContain('corral_')
  expect(running.stderr).not.toContain(key)
})

test('a key that was said is not said again, and goes on working, after a restart', async () => {
  const folder = await embeddedFolder()
  const node = await startOllama()
  const args = ['--node', node.url, ...mode, '--set', `store.dataDir=${folder}`]
  const one = await serve(args)
  const [first] = await one.running.until(/corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}/)
  one.running.child.kill('SIGTERM')
  await one.running.ended
  const two = await serve(args)
  const status = async () => (await fetch(`${two.url}/admin/fleet`, { headers: { authorization: `Bearer ${first}` } })).status
  await expect.poll(status, { timeout: 10_000 }).toBe(200)
  expect(two.running.stderr).not.toContain('corral_')
})

test('a first key is said though the log is silent', async () => {
  const node = await startOllama()
  const args = ['serve', '--port', '0', '--node', node.url, ...mode, '--set', `store.dataDir=${await embeddedFolder()}`]
  const running = start([...args, '--set', 'observe.log.level=silent'])
  await running.until(/corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}/)
  expect(running.stdout).toBe('')
})

test('lists of keys and tenants are read to their end', async () => {
  const asked: string[] = []
  const pages: Readonly<Record<string, unknown>> = {
    '/admin/keys?tenant=acme': { keys: [keyOf('one')], next: 'more' },
    '/admin/keys?tenant=acme&before=more': { keys: [keyOf('two')], next: null },
    '/admin/tenants': { tenants: [tenantOf('acme')], next: 'more' },
    '/admin/tenants?before=more': { tenants: [tenantOf('rival')], next: null },
  }
  const server = createServer(({ url = '' }, response) => {
    asked.push(url)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(pages[url] ?? {}))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  onTestFinished(() => void server.close())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}`
  const keys = await corral(['keys', 'ls', '--all', '--tenant', 'acme', '--json', '--url', url])
  expect(z.array(z.object({ id: z.string() })).parse(JSON.parse(keys.stdout))).toEqual([{ id: 'one' }, { id: 'two' }])
  const tenants = await corral(['tenants', 'ls', '--json', '--url', url])
  expect(tenants.stdout).toContain('rival')
  expect(asked).toEqual(Object.keys(pages))
})

function keyOf(id: string) {
  const none = { models: null, expiresAt: null, lastUsedAt: null, revokedAt: null, revokedReason: null }
  return { id, tenant: 'acme', kind: 'secret', title: '', scopes: ['chat'], ...none }
}

function tenantOf(tenant: string) {
  return { tenant, title: '', limits: {}, suspendedAt: null }
}

test.each([
  ['half a request per minute', ['keys', 'create', '--rpm', '0.5', '--url', 'http://127.0.0.1:1']],
  ['a limit that is none', ['keys', 'create', '--rpm', 'many', '--url', 'http://127.0.0.1:1']],
  ['a file that is not there', ['keys', 'create', '--public-key', '/nonexistent.pub', '--url', 'http://127.0.0.1:1']],
])('%s is a wrong usage', async (_, args) => {
  expect((await corral(args)).code).toBe(2)
})

test('a secret of the configuration is masked wherever it stands', async () => {
  const args = [
    '--set',
    'identity.metricsToken=a-token-of-sixteen',
    '--set',
    'identity.previousSecrets=["0123456789abcdef0123456789abcdef"]',
  ]
  const shown = await corral(['config', 'show', ...args])
  expect(shown.stdout).not.toMatch(/a-token-of|0123456789abcdef/)
  const bad = await corral(['config', 'show', '--set', 'identity.previousSecrets=["tooshort-secret"]'])
  expect(bad.code).toBe(2)
  expect(bad.stdout + bad.stderr).not.toContain('tooshort-secret')
})
