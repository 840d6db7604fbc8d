/**
 * Two hundred clients ask for the same stream at once, a quarter of them while it already runs, the last one when its last frame is
 * about to come: one call upstream, and the same bytes for all. Then the same over four replicas that share a Redis. Each
 * round has a prompt of its own, so that nothing is stored when it begins.
 */
import { systemClock } from '../src/base/clock.ts'
import { joinCrowd } from './harness/crowd.ts'
import type { CrowdMember } from './harness/crowd.ts'
import { manySlots } from './harness/gateway.ts'
import { atMost, benchResult, rounded } from './harness/result.ts'
import type { Bar, BenchOptions, BenchResult } from './harness/result.ts'
import { Samples } from './harness/samples.ts'
import { startRedis } from './harness/services.ts'
import { onStage } from './harness/stage.ts'
import type { MockHerd, Stage } from './harness/stage.ts'

const clients = 200
/** Clients that come while the stream runs, spread over it. */
const lateClients = 50
const frames = 50
const frameIntervalMs = 20
const replicas = 4
/** Answers are compared byte by byte, and a hit has the time of its replay otherwise. */
const settings = { env: { ...manySlots.env, CORRAL_CACHE__REPLAY__FRESH: 'false' } }
const sharedSecret = 'the secret of a bench, the same for all replicas'

interface Round {
  readonly upstream: number
  readonly members: readonly CrowdMember[]
}

/** Temperature 0: only what is meant to be the same may be shared. */
function bodyOf(round: string): string {
  const messages = [{ role: 'user', content: `${round}: how many head of cattle stand in the north pasture tonight?` }]
  return JSON.stringify({ model: 'm:latest', messages, stream: true, options: { temperature: 0 } })
}

/** All clients of one round over `ports` in turn. */
async function playRound(ports: readonly number[], herd: MockHerd, name: string): Promise<Round> {
  await herd.reset()
  const body = bodyOf(name)
  const ask = (index: number): { port: number; body: string } => ({ port: ports[index % ports.length] ?? 0, body })
  const last = Promise.withResolvers<void>()
  const first = joinCrowd(ask(0), (seen) => {
    if (seen >= frames - 1) last.resolve()
  })
  const atOnce = Array.from({ length: clients - lateClients - 1 }, (_, index) => joinCrowd(ask(index + 1)))
  const late = Array.from({ length: lateClients - 1 }, async (_, index) => {
    await systemClock.sleep(((index + 1) * frames * frameIntervalMs) / lateClients)
    return joinCrowd(ask(index))
  })
  // Whatever became of the first client, the last one asks.
  await Promise.race([last.promise, first])
  const members = await Promise.all([first, ...atOnce, ...late, joinCrowd(ask(1))])
  const counters = await herd.counters()
  return { members, upstream: counters.reduce((sum, { arrivals }) => sum + arrivals, 0) }
}

function distinctAnswers({ members }: Round): number {
  return new Set(members.map(({ digest }) => digest)).size
}

function barsOf(name: string, rounds: readonly Round[]): Bar[] {
  const worst = (of: (round: Round) => number): number => Math.max(...rounds.map(of))
  return [
    atMost(
      `${name}: upstream calls, worst round`,
      worst(({ upstream }) => upstream),
      1,
    ),
    atMost(`${name}: different answers, worst round`, worst(distinctAnswers), 1),
    atMost(
      `${name}: clients without a whole answer`,
      rounds.reduce((sum, { members }) => sum + members.filter(({ status }) => status !== 200).length, 0),
      0,
    ),
  ]
}

function dataOf(rounds: readonly Round[]): Record<string, unknown> {
  const firstByteMs = new Samples()
  const outcomes: Record<string, number> = {}
  for (const { members } of rounds) {
    for (const { cache, firstByteMs: afterMs } of members) {
      outcomes[cache] = (outcomes[cache] ?? 0) + 1
      if (!Number.isNaN(afterMs)) firstByteMs.add(afterMs)
    }
  }
  const { p50, p99 } = firstByteMs.spread()
  const last = rounds.map(({ members }) => members.at(-1))
  return {
    rounds: rounds.length,
    upstream: rounds.map(({ upstream }) => upstream),
    outcomes,
    firstByteMs: { p50: rounded(p50), p99: rounded(p99) },
    joinerAtTheLastFrame: last.map((member) => `${member?.cache ?? 'none'} in ${rounded(member?.endMs ?? Number.NaN)} ms`),
  }
}

async function playAll(ports: readonly number[], herd: MockHerd, { name, count }: { name: string; count: number }): Promise<Round[]> {
  const rounds: Round[] = []
  for (let round = 0; round < count; round += 1) rounds.push(await playRound(ports, herd, `${name} ${round}`))
  return rounds
}

/** Four gateways with one Redis and one secret. */
async function replicaPorts(stage: Stage, herd: MockHerd): Promise<number[]> {
  const redis = await stage.service(startRedis())
  const env = { ...settings.env, CORRAL_REDIS__URL: redis.url, CORRAL_SECRET: sharedSecret }
  const ports: number[] = []
  for (let replica = 0; replica < replicas; replica += 1) ports.push((await stage.gateway(herd.ports, { env })).port)
  return ports
}

export async function run(options: BenchOptions): Promise<BenchResult> {
  const count = options.isQuick ? 3 : 15
  return onStage(options, async (stage) => {
    const herd = await stage.mock(4, { frames, frameIntervalMs, serviceMs: 20 })
    const { port } = await stage.gateway(herd.ports, settings)
    const alone = await playAll([port], herd, { name: 'alone', count })
    options.log(`alone: ${JSON.stringify(dataOf(alone))}`)
    const shared = await playAll(await replicaPorts(stage, herd), herd, { name: 'shared', count })
    options.log(`four replicas: ${JSON.stringify(dataOf(shared))}`)
    const bars = [...barsOf('one gateway', alone), ...barsOf('four replicas', shared)]
    return benchResult('coalesce', options, { bars, data: { 'one gateway': dataOf(alone), 'four replicas': dataOf(shared) } })
  })
}
