/**
 * The layer that replicas share. Redis is never load-bearing: while it is left alone a lookup costs nothing, and whatever goes
 * wrong is a miss, within the command timeout of `store/redis.ts` (25 ms).
 *
 * A value is bound to its key by the checksum over both, so two values swapped in Redis are two misses (caching.md §11, I7).
 * Ages are counted by the clock of Redis (TIME), read with the value and before it is written: hosts' clocks may differ.
 * Keys carry one of 64 hash tags, so that many of them still share a slot of a Cluster, whose MGET takes one slot at a time.
 */
import { crc32 } from 'node:zlib'

import type { Clock } from '../base/clock.ts'
import { type RedisCommands, type RedisStore, type Skipped, skipped } from '../store/redis-store.ts'
import type { FoundEntry, KeyedBytes, SecondLayer, StoredFacts } from './second-layer.ts'
import type { ResolvedSelector } from './tags.ts'

/** Keys of one MGET: a reply of about half a megabyte of vectors, which delays nobody else's command for long. */
const keysPerCommand = 128
/** Keys asked for at once. Beyond that the commands would wait for each other longer than their timeout. */
const keysPerRound = 256
const bytesPerRound = 1_048_576
/** A lookup of many rounds stops after this; what is left counts as missing. */
const roundsMsMax = 250
const tagsMask = 63
/** Suffixes of a key for the forms of an answer (`slotOf`), and none. */
const forms = ['', 's', 'u', 'w'] as const

const magic = 0x31525243 // "CRR1"
const headBytes = 24
const crcAt = 4
const bornAt = 8
const staleAt = 16

export interface RedisLayerDeps {
  readonly redis: Pick<RedisStore, 'prefix' | 'run'>
  readonly clock: Clock
  /** Whether `redis` is a Cluster: then a command's keys have to share a slot. */
  readonly isCluster: boolean
}

/** The layer on `redis`, which its owner starts and closes. */
export function createRedisLayer(deps: RedisLayerDeps): SecondLayer {
  return new RedisLayer(deps)
}

class RedisLayer implements SecondLayer {
  readonly name = 'redis'
  readonly #deps: RedisLayerDeps

  constructor(deps: RedisLayerDeps) {
    this.#deps = deps
  }

  #nameOf(key: string): string {
    return `${this.#deps.redis.prefix}:cache:{${tagOf(key)}}:${key}`
  }

  get(key: string): Promise<FoundEntry | null> | null {
    const name = this.#nameOf(key)
    const asked = this.#deps.redis.run(({ command, commandBuffer }) => Promise.all([command('TIME'), commandBuffer('GET', name)]))
    if (asked === skipped) return null
    return asked.then((answer) => (answer === skipped ? null : openValue(key, answer[1], readTimeMs(answer[0]))))
  }

  getMany(keys: readonly string[]): Promise<ReadonlyMap<string, FoundEntry>> | null {
    const sorted = this.#deps.isCluster ? keys.toSorted((a, b) => tagOf(a) - tagOf(b)) : keys
    const first = this.#askRound(sorted.slice(0, keysPerRound))
    return first === skipped ? null : this.#getRounds(sorted, first)
  }

  async #getRounds(keys: readonly string[], first: Promise<Round | Skipped>): Promise<ReadonlyMap<string, FoundEntry>> {
    const { clock } = this.#deps
    const untilMs = clock.nowMs() + roundsMsMax
    const found = new Map<string, FoundEntry>()
    let round = await first
    for (let at = 0; round !== skipped; round = await this.#askRound(keys.slice(at, at + keysPerRound))) {
      const nowMs = readTimeMs(round.time)
      const values = round.values.flat()
      values.forEach((value, index) => {
        const key = keys[at + index] ?? ''
        const entry = openValue(key, value, nowMs)
        if (entry !== null) found.set(key, entry)
      })
      at += keysPerRound
      if (at >= keys.length || clock.nowMs() >= untilMs) break
    }
    return found
  }

  #askRound(keys: readonly string[]): Promise<Round | Skipped> | Skipped {
    return this.#deps.redis.run(async ({ command, commandBuffer }) => {
      const groups = this.#groups(keys).map((group) => commandBuffer('MGET', ...group))
      const [time, ...values] = await Promise.all([command('TIME'), ...groups])
      return { time, values }
    })
  }

  /** Names in groups of one command each, in the order of `keys`. */
  #groups(keys: readonly string[]): string[][] {
    const groups: string[][] = []
    let tag = -1
    for (const key of keys) {
      const last = groups.at(-1)
      const fits = last !== undefined && last.length < keysPerCommand && (!this.#deps.isCluster || tag === tagOf(key))
      tag = tagOf(key)
      if (fits) last.push(this.#nameOf(key))
      else groups.push([this.#nameOf(key)])
    }
    return groups
  }

  put(key: string, bytes: Buffer, facts: StoredFacts): Promise<boolean> | null {
    return this.putMany([{ key, bytes }], facts)
  }

  putMany(entries: readonly KeyedBytes[], facts: StoredFacts): Promise<boolean> | null {
    if (lifeMsOf(facts) <= 0) return Promise.resolve(false)
    const rounds = cut(entries)
    const first = this.#putRound(rounds[0] ?? [], facts)
    return first === skipped ? null : this.#putRounds(rounds, first, facts)
  }

  async #putRounds(rounds: readonly (readonly KeyedBytes[])[], first: Promise<Stored>, facts: StoredFacts): Promise<true> {
    let stored: Stored = await first
    for (const round of rounds.slice(1)) {
      if (stored === skipped) break
      stored = await this.#putRound(round, facts)
    }
    if (stored === skipped) throw new Error('Redis did not take the entries')
    return stored
  }

  #putRound(entries: readonly KeyedBytes[], facts: StoredFacts): Promise<Stored> | Skipped {
    const lifeMs = lifeMsOf(facts)
    return this.#deps.redis.run(async ({ command, commandBuffer }): Promise<true> => {
      const nowMs = readTimeMs(await command('TIME'))
      const times = { bornAtMs: nowMs - facts.ageMs, staleAtMs: nowMs + facts.freshForMs }
      await Promise.all(
        entries.map(({ key, bytes }) =>
          commandBuffer('SET', this.#nameOf(key), sealValue(key, bytes, times), 'PX', lifeMs, ...(facts.replaces ? [] : ['NX'])),
        ),
      )
      return true
    })
  }

  delete(key: string): Promise<void> | null {
    return this.#unlink([key])?.then(() => undefined) ?? null
  }

  /** Only a key can be found here without walking through everything; all else is out of reach by its epoch and goes by its TTL. */
  purge({ key }: ResolvedSelector): Promise<number | null> | null {
    return key === null ? null : this.#unlink(forms.map((form) => key + form))
  }

  /** The forms of one key share its tag, so this is one slot. */
  #unlink(keys: readonly string[]): Promise<number | null> | null {
    const names = keys.map((key) => this.#nameOf(key))
    const asked = this.#deps.redis.run(({ command }: RedisCommands) => command('UNLINK', ...names))
    return asked === skipped ? null : asked.then((count) => (count === skipped ? null : Number(count)))
  }
}

interface Round {
  readonly time: unknown
  /** Per command the list of its values. */
  readonly values: readonly unknown[]
}

type Stored = true | Skipped

/** How long an entry is of any use. */
function lifeMsOf({ freshForMs, staleMs }: StoredFacts): number {
  return Math.ceil(freshForMs + staleMs)
}

/** 0..63 out of the first two digits of a key; keys are digits of an HMAC. */
function tagOf(key: string): number {
  return Number.parseInt(key.slice(0, 2), 16) & tagsMask
}

/** In rounds of at most a megabyte and one command's number of keys. */
function cut(entries: readonly KeyedBytes[]): KeyedBytes[][] {
  const rounds: KeyedBytes[][] = []
  let roundBytes = 0
  for (const entry of entries) {
    const last = rounds.at(-1)
    if (last !== undefined && last.length < keysPerCommand && roundBytes + entry.bytes.length <= bytesPerRound) last.push(entry)
    else {
      rounds.push([entry])
      roundBytes = 0
    }
    roundBytes += entry.bytes.length
  }
  return rounds
}

/** Milliseconds of the clock of Redis: TIME answers seconds and microseconds. */
function readTimeMs(time: unknown): number {
  const [seconds, micros]: readonly unknown[] = Array.isArray(time) ? time : []
  return Number(seconds) * 1_000 + Number(micros) / 1_000
}

function sealValue(key: string, bytes: Buffer, { bornAtMs, staleAtMs }: { readonly bornAtMs: number; readonly staleAtMs: number }): Buffer {
  const value = Buffer.allocUnsafe(headBytes + bytes.length)
  value.writeUInt32LE(magic, 0)
  value.writeDoubleLE(bornAtMs, bornAt)
  value.writeDoubleLE(staleAtMs, staleAt)
  bytes.copy(value, headBytes)
  value.writeUInt32LE(checksum(key, value), crcAt)
  return value
}

function checksum(key: string, value: Buffer): number {
  return crc32(value.subarray(bornAt), crc32(key))
}

const broken: FoundEntry = { bytes: Buffer.alloc(0), ageMs: 0, freshForMs: 0 }

/** What a value holds; null: there is none. One that does not check out is found empty, which its reader counts and deletes. */
function openValue(key: string, value: unknown, nowMs: number): FoundEntry | null {
  if (value === null || value === undefined) return null
  if (!Buffer.isBuffer(value) || value.length < headBytes || value.readUInt32LE(0) !== magic) return broken
  if (value.readUInt32LE(crcAt) !== checksum(key, value) || !Number.isFinite(nowMs)) return broken
  const ageMs = Math.max(0, nowMs - value.readDoubleLE(bornAt))
  return { bytes: value.subarray(headBytes), ageMs, freshForMs: value.readDoubleLE(staleAt) - nowMs }
}
