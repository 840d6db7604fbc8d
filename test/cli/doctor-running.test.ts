/** `doctor` and a gateway that runs: what it stands on, and whether streams come through what stands before it. */
import { createServer, get, type Server } from 'node:http'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { vectorFindings } from '../../src/cli/doctor-collections.ts'
import { containerFindings } from '../../src/cli/doctor.ts'
import { seenFinding } from '../../src/cli/doctor-nodes.ts'
import { cutFinding, dependencyFinding, scrapedFinding, streamFinding } from '../../src/cli/doctor-running.ts'
import { lockFolder } from '../../src/store/folder-lock.ts'
import { createFolder } from '../config/folder.ts'
import { corral, serve } from './corral.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { closedUrl, listen, startOllama } from './ollama.ts'

interface Finding {
  readonly check: string
  readonly status: string
  readonly hint?: string
}

/** A proxy that keeps each answer until it is whole. */
function holdingBack(gateway: string): Server {
  return createServer((incoming, outgoing) => {
    const asked = get(`${gateway}${incoming.url}`, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => outgoing.writeHead(response.statusCode ?? 502).end(Buffer.concat(chunks)))
    })
    asked.on('error', () => outgoing.destroy())
    outgoing.on('close', () => asked.destroy())
  })
}

/** A proxy that passes on what fills its buffer, as nginx does. */
function buffering(gateway: string): Server {
  const bufferBytes = 4_096
  return createServer((incoming, outgoing) => {
    const asked = get(`${gateway}${incoming.url}`, (response) => {
      outgoing.writeHead(response.statusCode ?? 502)
      let kept = Buffer.alloc(0)
      response.on('data', (chunk: Buffer) => {
        kept = Buffer.concat([kept, chunk])
        if (kept.length < bufferBytes) return
        outgoing.write(kept)
        kept = Buffer.alloc(0)
      })
      response.on('end', () => outgoing.end(kept))
    })
    asked.on('error', () => outgoing.destroy())
    outgoing.on('close', () => asked.destroy())
  })
}

async function examine(node: string, url: string): Promise<{ readonly code: number | null; readonly of: ReadonlyMap<string, Finding> }> {
  const { code, stdout } = await corral(['doctor', '--port', '0', '--node', node, '--url', url, '--json'])
  const findings: Finding[] = JSON.parse(stdout)
  return { code, of: new Map(findings.map((finding) => [finding.check, finding])) }
}

test('doctor tells a proxy that holds streams back from a way that lets them through', async () => {
  const node = (await startOllama()).url
  const { url } = await serve(['--node', node])
  const direct = await examine(node, url)
  expect([direct.code, direct.of.get('streams')?.status, direct.of.get('context')?.status]).toEqual([0, 'ok', 'ok'])
  const proxied = await examine(node, await listen(holdingBack(url)))
  expect(proxied.code).toBe(1)
  expect(proxied.of.get('streams')).toMatchObject({ status: 'fail', hint: expect.stringContaining('buffering') })
  const inLumps = await examine(node, await listen(buffering(url)))
  expect(inLumps.of.get('streams')).toMatchObject({ status: 'fail', hint: expect.stringContaining('buffering') })
})

test('doctor finds a node that was added by hand and is down, one that only the gateway reaches, and sees one that is well', async () => {
  const node = (await startOllama()).url
  const { url } = await serve(['--node', node])
  const add = async (name: string, at: string): Promise<void> => {
    const body = JSON.stringify({ name, url: at })
    await fetch(`${url}/admin/nodes`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  }
  await add('well', (await startOllama({ version: '0.11.0' })).url)
  const well = await examine(node, url)
  expect([well.code, well.of.get('node well')?.status, well.of.get('versions')?.status]).toEqual([0, 'ok', 'warn'])
  await add('gone', await closedUrl())
  const gone = await examine(node, url)
  expect(gone.code).toBe(1)
  expect(gone.of.get('node gone')).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining('connection refused'),
    hint: expect.stringContaining('ollama serve'),
  })
})

test('what the gateway says of a node counts where it is more than what was seen from here', () => {
  const node = { name: 'a', url: 'http://10.0.0.1:11434', up: true, downReason: null, version: '0.12.3' }
  const report = { name: 'a', url: 'http://10.0.0.1:11434/', reachable: true }
  expect(seenFinding(node, { own: [], reached: [] })).toMatchObject([
    { check: 'node a', status: 'ok', detail: expect.stringContaining('not from') },
  ])
  expect(seenFinding(node, { own: [report], reached: [] })).toEqual([])
  const down = { ...node, up: false, downReason: 'no route' }
  expect(seenFinding(down, { own: [report], reached: [] })).toMatchObject([{ check: 'node a, from the gateway', status: 'fail' }])
  expect(seenFinding(down, { own: [{ ...report, reachable: false }], reached: [] })).toEqual([])
})

test('a gateway in a container that listens on loopback is told; outside of one there is nothing to say', () => {
  expect(containerFindings('127.0.0.1', true)).toMatchObject([{ status: 'warn', hint: expect.stringContaining('CORRAL_HTTP__HOST') }])
  expect(containerFindings('0.0.0.0', true)).toMatchObject([{ status: 'ok' }])
  expect(containerFindings('127.0.0.1', false)).toEqual([])
})

test.each([
  ['corral_last_scrape_timestamp_seconds 1000', 'ok', '30.0s ago'],
  ['corral_last_scrape_timestamp_seconds 900', 'warn', '2m10s ago'],
  ['corral_last_scrape_timestamp_seconds 1.03e3', 'ok', '0ms ago'],
  ['corral_other 1', 'warn', 'no Prometheus'],
] as const)('a scrape is wanted each minute: %s', (scrape, status, words) => {
  expect(scrapedFinding(scrape, 1_030_000)).toMatchObject({ check: 'scrape', status, detail: expect.stringContaining(words) })
})

test('doctor sees that Prometheus reads the gateway, and is not taken for it', async () => {
  const node = (await startOllama()).url
  const { url } = await serve(['--node', node])
  expect((await examine(node, url)).of.get('scrape')?.status).toBe('warn')
  await fetch(`${url}/metrics`, { headers: { 'x-prometheus-scrape-timeout-seconds': '10' } })
  expect((await examine(node, url)).of.get('scrape')?.status).toBe('ok')
})

/** A gateway whose states come at these times, by the clock of the machine. */
function statesAt(timesMs: readonly number[]): Server {
  return createServer((_, outgoing) => {
    outgoing.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    const timers = timesMs.map((atMs) => setTimeout(() => outgoing.write('event: state\ndata: {}\n\n'), atMs))
    outgoing.on('close', () => timers.forEach(clearTimeout))
  })
}

test.each([
  ['that begins just before the tick which all who follow share', [0, 50, 1_050, 2_050], 'ok'],
  ['held back two by two', [0, 1_000, 1_000, 3_000, 3_000], 'fail'],
  ['that ends too early', [0, 1_000], 'fail'],
] as const)('a stream %s is judged by what comes after its first state', async (_, timesMs, status) => {
  expect(await streamFinding(await listen(statesAt(timesMs)))).toMatchObject({ check: 'streams', status })
})

test('doctor takes no other server on the port for a Corral', async () => {
  const node = (await startOllama()).url
  const other = await listen(createServer((_, outgoing) => outgoing.end('<html>welcome</html>')))
  const { stdout } = await corral(['doctor', '--port', new URL(other).port, '--node', node, '--json'])
  const findings: Finding[] = JSON.parse(stdout)
  expect(findings.find(({ check }) => check === 'port')).toMatchObject({ status: 'fail', hint: expect.stringContaining('--port') })
  expect(findings.map(({ check }) => check)).not.toContain('streams')
})

const healthy = { kind: 'database', name: 'postgres', up: true, latencyMs: 1.5, version: '17.2', lastError: null, detail: {} }

test.each([
  ['0.8.1', 'ok'],
  ['1.0.0', 'ok'],
  ['0.7.4', 'warn'],
  [null, 'warn'],
] as const)('pgvector %s is %s', (pgvector, status) => {
  const [database, found] = dependencyFinding({ ...healthy, detail: { pgvector } })
  expect([database?.status, found?.check, found?.status]).toEqual(['ok', 'pgvector', status])
})

test.each(['database', 'redis', 'issuer'])('a %s that is down fails, with what to do', (kind) => {
  const [finding, ...rest] = dependencyFinding({ ...healthy, kind, up: false, lastError: 'connection refused' })
  expect(finding).toMatchObject({ status: 'fail', detail: 'connection refused', hint: expect.stringMatching(/\w{3}/) })
  expect(rest).toEqual([])
})

test('a store that could not be opened is told with why, and what only waits for it sends nobody after a key', async () => {
  const dataDir = createFolder()
  const lock = lockFolder(dataDir, { clock: systemClock, random: Math.random, onLost: () => undefined })
  onTestFinished(() => lock.release())
  const node = (await startOllama()).url
  const { running, url } = await serve(['--node', node, '--set', `store.dataDir=${dataDir}`])
  await running.until(/nothing is kept/)
  const { of } = await examine(node, url)
  expect(of.get('database')).toMatchObject({
    status: 'fail',
    detail: expect.stringContaining(`is in use by process ${process.pid}`),
    hint: expect.stringContaining('store.dataDir'),
  })
  expect(of.get('vectors')).toMatchObject({ status: 'warn', hint: expect.stringContaining('the gateway could not answer') })
  const told = await (await fetch(`${url}/rag/collections`)).text()
  expect(told).toContain('the embedded database is not open')
  expect(told).not.toContain(dataDir)
})

test('prompts that a node cut are named by model and node', () => {
  const head = '# TYPE corral_context_truncated_total counter\n'
  expect(cutFinding(head)).toMatchObject({ check: 'context', status: 'ok' })
  const scrape = `${head}corral_context_truncated_total{model="red:8b",node="a"} 3\ncorral_context_truncated_total{model="m",node="b"} 0\n`
  const { status, detail, hint } = cutFinding(scrape)
  expect([status, detail]).toEqual(['warn', 'prompts were cut by the node: 3 of red:8b on a'])
  expect(hint).toContain('fleet.numCtx')
})

test('a collection whose vectors are not those of its embedder is told; one without vectors or chunks is not asked', async () => {
  const asked: string[] = []
  const settings = { embedder: 'bge-m3:latest' }
  const collections = [
    { name: 'old', chunks: 3, settings },
    { name: 'empty', chunks: 0, settings },
    { name: 'words', chunks: 3, settings: { embedder: null } },
  ]
  const reason = 'old has no vectors of bge-m3:latest as it is now: "corral collections reingest old"'
  const gateway = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`)
    incoming.resume()
    outgoing.end(JSON.stringify(incoming.method === 'GET' ? { collections } : { degraded: true, degradedReason: reason }))
  })
  expect(await vectorFindings(await listen(gateway))).toEqual([
    { check: 'vectors of old', status: 'warn', detail: reason, hint: expect.stringContaining('corral collections reingest old') },
  ])
  expect(asked).toEqual(['GET /rag/collections?limit=50', 'POST /rag/search'])
  const closed = createServer((_, outgoing) => outgoing.writeHead(404).end('{}'))
  expect(await vectorFindings(await listen(closed))).toEqual([])
  const locked = createServer((_, outgoing) => outgoing.writeHead(401).end('{}'))
  expect(await vectorFindings(await listen(locked))).toMatchObject([{ status: 'warn', hint: expect.stringContaining('CORRAL_API_KEY') }])
})

test('a collection that cannot be searched hides none of the others, and what is not looked at is said', async () => {
  const collections = ['first', 'second', 'third'].map((name) => ({ name, chunks: 3, settings: { embedder: 'bge-m3:latest' } }))
  const clock = manualClock()
  const gateway = createServer((incoming, outgoing) => {
    let body = ''
    incoming.on('data', (chunk: Buffer) => (body += chunk.toString()))
    incoming.on('end', () => {
      if (incoming.method === 'GET') return outgoing.end(JSON.stringify({ collections, next: 'more' }))
      if (body.includes('first')) return outgoing.writeHead(503).end('{}')
      clock.advance(60_000)
      return outgoing.end(JSON.stringify({ degradedReason: null }))
    })
  })
  const findings = await vectorFindings(await listen(gateway), clock)
  expect(findings.map(({ check, status, detail }) => [check, status, detail])).toEqual([
    ['vectors of first', 'warn', 'cannot be looked at: /rag/search answered 503'],
    ['vectors of second', 'ok', 'are those of bge-m3:latest as it is now'],
    ['vectors', 'warn', 'not looked at: 1 collections: a minute was up'],
    ['vectors', 'warn', 'not looked at: collections after the first 50'],
  ])
})
