/**
 * Plays one workload through a gateway and reads from both ends what the cache saved: the driver by the headers of the
 * answers, the nodes by what reached them. An ingest is counted in chunks, everything else in requests.
 */
import type { GatewaySettings } from './gateway.ts'
import { manySlots } from './gateway.ts'
import type { LoadWindow } from './load-spec.ts'
import { outcomeOf } from './outcome.ts'
import { rounded } from './result.ts'
import type { BenchOptions } from './result.ts'
import type { LoadDriver, MockHerd } from './stage.ts'
import { keyCounts } from './workload.ts'
import type { WorkloadSpec } from './workload.ts'
import { measuredAlpha } from './zipf.ts'

/** Memory as the only layer, entries for a day. */
export const cachedAnswers: GatewaySettings = {
  env: { ...manySlots.env, CORRAL_CACHE__TTL_MS__INFERENCE: '24h', CORRAL_CACHE__TTL_MS__EMBEDDING: '24h' },
}

const connections = 10
/** What the mock says an answer took to write. */
const tokensPerAnswer = 16

export interface Cast {
  readonly herd: MockHerd
  readonly driver: LoadDriver
  readonly port: number
  readonly options: BenchOptions
}

export interface Played {
  /** N: requests, or chunks of an ingest. */
  readonly requests: number
  /** D: those that nobody had asked for before. */
  readonly distinct: number
  /** What reached the nodes. */
  readonly upstream: number
  readonly saved: number
  readonly savedShare: number
  /** 1 − D/N. */
  readonly ceiling: number
  /** Hits and joined by the answers' headers; an ingest's answers speak of batches, so there it is `saved`. */
  readonly accounted: number
  readonly failed: number
  readonly report: Readonly<Record<string, unknown>>
}

/** N and D of `spec` when `before` has been played. */
function sizes(spec: WorkloadSpec, before: readonly WorkloadSpec[]): { requests: number; distinct: number; alpha: number; bodies: number } {
  const own = keyCounts([spec])
  const known = keyCounts(before)
  const bodies = spec.kind === 'ingest' ? Math.ceil(spec.chunks / spec.batch) : [...own.values()].reduce((sum, count) => sum + count, 0)
  const requests = [...own.values()].reduce((sum, count) => sum + count, 0)
  return { requests, bodies, distinct: [...own.keys()].filter((key) => !known.has(key)).length, alpha: measuredAlpha([...own.values()]) }
}

async function arrived(herd: MockHerd, isIngest: boolean): Promise<number> {
  const counters = await herd.counters()
  return counters.reduce((sum, { arrivals, embedItems }) => sum + (isIngest ? embedItems : arrivals), 0)
}

function latencies(window: LoadWindow): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(window.cache).map(([outcome, { count, p50, p99 }]) => [outcome, { count, p50Ms: rounded(p50), p99Ms: rounded(p99) }]),
  )
}

/** Of the bytes of all answers, those out of memory; joined ones were made meanwhile. */
function byteHitPercent({ cacheBytes }: LoadWindow): number {
  const all = Object.values(cacheBytes).reduce((sum, bytes) => sum + bytes, 0)
  return all === 0 ? 0 : rounded(((cacheBytes['hit'] ?? 0) / all) * 100)
}

/** Sends all requests of `spec`, ten at a time, to a gateway that has seen `before`. */
export async function play({ herd, driver, port }: Cast, spec: WorkloadSpec, before: readonly WorkloadSpec[]): Promise<Played> {
  const isIngest = spec.kind === 'ingest'
  const { requests, bodies, distinct, alpha } = sizes(spec, before)
  await herd.reset()
  await driver.start({ port, path: isIngest ? '/api/embed' : '/api/chat', connections, requestsMax: bodies, workload: spec })
  await driver.all()
  const window = await driver.finish()
  const upstream = await arrived(herd, isIngest)
  const { hit, joined } = { hit: window.cache['hit']?.count ?? 0, joined: window.cache['joined']?.count ?? 0 }
  const saved = requests - upstream
  const ceiling = 1 - distinct / requests
  const { failed, okPerSecond, kinds } = outcomeOf([window])
  const report = {
    workload: spec,
    N: requests,
    D: distinct,
    alpha: rounded(alpha),
    ceilingPercent: rounded(ceiling * 100),
    achievedPercent: rounded((saved / requests) * 100),
    efficiency: ceiling === 0 ? null : rounded(saved / requests / ceiling),
    upstreamCalls: upstream,
    memoryHitPercent: isIngest ? null : rounded((hit / requests) * 100),
    // An ingest's answers speak of batches, whose bytes are in part new.
    byteHitPercent: isIngest ? null : byteHitPercent(window),
    coalesced: isIngest ? null : joined,
    tokensNotGenerated: isIngest ? 0 : saved * tokensPerAnswer,
    answersPerSecond: rounded(okPerSecond),
    byOutcome: latencies(window),
    failures: kinds,
  }
  const accounted = isIngest ? saved : hit + joined
  return { requests, distinct, upstream, saved, savedShare: saved / requests, ceiling, accounted, failed, report }
}
