/**
 * How long the certificate of a TLS server holds, read by a handshake of its own that says nothing else. Connections that carry
 * requests would tell of the past: they live for days, and a resumed session shows the certificate of its first handshake, so one
 * that was renewed would look old for as long as they live. The certificate is not checked here, so that one that has ended already can
 * be told of; whoever sends something over such a connection checks it.
 *
 * Of a chain only the server's own counts: an authority's may end while clients find another way up (blackbox_exporter has two metrics for it).
 */
import { connect as connectPlain, isIP, type Socket } from 'node:net'
import { connect as connectSecure } from 'node:tls'

import type { Clock } from './clock.ts'

/** When a certificate begins and ends to hold, epoch milliseconds. */
export interface Validity {
  readonly fromWallMs: number
  readonly untilWallMs: number
}

/** Where somebody speaks TLS. */
export interface TlsPeer {
  readonly host: string
  readonly port: number
  /** The name asked for (SNI); null: none, as where `host` is an address. */
  readonly serverName: string | null
  /** `postgres`: TLS begins once it was asked for in Postgres' own way. */
  readonly opening: 'tls' | 'postgres'
  /** What will be spoken (ALPN), where the server wants to know; left out: nothing is said. */
  readonly protocol?: string
}

export interface LookOptions {
  readonly clock: Clock
  readonly timeoutMs: number
  /** Ends the look. */
  readonly signal?: AbortSignal
}

const dayMs = 86_400_000
/** A certificate should have been renewed when less than this is left, or less than a share of its life: some live for hours. */
export const renewal = { leftMs: 7 * dayMs, lifeShare: 1 / 4 }

/** Whether it should have been renewed by now. */
export function isOverdue({ fromWallMs, untilWallMs }: Validity, nowWallMs: number): boolean {
  return untilWallMs - nowWallMs < Math.min(renewal.leftMs, (untilWallMs - fromWallMs) * renewal.lifeShare)
}

/** What asks for TLS in the protocol of Postgres (SSLRequest, section 54.7 of its manual), and the byte that grants it. */
const postgresRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const postgresGrant = 'S'

/** `host` as a name to ask for; null for an address, which is no name (RFC 6066 §3). */
export function serverNameOf(host: string): string | null {
  return isIP(host) === 0 ? host : null
}

const httpsPort = 443

/** Where `url` speaks TLS; null: it does not, as it is not https. */
export function tlsPeerOf(url: string): TlsPeer | null {
  const { protocol, hostname, port } = new URL(url)
  if (protocol !== 'https:') return null
  // An address stands in brackets there, and without them everywhere else.
  const host = hostname.replace(/^\[|\]$/g, '')
  return { host, port: port === '' ? httpsPort : Number(port), serverName: serverNameOf(host), opening: 'tls' }
}

/** How long the certificate that `peer` shows now holds. Rejects when there is no handshake in time. */
export function readValidity(peer: TlsPeer, { clock, timeoutMs, signal }: LookOptions): Promise<Validity> {
  const { promise, resolve, reject } = Promise.withResolvers<Validity>()
  const socket = connectPlain({ host: peer.host, port: peer.port, signal })
  const timer = clock.after(timeoutMs, () => {
    reject(new Error(`no TLS handshake within ${timeoutMs} ms`))
    socket.destroy()
  })
  socket.on('error', reject)
  socket.once('close', () => {
    timer.cancel()
    reject(new Error('the connection was closed before the TLS handshake'))
  })
  socket.once('connect', () => {
    if (peer.opening === 'tls') shakeHands(socket, peer, { resolve, reject })
    else askPostgres(socket, reject, () => shakeHands(socket, peer, { resolve, reject }))
  })
  return promise
}

interface Settle {
  readonly resolve: (validity: Validity) => void
  readonly reject: (error: Error) => void
}

function askPostgres(socket: Socket, reject: Settle['reject'], goOn: () => void): void {
  socket.once('data', (answer) => {
    if (answer.toString('latin1') === postgresGrant) return goOn()
    reject(new Error('the database server does not speak TLS'))
    socket.destroy()
  })
  socket.write(postgresRequest)
}

function shakeHands(socket: Socket, { serverName, protocol }: TlsPeer, { resolve, reject }: Settle): void {
  const secure = connectSecure({
    socket,
    rejectUnauthorized: false,
    ...(serverName === null ? {} : { servername: serverName }),
    ...(protocol === undefined ? {} : { ALPNProtocols: [protocol] }),
  })
  secure.on('error', (error) => {
    reject(error)
    socket.destroy()
  })
  secure.once('secureConnect', () => {
    const shown = secure.getPeerX509Certificate()
    if (shown === undefined) reject(new Error('the server shows no certificate'))
    else resolve({ fromWallMs: shown.validFromDate.getTime(), untilWallMs: shown.validToDate.getTime() })
    // With a goodbye: a server would log a connection that breaks off.
    secure.resume().end()
  })
}
