/**
 * How many replicas are alive: each writes a sign of life into Redis and counts the others'. While Redis is away the last
 * known number stands, because each replica then grants its share of every limit; before it was ever there, the workers of this machine count.
 * A process that was killed counts until its last sign of life ends, so only who is seen for longer is told of as another.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { skipped, type RedisScript, type RedisStore } from '../store/redis-store.ts'
import { heartbeatScript } from './scripts.ts'

const beatMs = 1_000
const lifeMs = 5_000

interface ReplicaFacts {
  /** Unique to this process. */
  readonly name: string
  /** Processes on this machine that serve together, this one included. */
  readonly workers: number
  /** Called once, when processes that are none of these have been seen for longer than one that was killed would be. */
  readonly onOthers?: () => void
}

export class Replicas {
  readonly #redis: RedisStore
  readonly #clock: Clock
  readonly #name: string
  readonly #script: RedisScript
  #timer: Timer | null = null
  #closed = false
  readonly #workers: number
  #onOthers: (() => void) | undefined
  /** Monotonic; null: the last count found none. */
  #othersSinceMs: number | null = null
  /** At least the workers of this machine, oneself included. */
  alive: number

  constructor(redis: RedisStore, clock: Clock, { name, workers, onOthers }: ReplicaFacts) {
    this.#redis = redis
    this.#clock = clock
    this.#name = name
    this.#workers = workers
    this.#onOthers = onOthers
    this.alive = workers
    this.#script = redis.script(heartbeatScript)
  }

  start(): void {
    void this.#beat()
  }

  /** Tells the others at once that this replica is gone. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#redis.run(({ command }) => command('ZREM', this.#key, this.#name))
  }

  get #key(): string {
    return `${this.#redis.prefix}:replicas`
  }

  async #beat(): Promise<void> {
    const askedAtMs = this.#clock.nowMs()
    const alive = await this.#script.run([this.#key], [this.#name, lifeMs])
    if (alive !== skipped && typeof alive === 'number') this.#count(alive, askedAtMs)
    if (this.#closed) return
    this.#timer = this.#clock.after(this.#redis.state === 'up' ? beatMs : beatMs / 10, () => void this.#beat())
  }

  #count(alive: number, askedAtMs: number): void {
    this.alive = Math.max(this.#workers, alive)
    if (alive <= this.#workers) this.#othersSinceMs = null
    else if (this.#othersSinceMs === null) this.#othersSinceMs = this.#clock.nowMs()
    else if (askedAtMs - this.#othersSinceMs > lifeMs) {
      this.#onOthers?.()
      this.#onOthers = undefined
    }
  }
}
