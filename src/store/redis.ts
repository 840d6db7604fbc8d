/**
 * Redis as Corral uses it: never load-bearing (ARCHITECTURE §4). Whatever happens to Redis, a caller gets the verdict `skipped`,
 * within `commandTimeoutMs` and at once while the breaker is open, and goes on by itself: limits count locally, caches miss. The
 * first command that fails opens it until a trial has answered, so a request that asks several times pays for one.
 *
 * Invariants: no command waits for a connection, none is sent twice (a lost answer may have taken effect, so callers make
 * their commands idempotent), and at most `callsMax` calls plus one probe are unanswered: a timed-out command stays in the client's
 * queue (reference/reliability-security.md F36), so sending stops. Leaves the meaning of keys and scripts to its users; every key and
 * channel begins with `prefix`.
 */
import { createHash } from 'node:crypto'

import type { TlsPeer } from '../base/certificate.ts'
import type { Clock } from '../base/clock.ts'
import { parseRedisAddress } from './redis-address.ts'
import { createRedisBreaker, type RedisBreaker, type RedisState } from './redis-breaker.ts'
import { createRedisClient, type RedisClient } from './redis-client.ts'
import { answerInTime } from './redis-deadline.ts'
import { RedisFailure } from './redis-failure.ts'
import type { RedisOptions } from './redis-options.ts'
import {
  type RedisArgument,
  type RedisCommands,
  type RedisScript,
  type RedisStats,
  type RedisStore,
  type Skipped,
  skipped,
} from './redis-store.ts'
import { RedisSubscriber, type RedisListener } from './redis-subscriber.ts'

export interface RedisDeps {
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** Told of every change, with the failure that caused it, for the log and a gauge. */
  readonly onState?: (state: RedisState, cause: string | null) => void
}

/** A store for `options.url`, not connected yet. Throws when there is no valid URL or `caFile` cannot be read. */
export function createRedis(options: RedisOptions, deps: RedisDeps): RedisStore {
  const address = parseRedisAddress(options.url ?? '')
  if (address === null) throw new Error('redis.url is no Redis URL')
  const connect = (): RedisClient => createRedisClient(address, options, deps)
  return new BoundedRedis(options, deps, connect)
}

class BoundedRedis implements RedisStore {
  readonly prefix: string
  readonly #options: RedisOptions
  readonly #client: RedisClient
  readonly #breaker: RedisBreaker
  readonly #commands: RedisCommands
  readonly #subscriber: RedisSubscriber
  cause: string | null = null
  onCommand: ((name: string, tookMs: number) => void) | null = null
  #underWay = 0
  #answered = 0
  #skipped = 0
  #dataErrors = 0

  constructor(options: RedisOptions, deps: RedisDeps, connect: () => RedisClient) {
    this.prefix = options.prefix
    this.#options = options
    this.#client = connect()
    const client = this.#client
    const ask = (send: () => Promise<unknown>): Promise<unknown> => answerInTime(send(), options.commandTimeoutMs, deps.clock)
    const onState = (state: RedisState, cause: string | null): void => {
      this.cause = cause
      deps.onState?.(state, cause)
    }
    const breaker = createRedisBreaker(client, options, { ...deps, onState, ask: (name, values) => ask(() => client.call(name, values)) })
    // A later command of a call that began before the doubt.
    const whileUp = (name: string, send: () => Promise<unknown>): Promise<unknown> =>
      breaker.state === 'up'
        ? this.#timed(name, ask(send), deps.clock)
        : Promise.reject(new RedisFailure('connection', '', 'Redis is left alone'))
    this.#commands = {
      command: (name, ...values) => whileUp(name, () => client.call(name, values)),
      commandBuffer: (name, ...values) => whileUp(name, () => client.callBuffer(name, values)),
    }
    this.#breaker = breaker
    this.#subscriber = new RedisSubscriber(connect)
  }

  #timed(name: string, reply: Promise<unknown>, clock: Clock): Promise<unknown> {
    const { onCommand } = this
    if (onCommand === null) return reply
    const sentAtMs = clock.nowMs()
    return reply.finally(() => onCommand(name, clock.nowMs() - sentAtMs))
  }

  get state(): RedisState {
    return this.#breaker.state
  }

  get stats(): RedisStats {
    return { answered: this.#answered, skipped: this.#skipped, dataErrors: this.#dataErrors, underWay: this.#underWay }
  }

  run<T>(work: (commands: RedisCommands) => Promise<T>): Promise<T | Skipped> | Skipped {
    if (this.#breaker.state !== 'up' || this.#underWay >= this.#options.callsMax) {
      this.#skipped += 1
      return skipped
    }
    return this.#attempt(work)
  }

  async #attempt<T>(work: (commands: RedisCommands) => Promise<T>): Promise<T | Skipped> {
    this.#underWay += 1
    try {
      const result = await this.#breaker.fire(() => work(this.#commands))
      this.#answered += 1
      return result
    } catch (error) {
      if (error instanceof RedisFailure && error.kind === 'data') this.#dataErrors += 1
      else if (!(error instanceof RedisFailure) && !this.#breaker.isOwn(error)) throw error
      this.#skipped += 1
      return skipped
    } finally {
      this.#underWay -= 1
    }
  }

  script(lua: string): RedisScript {
    const digest = createHash('sha1').update(lua).digest('hex')
    return { run: (keys, values) => this.run((commands) => runScript(commands, { lua, digest, keys, values })) }
  }

  publish(channel: string, message: string): Promise<number | Skipped> | Skipped {
    return this.run(async ({ command }) => Number(await command('PUBLISH', `${this.prefix}:${channel}`, message)))
  }

  subscribe(channel: string, listener: RedisListener): () => void {
    return this.#subscriber.subscribe(`${this.prefix}:${channel}`, listener)
  }

  tlsPeers(): readonly TlsPeer[] {
    return this.#client.tlsPeers()
  }

  start(): void {
    this.#client.connect()
  }

  close(): Promise<void> {
    this.#breaker.close()
    this.#subscriber.close()
    this.#client.close()
    return Promise.resolve()
  }
}

interface ScriptCall {
  readonly lua: string
  readonly digest: string
  readonly keys: readonly string[]
  readonly values: readonly RedisArgument[]
}

/** NOSCRIPT means that nothing ran, so sending the whole script is no second execution. */
async function runScript({ command }: RedisCommands, { lua, digest, keys, values }: ScriptCall): Promise<unknown> {
  try {
    return await command('EVALSHA', digest, keys.length, ...keys, ...values).catch((error: unknown) => {
      if (error instanceof RedisFailure && error.reply === 'NOSCRIPT') return command('EVAL', lua, keys.length, ...keys, ...values)
      throw error
    })
  } catch (error) {
    if (error instanceof RedisFailure && error.message.includes('WRONGTYPE')) await command('UNLINK', ...keys)
    throw error
  }
}
