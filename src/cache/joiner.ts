/**
 * One of the calls that share a flight: its own queue, signal and deadline. It holds views of the flight's bytes, never
 * copies. It is done exactly once, whether by the end, an error, its client or its deadline.
 */
import { ByteQueue } from '../base/byte-queue.ts'
import type { Timer } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, StreamAnswer, WholeAnswer } from '../core/relay.ts'

/** How one asker sees the flight's answer. */
export interface JoinView {
  readonly request: InferenceRequest
  /** The answer's headers for it. */
  readonly headers: (headers: Answer['headers']) => Answer['headers']
  /** Changes whole frames, or a whole answer, on their way to it; null: passes them on. */
  readonly transform: ((frames: Buffer) => Buffer) | null
  readonly cache: 'miss' | 'joined'
}

export interface JoinerHost {
  readonly queueBytesMax: number
  /** It takes no further part; to be told by `settleLeft` who pays for what it got. */
  left(joiner: Joiner): void
}

export class Joiner {
  readonly call: Call
  readonly view: JoinView
  readonly #host: JoinerHost
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (error: unknown) => void
  #queue: ByteQueue | null = null
  #settleOutcome: ((outcome: Outcome) => void) | null = null
  #deadline: Timer | null = null
  #bytes = 0
  #done = false

  constructor(
    host: JoinerHost,
    { call, view }: { readonly call: Call; readonly view: JoinView },
    { resolve, reject }: { resolve: (answer: Answer) => void; reject: (error: unknown) => void },
  ) {
    this.call = call
    this.view = view
    this.#host = host
    this.#resolve = resolve
    this.#reject = reject
    call.signal.on(this.#onAbort)
  }

  get done(): boolean {
    return this.#done
  }

  /** Stops waiting for the head when `timer` fires; the joiner cancels it. */
  set deadline(timer: Timer) {
    if (this.#done) timer.cancel()
    else this.#deadline = timer
  }

  readonly #onAbort = (): void => this.leave(new CorralError('client_gone', 'the client left before the answer'))

  /** The stream began; `prefix` is what came of it already. */
  open(head: StreamAnswer, prefix: Buffer): void {
    if (this.#done || this.#queue !== null) return
    const queue = new ByteQueue(this.#host.queueBytesMax)
    queue.onCancel = () => this.leave(null)
    this.#queue = queue
    this.#deadline?.cancel()
    const outcome = new Promise<Outcome>((resolve) => {
      this.#settleOutcome = resolve
    })
    const provenance = { ...head.provenance, cache: this.view.cache }
    this.#resolve({ kind: 'stream', status: head.status, headers: this.view.headers(head.headers), provenance, frames: queue, outcome })
    if (prefix.length > 0) this.push(prefix)
  }

  /** Hands on frames. A client that reads too slowly is dropped, alone. */
  push(frames: Buffer): void {
    if (this.#done || this.#queue === null) return
    const { transform } = this.view
    const bytes = transform === null ? frames : transform(frames)
    if (bytes.length === 0) return
    if (this.#queue.push(bytes)) {
      this.#bytes += bytes.length
      return
    }
    this.call.signal.abort(new CorralError('client_too_slow', `the client is ${this.#queue.queuedBytes} bytes behind a shared stream`))
    this.leave(null)
  }

  /** The stream ended. `generated`: whether its usage is booked on this call. */
  end(outcome: Outcome, generated: boolean): void {
    if (this.#finish()) return
    this.#queue?.end()
    this.#settleOutcome?.({ ...outcome, bytes: this.#bytes, cached: !generated })
  }

  /** The whole answer is here. */
  answer(answer: WholeAnswer, generated: boolean): void {
    if (this.#finish()) return
    const provenance = { ...answer.provenance, cache: this.view.cache }
    const body = this.view.transform?.(answer.body) ?? answer.body
    const outcome = { ...answer.outcome, bytes: body.length, cached: !generated }
    this.#resolve({ ...answer, headers: this.view.headers(answer.headers), body, provenance, outcome })
  }

  /** An answer that needs nothing of the flight. */
  answerWith(answer: Answer): void {
    if (!this.#finish()) this.#resolve(answer)
  }

  fail(error: unknown): void {
    if (!this.#finish()) this.#reject(error)
  }

  /** Takes no further part. `error`: for a call that still waits for its head. */
  leave(error: CorralError | null): void {
    if (this.#finish()) return
    const queue = this.#queue
    if (queue === null) this.#reject(error ?? new CorralError('client_gone', 'the client left before the answer'))
    else queue.cancel('left the shared stream')
    this.#host.left(this)
  }

  /** After it left a stream. `generated`: whether what came until then is booked on this call, as nobody else is there to. */
  settleLeft(generated: boolean): void {
    const { frames } = this.call.progress
    this.#settleOutcome?.({ kind: 'client_gone', usage: null, frames, bytes: this.#bytes, error: null, cached: !generated })
  }

  /** True when it was done already. */
  #finish(): boolean {
    if (this.#done) return true
    this.#done = true
    this.#deadline?.cancel()
    this.call.signal.off(this.#onAbort)
    return false
  }
}
