/** Redis as its users see it. What it stands on, client and breaker, is `redis.ts`, which is loaded only where there is a Redis. */
import type { TlsPeer } from '../base/certificate.ts'
import type { RedisState } from './redis-breaker.ts'
import type { RedisListener } from './redis-subscriber.ts'

export type { RedisState } from './redis-breaker.ts'
export type { RedisListener } from './redis-subscriber.ts'

/** The verdict when Redis was not asked or did not answer: go on without it. */
export const skipped = 'skipped'
export type Skipped = typeof skipped

export type RedisArgument = string | number | Buffer

/** What `work` may do. A command that fails rejects with an error that only `run` understands: do not catch it. */
export interface RedisCommands {
  /** One command, e.g. `command('SET', key, value, 'PX', 1000, 'NX')`; texts arrive as strings, integers as numbers. */
  command(name: string, ...values: readonly RedisArgument[]): Promise<unknown>
  /** The same with every text as a Buffer. */
  commandBuffer(name: string, ...values: readonly RedisArgument[]): Promise<unknown>
}

/** A Lua script, sent by its hash and in full only when Redis does not know it (restart, SCRIPT FLUSH). */
export interface RedisScript {
  /** Keys of one call share a hash tag. A key of the wrong type is deleted, counted, and the call is skipped (F39). */
  run(keys: readonly string[], values: readonly RedisArgument[]): Promise<unknown> | Skipped
}

export interface RedisStats {
  /** Calls that were answered, including with an error about their key. */
  readonly answered: number
  /** Calls not sent, or without a usable answer. */
  readonly skipped: number
  /** Calls that met a value they could not use, or a script's own error. */
  readonly dataErrors: number
  readonly underWay: number
}

export interface RedisStore {
  readonly prefix: string
  readonly state: RedisState
  /** Why it was left alone last; null: it never was since it came up. */
  readonly cause: string | null
  readonly stats: RedisStats
  /** Hears of each command and how long it took, whatever came of it; null: nobody does. */
  onCommand: ((name: string, tookMs: number) => void) | null
  /**
   * Runs `work` against Redis. `skipped`, synchronously, while Redis is left alone or too much is under way; resolves `skipped`
   * when a command failed. Rejects only with what `work` itself throws, which is a bug.
   */
  run<T>(work: (commands: RedisCommands) => Promise<T>): Promise<T | Skipped> | Skipped
  script(lua: string): RedisScript
  /** At most once, to whoever listens now; resolves with the number of listeners. `channel` is given without the prefix. */
  publish(channel: string, message: string): Promise<number | Skipped> | Skipped
  /** Listens on a connection of its own, opened by the first listener; returns the way to stop. Messages can be lost: see `onGap`. */
  subscribe(channel: string, listener: RedisListener): () => void
  /** Where its servers speak TLS, as far as they are known; empty: they do not. */
  tlsPeers(): readonly TlsPeer[]
  /** Connects. Never waits: until the connection is ready every call is skipped. */
  start(): void
  close(): Promise<void>
}
