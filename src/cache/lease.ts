/**
 * Whose turn it is to ask upstream, among replicas that share a Redis: a key with the owner's token, set only where there is
 * none, prolonged while the owner works and deleted by comparison, so that nobody ends a lease but its owner. Who waits hears of
 * the end by a message, and looks by itself now and then, because messages get lost.
 *
 * Never load-bearing: while Redis is left alone it is everybody's turn, and an owner that died loses its lease by the TTL. While the
 * owner lives who waits does so until it leaves, or its own requests have no more time; the owner's have a deadline, too.
 */
import type { Clock, Timer } from '../base/clock.ts'
import { type RedisScript, type RedisStore, skipped } from '../store/redis-store.ts'
import type { FlightLease, Turn } from './second-layer.ts'

const ttlMs = 3_000
const renewEveryMs = 1_000
const lookEveryMs = 250
const heldMax = 10_000
const channel = 'cache:lease'

const renewScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`
const releaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`

export interface LeaseDeps {
  readonly redis: Pick<RedisStore, 'prefix' | 'run' | 'script' | 'publish' | 'subscribe'>
  readonly clock: Clock
  /** A text that no other replica has and none had. */
  readonly replica: string
}

export interface RedisLease extends FlightLease {
  /** Leases of this replica, and answers of others it waits for. */
  readonly stats: { readonly held: number; readonly waiting: number }
  /** Gives up all leases and ends all waiting. */
  close(): void
}

/** Leases in `redis`, which its owner starts and closes. */
export function createRedisLease(deps: LeaseDeps): RedisLease {
  return new Leases(deps)
}

interface Waiting {
  readonly done: () => void
}

class Leases implements RedisLease {
  readonly #deps: LeaseDeps
  readonly #renew: RedisScript
  readonly #release: RedisScript
  readonly #held = new Map<string, () => void>()
  readonly #waiting = new Map<string, Set<Waiting>>()
  #unsubscribe: (() => void) | null = null
  #turns = 0

  constructor(deps: LeaseDeps) {
    this.#deps = deps
    this.#renew = deps.redis.script(renewScript)
    this.#release = deps.redis.script(releaseScript)
  }

  get stats(): { readonly held: number; readonly waiting: number } {
    let waiting = 0
    for (const { size } of this.#waiting.values()) waiting += size
    return { held: this.#held.size, waiting }
  }

  acquire(key: string): Promise<Turn> | null {
    if (this.#held.size >= heldMax) return null
    this.#turns += 1
    const token = `${this.#deps.replica}:${this.#turns}`
    const name = `${this.#deps.redis.prefix}:lease:${key}`
    const asked = this.#deps.redis.run(({ command }) => command('SET', name, token, 'PX', ttlMs, 'NX'))
    if (asked === skipped) return null
    return asked.then((answer) => {
      // Whether it was set is not known when the answer did not come: then the lease runs out by itself.
      if (answer === skipped) throw new Error('Redis did not say whose turn it is')
      return answer === 'OK' ? this.#hold(key, name, token) : this.#wait(key, name)
    })
  }

  #hold(key: string, name: string, token: string): Turn {
    let timer: Timer | null = null
    const renew = (): void => {
      timer = this.#deps.clock.after(renewEveryMs, () => {
        void this.#renew.run([name], [token, ttlMs])
        renew()
      })
    }
    renew()
    const release = (): void => {
      if (!this.#held.delete(token)) return
      timer?.cancel()
      const released = this.#release.run([name], [token])
      if (released !== skipped) void released.then(() => this.#deps.redis.publish(channel, key))
    }
    this.#held.set(token, release)
    return { isOurs: true, release }
  }

  /** Until the lease is over, Redis is away, or who waits leaves. */
  #wait(key: string, name: string): Turn {
    this.#listen()
    const { promise: over, resolve } = Promise.withResolvers<void>()
    let timer: Timer | null = null
    const waiting: Waiting = {
      done: () => {
        timer?.cancel()
        this.#remove(key, waiting)
        resolve()
      },
    }
    const look = (): void => {
      timer = this.#deps.clock.after(lookEveryMs, () => {
        this.#isHeld(name).then((isHeld) => (isHeld ? this.#isWaiting(key, waiting) && look() : waiting.done()), waiting.done)
      })
    }
    const all = this.#waiting.get(key) ?? new Set()
    this.#waiting.set(key, all.add(waiting))
    look()
    return { isOurs: false, over, leave: waiting.done }
  }

  async #isHeld(name: string): Promise<boolean> {
    return (await this.#deps.redis.run(({ command }) => command('EXISTS', name))) === 1
  }

  #isWaiting(key: string, waiting: Waiting): boolean {
    return this.#waiting.get(key)?.has(waiting) === true
  }

  #remove(key: string, waiting: Waiting): void {
    const all = this.#waiting.get(key)
    all?.delete(waiting)
    if (all?.size === 0) this.#waiting.delete(key)
  }

  /** One subscription for all keys, from the first that is waited for. */
  #listen(): void {
    this.#unsubscribe ??= this.#deps.redis.subscribe(channel, {
      onMessage: (key) => this.#wake(key),
      // What was missed is found by looking.
      onGap: () => undefined,
    })
  }

  #wake(key: string): void {
    for (const waiting of this.#waiting.get(key) ?? []) waiting.done()
  }

  close(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = null
    for (const release of this.#held.values()) release()
    for (const key of this.#waiting.keys()) this.#wake(key)
  }
}
