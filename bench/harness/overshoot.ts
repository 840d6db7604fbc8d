/**
 * More requests than a limit allows, over several replicas at once, each with a driver of its own. What is held against the limit
 * is what reached the nodes: a bucket of one minute starts full, so a run of T ms may take limit × (1 + T ÷ 60,000).
 */
import { systemClock } from '../../src/base/clock.ts'
import type { LoadWindow } from './load-spec.ts'
import type { LoadDriver, MockHerd } from './stage.ts'

export interface Replica {
  readonly port: number
  readonly driver: LoadDriver
}

export interface Attack {
  readonly key: string
  readonly body: string
  /** All requests, over all replicas. */
  readonly requests: number
  /** Per replica. */
  readonly connections: number
  /** Requests per second over all replicas; 0: as fast as answers come. */
  readonly rate: number
}

export interface Overrun {
  /** What nodes had to answer, by their count. */
  readonly arrived: number
  readonly ok: number
  readonly denied: number
  /** Neither an answer nor a 429. */
  readonly other: Readonly<Record<string, number>>
  readonly tookMs: number
  /** Most requests at work at once, over all nodes of the herd. */
  readonly inFlightPeak: number
}

export async function attack(
  replicas: readonly Replica[],
  herd: MockHerd,
  { key, body, requests, connections, rate }: Attack,
): Promise<Overrun> {
  await herd.reset()
  const headers = { authorization: `Bearer ${key}` }
  const requestsMax = Math.ceil(requests / replicas.length)
  const startMs = systemClock.nowMs()
  const playOn = async ({ port, driver }: Replica): Promise<LoadWindow> => {
    await driver.start({ port, body, headers, connections, requestsMax, rate: rate / replicas.length })
    await driver.all()
    return driver.finish()
  }
  const windows = await Promise.all(replicas.map(playOn))
  const tookMs = systemClock.nowMs() - startMs
  const counters = await herd.counters()
  const sum = (kind: string): number => windows.reduce((total, { kinds }) => total + (kinds[kind] ?? 0), 0)
  const kinds = new Set(windows.flatMap((window) => Object.keys(window.kinds)))
  const other = [...kinds].filter((kind) => kind !== 'ok' && kind !== 'http-429').map((kind) => [kind, sum(kind)] as const)
  return {
    arrived: counters.reduce((total, { arrivals }) => total + arrivals, 0),
    ok: sum('ok'),
    denied: sum('http-429'),
    other: Object.fromEntries(other),
    tookMs,
    inFlightPeak: counters.reduce((total, { inFlightPeak }) => total + inFlightPeak, 0),
  }
}

/** What a bucket of `perMinute` gives in `tookMs`. */
export function allowedIn(perMinute: number, tookMs: number): number {
  return Math.ceil(perMinute * (1 + tookMs / 60_000))
}
