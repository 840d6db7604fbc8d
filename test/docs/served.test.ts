// The manual as a reader gets it at /docs/: every page, every link and anchor, and nothing that is not of it.
import { gunzipSync } from 'node:zlib'
import { Hono } from 'hono'
import { expect, test } from 'vitest'

import { CorralError, errorCatalogue } from '../../src/core/errors.ts'
import { mountDocs } from '../../src/http/docs/docs.ts'
import { openLibrary } from '../../src/http/docs/library.ts'
import type { NodeBindings } from '../../src/http/server.ts'
import { renderError } from '../../src/wire/render-error.ts'
import { requestBytes } from '../http/gateway.ts'
import { exchange } from '../http/raw-client.ts'
import { listFiles, readSource } from '../source-tree.ts'
import { startGateway } from '../support/gateway.ts'

function docsOf(enabled = true): Hono<NodeBindings> {
  const app = new Hono<NodeBindings>()
  mountDocs(app, {
    enabled: () => enabled,
    onBug(error) {
      throw error
    },
  })
  return app
}

const app = docsOf()
const pages = openLibrary()
  .names.filter((name) => !name.includes('.'))
  .map((name) => `/docs/${name}`)

async function htmlOf(path: string): Promise<string> {
  return (await app.request(path)).text()
}

function captures(html: string, pattern: RegExp): string[] {
  return [...html.matchAll(pattern)].map((match) => match[1] ?? '')
}

test('every page of the folder is served, and links lead from the index to each', async () => {
  expect(pages).toHaveLength(listFiles('docs', '.md').length)
  const reached = new Set(['/docs/'])
  for (const page of reached) {
    const main = (await htmlOf(page)).split('<main')[1] ?? ''
    for (const href of captures(main, /href="(?![a-z]+:)([^"#]+)/g)) reached.add(new URL(href, `http://host${page}`).pathname)
  }
  expect(pages.filter((page) => !reached.has(page))).toEqual([])
})

test.for(pages)('%s renders, and all its links and anchors lead somewhere', async (path) => {
  const response = await app.request(path)
  const html = await response.text()
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  expect(captures(html, /<h1[^>]*>(.+?)<\/h1>/g)).toHaveLength(1)
  expect(html).not.toMatch(/<script|<!--|&lt;!--|style=/)
  const lost: string[] = []
  for (const href of captures(html, /href="([^"]+)"/g)) {
    const { host, pathname, hash } = new URL(href, `http://host${path}`)
    if (host !== 'host' || pathname === '/console/') continue
    const [target, anchor] = [href.startsWith('#') ? '' : pathname, hash === '' ? undefined : decodeURIComponent(hash.slice(1))]
    const page = target === '' ? html : await htmlOf(target)
    const isThere = target === '' || (await app.request(target)).status === 200
    if (!isThere || (anchor !== undefined && !page.includes(`id="${anchor}"`))) lost.push(href)
  }
  expect(lost).toEqual([])
})

test('what an error names as its type is the section of its code', async () => {
  const page = await (await app.request('/docs/errors')).text()
  const { body } = renderError('problem', new CorralError('document_empty', 'text'), 'id')
  expect(JSON.parse(body.toString())).toMatchObject({ type: '/docs/errors#document_empty' })
  for (const code of Object.keys(errorCatalogue)) expect(page).toContain(`id="${code}"`)
})

test('nothing but the stylesheet and pictures of this origin may be loaded', async () => {
  const policy = (await app.request('/docs/')).headers.get('content-security-policy') ?? ''
  expect(policy).toContain("default-src 'none'; style-src 'self'; img-src 'self'")
  expect(policy).not.toMatch(/unsafe|script-src/)
  expect((await app.request('/docs/style.css')).headers.get('content-type')).toBe('text/css; charset=utf-8')
})

test('a page is sent once to whoever keeps it, and compressed', async () => {
  const plain = await app.request('/docs/errors')
  const etag = plain.headers.get('etag') ?? ''
  expect((await app.request('/docs/errors', { headers: { 'if-none-match': etag } })).status).toBe(304)
  const packed = await app.request('/docs/errors', { headers: { 'accept-encoding': 'gzip' } })
  expect(gunzipSync(Buffer.from(await packed.arrayBuffer())).toString()).toBe(await plain.text())
})

test('the Markdown itself and the manual of the configuration are there for a terminal', async () => {
  expect(await (await app.request('/docs/errors.md')).text()).toMatch(/^# Errors/)
  expect(await (await app.request('/docs/config/default.yaml')).text()).toContain('fleet:')
})

test('no path leads out of it', async () => {
  const { port, url } = await startGateway({ nodes: 1 })
  expect(await (await fetch(`${url}/docs/`)).text()).toContain('</main>')
  const tricks = [
    '../package.json',
    '%2e%2e/package.json',
    '..%2fpackage.json',
    'errors/../../package.json',
    'package.json',
    '__proto__',
    '.',
  ]
  for (const trick of tricks) {
    const answer = await exchange(port, requestBytes('GET', `/docs/${trick}`))
    expect([307, 400, 403, 404], trick).toContain(answer.status)
    expect(answer.body).not.toContain('devDependencies')
  }
})

test('switched off it is not there', async () => {
  const off = docsOf(false)
  expect([(await off.request('/docs')).status, (await off.request('/docs/')).status]).toEqual([404, 404])
})

test('llms.txt lists every page of the index with its Markdown, from the root and from the folder', async () => {
  const index = readSource('docs/README.md')
  const linked = captures(index, /\]\(([^)#:]+\.md)/g)
  for (const path of ['/llms.txt', '/docs/llms.txt']) {
    const response = await app.request(path)
    const text = await response.text()
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/plain; charset=utf-8'])
    expect(text).toMatch(/^# Corral\n\n> \S.+\n\n## \w/)
    const listed = captures(text, /\]\(([^)#]+)/g).map((href) => new URL(href, `http://host${path}`).pathname)
    expect(listed).toEqual(linked.map((page) => `/docs/${page}`))
    for (const page of listed) expect((await app.request(page)).headers.get('content-type')).toContain('markdown')
  }
})
