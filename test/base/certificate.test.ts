// How long a certificate holds, seen by a handshake with real servers: renewed ones, ended ones, Postgres' own way into TLS, and servers that say nothing.
import { createServer, type Server, type Socket } from 'node:net'
import { connect, createServer as createSecureServer, type Server as SecureServer, TLSSocket } from 'node:tls'

import { expect, onTestFinished, test } from 'vitest'

import { isOverdue, readValidity, serverNameOf, type TlsPeer } from '../../src/base/certificate.ts'
import { CertificateWatch } from '../../src/base/certificate-watch.ts'
import { systemClock } from '../../src/base/clock.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { portOf } from '../cli/ollama.ts'
import { certificate, ended, long } from '../support/certificates.ts'

async function listening(server: Server): Promise<TlsPeer> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => undefined)))
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { host: '127.0.0.1', port: portOf(server), serverName: null, opening: 'tls' }
}

const secureServer = (name: string): SecureServer => createSecureServer(certificate(name), (socket) => socket.resume())

const look = (peer: TlsPeer, timeoutMs = 5_000) => readValidity(peer, { clock: systemClock, timeoutMs })

/** A server that asks for TLS as Postgres does. `answer`: what it says to the request. */
function postgresLike(answer: string): Server {
  return createServer((socket) => {
    socket.once('data', (request) => {
      expect(request.toString('hex')).toBe('0000000804d2162f')
      socket.write(answer)
      if (answer !== 'S') return
      const secure = new TLSSocket(socket, { isServer: true, ...certificate('node.pem') })
      secure.on('error', () => undefined).resume()
    })
  })
}

test('tells when a certificate begins and ends, also one that nobody may trust any more', async () => {
  expect(await look(await listening(secureServer('node.pem')))).toEqual(long)
  expect(await look(await listening(secureServer('ended.pem')))).toEqual(ended)
})

test('asks for the name of a host, and for none where there is an address', async () => {
  const asked: string[] = []
  const server = createSecureServer({
    ...certificate('node.pem'),
    SNICallback(name, done) {
      asked.push(name)
      done(null)
    },
  })
  const peer = await listening(server)
  await look(peer)
  await look({ ...peer, serverName: 'node.test' })
  expect(asked).toEqual(['node.test'])
  expect(['10.0.0.1', '::1', 'node.test'].map(serverNameOf)).toEqual([null, null, 'node.test'])
})

test('asks Postgres for TLS first, and tells of one that has none', async () => {
  const opening = 'postgres'
  expect(await look({ ...(await listening(postgresLike('S'))), opening })).toEqual(long)
  await expect(look({ ...(await listening(postgresLike('N'))), opening })).rejects.toThrow('does not speak TLS')
})

test('a server that is away, says nothing, hangs up or speaks no TLS is told of in time', async () => {
  const silent = await listening(createServer())
  await expect(look(silent, 20)).rejects.toThrow('no TLS handshake within 20 ms')
  await expect(look({ ...silent, opening: 'postgres' }, 20)).rejects.toThrow('no TLS handshake within 20 ms')
  await expect(look(await listening(createServer((socket) => socket.end())))).rejects.toThrow(/closed|disconnected|reset/i)
  await expect(look(await listening(createServer((socket) => socket.end('220 hello\r\n'))))).rejects.toThrow(/wrong version|packet/i)
  const closed = createServer()
  const peer = await listening(closed)
  await new Promise((resolve) => void closed.close(resolve))
  await expect(look(peer)).rejects.toThrow('ECONNREFUSED')
})

test('leaves no connection open', async () => {
  const server = secureServer('node.pem')
  const peer = await listening(server)
  await look(peer)
  const open = () =>
    new Promise<number>((resolve, reject) => server.getConnections((error, count) => (error ? reject(error) : resolve(count))))
  await expect.poll(open).toBe(0)
})

/** A watch on these servers, and its clock. */
function watch(...peers: readonly TlsPeer[]) {
  const clock = manualClock()
  const made = new CertificateWatch({ peers: () => peers, clock, random: () => 0 })
  onTestFinished(() => made.stop())
  return { clock, made }
}

const everyMs = 600_000
const retryMs = 30_000

test('a renewed certificate is seen although a connection of before is kept', async () => {
  const server = secureServer('ended.pem')
  const peer = await listening(server)
  const kept = connect({ host: peer.host, port: peer.port, rejectUnauthorized: false })
  await new Promise((resolve) => kept.once('secureConnect', resolve))
  const { clock, made } = watch(peer)
  expect(made.validity).toBe(null)
  made.look()
  await expect.poll(() => made.validity).toEqual(ended)
  server.setSecureContext(certificate('node.pem'))
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(everyMs - 1)
  expect(clock.pending).toBe(1)
  clock.advance(1)
  await expect.poll(() => made.validity).toEqual(long)
  expect(kept.getPeerX509Certificate()?.validToDate.getTime()).toBe(ended.untilWallMs)
  kept.destroy()
})

test('the certificate that ends first counts, and a server that is away changes nothing', async () => {
  const [one, other] = [secureServer('node.pem'), secureServer('ended.pem')]
  const { clock, made } = watch(await listening(one), await listening(other))
  made.look()
  await expect.poll(() => made.validity).toEqual(ended)
  await expect.poll(() => clock.pending).toBe(1)
  await Promise.all([one, other].map((server) => new Promise((resolve) => void server.close(resolve))))
  clock.advance(everyMs)
  await expect.poll(() => clock.pending).toBe(1)
  expect(made.validity).toEqual(ended)
})

test('there is one look at a time, and none after the end', async () => {
  let looks = 0
  let hungUp = 0
  const server = createServer((socket) => {
    looks += 1
    socket.resume().on('close', () => (hungUp += 1))
  })
  const { clock, made } = watch(await listening(server))
  made.look()
  made.look()
  await expect.poll(() => looks).toBe(1)
  made.stop()
  await expect.poll(() => hungUp).toBe(1)
  clock.advance(everyMs)
  made.look()
  expect([looks, clock.pending]).toEqual([1, 0])
})

test('who cannot say where its servers are is asked again', async () => {
  const clock = manualClock()
  let asked = 0
  const made = new CertificateWatch({
    peers() {
      asked += 1
      throw new Error('no such file')
    },
    clock,
    random: () => 0,
  })
  made.look()
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(retryMs - 1)
  expect(asked).toBe(1)
  clock.advance(1)
  await expect.poll(() => asked).toBe(2)
  made.stop()
})

test('a server that becomes known after the first look is seen half a minute later, and then every ten minutes', async () => {
  const peer = await listening(secureServer('node.pem'))
  const clock = manualClock()
  const known: TlsPeer[] = []
  const made = new CertificateWatch({ peers: () => known, clock, random: () => 0 })
  onTestFinished(() => made.stop())
  made.look()
  await expect.poll(() => clock.pending).toBe(1)
  known.push(peer)
  clock.advance(retryMs)
  await expect.poll(() => made.validity).toEqual(long)
  await expect.poll(() => clock.pending).toBe(1)
  clock.advance(everyMs - 1)
  expect(clock.pending).toBe(1)
})

const dayMs = 86_400_000

test.each([
  ['90 days with 8 left', 90, 8, false],
  ['90 days with 6 left', 90, 6, true],
  ['6 days with 3 left', 6, 3, false],
  ['6 days with 1 left', 6, 1, true],
  ['half a day with 5 hours left', 0.5, 5 / 24, false],
  ['half a day with 2 hours left', 0.5, 2 / 24, true],
  ['one that has ended', 90, -1, true],
])('a certificate of %s is overdue: %#', (_, lifeDays, leftDays, overdue) => {
  const untilWallMs = 1_000 * dayMs
  const validity = { fromWallMs: untilWallMs - lifeDays * dayMs, untilWallMs }
  expect(isOverdue(validity, untilWallMs - leftDays * dayMs)).toBe(overdue)
})
