// Documents by URL: every way into this network that a URL, a name or a redirect can try, and servers that do not play fair.

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import { isPublicAddress, systemResolve } from '../../src/ingest/fetch-url-address.ts'
import { fetchUrl, type FetchedDocument, type FetchUrlDeps, type FetchUrlOptions } from '../../src/ingest/fetch-url.ts'
import { codeOf } from './parse-support.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

let answer: Answer = (_request, response) => void response.end('nothing')
let connections = 0
let requests: IncomingMessage[] = []
const server = createServer((request, response) => {
  requests.push(request)
  answer(request, response)
})
server.on('connection', () => {
  connections += 1
})
let port = 0

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  port = (server.address() as AddressInfo).port
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})
beforeEach(() => {
  connections = 0
  requests = []
})

const localOnly = (address: string): boolean => address === '127.0.0.1' || isPublicAddress(address)

/** Fetches from the test's own server, which stands for the public internet as `docs.example.com`. */
function fetchLocal(path: string, options: Partial<FetchUrlOptions> = {}, more: Partial<FetchUrlDeps> = {}): Promise<FetchedDocument> {
  return fetchUrl(`http://docs.example.com:${port}${path}`, {
    clock: systemClock,
    resolve: () => Promise.resolve(['127.0.0.1']),
    isAllowedAddress: localOnly,
    options: { ports: [80, 443, port], ...options },
    ...more,
  })
}

/** Fetches with the rules as they are, every port allowed; names resolve to `addresses`. */
function fetchStrict(url: string, addresses: readonly string[] = ['127.0.0.1']): Promise<FetchedDocument> {
  return fetchUrl(url, {
    clock: systemClock,
    resolve: () => Promise.resolve(addresses),
    options: { ports: [80, 443, port], totalMs: 3_000 },
  })
}

const give =
  (body: string | Buffer, headers: Record<string, string> = { 'content-type': 'text/plain' }): Answer =>
  (_request, response) => {
    response.writeHead(200, headers)
    response.end(body)
  }

describe('what is fetched', () => {
  test('a document comes with its name, type and address', async () => {
    answer = give('Hello', { 'content-type': 'text/markdown; charset=utf-8' })
    const document = await fetchLocal('/docs/The%20Guide.md?x=1#part')
    expect(Buffer.from(document.bytes).toString()).toBe('Hello')
    expect(document).toMatchObject({
      name: 'The Guide.md',
      declaredType: 'text/markdown; charset=utf-8',
      url: `http://docs.example.com:${port}/docs/The%20Guide.md?x=1`,
    })
  })

  test('the request carries no cookie, no credential and asks for no encoding', async () => {
    answer = give('x')
    await fetchLocal('/')
    expect(Object.keys(requests[0]?.headers ?? {}).toSorted()).toEqual(['accept', 'accept-encoding', 'connection', 'host', 'user-agent'])
    expect(requests[0]?.headers['accept-encoding']).toBe('identity')
  })

  test.for([
    ['gzip', gzipSync('packed')],
    ['deflate', deflateSync('packed')],
    ['br', brotliCompressSync('packed')],
  ] as const)('a body in %s that was not asked for is unpacked', async ([encoding, body]) => {
    answer = give(body, { 'content-type': 'text/plain', 'content-encoding': encoding })
    expect(Buffer.from((await fetchLocal('/')).bytes).toString()).toBe('packed')
  })

  test('three redirects are followed, a fourth is not', async () => {
    answer = (request, response) => {
      const left = Number(request.url?.slice(1) ?? 0)
      if (left === 0) give('there')(request, response)
      else response.writeHead(302, { location: `/${left - 1}` }).end()
    }
    expect(Buffer.from((await fetchLocal('/3')).bytes).toString()).toBe('there')
    expect(await codeOf(fetchLocal('/4'))).toBe('url_not_allowed')
    expect(await codeOf(fetchLocal('/10000'))).toBe('url_not_allowed')
  })
})

describe('what no packet is sent for', () => {
  test.for([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://0x7f000001/',
    'http://017700000001/',
    'http://１２７.0.0.1/',
    'http://①②⑦.⓪.⓪.①/',
    'http://127。0。0。1/',
    'http:127.0.0.1',
    'http://0/',
    'http://0.0.0.0/',
    'http://[::]/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[::127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[64:ff9b:1::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://[2002:a9fe:a9fe::1]/',
    'http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/',
    'http://[fe80::1]/',
    'http://[fc00::1]/',
    'http://[ff02::1]/',
    'http://[2001:db8::1]/',
    'http://10.0.0.1/',
    'http://172.16.0.1/',
    'http://192.168.1.1/',
    'http://100.64.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://168.63.129.16/',
    'http://192.0.2.1/',
    'http://198.18.0.1/',
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'http://localhost/',
    'http://localhost./',
    'http://LOCALHOST/',
    'http://api.localhost/',
    'http://metadata.google.internal/',
    'http://printer.local/',
    'http://redis/',
    'http://127.0.0.1.nip.io/',
    'http://rebinding.example.com/',
    'http://user:secret@example.com/',
    'http://user@example.com/',
    'http://example.com:22/',
    'http://example.com:6379/',
    'https://example.com:8443/',
    'ftp://example.com/',
    'file:///etc/passwd',
    'gopher://example.com/_x',
    'data:text/plain,x',
    'javascript:alert(1)',
    'unix:/var/run/docker.sock',
    'http://',
    'http://exa mple.com/',
    'http://example.com\0.evil.test/',
    `http://example.com/${'a'.repeat(2_100)}`,
    'no url at all',
    '',
  ])('%j', async (url) => {
    expect(await codeOf(fetchStrict(url))).toBe('url_not_allowed')
    expect(connections).toBe(0)
  })

  test('a name with one private address among public ones', async () => {
    expect(await codeOf(fetchStrict(`http://mixed.example.com:${port}/`, ['93.184.215.14', '10.1.2.3']))).toBe('url_not_allowed')
    expect(await codeOf(fetchStrict(`http://mixed.example.com:${port}/`, ['2606:4700::1111', '::1']))).toBe('url_not_allowed')
  })

  test('a redirect to the metadata service, to another scheme, to a name of this network', async () => {
    for (const location of ['http://169.254.169.254/', 'file:///etc/passwd', 'http://localhost/', '//[::1]/', 'http://167772161/']) {
      answer = (_request, response) => void response.writeHead(302, { location }).end()
      expect(await codeOf(fetchLocal('/'))).toBe('url_not_allowed')
    }
    expect(requests).toHaveLength(5)
  })

  test('a name that resolves differently the second time is judged again for every redirect', async () => {
    let asked = 0
    answer = (_request, response) => void response.writeHead(307, { location: '/again' }).end()
    const resolve = () => Promise.resolve((asked += 1) === 1 ? ['127.0.0.1'] : ['10.0.0.7'])
    expect(await codeOf(fetchLocal('/', {}, { resolve }))).toBe('url_not_allowed')
    expect([asked, requests.length]).toEqual([2, 1])
  })

  test('the connection goes to what was checked, not to what the name says later', async () => {
    answer = give('pinned')
    let asked = 0
    const resolve = (host: string) => {
      asked += 1
      return Promise.resolve(host === 'docs.example.com' ? ['127.0.0.1'] : [])
    }
    expect(Buffer.from((await fetchLocal('/', {}, { resolve })).bytes).toString()).toBe('pinned')
    expect(asked).toBe(1)
    expect(requests[0]?.headers.host).toBe(`docs.example.com:${port}`)
  })
})

describe('servers that do not play fair', () => {
  test('a body over the limit ends when it is over, whatever it declares', async () => {
    const limits = { bytes: 100_000 }
    answer = give(Buffer.alloc(200_000, 'a'))
    expect(await codeOf(fetchLocal('/', limits))).toBe('document_too_large')
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      const pour = (): void => {
        while (!response.destroyed && response.write('a'.repeat(10_000)));
      }
      response.on('drain', pour)
      pour()
    }
    expect(await codeOf(fetchLocal('/', limits))).toBe('document_too_large')
  })

  test('a body that unpacks to a hundred times its size is ended', async () => {
    answer = give(gzipSync(Buffer.alloc(19_000_000)), { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
    expect(await codeOf(fetchLocal('/'))).toBe('document_bomb')
    answer = give(gzipSync(Buffer.alloc(300_000)), { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
    expect(await codeOf(fetchLocal('/', { bytes: 200_000 }))).toBe('document_too_large')
  })

  test('a byte now and then, and silence, end at the deadline', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      const drip = setInterval(() => response.write('x'), 20)
      response.on('close', () => clearInterval(drip))
    }
    expect(await codeOf(fetchLocal('/', { totalMs: 200 }))).toBe('url_failed')
    answer = () => {}
    expect(await codeOf(fetchLocal('/', { totalMs: 200 }))).toBe('url_failed')
    expect(await codeOf(fetchLocal('/', { totalMs: 200 }, { resolve: () => new Promise(() => {}) }))).toBe('url_failed')
  })

  test.for([
    [404, 'url_refused'],
    [401, 'url_refused'],
    [410, 'url_refused'],
    [429, 'url_failed'],
    [500, 'url_failed'],
    [503, 'url_failed'],
  ] as const)('status %i is %s', async ([status, code]) => {
    answer = (_request, response) => void response.writeHead(status, { 'retry-after': '7' }).end('x')
    const error: unknown = await fetchLocal('/').catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CorralError)
    expect(error).toMatchObject({ code, retryable: code === 'url_failed', retryAfterMs: code === 'url_failed' ? 7_000 : null })
  })

  test.for(['image/png', 'video/mp4', 'application/zip', 'application/x-msdownload'])('type %s is refused', async (type) => {
    answer = give('x', { 'content-type': type })
    expect(await codeOf(fetchLocal('/'))).toBe('document_unsupported')
  })

  test('an unknown encoding, a broken one, a cut body and a closed port are failures with a code', async () => {
    answer = give('x', { 'content-type': 'text/plain', 'content-encoding': 'zstd' })
    expect(await codeOf(fetchLocal('/'))).toBe('url_refused')
    answer = give('not gzip', { 'content-type': 'text/plain', 'content-encoding': 'gzip' })
    expect(await codeOf(fetchLocal('/'))).toBe('url_failed')
    answer = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '100' })
      response.write('short')
      setImmediate(() => response.destroy())
    }
    expect(await codeOf(fetchLocal('/'))).toBe('url_failed')
    expect(
      await codeOf(
        fetchUrl('http://docs.example.com:1/', {
          clock: systemClock,
          resolve: () => Promise.resolve(['127.0.0.1']),
          isAllowedAddress: localOnly,
          options: { ports: [1] },
        }),
      ),
    ).toBe('url_failed')
    expect(await codeOf(fetchLocal('/', {}, { resolve: () => Promise.reject(new Error('ENOTFOUND')) }))).toBe('url_failed')
  })

  test('a signal ends it with its own reason', async () => {
    answer = () => {}
    const controller = new AbortController()
    const fetching = fetchLocal('/', {}, { signal: controller.signal })
    const reason = new Error('no longer wanted')
    controller.abort(reason)
    await expect(fetching).rejects.toBe(reason)
  })
})

describe('addresses', () => {
  test('the system gives all addresses of a name, and rejects for a name without any', async () => {
    const addresses = await systemResolve('localhost')
    expect(addresses.length).toBeGreaterThan(0)
    expect(addresses.filter(isPublicAddress)).toEqual([])
    await expect(systemResolve('no-such-host.invalid')).rejects.toThrow()
  })

  test.for([
    '8.8.8.8',
    '93.184.215.14',
    '2606:4700:4700::1111',
    '2a00:1450:4001::5',
    '::ffff:8.8.8.8',
    '64:ff9b::808:808',
    '2002:808:808::1',
  ])('%s is public', (address) => {
    expect(isPublicAddress(address)).toBe(true)
  })

  test.for([
    '',
    'localhost',
    '1',
    '127.0.0.1',
    '0.0.0.0',
    '::',
    '::1',
    'fe80::1%eth0',
    '4000::1',
    '100::1',
    '3fff::1',
    '64:ff9b::a00:1',
    '192.88.99.1',
  ])('%j is not', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
})
