/**
 * A thousand users at a time, each with a key of its own, on four replicas whose stores share a PgBouncer with twenty server
 * connections. All keys are new to the replicas, so the first seconds ask the database a thousand times; after
 * that every answer is written down as usage. Nothing may fail, and the server connections may not grow.
 * First the users come one after another, then a thousand others at once.
 */
import { systemClock } from '../src/base/clock.ts'
import { wholeChat } from './harness/bodies.ts'
import { firstClosed, newKey, nextClosed } from './harness/closed-gateway.ts'
import type { ClosedSettings } from './harness/closed-gateway.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { startPooledPostgres } from './harness/services.ts'
import type { Postgres } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { LoadDriver, Stage } from './harness/stage.ts'

const users = 1_000
const replicas = 4
const poolSize = 20
/** A generation takes a second: with each user asking again at once, a thousand requests are always under way. */
const serviceMs = 1_000
/** Keys made at a time. */
const makersMax = 8
const sampleEveryMs = 100

type Part = Pick<BenchResult, 'bars' | 'data'>

interface Sample {
  readonly servers: number
  readonly clients: number
  readonly waitMsMax: number
}

async function makeKeys(port: number, adminKey: string): Promise<string[]> {
  const keys: string[] = []
  const maker = async (): Promise<void> => {
    while (keys.length < users) {
      const at = keys.push('') - 1
      keys[at] = await newKey(port, adminKey)
    }
  }
  await Promise.all(Array.from({ length: makersMax }, maker))
  return keys
}

async function startReplicas(stage: Stage, postgres: Postgres): Promise<{ ports: number[]; adminKey: string }> {
  const herd = await stage.mock(8, { serviceMs })
  const settings: ClosedSettings = { postgres }
  const { gateway, adminKey } = await firstClosed(stage, herd.ports, settings)
  const ports = [gateway.port]
  while (ports.length < replicas) ports.push((await nextClosed(stage, herd.ports, { ...settings, adminKey })).port)
  return { ports, adminKey }
}

/** Looks at the pools for `forMs`. */
async function sampled(postgres: Postgres, forMs: number): Promise<Sample[]> {
  const samples: Sample[] = []
  const endMs = systemClock.nowMs() + forMs
  while (systemClock.nowMs() < endMs) {
    samples.push(await postgres.pools())
    await systemClock.sleep(sampleEveryMs)
  }
  return samples
}

function poolFigures(samples: readonly Sample[]): Record<string, unknown> {
  const waits = samples.map(({ waitMsMax }) => waitMsMax).toSorted((a, b) => a - b)
  const servers = samples.map((sample) => sample.servers)
  return {
    samples: samples.length,
    servers: { least: Math.min(...servers), most: Math.max(...servers) },
    clientsMost: Math.max(...samples.map(({ clients }) => clients)),
    longestWaitMs: { p50: rounded(waits[waits.length >> 1] ?? 0), p99: rounded(waits[Math.floor(waits.length * 0.99)] ?? 0) },
  }
}

interface Crowd {
  readonly name: string
  /** One per user, new to all replicas. */
  readonly keys: readonly string[]
  /** The users' first requests are spread over this time. */
  readonly rampMs: number
  readonly forMs: number
}

/** One driver per replica, each with its part of the users. */
async function playCrowd(
  cast: { ports: readonly number[]; drivers: readonly LoadDriver[]; postgres: Postgres },
  crowd: Crowd,
): Promise<Part> {
  const { ports, drivers, postgres } = cast
  const lanes = crowd.keys.length / drivers.length
  for (const [index, driver] of drivers.entries()) {
    const credentials = crowd.keys.slice(index * lanes, (index + 1) * lanes).map((key) => `Bearer ${key}`)
    await driver.start({ port: ports[index] ?? 0, body: wholeChat, connections: lanes, credentials, rampMs: crowd.rampMs })
  }
  const samples = await sampled(postgres, crowd.forMs)
  const windows = await Promise.all(drivers.map((driver) => driver.finish()))
  const { ok, failed, kinds } = outcomeOf(windows)
  const servers = samples.map((sample) => sample.servers)
  const middle = servers.length >> 1
  const growth = Math.max(...servers.slice(middle)) - Math.max(...servers.slice(0, middle))
  const bars = [
    atMost(`${crowd.name}: errors`, failed, 0),
    atMost(`${crowd.name}: server connections, most`, Math.max(...servers), poolSize),
    atMost(`${crowd.name}: server connections, growth in the second half`, growth, 0),
    atLeast(`${crowd.name}: answers per user`, rounded(ok / users), crowd.forMs / serviceMs / 4),
  ]
  const data = {
    answers: ok,
    failures: kinds,
    causes: windows.map(({ failures }) => failures.causes),
    lastFailureMs: rounded(Math.max(...windows.map(({ failures }) => failures.lastAfterMs))),
    addedP99Ms: rounded(Math.max(...windows.map(({ latencyMs }) => latencyMs['ok']?.p99 ?? Number.NaN)) - serviceMs),
    pgbouncer: poolFigures(samples),
  }
  return { bars, data }
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  return onStage(options, async (stage) => {
    const postgres = await stage.service(startPooledPostgres({ poolSize }))
    const { ports, adminKey } = await startReplicas(stage, postgres)
    const drivers: LoadDriver[] = []
    while (drivers.length < ports.length) drivers.push(await stage.driver())
    const forMs = options.isQuick ? 10_000 : 60_000
    const crowds = [
      { name: 'users come over five seconds', rampMs: 5_000, forMs },
      { name: 'users come at once', rampMs: 0, forMs },
    ]
    const bars: Bar[] = []
    const data: Record<string, unknown> = { users, replicas, poolSize }
    for (const crowd of crowds) {
      const part = await playCrowd({ ports, drivers, postgres }, { ...crowd, keys: await makeKeys(ports[0] ?? 0, adminKey) })
      bars.push(...part.bars)
      data[crowd.name] = part.data
      options.log(`${crowd.name}: ${JSON.stringify(part.data)}`)
    }
    return benchResult('pool', options, { bars, data })
  })
}
