/**
 * When Redis is asked at all. `opossum` keeps the state and the share of failures; around it stand the rules it lacks:
 *
 * - The first failure puts Redis in doubt: nobody asks until a trial has answered, which is sent at once. So a request pays for one
 *   timeout, however often it would ask, and a hiccup costs the others no more than the trial's round trip.
 * - A trial is a write with a deadline like any command's: a full Redis or a replica answers PING and is of no use.
 * - A trial that fails leaves Redis alone until the next one; so do a lost connection, and five failures in a row whatever trials say.
 * - One that is left alone again within `flappingHoldMs` of its return stays so for that long (F37). Doubts that a trial dispels and
 *   trials that fail are no return, so a fault that lasts does not lengthen its end.
 *
 * Only trials of our own ever test a Redis in doubt, one at a time, so no user's call is risked. Only plain promise calls go through
 * opossum (its limits: reliability-security.md §6.1).
 */
import CircuitBreaker from 'opossum'

import type { Clock, Timer } from '../base/clock.ts'
import type { RedisClient } from './redis-client.ts'
import { redisFailure, RedisFailure } from './redis-failure.ts'
import type { RedisOptions } from './redis-options.ts'

/** `up`: asked. `down`: left alone. `probing`: left alone but for one trial. */
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
  /** Sends one command past the breaker; rejects with a `RedisFailure` within the command timeout. */
  readonly ask: (name: string, values: readonly (string | number)[]) => Promise<unknown>
  /** Told when it comes up and when it is left alone; not of a doubt. */
  readonly onState?: (state: RedisState, cause: string | null) => void
}

const failuresInRowMax = 5
const failedPercentMax = 50
const failedPercentCallsMin = 20
const windowMs = 2_000
/** Trials that may find their predecessor unanswered before the connection is made anew. */
const silentProbesMax = 3
/** How long the key of a trial lies in Redis. */
const trialKeptMs = 10_000

type Work = () => Promise<unknown>

/** A breaker in front of `client`: it begins `down` and comes up with the first trial that succeeds. */
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
  /** What was told last; a doubt is not. */
  #isLeftAlone = true
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
      // Every command has its own end. A timer of opossum would fire before the socket is read when this process was busy.
      timeout: false,
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
    this.#circuit.on('open', () => this.#opened())
    this.#circuit.on('halfOpen', () => this.#probeSoon())
    this.#circuit.on('close', () => this.#cameUp())
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

  /** Those that were under way when the doubt arose add nothing to it. */
  #failed(error: Error): void {
    if (!this.#circuit.closed) return
    this.#failuresInRow += 1
    if (this.#failuresInRow >= failuresInRowMax) this.#leaveAlone(error.message)
    else this.#doubt(error.message)
  }

  #doubt(cause: string): void {
    if (this.#circuit.isShutdown) return
    this.#cause = cause
    this.#probing = true
    this.#circuit.open()
    void this.#probe(() => this.#isTakingWrites())
  }

  #leaveAlone(cause: string | null): void {
    if (this.#circuit.isShutdown || !this.#circuit.closed) return
    this.#cause = cause
    this.#circuit.open()
  }

  /** The circuit has opened: for the time of a trial, or because Redis is left alone. */
  #opened(): void {
    if (this.#probing) this.state = 'probing'
    else this.#wentDown()
  }

  #wentDown(): void {
    this.state = 'down'
    if (this.#isLeftAlone) return
    const nowMs = this.#deps.clock.nowMs()
    this.#isLeftAlone = true
    this.#failedBefore = true
    if (nowMs - this.#upSinceMs < this.#options.flappingHoldMs) this.#holdUntilMs = nowMs + this.#options.flappingHoldMs
    this.#deps.onState?.('down', this.#cause)
    this.#cause = null
  }

  #cameUp(): void {
    this.state = 'up'
    this.#cause = null
    this.#silentProbes = 0
    if (!this.#isLeftAlone) return
    this.#isLeftAlone = false
    this.#failuresInRow = 0
    if (this.#failedBefore) this.#upSinceMs = this.#deps.clock.nowMs()
    this.#deps.onState?.('up', null)
  }

  /** One trial, now or when the hold ends; called when the circuit allows one and when a connection is ready. */
  #probeSoon(): void {
    if (this.#circuit.isShutdown || this.#circuit.closed || this.#probing || this.#held !== null) return
    const waitMs = this.#holdUntilMs - this.#deps.clock.nowMs()
    if (waitMs <= 0) return void this.#probe(() => this.#isAnswering())
    this.#held = this.#deps.clock.after(waitMs, () => {
      this.#held = null
      this.#probeSoon()
    })
  }

  async #probe(trial: () => Promise<boolean>): Promise<void> {
    this.#probing = true
    this.state = 'probing'
    const succeeded = await trial()
    this.#probing = false
    if (this.#circuit.isShutdown) return
    if (succeeded) return this.#circuit.close()
    this.#circuit.open()
    this.#wentDown()
  }

  /** Does not send while an earlier command is unanswered: a stalled Redis would collect one per trial. */
  async #isAnswering(): Promise<boolean> {
    if ((this.#client.unanswered ?? 0) === 0) return this.#isTakingWrites()
    this.#silentProbes += 1
    if (this.#silentProbes > silentProbesMax) {
      this.#silentProbes = 0
      this.#client.reconnect()
    }
    return false
  }

  async #isTakingWrites(): Promise<boolean> {
    try {
      await this.#deps.ask('SET', [`${this.#options.prefix}:trial`, '1', 'PX', trialKeptMs])
      return true
    } catch (error) {
      this.#cause ??= redisFailure(error).message
      return false
    }
  }
}

/** Whether a failure says something about Redis and not about one key, one script, or a bug of ours. */
function isAgainstRedis(error: unknown): boolean {
  if (error instanceof RedisFailure) return error.kind !== 'data'
  return error instanceof Error && CircuitBreaker.isOurError(error)
}
