/** `check` and `doctor`: the nodes looked at without a gateway. */
import { createServer } from 'node:net'

import { expect, test } from 'vitest'

import { driftFindings, loopFindings, reachHint } from '../../src/cli/doctor-nodes.ts'
import { certificateFinding } from '../../src/cli/doctor-certificates.ts'
import type { NodeReport } from '../../src/cli/node-probe.ts'
import { certificateFile, startSecureServer } from '../support/certificates.ts'
import { startGateway } from '../support/gateway.ts'
import { corral } from './corral.ts'
import { closedUrl, portOf, startOllama } from './ollama.ts'

test('check is 0 when all nodes answer, 1 when some or none do', async () => {
  const [up, down] = [(await startOllama()).url, await closedUrl()]
  const all = await corral(['check', '--node', up])
  expect([all.code, all.stdout]).toEqual([0, expect.stringMatching(/ok +0\.12\.3 {2}1 model\n$/)])
  const some = await corral(['check', '--node', up, '--node', down, '--json'])
  expect([some.code, JSON.parse(some.stdout)]).toEqual([
    1,
    {
      config: null,
      nodes: [expect.objectContaining({ reachable: true }), expect.objectContaining({ reachable: false, reason: 'connection refused' })],
    },
  ])
  const none = await corral(['check', '--node', down])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('1 of 1 nodes failed')])
})

test('check sends the headers of a node', async () => {
  const node = await startOllama()
  await corral(['check', '--node', node.url, '--set', 'fleet.nodes[0].headers={"x-team":"t"}'])
  expect(node.seen.map((headers) => headers['x-team'])).toEqual(['t', 't'])
})

test('check is 2 for a configuration with problems', async () => {
  expect((await corral(['check', '--set', 'http.prot=1'])).code).toBe(2)
})

test('doctor finds a node that is down, drift and a taken port, each with a hint', async () => {
  const a = await startOllama({ models: { 'm:latest': '1'.repeat(64) } })
  const b = await startOllama({ models: { 'm:latest': '2'.repeat(64) }, version: '0.11.0' })
  const server = createServer()
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const port = portOf(server)
  const args = ['doctor', '--port', String(port), '--node', a.url, '--node', b.url, '--node', await closedUrl()]
  const text = await corral(args)
  const json = await corral([...args, '--json'])
  server.close()
  expect([text.code, json.code]).toEqual([1, 1])
  expect(text.stdout).toMatch(/fail {2}port .*\n +-> /)
  expect(JSON.parse(json.stdout)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ check: 'port', status: 'fail', detail: `127.0.0.1:${port} cannot be bound (EADDRINUSE)` }),
      expect.objectContaining({ check: 'versions', status: 'warn' }),
      expect.objectContaining({ check: 'drift', status: 'warn', detail: expect.stringMatching(/^m:latest: 1{12} on .*; 2{12} on /) }),
      expect.objectContaining({ status: 'fail', hint: expect.stringContaining('start it with "ollama serve"') }),
    ]),
  )
})

test('doctor looks at clocks, at Node, at the open files and at the room for the store, and says what to do', async () => {
  const ahead = await startOllama({ clockAheadSeconds: 600 })
  const exact = await startOllama()
  interface Found {
    readonly check: string
    readonly status: string
    readonly detail: string
    readonly hint?: string
  }
  const examine = async (...args: string[]): Promise<ReadonlyMap<string, Found>> => {
    const findings: Found[] = JSON.parse((await corral(['doctor', '--port', '0', ...args, '--json'])).stdout)
    return new Map(findings.map((finding) => [finding.check, finding]))
  }
  const well = await examine('--node', exact.url, '--set', 'http.connectionsMax=10')
  expect(['node', 'clock', 'open files'].map((check) => well.get(check)?.status)).toEqual(['ok', 'ok', 'ok'])
  // What /proc has is a file system without any room.
  const ill = await examine('--node', ahead.url, '--set', 'http.connectionsMax=1000000', '--set', 'store.dataDir=/proc/corral')
  expect(ill.get('clock')).toMatchObject({
    status: 'warn',
    detail: expect.stringMatching(/ (59\d|60\d) s ahead$/),
    hint: expect.stringContaining('NTP'),
  })
  expect(ill.get('open files')).toMatchObject({ status: 'warn', hint: expect.stringMatching(/^raise it \(ulimit -n \d+\)/) })
  expect(ill.get('disk')).toMatchObject({
    status: 'warn',
    detail: '0.0 GiB free at /proc/corral',
    hint: expect.stringContaining('store.dataDir'),
  })
})

test('doctor is 0 when all is well and 1 when a node fails', async () => {
  const { url } = await startOllama()
  expect((await corral(['doctor', '--port', '0', '--node', url])).code).toBe(0)
  expect((await corral(['doctor', '--port', '0', '--node', url, '--node', await closedUrl()])).code).toBe(1)
})

test('doctor reports every problem of a configuration and is 2', async () => {
  const { code, stdout } = await corral(['doctor', '--set', 'http.prot=1', '--set', 'fleet.polcy=x'])
  expect([code, stdout.match(/^fail {2}config/gm)?.length]).toEqual([2, 2])
})

test.each([
  ['https://a', 'self-signed certificate (DEPTH_ZERO_SELF_SIGNED_CERT)', /caFile/],
  ['https://a', 'certificate has expired (CERT_HAS_EXPIRED)', /^renew it/],
  ['https://a', 'GET /api/version answered 401', /authorizationFile/],
  ['http://a', 'GET /api/version answered 404', /something else listens there/],
  ['http://127.0.0.1:1', 'connection refused', /ollama serve/],
  ['http://10.0.0.1:1', 'connection refused', /OLLAMA_HOST=0\.0\.0\.0/],
  ['http://localhost.lan:1', 'connection refused', /OLLAMA_HOST=0\.0\.0\.0/],
])('the hint for %s failing with %j fits', (url, reason, hint) => {
  expect(reachHint(url, reason)).toMatch(hint)
})

test('equal digests are no drift', () => {
  const report = (name: string, digest: string): NodeReport => {
    return {
      name,
      url: '',
      reachable: true,
      reason: null,
      version: '1',
      models: { m: digest },
      tookMs: 1,
      clockAheadMs: 0,
      certificate: null,
    }
  }
  expect(driftFindings([report('a', '1'), report('b', '1')])).toEqual([])
  expect(driftFindings([report('a', '1'), report('b', '2')]).map(({ check }) => check)).toEqual(['drift'])
})

test('doctor finds a node that is a Corral itself, and none where Ollama answers', async () => {
  const gateway = await startGateway({ nodes: 1 })
  const ollama = gateway.sims[0]?.url ?? ''
  const found = await loopFindings([
    { name: 'self', url: gateway.url, reachable: true },
    { name: 'good', url: ollama, reachable: true },
    { name: 'away', url: gateway.url, reachable: false },
  ])
  expect(found).toEqual([expect.objectContaining({ check: 'loop self', status: 'fail', hint: expect.stringContaining('OLLAMA_HOST') })])
})

/** A simulated node's answers over TLS; its URL. */
const secureNode = (certificateName: string): Promise<string> =>
  startSecureServer(certificateName, { '/api/version': { version: '0.33.0' }, '/api/tags': { models: [] } })

test('doctor tells of https nodes until when their certificates hold', async () => {
  const [good, bad] = [await secureNode('node.pem'), await secureNode('ended.pem')]
  const nodes = [
    { url: good, name: 'good', caFile: certificateFile('ca.pem') },
    { url: bad, name: 'bad', caFile: certificateFile('ended.pem') },
    { url: (await startOllama()).url, name: 'plain' },
  ]
  const { code, stdout } = await corral(['doctor', '--port', '0', '--set', `fleet.nodes=${JSON.stringify(nodes)}`, '--json'])
  expect(code).toBe(1)
  const findings: { check: string }[] = JSON.parse(stdout)
  expect(findings.filter(({ check }) => check.startsWith('certificate'))).toEqual([
    { check: 'certificate good', status: 'ok', detail: expect.stringMatching(/^holds until 2120-01-01 00:00 UTC, \d+ d more$/) },
    {
      check: 'certificate bad',
      status: 'fail',
      detail: expect.stringMatching(/^ended at 2021-01-01 00:00 UTC, \d+ d ago$/),
      hint: expect.stringContaining('renew it'),
    },
  ])
  expect(findings.find(({ check }) => check === 'node bad')).toMatchObject({ status: 'fail', hint: expect.stringContaining('renew it') })
})

test('doctor tells of issuers of tokens and of the collector of traces until when their certificates hold', async () => {
  const [good, bad] = [await startSecureServer('node.pem'), await startSecureServer('ended.pem')]
  const issuer = (name: string, url: string) => ({ issuer: `https://${name}.test`, audience: ['corral'], jwksUrl: `${url}/jwks` })
  const away = `https://127.0.0.1:${new URL(await closedUrl()).port}`
  const issuers = [issuer('good', good), issuer('away', away), issuer('plain', 'http://127.0.0.1:9')]
  const settings = [`identity.issuers=${JSON.stringify(issuers)}`, `observe.trace.endpoint=${bad}`]
  const { stdout } = await corral(['doctor', '--port', '0', ...settings.flatMap((each) => ['--set', each]), '--json'])
  const findings: { check: string }[] = JSON.parse(stdout)
  expect(findings.filter(({ check }) => check.startsWith('certificate'))).toEqual([
    { check: 'certificate issuer https://good.test', status: 'ok', detail: expect.stringMatching(/^holds until 2120-01-01 00:00 UTC/) },
    {
      check: 'certificate issuer https://away.test',
      status: 'warn',
      detail: expect.stringMatching(/^none to be seen at 127\.0\.0\.1:\d+: .*ECONNREFUSED/),
      hint: expect.stringContaining('reachable'),
    },
    {
      check: 'certificate collector',
      status: 'fail',
      detail: expect.stringMatching(/^ended at 2021-01-01 00:00 UTC/),
      hint: expect.stringContaining('where TLS ends there'),
    },
  ])
})

test.each([
  [90, 8 * 24, 'ok', 'holds until 2026-12-01 00:00 UTC, 8 d more'],
  [90, 6 * 24, 'warn', 'holds until 2026-12-01 00:00 UTC, 6 d more'],
  [0.5, 5, 'ok', 'holds until 2026-12-01 00:00 UTC, 5 h more'],
  [0.5, 2, 'warn', 'holds until 2026-12-01 00:00 UTC, 2 h more'],
  [90, 0, 'fail', 'ended at 2026-12-01 00:00 UTC, 0 h ago'],
])('a certificate made for %d days with %d hours left is %s', (lifeDays, leftHours, status, detail) => {
  const untilWallMs = Date.UTC(2026, 11, 1)
  const report = { name: 'a', certificate: { fromWallMs: untilWallMs - lifeDays * 86_400_000, untilWallMs } }
  const found = certificateFinding(report, untilWallMs - leftHours * 3_600_000)
  expect(found).toEqual([
    { check: 'certificate a', status, detail, ...(status === 'ok' ? {} : { hint: expect.stringContaining('renew it') }) },
  ])
})
