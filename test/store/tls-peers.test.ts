// Where a database and Redis speak TLS, read from what they are connected by, and the certificates that real ones show in a scrape, as issuers of
// tokens and a collector of traces do.
import { chmodSync, copyFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import { identityOptions } from '../../src/identity/options.ts'
import { watchStores } from '../../src/http/health/watched-stores.ts'
import { tlsPeersOf } from '../../src/store/postgres-peer.ts'
import { createRedis } from '../../src/store/redis.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import type { RedisStore } from '../../src/store/redis-store.ts'
import { portOf } from '../cli/ollama.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeObserver, sample, scrapeOf } from '../observe/fixtures.ts'
import { certificateFile, ended, long, startSecureServer } from '../support/certificates.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/gateway.ts'
import { hasPostgres, serverFolder, startPostgres } from '../support/postgres.ts'
import { startPgbouncer } from '../support/postgres-pgbouncer.ts'
import { startRedis } from '../support/redis.ts'
import { postgresOn } from './stores.ts'

test.each([
  ['postgres://u@db.test/d', []],
  ['postgres://u@db.test/d?sslmode=disable', []],
  ['postgres://u@db.test/d?sslmode=verify-full', [{ host: 'db.test', port: 5_432, serverName: 'db.test', opening: 'postgres' }]],
  ['postgres://u@10.0.0.1:6432/d?sslmode=no-verify', [{ host: '10.0.0.1', port: 6_432, serverName: null, opening: 'postgres' }]],
  [
    'postgres://u@db.test/d?sslmode=verify-full&sslnegotiation=direct',
    [{ host: 'db.test', port: 5_432, serverName: 'db.test', opening: 'tls', protocol: 'postgresql' }],
  ],
])('%s leads to %j', (url, peers) => {
  expect(tlsPeersOf(url)).toEqual(peers)
})

function redisOn(url: string): RedisStore {
  const options = redisOptions.parse({ url, caFile: certificateFile('ca.pem'), commandTimeoutMs: 1_000 })
  const store = createRedis(options, { clock: systemClock, random: () => 0.5 })
  onTestFinished(() => store.close())
  return store
}

test('Redis is looked at where it is spoken to by TLS, one behind Sentinels once it is known', () => {
  const peer = { host: 'cache.test', port: 6_379, serverName: null, opening: 'tls' }
  expect(redisOn('rediss://cache.test').tlsPeers()).toEqual([peer])
  expect(redisOn('redis://cache.test').tlsPeers()).toEqual([])
  expect(redisOn('redis+cluster://cache.test').tlsPeers()).toEqual([])
  expect(redisOn('rediss+sentinel://sentinel.test/main').tlsPeers()).toEqual([])
})

interface Measured {
  readonly database?: OpenableDatabase
  readonly redis?: RedisStore
  readonly jwksUrls?: readonly string[]
  readonly collectorUrl?: string
}

/** What a scrape says of the certificates of these. */
function measure({ database, redis, jwksUrls = [], collectorUrl }: Measured, clock: Clock = systemClock) {
  const { metrics } = makeObserver().observer
  const issuers = jwksUrls.map((jwksUrl, index) => ({ issuer: `https://issuer-${index}.test`, audience: ['corral'], jwksUrl }))
  const identity = { issuers: () => [], keyEnds: () => null, options: identityOptions.parse({ issuers }) }
  const stores = { database: database ?? null, redis: redis ?? null }
  const { watch } = watchStores({ stores, identity: () => identity, collectorUrl: collectorUrl ?? null, metrics, clock, random: () => 0 })
  watch.start()
  onTestFinished(() => watch.stop())
  return async (dependency: string): Promise<(number | null)[]> => {
    const text = await scrapeOf({ metrics })
    const name = 'corral_dependency_certificate'
    return ['expiry_timestamp_seconds', 'lifetime_seconds'].map((what) => sample(text, `${name}_${what}{dependency="${dependency}"}`))
  }
}

const inSeconds = ({ fromWallMs, untilWallMs }: typeof long): number[] => [untilWallMs / 1_000, (untilWallMs - fromWallMs) / 1_000]

/** A real Redis that speaks TLS; its port. */
async function startSecureRedis(): Promise<number> {
  const port = await freePort()
  const files = { 'cert-file': 'node.pem', 'key-file': 'node-key.pem', 'ca-cert-file': 'ca.pem' }
  const shown = Object.entries(files).flatMap(([key, name]) => [`--tls-${key}`, certificateFile(name)])
  await startRedis({ arguments: ['--tls-port', String(port), '--tls-auth-clients', 'no', ...shown] })
  return port
}

/** A Sentinel as far as it is asked here: it knows the primary on this port. Its own port. */
async function startSentinel(primaryPort: number): Promise<number> {
  const text = (word: string): string => `$${word.length}\r\n${word}\r\n`
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (commands) => {
      for (const command of commands
        .toString()
        .split(/^\*\d+$/m)
        .slice(1)) {
        if (command.includes('get-master-addr-by-name')) socket.write(`*2\r\n${text('127.0.0.1')}${text(String(primaryPort))}`)
        else socket.write(command.includes('hello') ? '%0\r\n' : '*0\r\n')
      }
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => void server.close())
  return portOf(server)
}

test.each(['directly', 'behind a Sentinel'])('the certificate of a real Redis %s is measured', async (way) => {
  const port = await startSecureRedis()
  const sentinel = `rediss+sentinel://127.0.0.1:${await startSentinel(port)}/main`
  const redis = redisOn(way === 'directly' ? `rediss://127.0.0.1:${port}` : sentinel)
  redis.start()
  await until(() => redis.state === 'up', 'Redis is up')
  expect(redis.tlsPeers()).toEqual([{ host: '127.0.0.1', port, serverName: null, opening: 'tls' }])
  const measured = measure({ redis })
  await expect.poll(() => measured('redis')).toEqual(inSeconds(long))
})

test('the certificate of a Redis behind a Sentinel that is up only after the first look is measured half a minute later', async () => {
  const port = await startSecureRedis()
  const redis = redisOn(`rediss+sentinel://127.0.0.1:${await startSentinel(port)}/main`)
  const clock = manualClock()
  const measured = measure({ redis }, clock)
  redis.start()
  await until(() => redis.state === 'up', 'Redis is up')
  expect(await measured('redis')).toEqual([null, null])
  clock.advance(30_000)
  await expect.poll(() => measured('redis')).toEqual(inSeconds(long))
})

/** Copies of test/data/tls that a server of another user can read. */
function readable(...names: readonly string[]): string[] {
  const folder = serverFolder('tls')
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return names.map((name) => {
    const file = join(folder, name)
    copyFileSync(certificateFile(name), file)
    chmodSync(file, 0o644)
    return file
  })
}

test.runIf(hasPostgres())('the certificate of a real PgBouncer is measured', async () => {
  const postgres = await startPostgres()
  onTestFinished(() => postgres.remove())
  const [cert = '', key = ''] = readable('ended.pem', 'node-key.pem')
  const tls = { client_tls_sslmode: 'require', client_tls_cert_file: cert, client_tls_key_file: key }
  const pgbouncer = await startPgbouncer(postgres, tls)
  onTestFinished(() => pgbouncer.remove())
  const database = postgresOn(`${pgbouncer.through(await postgres.createDatabase())}?sslmode=no-verify`)
  onTestFinished(() => database.close())
  await database.tx('system', ({ query }) => query('select 1'))
  const measured = measure({ database })
  await expect.poll(() => measured('database')).toEqual(inSeconds(ended))
})

test('what is reached without TLS is not measured', async () => {
  const { url } = await startRedis()
  const redis = redisOn(url)
  redis.start()
  await until(() => redis.state === 'up', 'Redis is up')
  expect(await measure({ redis })('redis')).toEqual([null, null])
})

test('of the issuers of tokens the certificate that ends first is measured, and that of the collector of traces', async () => {
  const [lasting, over] = [await startSecureServer('node.pem'), await startSecureServer('ended.pem')]
  const measured = measure({
    jwksUrls: [`${lasting}/jwks`, `${over}/jwks`, 'http://127.0.0.1:9/jwks'],
    collectorUrl: `${lasting}/v1/traces`,
  })
  await expect.poll(() => measured('issuers')).toEqual(inSeconds(ended))
  await expect.poll(() => measured('collector')).toEqual(inSeconds(long))
  expect(await measured('redis')).toEqual([null, null])
})

test('issuers and a collector on this machine without TLS are not measured', async () => {
  const measured = measure({ jwksUrls: ['http://127.0.0.1:9/jwks'], collectorUrl: 'http://127.0.0.1:4318' })
  expect([await measured('issuers'), await measured('collector')]).toEqual([
    [null, null],
    [null, null],
  ])
})
