// The Lua of leases on a real Redis, on a clock moved by hand: what must hold after every step of random schedules.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { leaseArguments, type LeaseReply, leaseScript, type LeaseStatement, readReplies } from '../../src/fleet/lease-script.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { redisOptions } from '../../src/store/redis-options.ts'
import { createRedis } from '../../src/store/redis.ts'
import type { RedisScript, RedisStore } from '../../src/store/redis-store.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { until } from './gateway.ts'

const times = { ttlMs: 3_000, wishMs: 1_500, memoryMs: 600_000 }
const ownClock = `local time = redis.call('TIME')`
const handClock = `local hand = tonumber(ARGV[#ARGV])\nlocal time = { math.floor(hand / 1000), (hand % 1000) * 1000 }`

let server: RedisServer
let redis: RedisStore
let script: RedisScript
let keys = 0

beforeAll(async () => {
  server = await startRedis({ keepOpen: true })
  redis = createRedis(redisOptions.parse({ url: server.url, commandTimeoutMs: 5_000 }), { clock: systemClock, random: Math.random })
  redis.start()
  await until(() => redis.state === 'up', 'Redis is up')
  expect(leaseScript.split(ownClock)).toHaveLength(2)
  script = redis.script(leaseScript.replace(ownClock, handClock))
})

afterAll(async () => {
  await redis.close()
  await server.stop()
})

const plain: Omit<LeaseStatement, 'key' | 'kind' | 'fingerprint'> = {
  ready: true,
  coldForMs: null,
  patient: false,
  loading: false,
  busy: false,
  servedForMs: null,
}

/** One runner, its replicas, and the time. */
class Scene {
  nowMs = 1_000_000
  readonly key = `corral:{leases}:${(keys += 1)}`

  async say(replica: string, kind: LeaseStatement['kind'], fingerprint: string, change: Partial<LeaseStatement> = {}): Promise<LeaseReply> {
    const statement = { ...plain, ...change, key: this.key, kind, fingerprint }
    const call = leaseArguments([statement], { replica, channel: 'corral:leases', times })
    const [reply] = readReplies(await script.run(call.keys, [...call.values, this.nowMs]), 1)
    if (reply === undefined) throw new Error('no reply')
    return reply
  }

  async verdict(...given: Parameters<Scene['say']>): Promise<LeaseReply['verdict']> {
    return (await this.say(...given)).verdict
  }
}

describe('a lease', () => {
  test('is shared for one fingerprint and refused for another', async () => {
    const scene = new Scene()
    expect(await scene.verdict('a', 'ask', 'x')).toBe('run')
    expect(await scene.verdict('b', 'ask', 'x')).toBe('run')
    expect(await scene.say('c', 'ask', 'y')).toMatchObject({ verdict: 'busy', fingerprint: 'x' })
    await scene.say('a', 'drop', 'x')
    expect(await scene.verdict('c', 'ask', 'y')).toBe('busy')
    await scene.say('b', 'drop', 'x')
    expect(await scene.verdict('c', 'ask', 'y')).toBe('load')
  })

  test('ends by itself when its holder is not heard of', async () => {
    const scene = new Scene()
    await scene.say('a', 'ask', 'x')
    scene.nowMs += times.ttlMs - 1
    expect(await scene.verdict('b', 'ask', 'y')).toBe('busy')
    scene.nowMs += 1
    expect(await scene.verdict('b', 'ask', 'y')).toBe('load')
  })

  test('to load is given to one; the others are let in when it has loaded', async () => {
    const scene = new Scene()
    const cold = { ready: false, coldForMs: 10 }
    expect(await scene.verdict('a', 'ask', '', cold)).toBe('load')
    expect(await scene.verdict('b', 'ask', '', cold)).toBe('loading')
    scene.nowMs += 2_000
    await scene.say('a', 'keep', '', { loading: true })
    scene.nowMs += 2_000
    expect(await scene.verdict('b', 'ask', '', cold)).toBe('loading')
    await scene.say('a', 'keep', '', { servedForMs: 0 })
    expect(await scene.verdict('b', 'ask', '', { ready: false, coldForMs: 4_010 })).toBe('run')
  })

  test('to load passes on when the one who loaded has failed or died', async () => {
    const scene = new Scene()
    const cold = { ready: false, coldForMs: 10 }
    await scene.say('a', 'ask', 'x', cold)
    await scene.say('a', 'drop', 'x')
    expect(await scene.verdict('b', 'ask', 'x', cold)).toBe('load')
    scene.nowMs += times.ttlMs
    expect(await scene.verdict('c', 'ask', 'x', cold)).toBe('load')
  })

  test('tells later what a runner was last loaded for, to those whose look at it is older', async () => {
    const scene = new Scene()
    await scene.say('a', 'ask', 'x', { ready: false, coldForMs: 10 })
    await scene.say('a', 'drop', 'x', { servedForMs: 0 })
    scene.nowMs += 500
    expect(await scene.say('b', 'ask', 'x', { ready: false, coldForMs: 600 })).toMatchObject({ verdict: 'run', readyForMs: 500 })
    await scene.say('b', 'drop', 'x')
    expect(await scene.verdict('c', 'ask', 'x', { ready: false, coldForMs: 400 })).toBe('load')
  })

  test('wished for long enough goes to who wished, and to nobody else meanwhile', async () => {
    const scene = new Scene()
    await scene.say('a', 'ask', 'x')
    await scene.say('b', 'ask', 'y', { patient: true })
    expect(await scene.verdict('c', 'ask', 'x')).toBe('busy')
    expect(await scene.say('a', 'keep', 'x', { busy: true })).toMatchObject({ verdict: 'run', wanted: 'y', awaited: true })
    await scene.say('a', 'drop', 'x')
    expect(await scene.verdict('a', 'ask', 'x')).toBe('busy')
    expect(await scene.verdict('b', 'ask', 'y')).toBe('load')
    expect((await scene.say('b', 'keep', 'y')).wanted).toBeNull()
  })

  test('is free for all when who wished is heard of no more', async () => {
    const scene = new Scene()
    await scene.say('a', 'ask', 'x')
    await scene.say('b', 'ask', 'y', { patient: true })
    await scene.say('a', 'drop', 'x')
    scene.nowMs += times.wishMs
    expect(await scene.verdict('a', 'ask', 'x')).toBe('run')
  })
})

interface Belief {
  readonly fingerprint: string
  readonly untilMs: number
  readonly loading: boolean
}

const replicas = ['a', 'b', 'c', 'd']
const fingerprints = ['', 'x', 'y']

/** Replicas that do what they may, in any order, and believe what they are told; some fall silent for long. */
class Schedule {
  readonly #scene = new Scene()
  readonly #beliefs = new Map<string, Belief>()
  readonly #random: () => number
  readonly trace: string[] = []

  constructor(seed: number) {
    this.#random = randomSequence(seed)
  }

  #pick<T>(all: readonly T[]): T {
    const one = all[Math.floor(this.#random() * all.length)]
    if (one === undefined) throw new Error('nothing to pick')
    return one
  }

  #live(replica: string): Belief | null {
    const belief = this.#beliefs.get(replica)
    return belief !== undefined && belief.untilMs > this.#scene.nowMs ? belief : null
  }

  async step(): Promise<void> {
    const replica = this.#pick(replicas)
    const held = this.#live(replica)
    const chance = this.#random()
    if (chance < 0.15) this.#scene.nowMs += Math.floor(this.#random() * 1_600)
    else if (chance < 0.2) this.#beliefs.delete(replica)
    else if (held === null || chance < 0.4) await this.#ask(replica)
    else if (chance < 0.75) await this.#keep(replica, held)
    else await this.#drop(replica, held)
    this.#check()
  }

  async #ask(replica: string): Promise<void> {
    const fingerprint = this.#pick(fingerprints)
    if (this.#live(replica)?.fingerprint === fingerprint) return
    this.#beliefs.delete(replica)
    const coldForMs = this.#random() < 0.5 ? null : Math.floor(this.#random() * 2_000)
    const ready = coldForMs === null && this.#random() < 0.5
    const reply = await this.#scene.say(replica, 'ask', fingerprint, { coldForMs, ready, patient: this.#random() < 0.3 })
    this.#believe(replica, fingerprint, reply)
  }

  async #keep(replica: string, { fingerprint, loading }: Belief): Promise<void> {
    const still = loading && this.#random() < 0.5
    const reply = await this.#scene.say(replica, 'keep', fingerprint, { loading: still, busy: true, servedForMs: still ? null : 0 })
    this.#beliefs.delete(replica)
    expect(reply.verdict, this.trace.join('\n')).toBe(still ? 'load' : 'run')
    this.#believe(replica, fingerprint, reply)
  }

  async #drop(replica: string, { fingerprint }: Belief): Promise<void> {
    this.#beliefs.delete(replica)
    await this.#scene.say(replica, 'drop', fingerprint, { servedForMs: this.#random() < 0.5 ? null : 3 })
    this.trace.push(`${replica} drops ${fingerprint}`)
  }

  #believe(replica: string, fingerprint: string, { verdict }: LeaseReply): void {
    this.trace.push(`${this.#scene.nowMs}: ${replica} "${fingerprint}": ${verdict}`)
    if (verdict !== 'run' && verdict !== 'load') return
    this.#beliefs.set(replica, { fingerprint, untilMs: this.#scene.nowMs + times.ttlMs, loading: verdict === 'load' })
  }

  #check(): void {
    const live = replicas.map((replica) => this.#live(replica)).filter((belief) => belief !== null)
    const kinds = new Set(live.map(({ fingerprint }) => fingerprint))
    expect(kinds.size, this.trace.join('\n')).toBeLessThanOrEqual(1)
    if (live.some(({ loading }) => loading)) expect(live.length, this.trace.join('\n')).toBe(1)
  }

  /** Whatever went before, who asks when all are silent is let in. */
  async end(): Promise<void> {
    this.#scene.nowMs += Math.max(times.ttlMs, times.wishMs)
    const verdict = await this.#scene.verdict(this.#pick(replicas), 'ask', this.#pick(fingerprints))
    expect(['run', 'load'], this.trace.join('\n')).toContain(verdict)
  }
}

test('in any order of events holders agree, one loads alone, and nothing is lost for ever', async () => {
  const run = async (seed: number): Promise<void> => {
    const schedule = new Schedule(seed)
    for (let step = 0; step < 120; step += 1) await schedule.step()
    await schedule.end()
  }
  for (let seed = 1; seed <= 200; seed += 20) await Promise.all(Array.from({ length: 20 }, (_, index) => run(seed + index)))
})
