/**
 * What limits cost and whether they hold. Cost: CPU of a verdict and its settling in memory, time of a verdict by Redis, whole requests with
 * and without limits. Overshoot: 10^5 requests through four replicas with one Redis against limits of requests, of tokens
 * (each request with its maximum) and of requests at once, and against a GPU budget; nothing over a limit may reach a node, and of GPU
 * time over its budget no more than was under way. They come at a rate that the machine
 * serves with ease, and then as fast as it can: with every core taken, answers of Redis are late through no fault of its own.
 */
import { firstClosed, newKey, nextClosed } from './harness/closed-gateway.ts'
import type { ClosedSettings, KeyLimits } from './harness/closed-gateway.ts'
import { closed, failedOf, middleOf, playRounds, roundsTable } from './harness/interleaved.ts'
import type { AimedTarget } from './harness/interleaved.ts'
import { memoryCost, redisRoundTrips } from './harness/limits-calls.ts'
import { allowedIn, attack } from './harness/overshoot.ts'
import type { Attack, Overrun, Replica } from './harness/overshoot.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { startPooledPostgres, startRedis } from './harness/services.ts'
import type { Postgres, Redis } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { MockHerd, Stage } from './harness/stage.ts'

type Part = Pick<BenchResult, 'bars' | 'data'>

const replicaCount = 4
const requestsPerMinute = 6_000
const tokensPerMinute = 200_000
const concurrency = 8
const gpuSecondsPerDay = 50
/** What the mock reports for an instant answer: 30 of the prompt, 16 written. */
const tokensPerAnswer = 46
const gpuSecondsPerAnswer = 0.05
/** Never reached. */
const wide: KeyLimits = {
  requestsPerMinute: 60_000_000,
  tokensPerMinute: 60_000_000,
  concurrency: 100_000,
  gpuSecondsPerDay: 1e9,
  gpuSecondsPerMonth: 1e9,
}
const cappedChat = JSON.stringify({
  model: 'm:latest',
  messages: [{ role: 'user', content: '######## How many head of cattle stand in the north pasture tonight?' }],
  stream: false,
  options: { num_predict: 16 },
})

/** The services that all parts share. */
interface House {
  readonly stage: Stage
  readonly postgres: Postgres
  readonly redis: Redis
  readonly options: BenchOptions
}

async function callPart({ redis, options: { isQuick, log } }: House): Promise<Part> {
  const memory = await memoryCost({ calls: 20_000, batches: isQuick ? 7 : 21 })
  const shared = await redisRoundTrips(redis.url, isQuick ? 2_000 : 10_000)
  log(`calls: ${JSON.stringify({ memory, shared })}`)
  const bars = [
    atMost('memory, µs of CPU in the process', rounded(memory.cpuUs), 10),
    atMost('Redis, p50 of a verdict, ms', rounded(shared.admit.p50), 0.3),
  ]
  return { bars, data: { memory, redis: shared } }
}

/** Whole requests: a key without limits, the same gateway with limits in memory, another with limits in Redis. */
async function requestPart({ stage, postgres, redis, options }: House): Promise<Part> {
  const herd = await stage.mock(8)
  const { gateway, adminKey } = await firstClosed(stage, herd.ports, { postgres })
  const shared = await nextClosed(stage, herd.ports, { postgres, redisUrl: redis.url, adminKey })
  const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
  const limited = bearer(await newKey(gateway.port, adminKey, wide))
  const targets: AimedTarget[] = [
    { ...gateway, name: 'unlimited', load: bearer(await newKey(gateway.port, adminKey)) },
    { ...gateway, name: 'memory', load: limited },
    { ...shared, name: 'redis', load: limited },
  ]
  const plan = { targets, loads: closed(1, 10), rounds: options.isQuick ? 3 : 9, forMs: options.isQuick ? 1_500 : 2_500 }
  const found = await playRounds(await stage.driver(), plan, options)
  const added = (name: string) => ({
    cpuUs: middleOf(found, [`${name} c=10`, 'unlimited c=10'], (own, other) => own.cpuUs - other.cpuUs),
    p50Ms: middleOf(found, [`${name} c=1`, 'unlimited c=1'], (own, other) => own.p50Ms - other.p50Ms),
  })
  const failed = failedOf(found, 'memory') + failedOf(found, 'redis')
  const [memory, inRedis] = [added('memory'), added('redis')]
  const bars = [
    atMost('memory, µs of CPU that limits add to a request over HTTP', rounded(memory.cpuUs), 10),
    atMost('Redis, ms that limits add to the p50 of a request over HTTP', rounded(inRedis.p50Ms), 0.3),
    atMost('failed requests under wide limits', failed, 0),
  ]
  return { bars, data: { added: { memory, redis: inRedis }, ...roundsTable(found) } }
}

async function replicasOf({ stage, postgres, redis }: House, ports: readonly number[]): Promise<{ replicas: Replica[]; adminKey: string }> {
  const settings: ClosedSettings = { postgres, redisUrl: redis.url }
  const { gateway, adminKey } = await firstClosed(stage, ports, settings)
  const replicas = [{ port: gateway.port, driver: await stage.driver() }]
  while (replicas.length < replicaCount) {
    const { port } = await nextClosed(stage, ports, { ...settings, adminKey })
    replicas.push({ port, driver: await stage.driver() })
  }
  return { replicas, adminKey }
}

/** What is wrong with a run beside its overshoot. */
function soundBars(name: string, { arrived, ok, denied, other }: Overrun): Bar[] {
  return [
    atMost(
      `${name}: neither an answer nor a 429`,
      Object.values(other).reduce((sum, count) => sum + count, 0),
      0,
    ),
    atLeast(`${name}: requests denied`, denied, 1),
    atMost(`${name}: denied requests that reached a node`, Math.max(0, arrived - ok), 0),
  ]
}

/** Requests per second over all replicas; 0: as fast as answers come. */
const paces = { paced: 1_600, flooded: 0 } as const

/** Per replica. */
function connectionsAt(pace: keyof typeof paces): number {
  return pace === 'paced' ? 64 : 16
}

interface Siege {
  readonly replicas: readonly Replica[]
  readonly herd: MockHerd
  readonly adminKey: string
  readonly redis: Redis
  readonly requests: number
}

async function besiege(siege: Siege, pace: keyof typeof paces): Promise<Part> {
  const { replicas, herd, redis, requests } = siege
  const ordersOf = async (limits: KeyLimits): Promise<Attack> => {
    const key = await newKey(replicas[0]?.port ?? 0, siege.adminKey, limits)
    return { key, body: cappedChat, requests, connections: connectionsAt(pace), rate: paces[pace] }
  }
  await herd.set({ serviceMs: 0 })
  const before = await redis.scriptsRun()
  const byRequests = await attack(replicas, herd, await ordersOf({ requestsPerMinute }))
  const decidedByRedis = (await redis.scriptsRun()) - before
  const byTokens = await attack(replicas, herd, { ...(await ordersOf({ tokensPerMinute })), requests: requests / 2 })
  const byGpu = await attack(replicas, herd, { ...(await ordersOf({ gpuSecondsPerDay })), requests: requests / 2 })
  await herd.set({ serviceMs: 20 })
  const atOnce = await attack(replicas, herd, { ...(await ordersOf({ concurrency })), requests: requests / 10 })
  const gpuAllowed = gpuSecondsPerDay + replicas.length * connectionsAt(pace) * gpuSecondsPerAnswer
  const over = (used: number, perMinute: number, { tookMs }: Overrun): number => Math.max(0, used - allowedIn(perMinute, tookMs))
  const bars = [
    atMost(`${pace}: requests over the limit`, over(byRequests.arrived, requestsPerMinute, byRequests), 0),
    ...soundBars(`${pace}, requests`, byRequests),
    atMost(`${pace}: tokens over the limit`, over(byTokens.ok * tokensPerAnswer, tokensPerMinute, byTokens), 0),
    ...soundBars(`${pace}, tokens`, byTokens),
    atMost(
      `${pace}: GPU seconds over the budget and what was under way`,
      rounded(Math.max(0, byGpu.ok * gpuSecondsPerAnswer - gpuAllowed)),
      0,
    ),
    ...soundBars(`${pace}, GPU time`, byGpu),
    atMost(`${pace}: most requests at once`, atOnce.inFlightPeak, concurrency),
    ...soundBars(`${pace}, at once`, atOnce),
  ]
  const data = {
    requests: {
      limit: requestsPerMinute,
      allowed: allowedIn(requestsPerMinute, byRequests.tookMs),
      used: byRequests.arrived,
      decidedByRedis,
    },
    tokens: { limit: tokensPerMinute, allowed: allowedIn(tokensPerMinute, byTokens.tookMs), used: byTokens.ok * tokensPerAnswer },
    gpuSeconds: { limit: gpuSecondsPerDay, allowed: gpuAllowed, used: rounded(byGpu.ok * gpuSecondsPerAnswer) },
    atOnce: { limit: concurrency, peak: atOnce.inFlightPeak },
    runs: { byRequests, byTokens, byGpu, atOnce },
  }
  return { bars, data }
}

async function overshootPart(house: House): Promise<Part> {
  const { stage, redis, options } = house
  const herd = await stage.mock(1)
  const { replicas, adminKey } = await replicasOf(house, herd.ports)
  const cast = { replicas, herd, adminKey, redis }
  const paced = await besiege({ ...cast, requests: options.isQuick ? 10_000 : 50_000 }, 'paced')
  options.log(`paced: ${JSON.stringify(paced.data)}`)
  const flooded = await besiege({ ...cast, requests: options.isQuick ? 12_000 : 100_000 }, 'flooded')
  options.log(`flooded: ${JSON.stringify(flooded.data)}`)
  return { bars: [...paced.bars, ...flooded.bars], data: { paced: paced.data, flooded: flooded.data } }
}

const parts: Readonly<Record<string, (house: House) => Promise<Part>>> = {
  calls: callPart,
  requests: requestPart,
  overshoot: overshootPart,
}

/** Each part on a stage of its own: gateways of the one must not take the cores from the next. */
async function playPart(name: string, options: BenchOptions): Promise<Part> {
  return onStage(options, async (stage) => {
    const postgres = await stage.service(startPooledPostgres({ poolSize: 20 }))
    const redis = await stage.service(startRedis())
    return parts[name]?.({ stage, postgres, redis, options }) ?? { bars: [], data: {} }
  })
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const bars: Bar[] = []
  const data: Record<string, unknown> = {}
  for (const name of Object.keys(parts).filter((each) => each.includes(options.only))) {
    const part = await playPart(name, options)
    bars.push(...part.bars)
    data[name] = part.data
  }
  return benchResult('limits', options, { bars, data })
}
