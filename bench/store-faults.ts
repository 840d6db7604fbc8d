/**
 * Stores that fail under 200 chats per second, on a gateway with keys in Postgres behind PgBouncer, and limits and caches shared by
 * Redis. A chat must not notice: no 5xx, little added time in the first second, none after it, and the store in use again
 * within a second of its return. Each request is looked up in the cache and stored, and takes part in limits. Each
 * fault has a stage of its own; times are the middle over rounds, everything else the worst.
 */
import { systemClock } from '../src/base/clock.ts'
import { uniquePinnedChat } from './harness/bodies.ts'
import { firstClosed, newKey } from './harness/closed-gateway.ts'
import { startDelayProxy } from './harness/delay-proxy.ts'
import type { LoadWindow } from './harness/load-spec.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { median } from './harness/samples.ts'
import { startPooledPostgres, startRedis } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, Stage } from './harness/stage.ts'
import { storeFaults, untilBack } from './harness/store-fault.ts'
import type { StoreFault, Stores } from './harness/store-fault.ts'

const rate = 200
const connections = 64
const users = 10
const freshKeys = 120
/** Until the gateway's code is compiled and its connections stand. */
const warmUpMs = 6_000
/** Never reached. */
const wide = { requestsPerMinute: 60_000_000, tokensPerMinute: 60_000_000, concurrency: 100_000 }

interface Round {
  readonly before: LoadWindow
  readonly firstSecond: LoadWindow
  /** From then to the store's return. */
  readonly rest: LoadWindow
  readonly after: LoadWindow
  readonly backMs: number
}

async function setStage(stage: Stage): Promise<{ stores: Stores; keys: readonly string[] }> {
  const herd = await stage.mock(4)
  const postgres = await stage.service(startPooledPostgres({ poolSize: 20 }))
  const redis = await stage.service(startRedis())
  const road = await stage.service(startDelayProxy(Number(new URL(redis.url).port)))
  const { gateway, adminKey } = await firstClosed(stage, herd.ports, { postgres, redisUrl: `redis://127.0.0.1:${road.port}` })
  const makeKeys = async (count: number): Promise<string[]> => {
    const keys: string[] = []
    while (keys.length < count) keys.push(await newKey(gateway.port, adminKey, wide))
    return keys
  }
  return { keys: await makeKeys(users), stores: { redis, road, postgres, port: gateway.port, freshKeys: await makeKeys(freshKeys) } }
}

async function windowOf(driver: LoadDriver, forMs: number): Promise<LoadWindow> {
  await systemClock.sleep(forMs)
  return driver.mark()
}

async function playRound(fault: StoreFault, options: BenchOptions): Promise<Round> {
  return onStage(options, async (stage) => {
    const { stores, keys } = await setStage(stage)
    const driver = await stage.driver()
    const credentials = keys.map((key) => `Bearer ${key}`)
    await driver.start({ port: stores.port, body: uniquePinnedChat, connections, rate, credentials })
    await windowOf(driver, warmUpMs)
    const before = await windowOf(driver, options.isQuick ? 3_000 : 6_000)
    await fault.begin(stores)
    const firstSecond = await windowOf(driver, 1_000)
    const rest = await windowOf(driver, options.isQuick ? 2_000 : 5_000)
    await fault.end(stores)
    const backMs = await untilBack(stores, fault.store)
    const after = await windowOf(driver, options.isQuick ? 2_000 : 4_000)
    await driver.finish()
    return { before, firstSecond, rest, after, backMs }
  })
}

function p99Ms({ latencyMs }: LoadWindow): number {
  return latencyMs['ok']?.p99 ?? Number.NaN
}

/** Answers 5xx, and those that did not come at all. */
function brokenIn({ before, firstSecond, rest, after }: Round): number {
  const { kinds } = outcomeOf([before, firstSecond, rest, after])
  return Object.entries(kinds).reduce((sum, [kind, count]) => sum + (kind.startsWith('http-4') ? 0 : count), 0)
}

function barsOf(fault: StoreFault, rounds: readonly Round[]): Bar[] {
  // The calmer side of the fault is the usual: a disturbed window before it would hide what the fault adds.
  const usualMs = ({ before, after }: Round): number => Math.min(p99Ms(before), p99Ms(after))
  const added = (of: (round: Round) => LoadWindow): number => rounded(median(rounds.map((round) => p99Ms(of(round)) - usualMs(round))))
  const bars = [
    atMost(`${fault.name}: 5xx and broken`, Math.max(...rounds.map(brokenIn)), 0),
    atMost(
      `${fault.name}: added p99 in the first second, ms`,
      added(({ firstSecond }) => firstSecond),
      30,
    ),
    atMost(
      `${fault.name}: added p99 after it, ms`,
      added(({ rest }) => rest),
      1,
    ),
  ]
  return [...bars, atMost(`${fault.name}: in use again after ms`, rounded(Math.max(...rounds.map(({ backMs }) => backMs))), 1_000)]
}

function dataOf(rounds: readonly Round[]): Record<string, unknown> {
  const perRound = (of: (round: Round) => number): number[] => rounds.map((round) => rounded(of(round)))
  return {
    p99Ms: {
      before: perRound(({ before }) => p99Ms(before)),
      firstSecond: perRound(({ firstSecond }) => p99Ms(firstSecond)),
      rest: perRound(({ rest }) => p99Ms(rest)),
      after: perRound(({ after }) => p99Ms(after)),
    },
    worstMs: perRound(({ firstSecond, rest }) => Math.max(firstSecond.latencyMs['ok']?.max ?? 0, rest.latencyMs['ok']?.max ?? 0)),
    backMs: perRound(({ backMs }) => backMs),
    failures: rounds.map(({ firstSecond, rest, after }) => [firstSecond, rest, after].map(({ failures }) => failures.causes)),
  }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const fault of storeFaults.filter(({ name }) => name.includes(options.only))) {
    const rounds: Round[] = []
    while (rounds.length < (options.isQuick ? 1 : 3)) rounds.push(await playRound(fault, options))
    bars.push(...barsOf(fault, rounds))
    data[fault.name] = dataOf(rounds)
    options.log(`${fault.name}: ${JSON.stringify(data[fault.name])}`)
  }
  return benchResult('store-faults', options, { bars, data })
}
