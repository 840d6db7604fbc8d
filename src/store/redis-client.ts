/**
 * The one place that makes ioredis clients, with settings that fail fast: no offline queue, no resending, one timeout per command,
 * reconnecting for ever at most 500 ms apart (ioredis 6 alone waits up to 5 s and retries 20 times: reliability-security.md §6.5).
 * An answer READONLY means that the primary has moved: the connection is made anew.
 */
import { readFileSync } from 'node:fs'

import { Cluster, Redis } from 'ioredis'

import type { TlsPeer } from '../base/certificate.ts'
import type { Clock } from '../base/clock.ts'
import type { RedisAddress } from './redis-address.ts'
import type { RedisOptions } from './redis-options.ts'

export interface RedisClient {
  call(name: string, values: readonly (string | number | Buffer)[]): Promise<unknown>
  callBuffer(name: string, values: readonly (string | number | Buffer)[]): Promise<unknown>
  subscribe(channel: string): Promise<unknown>
  unsubscribe(channel: string): Promise<unknown>
  /** Commands sent whose answer is outstanding, timed-out ones included; null when it cannot be told (cluster). */
  readonly unanswered: number | null
  /** Starts connecting; failures are retried without end. */
  connect(): void
  /** Drops the connection, and what is unanswered on it, and makes a new one. */
  reconnect(): void
  close(): void
  /** Where the servers speak TLS, as far as they are known; empty: they do not. */
  tlsPeers(): readonly TlsPeer[]
  onReady(listener: () => void): void
  /** The connection is gone, or did not come about. */
  onLost(listener: (cause: string | null) => void): void
  onMessage(listener: (channel: string, message: string) => void): void
}

interface ClientDeps {
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
}

const reconnectMsMax = 500
const reconnectMsMin = 50
const keepAliveMs = 10_000
/**
 * For the commands of the handshake. Those of callers end by `redis-deadline.ts` long before: this one fires before the socket is read,
 * so a process that was busy for as long would take an answered command for a lost one.
 */
const handshakeMs = 1_000
const handshakePatience = 4

/** Delay before attempt `attempt` (from 1), with up to a third of jitter, never above 500 ms. */
export function reconnectDelayMs(attempt: number, random: () => number): number {
  const baseMs = Math.min(reconnectMsMin * 2 ** Math.min(attempt - 1, 8), reconnectMsMax)
  return Math.round(baseMs * (1 - random() / 3))
}

/** A client that is not connected yet. Throws when `caFile` cannot be read. */
export function createRedisClient(address: RedisAddress, options: RedisOptions, { clock, random }: ClientDeps): RedisClient {
  const retryStrategy = (attempt: number): number => reconnectDelayMs(attempt, random)
  const common = {
    username: address.username ?? undefined,
    password: address.password ?? undefined,
    commandTimeout: Math.max(handshakeMs, options.commandTimeoutMs * handshakePatience),
    connectTimeout: options.connectTimeoutMs,
    keepAlive: keepAliveMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    enableOfflineQueue: false,
    disableClientInfo: true,
    lazyConnect: true,
    reconnectOnError: onceReadOnly(clock),
    tls: address.encrypted ? { ca: options.caFile === undefined ? undefined : readFileSync(options.caFile) } : undefined,
  }
  if (address.kind === 'cluster') {
    const cluster = new Cluster([...address.hosts], {
      clusterRetryStrategy: retryStrategy,
      enableOfflineQueue: false,
      lazyConnect: true,
      slotsRefreshTimeout: options.connectTimeoutMs,
      maxRedirections: 4,
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      retryDelayOnTryAgain: 0,
      redisOptions: common,
    })
    const nodesOf = (): Place[] => cluster.nodes().map(({ options: { host, port } }) => ({ host, port }))
    return wrap(cluster, { unanswered: () => null, places: address.encrypted ? nodesOf : nowhere })
  }
  const [first] = address.hosts
  const place =
    address.kind === 'sentinel'
      ? {
          sentinels: [...address.hosts],
          name: address.primary,
          sentinelPassword: address.password ?? undefined,
          sentinelRetryStrategy: retryStrategy,
          sentinelCommandTimeout: options.connectTimeoutMs,
          enableTLSForSentinelMode: address.encrypted,
        }
      : (first ?? {})
  const single = new Redis({ ...common, ...place, db: address.database, retryStrategy })
  // Sentinels are asked without TLS; the primary that they name is known once it is connected.
  const primary = (): Place[] => [{ host: single.stream?.remoteAddress, port: single.stream?.remotePort }]
  const places = address.kind === 'sentinel' ? primary : (): readonly Place[] => address.hosts
  return wrap(single, { unanswered: () => queueLength(single), places: address.encrypted ? places : nowhere })
}

/** Where a server is, as far as it is known. */
interface Place {
  readonly host?: string | undefined
  readonly port?: number | undefined
}

const nowhere = (): readonly Place[] => []

/** ioredis asks for no name. */
function toTlsPeer({ host, port }: Place): TlsPeer[] {
  return host === undefined || port === undefined ? [] : [{ host, port, serverName: null, opening: 'tls' }]
}

/** Tells a primary that became a replica, once per second: each of the commands under way gets the same answer. */
function onceReadOnly(clock: Clock): (error: Error) => boolean {
  let last = Number.NEGATIVE_INFINITY
  return ({ message }) => {
    const now = clock.nowMs()
    if (!message.includes('READONLY') || now - last < 1_000) return false
    last = now
    return true
  }
}

/** ioredis keeps its sent commands in `commandQueue` (a Denque), which its types do not show. */
function queueLength(client: object): number | null {
  if (!('commandQueue' in client)) return null
  const queue = client.commandQueue
  return typeof queue === 'object' && queue !== null && 'length' in queue && typeof queue.length === 'number' ? queue.length : null
}

interface Looks {
  readonly unanswered: () => number | null
  /** The servers that are spoken to by TLS. */
  readonly places: () => readonly Place[]
}

function wrap(client: Redis | Cluster, { unanswered, places }: Looks): RedisClient {
  let lastError: string | null = null
  client.on('error', (error: Error) => {
    lastError = error.message
  })
  return {
    call: (name, values) => client.call(name, ...values),
    callBuffer: (name, values) => client.callBuffer(name, ...values),
    subscribe: (channel) => client.subscribe(channel),
    unsubscribe: (channel) => client.unsubscribe(channel),
    get unanswered() {
      return unanswered()
    },
    connect() {
      client.connect().catch(ignoreRetried)
    },
    reconnect() {
      client.disconnect(true)
    },
    close() {
      client.disconnect()
    },
    tlsPeers: () => places().flatMap(toTlsPeer),
    onReady(listener) {
      client.on('ready', () => {
        lastError = null
        listener()
      })
    },
    onLost(listener) {
      client.on('close', () => listener(lastError))
    },
    onMessage(listener) {
      client.on('message', listener)
    },
  }
}

/** The first attempt's failure: it is retried like any other and reported by `onLost`. */
function ignoreRetried(): void {}
