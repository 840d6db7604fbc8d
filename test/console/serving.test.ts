// The console's files as a browser gets them, and what keeps everything else out.
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { expect, test } from 'vitest'

import { openGuard } from '../../src/http/auth/guard.ts'
import { loadAssets } from '../../src/http/console/assets.ts'
import { mountConsole } from '../../src/http/console/console.ts'
import type { NodeBindings } from '../../src/http/server.ts'
import { startGateway } from '../support/gateway.ts'

const script = 'console.log(1)\n'.repeat(200)

function consoleOf(files: Record<string, string | Buffer>, enabled = true): Hono<NodeBindings> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-console-'))
  mkdirSync(join(folder, 'assets'))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content)
  const app = new Hono<NodeBindings>()
  mountConsole(app, {
    enabled: () => enabled,
    guard: openGuard,
    signIn: { sessions: null, logins: null },
    onTrouble: () => undefined,
    version: '1',
    newId: () => 'id',
    assets: () => loadAssets([folder]),
  })
  return app
}

const built = {
  'index.html': '<!doctype html><title>Corral</title>',
  'assets/index-abc.js': script,
  'assets/index-abc.js.gz': gzipSync(script),
  'inputs.sha256': 'not for anybody',
}

test('a hashed file is cached for good, compressed as the build made it, and not sent twice', async () => {
  const app = consoleOf(built)
  const response = await app.request('/console/assets/index-abc.js', { headers: { 'accept-encoding': 'gzip' } })
  expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
  expect(response.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
  expect(gunzipSync(Buffer.from(await response.arrayBuffer())).toString()).toBe(script)
  expect(await (await app.request('/console/assets/index-abc.js')).text()).toBe(script)
  const etag = response.headers.get('etag') ?? ''
  expect((await app.request('/console/assets/index-abc.js', { headers: { 'if-none-match': etag } })).status).toBe(304)
})

test('every page of the console is the one document, with a policy that lets nothing in from elsewhere', async () => {
  const app = consoleOf(built)
  for (const path of ['/console/', '/console/fleet', '/console/fleet/node-1', '/console/requests']) {
    const response = await app.request(path)
    expect([response.status, await response.text()]).toEqual([200, built['index.html']])
    expect(response.headers.get('cache-control')).toBe('no-cache')
    const policy = response.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('unsafe')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('referrer-policy')).toBe('no-referrer')
  }
})

test.each([
  '/console/assets/none.js',
  '/console/inputs.sha256',
  '/console/secret.txt',
  '/console/..%2f..%2fpackage.json',
  '/console/%2e%2e/x.y',
])('%s is no file of the console', async (path) => {
  expect((await consoleOf(built).request(path)).status).toBe(404)
})

test('without a build it says how to make one, and switched off it is not there', async () => {
  const response = await consoleOf({}).request('/console/')
  expect([response.status, await response.text()]).toEqual([503, expect.stringContaining('npm run build')])
  expect((await consoleOf(built, false).request('/console/')).status).toBe(404)
  expect((await consoleOf(built, false).request('/console/session')).status).toBe(404)
})

test('a browser at / is led to the console; everybody else hears that Ollama is running', async () => {
  const { url } = await startGateway({ nodes: 1 })
  const browser = await fetch(`${url}/`, { headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' }, redirect: 'manual' })
  expect([browser.status, browser.headers.get('location')]).toEqual([302, '/console/'])
  expect(await (await fetch(`${url}/`)).text()).toBe('Ollama is running')
  const without = await startGateway({ nodes: 1, config: { features: { console: false } } })
  expect(await (await fetch(`${without.url}/`, { headers: { accept: 'text/html' } })).text()).toBe('Ollama is running')
})
