/**
 * Half an hour (quick: three minutes; `--minutes N`) of mixed traffic on three replicas behind nginx, with Postgres behind PgBouncer and Redis
 * shared, while things go wrong one after the other (`harness/disturbances.ts`): nodes, stores, settings, a rolling restart. People stream, ask
 * for whole answers, embed and search. 99.9 % of all requests must be good, streams that a dying node cut among the bad, and each bad
 * one is named: what happened at the time, who asked, how it ended.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { systemClock } from '../src/base/clock.ts'
import { createHerd } from '../src/sim/herd.ts'
import { startProxy } from '../test/support/front-proxies.ts'
import { embedder, fillCollection } from './harness/bench-collection.ts'
import { startDelayProxy } from './harness/delay-proxy.ts'
import { disturbancesOf, type Replica, type Scene, settingsFiles } from './harness/disturbances.ts'
import { freePort } from './harness/gateway.ts'
import { outcomeOf } from './harness/outcome.ts'
import { atLeast, atMost, benchResult, type BenchOptions, type BenchResult } from './harness/result.ts'
import { startPooledPostgres, startRedis } from './harness/services.ts'
import { type LoadDriver, onStage, type Stage } from './harness/stage.ts'

const replicaCount = 3
const topics = 100
const faultMs = 4_000
const pauseMs = 3_000
const timeoutMs = 30_000
const messages = [{ role: 'user', content: '######## How many head of cattle stand in the north pasture tonight?' }]
const chat = { model: 'llama3.2:3b', messages, options: { num_predict: 16 } }
const searches = { kind: 'searches', seed: 5, requests: 10_000_000, topics, repeatShare: 0.4 } as const

/** What people do, at so many requests a second. */
const people = {
  streams: { path: '/api/chat', body: JSON.stringify(chat), rate: 20 },
  'whole answers': { path: '/api/chat', body: JSON.stringify({ ...chat, stream: false }), rate: 10 },
  embeddings: { path: '/api/embed', body: JSON.stringify({ model: embedder, input: ['######## a head of cattle', 'a bale'] }), rate: 10 },
  searches: { path: '/rag/search', workload: searches, rate: 5 },
} as const

async function setScene(stage: Stage, folder: string): Promise<{ scene: Scene; front: number }> {
  const herd = await createHerd({ nodes: 8, speed: 10, embedMsPerItem: 5 })
  await stage.service(Promise.resolve({ stop: () => herd.close() }))
  const postgres = await stage.service(startPooledPostgres({ poolSize: 20 }))
  const redis = await stage.service(startRedis())
  const road = await stage.service(startDelayProxy(Number(new URL(redis.url).port)))
  const configFile = join(folder, 'corral.yaml')
  writeFileSync(configFile, settingsFiles.usual)
  const env = {
    CORRAL_CONFIG: configFile,
    CORRAL_STORE__ENABLED: 'true',
    CORRAL_STORE__DIRECT_URL: postgres.directUrl,
    DATABASE_URL: postgres.pooledUrl,
    REDIS_URL: `redis://127.0.0.1:${road.port}`,
    CORRAL_SECRET: 'a secret of this bench, thirty-two characters',
  }
  const nodes = herd.urls.map((url) => Number(new URL(url).port))
  const replicas: Replica[] = []
  while (replicas.length < replicaCount) {
    const port = await freePort()
    let gateway = await stage.gateway(nodes, { env, port })
    replicas.push({
      gateway: () => gateway,
      async restart() {
        await gateway.stop()
        gateway = await stage.gateway(nodes, { env, port })
      },
    })
  }
  const ports = replicas.map((replica) => replica.gateway().port)
  const front = await stage.service(startProxy('nginx', ports))
  await fillCollection(front.url, { documents: 100, topics })
  return { scene: { nodes: herd.nodes, replicas, stores: { redis, road, postgres }, configFile }, front: front.port }
}

interface Bad {
  readonly during: string
  readonly who: string
  readonly how: Readonly<Record<string, number>>
  readonly count: number
}

interface Tally {
  good: number
  readonly bad: Bad[]
  happened: number
}

type Crew = ReadonlyMap<string, LoadDriver>

async function startCrew(stage: Stage, port: number): Promise<Crew> {
  const crew = new Map<string, LoadDriver>()
  for (const [who, spec] of Object.entries(people)) {
    const driver = await stage.driver()
    await driver.start({ port, connections: 64, timeoutMs, ...spec })
    crew.set(who, driver)
  }
  return crew
}

function take(tally: Tally, during: string, windows: ReadonlyMap<string, Awaited<ReturnType<LoadDriver['mark']>>>): void {
  for (const [who, window] of windows) {
    const { ok, failed } = outcomeOf([window])
    tally.good += ok
    if (failed > 0) tally.bad.push({ during, who, how: window.failures.causes, count: failed })
  }
}

async function markAll(crew: Crew): Promise<Map<string, Awaited<ReturnType<LoadDriver['mark']>>>> {
  const windows = new Map<string, Awaited<ReturnType<LoadDriver['mark']>>>()
  for (const [who, driver] of crew) windows.set(who, await driver.mark())
  return windows
}

async function live(stage: Stage, folder: string, options: BenchOptions): Promise<Tally> {
  const { scene, front } = await setScene(stage, folder)
  const crew = await startCrew(stage, front)
  await systemClock.sleep(pauseMs)
  await markAll(crew)
  const tally: Tally = { good: 0, bad: [], happened: 0 }
  const endMs = systemClock.nowMs() + (options.minutes ?? (options.isQuick ? 3 : 30)) * 60_000
  const round = disturbancesOf(scene)
  while (systemClock.nowMs() < endMs) {
    const disturbance = round[tally.happened % round.length]
    if (disturbance === undefined) break
    await disturbance.begin()
    await systemClock.sleep(faultMs)
    await disturbance.end()
    await systemClock.sleep(pauseMs)
    take(tally, disturbance.name, await markAll(crew))
    tally.happened += 1
    options.log(`${disturbance.name}: ${tally.good} good, ${badOf(tally)} bad`)
  }
  const last = new Map<string, Awaited<ReturnType<LoadDriver['mark']>>>()
  for (const [who, driver] of crew) last.set(who, await driver.finish(timeoutMs))
  take(tally, 'the end', last)
  return tally
}

function badOf({ bad }: Tally): number {
  return bad.reduce((sum, { count }) => sum + count, 0)
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'corral-uptime-'))
  try {
    const tally = await onStage(options, (stage) => live(stage, folder, options))
    const bad = badOf(tally)
    const named = tally.bad.flatMap(({ how }) => Object.values(how)).reduce((sum, count) => sum + count, 0)
    const bars = [
      atLeast('requests that were good', tally.good / Math.max(1, tally.good + bad), 0.999),
      atMost('bad ones without a name', bad - named, 0),
    ]
    return benchResult('uptime', options, { bars, data: { requests: tally.good + bad, disturbances: tally.happened, bad: tally.bad } })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
