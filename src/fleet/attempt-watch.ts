/**
 * The clock of one try: when it last heard from its node, and what a silence means by now. It decides nothing: the sweep asks
 * some times a second, and `attempt.ts` acts on the answer. How long a silence may last is `deadlines.ts`'s to say.
 *
 * A hang is believed at two times. Once the node is silent for longer than expected it is suspect, and the request moves if
 * another node can take it; where none can, only the last deadline ends the wait. Each further node is given twice the time,
 * so that a false alarm costs little and never a failure. A node whose model is in no list of what it has loaded is loading it, and no suspect.
 */
import { formatDuration } from '../base/units.ts'
import type { InferenceRequest } from '../core/relay.ts'
import { firstFrameBudgetMs, firstFramePatienceMs, holdsBack, idleBudgetMs, standstill } from './deadlines.ts'
import type { FleetOptions } from './options.ts'
import type { Runner } from './runner.ts'

/** What a silence means. `unended` is no failure, `endless` nobody's fault. */
export interface Overdue {
  readonly kind: 'down' | 'hung' | 'stalled' | 'unended' | 'endless'
  /** What the node did, to be put behind its name. */
  readonly what: string
}

/** What each silence that is a node's failure is reported as. */
export const overdueFailures = {
  down: { code: 'node_failed', as: 'reset' },
  hung: { code: 'node_timeout', as: 'timeout' },
  stalled: { code: 'stream_stalled', as: 'stalled' },
} as const

/** A node that is down by its probes and silent for this long has lost its streams, too. */
const silentOnDownNodeMs = 1_500
/** How long a node may keep a body open after its last frame. */
const unendedBodyMs = 1_000
/**
 * A stream that has run for this long, with that many frames, and was heard of within the same time, has left behind what
 * ill nodes fail at: the load, the prompt, the first tokens. It decides a breaker's trial, which else would keep the node
 * shut until a long answer ends.
 */
const provenMs = 1_000
const provenFrames = 20

interface WatchOptions {
  readonly deadlines: FleetOptions['deadlines']
  readonly nowMs: number
  /** Nodes that the request was taken from for their silence: each doubles what is expected, for it may be the prompt. */
  readonly silences: number
}

export class AttemptWatch {
  readonly startedAtMs: number
  readonly #runner: Runner
  readonly #deadlines: FleetOptions['deadlines']
  readonly #request: InferenceRequest
  readonly #silences: number
  /** `Infinity` while nothing is known of any node: what others learn meanwhile counts. */
  #expectedMs = Infinity
  readonly #patienceMs: number
  readonly #holdsBack: boolean
  #headAtMs = 0
  #lastByteMs: number
  /** Differs from the last byte's on a node that drips a frame which it never completes. */
  #lastFrameMs: number
  #longestPauseMs = 0
  #proven = false

  constructor(runner: Runner, request: InferenceRequest, { deadlines, nowMs, silences }: WatchOptions) {
    this.startedAtMs = nowMs
    this.#runner = runner
    this.#deadlines = deadlines
    this.#patienceMs = firstFramePatienceMs(runner, request, deadlines)
    this.#request = request
    this.#silences = silences
    // By how many wait now, not by how many do when it is asked for.
    this.#expect()
    this.#holdsBack = holdsBack(request)
    this.#lastByteMs = nowMs
    this.#lastFrameMs = nowMs
  }

  /** How long it may stay silent before it is suspect, milliseconds. */
  #expect(): number {
    if (this.#expectedMs !== Infinity) return this.#expectedMs
    const expectedMs = firstFrameBudgetMs(this.#runner, this.#request, this.#deadlines) * 2 ** this.#silences
    if (expectedMs < this.#patienceMs) this.#expectedMs = expectedMs
    return Math.min(this.#patienceMs, expectedMs)
  }

  noteHead(nowMs: number): void {
    this.#headAtMs = nowMs
    this.#lastByteMs = nowMs
    this.#runner.heardAtMs = nowMs
  }

  noteBytes(nowMs: number, streaming: boolean): void {
    if (streaming && nowMs - this.#lastByteMs > this.#longestPauseMs) this.#longestPauseMs = nowMs - this.#lastByteMs
    this.#lastByteMs = nowMs
    this.#runner.heardAtMs = nowMs
  }

  /** Gives how long ago the frame before was, in milliseconds. */
  noteFrame(nowMs: number): number {
    const gapMs = nowMs - this.#lastFrameMs
    this.#lastFrameMs = nowMs
    return gapMs
  }

  /** Milliseconds since the last byte, or since the start. */
  silentMs(nowMs: number): number {
    return nowMs - this.#lastByteMs
  }

  /** Whether the node is silent for longer than is expected of it before the first frame. */
  isSuspect(nowMs: number): boolean {
    return this.silentMs(nowMs) > this.#expect() && !this.#isLoading()
  }

  /**
   * Whether the runner sent nobody anything for longer than is expected of this try. A runner that is only slow, or reads one
   * long prompt, is heard of by the other requests on it; one that hangs takes all of them with it.
   */
  isRunnerSilent(nowMs: number, expectedMs = this.#expect()): boolean {
    return nowMs - Math.max(this.startedAtMs, this.#runner.heardAtMs) > expectedMs && !this.#isLoading()
  }

  /** What was loaded was read since the start, and the model was not there: a loading model is in no list (verified notes §a). */
  #isLoading(): boolean {
    const { bounded, fleetNode } = this.#runner
    return bounded && fleetNode.loadedAtMs > this.startedAtMs && this.#runner.listed() === null
  }

  /** Before the first frame. `framed`: the head has come, and the body is a stream. Null: go on waiting. */
  checkOpen(nowMs: number, framed: boolean): Overdue | null {
    const sinceHeadMs = this.#headAtMs === 0 ? 0 : nowMs - this.#headAtMs
    if (this.#runner.fleetNode.up === false) return { kind: 'down', what: 'went down before it answered' }
    if (this.silentMs(nowMs) > this.#patienceMs) return this.hung(nowMs)
    if (framed && sinceHeadMs > this.#patienceMs) {
      return { kind: 'hung', what: `sent no whole frame for ${formatDuration(sinceHeadMs)}` }
    }
    if (sinceHeadMs > this.#deadlines.wholeBodyMsMax) {
      return { kind: 'hung', what: `did not end its answer for ${formatDuration(sinceHeadMs)}` }
    }
    return null
  }

  hung(nowMs: number): Overdue {
    return { kind: 'hung', what: `sent nothing for ${formatDuration(this.silentMs(nowMs))}` }
  }

  /** After the first frame. Null: all is well. */
  checkStream(
    nowMs: number,
    { firstFrameAtMs, terminated, bytes }: { firstFrameAtMs: number; terminated: boolean; bytes: number },
  ): Overdue | null {
    const silentMs = this.silentMs(nowMs)
    if (terminated) return silentMs > unendedBodyMs ? { kind: 'unended', what: 'did not end its body' } : null
    const { idleMsMax, streamMsMax, streamBytesMax } = this.#deadlines
    const idleMs = idleBudgetMs(this.#runner, this.#longestPauseMs, this.#holdsBack, this.#deadlines)
    const unframedMs = nowMs - this.#lastFrameMs
    const streamedMs = nowMs - firstFrameAtMs
    if (silentMs > idleMs) return { kind: 'stalled', what: `sent nothing for ${formatDuration(silentMs)}` }
    if (unframedMs > Math.max(idleMs, idleMsMax)) {
      return { kind: 'stalled', what: `sent no whole frame for ${formatDuration(unframedMs)}` }
    }
    if (this.#runner.fleetNode.up === false && silentMs > silentOnDownNodeMs) return { kind: 'stalled', what: 'went down mid-stream' }
    if (bytes > streamBytesMax) return { kind: 'endless', what: `streamed ${bytes} bytes, more than is allowed` }
    if (streamedMs <= streamMsMax) return null
    return { kind: 'endless', what: `streamed for ${formatDuration(streamedMs)}, longer than is allowed` }
  }

  /** How sure it is, from 0 to 1, that a stream stands still. Where frames may be held back it is never known. */
  standstill(nowMs: number): number {
    return this.#holdsBack ? 0 : standstill(this.#runner, this.silentMs(nowMs), this.#longestPauseMs)
  }

  /** True once: when a stream of `frames` frames has proved itself. */
  hasJustProven(nowMs: number, { firstFrameAtMs, frames }: { firstFrameAtMs: number; frames: number }): boolean {
    if (this.#proven || frames < provenFrames || nowMs - firstFrameAtMs < provenMs || nowMs - this.#lastFrameMs > provenMs) return false
    this.#proven = true
    return true
  }
}
