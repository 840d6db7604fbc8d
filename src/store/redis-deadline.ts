/**
 * How long a command is waited for. Where this process was busy meanwhile, the answer may lie in the socket: timers run before
 * sockets are read, so one reading is let pass before Redis is blamed. And a timer that itself came late says that processor time is
 * short here: then Redis gets as much more as the timer was late, because neither our sending nor its working was prompt.
 * On a calm machine the end is sharp.
 */
import type { Clock } from '../base/clock.ts'
import { redisFailure, RedisFailure } from './redis-failure.ts'

/** Lateness of a timer that says nothing. */
const usualLatenessMs = 3
/** An extension is not longer than the timeout, and there are at most this many of them. */
const extensionsMax = 3

/** The reply, or a `RedisFailure` after `timeoutMs`. */
export function answerInTime(reply: Promise<unknown>, timeoutMs: number, clock: Clock): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const deadline = new Deadline(timeoutMs, clock, reject)
    reply.then(
      (value) => {
        deadline.cancel()
        resolve(value)
      },
      (error: unknown) => {
        deadline.cancel()
        reject(redisFailure(error))
      },
    )
  })
}

class Deadline {
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #onMissed: (failure: RedisFailure) => void
  #timer
  #extensions = 0
  #open = true

  constructor(timeoutMs: number, clock: Clock, onMissed: (failure: RedisFailure) => void) {
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#onMissed = onMissed
    this.#timer = this.#arm(timeoutMs)
  }

  cancel(): void {
    this.#open = false
    this.#timer.cancel()
  }

  #arm(waitMs: number) {
    const dueMs = this.#clock.nowMs() + waitMs
    return this.#clock.after(waitMs, () => {
      const lateMs = this.#clock.nowMs() - dueMs
      setImmediate(() => this.#judge(lateMs))
    })
  }

  #judge(lateMs: number): void {
    if (!this.#open) return
    if (lateMs > usualLatenessMs && this.#extensions < extensionsMax) {
      this.#extensions += 1
      this.#timer = this.#arm(Math.min(lateMs, this.#timeoutMs))
      return
    }
    this.#onMissed(new RedisFailure('timeout', '', `no answer within ${this.#timeoutMs} ms`))
  }
}
