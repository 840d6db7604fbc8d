/**
 * One upstream call that N requests share. The flight owns the call, no request does: a leaving first one is like any
 * other. Joiners get what came so far in one write and then each chunk as it comes. When the last one leaves, the upstream is
 * aborted after a grace, in which somebody may still come.
 *
 * `owner.ended` runs in the same tick in which joiners are told, before them: storing and removal from the owner's map
 * leave no gap. A failure reaches all who wait, as the same error, and is not tried again on their behalf; only a missed
 * deadline is, for those who have time left.
 *
 * What the node did is booked on one call alone: the first comer among those who stayed, or the last who left when nobody did.
 */
import { CallSignal } from '../base/abort.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Call } from '../core/call.ts'
import { CorralError, toCorralError } from '../core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Relay, StreamAnswer, WholeAnswer } from '../core/relay.ts'
import { Joiner, type JoinerHost, type JoinView } from './joiner.ts'
import { Recording } from './recording.ts'
import { SharedProgress } from './shared-progress.ts'

export interface FlightOptions {
  readonly clock: Clock
  /** How long the upstream goes on when nobody is left. */
  readonly graceMs: number
  /** A stream beyond this takes no new joiners and is not stored. */
  readonly flightBytesMax: number
  /** How far one client may lag behind. */
  readonly queueBytesMax: number
}

/** A stream or body that came to its end. */
export interface FlightEnd {
  readonly answer: Answer
  readonly outcome: Outcome
  /** Null: a whole answer, or a stream that was too long to keep. */
  readonly recording: Recording | null
  /** Milliseconds from dispatch to now. */
  readonly originMs: number
}

export interface FlightOwner {
  /** It ended, well or not; `end` is null when there was no answer at all. Take it out of the map, store what is to be stored. */
  ended(flight: Flight, end: FlightEnd | null, error: CorralError | null): void
  /** Nobody may join any more. */
  closed(flight: Flight): void
}

/** The fleet gives up at the deadline by itself, with a better error; this only guards. */
const ownDeadlineSlackMs = 50

export class Flight implements JoinerHost {
  readonly #options: FlightOptions
  readonly #owner: FlightOwner
  readonly #request: InferenceRequest
  readonly #signal = new CallSignal()
  readonly #progress = new SharedProgress()
  readonly #joiners = new Set<Joiner>()
  #call: Call | null = null
  #next: Relay | null = null
  #head: StreamAnswer | null = null
  #recording: Recording | null = null
  #framesEnded = false
  #outcome: Outcome | null = null
  #grace: Timer | null = null
  /** Pays for the stream unless somebody comes within the grace. */
  #lastLeft: Joiner | null = null
  #over = false

  constructor(options: FlightOptions, owner: FlightOwner, request: InferenceRequest) {
    this.#options = options
    this.#owner = owner
    this.#request = request
  }

  get queueBytesMax(): number {
    return this.#options.queueBytesMax
  }

  get joiners(): number {
    return this.#joiners.size
  }

  /** Whether it ended or was given up. */
  get over(): boolean {
    return this.#over
  }

  /** Whether it still waits for a node. */
  get queued(): boolean {
    const { phase } = this.#progress
    return phase === 'received' || phase === 'queued'
  }

  /** Takes part from now on. Resolves and rejects as a relay does. */
  join(call: Call, view: JoinView): Promise<Answer> {
    this.#grace?.cancel()
    this.#grace = null
    this.#settleLastLeft(false)
    return new Promise<Answer>((resolve, reject) => {
      const joiner = new Joiner(this, { call, view }, { resolve, reject })
      if (joiner.done) return
      this.#joiners.add(joiner)
      this.#progress.add(call.progress)
      if (this.#head !== null) joiner.open(this.#head, this.#recording?.bytes ?? Buffer.alloc(0))
      else this.#watchDeadline(joiner)
    })
  }

  #watchDeadline(joiner: Joiner): void {
    const { deadlineAtMs } = joiner.call
    if (deadlineAtMs === Infinity) return
    const slackMs = this.#joiners.size === 1 ? ownDeadlineSlackMs : 0
    const delayMs = Math.max(0, deadlineAtMs - this.#options.clock.nowMs()) + slackMs
    joiner.deadline = this.#options.clock.after(delayMs, () => joiner.leave(deadlinePassed()))
  }

  left(joiner: Joiner): void {
    this.#joiners.delete(joiner)
    this.#progress.remove(joiner.call.progress)
    if (this.#joiners.size > 0 || this.#over) {
      // Others pay for the node's time, so none of it was on behalf of this one.
      joiner.call.progress.dispatchedAtMs = null
      joiner.settleLeft(false)
      return
    }
    this.#lastLeft = joiner
    this.#grace?.cancel()
    this.#grace = this.#options.clock.after(this.#options.graceMs, this.#giveUp)
  }

  #settleLastLeft(generated: boolean): void {
    this.#lastLeft?.settleLeft(generated)
    this.#lastLeft = null
  }

  readonly #giveUp = (): void => {
    if (this.#joiners.size > 0 || this.#over) return
    this.#finish(null, new CorralError('client_gone', 'everybody left the shared answer'))
    this.#signal.abort('everybody left the shared answer')
  }

  /** Makes the upstream call, on behalf of the first joiner. */
  start(next: Relay, leader: Call): void {
    if (this.#over) return
    if (this.#joiners.size === 0) {
      this.#giveUp()
      return
    }
    this.#next = next
    const lastDeadline = (): number => this.#deadlineAtMs(leader.deadlineAtMs)
    this.#call = {
      ...leader,
      signal: this.#signal,
      progress: this.#progress,
      get deadlineAtMs() {
        return lastDeadline()
      },
    }
    this.#ask()
  }

  #deadlineAtMs(ownMs: number): number {
    let lastMs = -Infinity
    for (const { call } of this.#joiners) lastMs = Math.max(lastMs, call.deadlineAtMs)
    return lastMs === -Infinity ? ownMs : lastMs
  }

  #ask(): void {
    const call = this.#call
    if (call === null || this.#next === null) return
    try {
      this.#next(this.#request, call).then(this.#onAnswer, this.#onError)
    } catch (thrown) {
      this.#onError(thrown)
    }
  }

  /** Everybody gets what `answerFor` makes, e.g. from a slower layer that had it. */
  fulfil(answerFor: (joiner: Joiner) => Answer): void {
    if (this.#over) return
    this.#over = true
    this.#grace?.cancel()
    for (const joiner of this.#joiners) {
      this.#progress.remove(joiner.call.progress)
      joiner.answerWith(answerFor(joiner))
    }
    this.#joiners.clear()
  }

  readonly #onAnswer = (answer: Answer): void => {
    if (this.#over) {
      if (answer.kind === 'stream') answer.frames.cancel('everybody left the shared answer')
      return
    }
    if (answer.kind === 'stream') this.#onHead(answer)
    else this.#onWhole(answer)
  }

  #onWhole(answer: WholeAnswer): void {
    const end = { answer, outcome: answer.outcome, recording: null, originMs: this.#originMs(answer) }
    const joiners = this.#finish(end, answer.outcome.error)
    joiners.forEach((joiner, index) => joiner.answer(answer, index === 0))
  }

  #onHead(head: StreamAnswer): void {
    const { clock, flightBytesMax } = this.#options
    this.#head = head
    this.#recording = new Recording(flightBytesMax, clock.nowMs())
    for (const joiner of this.#joiners) joiner.open(head, Buffer.alloc(0))
    head.frames.attach({
      take: (chunk) => this.#onChunk(chunk),
      end: () => {
        this.#framesEnded = true
        this.#endStream()
      },
    })
    head.outcome.then((outcome) => {
      this.#outcome = outcome
      // A queue that was cancelled never ends.
      if (!head.frames.open) this.#framesEnded = true
      this.#endStream()
    }, this.#onError)
  }

  #onChunk(chunk: Buffer): boolean {
    const recording = this.#recording
    if (recording !== null) {
      recording.add(chunk, this.#options.clock.nowMs())
      if (!recording.complete) {
        this.#recording = null
        this.#owner.closed(this)
      }
    }
    for (const joiner of this.#joiners) joiner.push(chunk)
    return true
  }

  #endStream(): void {
    const answer = this.#head
    const outcome = this.#outcome
    if (this.#over || answer === null || outcome === null || !this.#framesEnded) return
    const end = { answer, outcome, recording: this.#recording, originMs: this.#originMs(answer) }
    const joiners = this.#finish(end, outcome.error)
    joiners.forEach((joiner, index) => joiner.end(outcome, index === 0))
  }

  readonly #onError = (thrown: unknown): void => {
    if (this.#over) return
    const error = toCorralError(thrown)
    if (error.code === 'queue_timeout' && this.#head === null && this.#dropExpired(error)) {
      this.#ask()
      return
    }
    for (const joiner of this.#finish(null, error)) joiner.fail(thrown)
  }

  /** Ends those whose deadline passed; true when some were and others have time left. */
  #dropExpired(error: CorralError): boolean {
    const nowMs = this.#options.clock.nowMs()
    const expired = [...this.#joiners].filter(({ call }) => call.deadlineAtMs <= nowMs)
    if (expired.length === 0 || expired.length === this.#joiners.size) return false
    for (const joiner of expired) joiner.leave(error)
    return true
  }

  /** Tells the owner, once; returns who is left to be told, first comer first. */
  #finish(end: FlightEnd | null, error: CorralError | null): readonly Joiner[] {
    const joiners = [...this.#joiners]
    this.#over = true
    this.#grace?.cancel()
    this.#joiners.clear()
    for (const { call } of joiners) this.#progress.remove(call.progress)
    this.#settleLastLeft(true)
    this.#owner.ended(this, end, error)
    return joiners
  }

  #originMs({ provenance }: Answer): number {
    return this.#options.clock.nowMs() - provenance.dispatchedAtMs
  }
}

function deadlinePassed(): CorralError {
  return new CorralError('queue_timeout', 'the shared answer did not begin before this request’s deadline')
}
