/**
 * When Redis is asked at all. `opossum` keeps the state and the share of failures; around it stand the rules it lacks: five
 * failures in a row open it whatever the rate, a lost connection opens it at once, only a PING of our own ever tests a Redis
 * that is left alone (so "exactly one probe" holds and no user's call is risked), and a Redis that fails again within
 * `flappingHoldMs` of its return is left alone for that long (F37).
 *
 * Only plain promise calls go through it (opossum's limits: reliability-security.md §6.1).
 */
import CircuitBreaker from 'opossum'

import type { Clock, Timer } from '../base/clock.ts'
import type { RedisClient } from './redis-client.ts'
import { redisFailure, RedisFailure } from './redis-failure.ts'
import type { RedisOptions } from './redis-options.ts'

/** `up`: asked. `down`: left alone. `probing`: left alone but for one PING. */
export type RedisState = 'up' | 'probing' | 'down'

export interface RedisBreaker {
  readonly state: RedisState
  /** Runs one call whose outcome counts. Rejects with what it rejects with, or an error for which `isOwn` holds. */
  fire<T>(work: () => Promise<T>): Promise<T>
  isOwn(error: unknown): boolean
  close(): void
}

interface BreakerDeps {
  readonly clock: Clock
  readonly onState?: (state: RedisState, cause: string | null) => void
}

const failuresInRowMax = 5
const failedPercentMax = 50
const failedPercentCallsMin = 20
const windowMs = 2_000
/** Probes that may find their predecessor unanswered before the connection is made anew. */
const silentProbesMax = 3
/** A call of several commands ends after this many command timeouts. */
const commandsPerCall = 4

type Work = () => Promise<unknown>

/** A breaker in front of `client`: it begins `down` and comes up with the first answered PING. */
export function createRedisBreaker(client: RedisClient, options: RedisOptions, deps: BreakerDeps): RedisBreaker {
  return new ProbingBreaker(client, options, deps)
}

class ProbingBreaker implements RedisBreaker {
  readonly #client: RedisClient
  readonly #options: RedisOptions
  readonly #deps: BreakerDeps
  readonly #circuit: CircuitBreaker<[Work]>
  state: RedisState = 'down'
  #failuresInRow = 0
  #silentProbes = 0
  #failedBefore = false
  /** When it came back from a failure; not its first coming. */
  #upSinceMs = Number.NEGATIVE_INFINITY
  #holdUntilMs = Number.NEGATIVE_INFINITY
  #held: Timer | null = null
  #probing = false
  #cause: string | null = null

  constructor(client: RedisClient, options: RedisOptions, deps: BreakerDeps) {
    this.#client = client
    this.#options = options
    this.#deps = deps
    this.#circuit = new CircuitBreaker((work: Work) => work(), {
      timeout: options.commandTimeoutMs * commandsPerCall,
      resetTimeout: options.probeAfterMs,
      errorThresholdPercentage: failedPercentMax,
      volumeThreshold: failedPercentCallsMin,
      rollingCountTimeout: windowMs,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      errorFilter: (error: unknown) => !isAgainstRedis(error),
    })
    this.#circuit.open()
    this.#circuit.on('success', () => {
      this.#failuresInRow = 0
    })
    this.#circuit.on('failure', (error: Error) => this.#failed(error))
    this.#circuit.on('open', () => this.#enter('down'))
    this.#circuit.on('halfOpen', () => this.#probeSoon())
    this.#circuit.on('close', () => this.#enter('up'))
    client.onReady(() => this.#probeSoon())
    client.onLost((cause) => this.#leaveAlone(cause))
  }

  fire<T>(work: () => Promise<T>): Promise<T>
  fire(work: Work): Promise<unknown> {
    return this.#circuit.fire(work)
  }

  isOwn(error: unknown): boolean {
    return error instanceof Error && CircuitBreaker.isOurError(error)
  }

  close(): void {
    this.#held?.cancel()
    this.#circuit.shutdown()
    this.state = 'down'
  }

  #failed(error: Error): void {
    this.#failuresInRow += 1
    if (this.#failuresInRow >= failuresInRowMax) this.#leaveAlone(error.message)
  }

  #leaveAlone(cause: string | null): void {
    if (this.#circuit.isShutdown || !this.#circuit.closed) return
    this.#cause = cause
    this.#circuit.open()
  }

  #enter(state: RedisState): void {
    const nowMs = this.#deps.clock.nowMs()
    if (state === 'up') {
      if (this.#failedBefore) this.#upSinceMs = nowMs
      this.#failuresInRow = 0
      this.#silentProbes = 0
    } else if (this.state === 'up') {
      this.#failedBefore = true
      if (nowMs - this.#upSinceMs < this.#options.flappingHoldMs) this.#holdUntilMs = nowMs + this.#options.flappingHoldMs
    }
    const changed = this.state !== state
    this.state = state
    if (changed) this.#deps.onState?.(state, this.#cause)
    this.#cause = null
  }

  /** One PING, now or when the hold ends; called when the circuit allows one and when a connection is ready. */
  #probeSoon(): void {
    if (this.#circuit.isShutdown || this.#circuit.closed || this.#probing || this.#held !== null) return
    const waitMs = this.#holdUntilMs - this.#deps.clock.nowMs()
    if (waitMs <= 0) return void this.#probe()
    this.#held = this.#deps.clock.after(waitMs, () => {
      this.#held = null
      this.#probeSoon()
    })
  }

  async #probe(): Promise<void> {
    this.#probing = true
    this.state = 'probing'
    const answered = await this.#isAnswering()
    this.#probing = false
    if (this.#circuit.isShutdown) return
    this.state = 'down'
    if (answered) this.#circuit.close()
    else this.#circuit.open()
  }

  /** Does not send while an earlier command is unanswered: a stalled Redis would collect a PING per probe. */
  async #isAnswering(): Promise<boolean> {
    if ((this.#client.unanswered ?? 0) > 0) {
      this.#silentProbes += 1
      if (this.#silentProbes > silentProbesMax) {
        this.#silentProbes = 0
        this.#client.reconnect()
      }
      return false
    }
    try {
      await this.#client.call('PING', [])
      return true
    } catch (error) {
      this.#cause = redisFailure(error).message
      return false
    }
  }
}

/** Whether a failure says something about Redis and not about one key, one script, or a bug of ours. */
function isAgainstRedis(error: unknown): boolean {
  if (error instanceof RedisFailure) return error.kind !== 'data'
  return error instanceof Error && CircuitBreaker.isOurError(error)
}
