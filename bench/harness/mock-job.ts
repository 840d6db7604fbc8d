/**
 * One inference request at a mock node, from its arrival to its last byte. A job holds at most one timer; when
 * the client leaves or the node dies, `cancel` drops it and nothing more is written.
 */
import { systemClock } from '../../src/base/clock.ts'
import type { Timer } from '../../src/base/clock.ts'
import {
  chatAnswer,
  embedAnswer,
  instantChatAnswer,
  instantOpenAiAnswer,
  lastStreamFrame,
  streamFrame,
  streamHead,
} from './mock-answers.ts'
import type { Totals } from './mock-answers.ts'
import { openAiChatPath } from './bodies.ts'
import type { MockConnection, MockRequest } from './mock-connection.ts'
import { monotonicUs } from './monotonic.ts'
import type { MockSettings } from './mock-settings.ts'

const wholeMarker = Buffer.from('"stream":false')
/** The load time every answer names. */
const loadMs = 0.9
const prefillMarker = Buffer.from('#prefillMs=')

/** Inputs of an embedding request; the body is one the bench itself wrote. */
function inputsOf(body: Buffer): string[] {
  const parsed: unknown = JSON.parse(body.toString())
  const input = typeof parsed === 'object' && parsed !== null && 'input' in parsed ? parsed.input : ''
  return Array.isArray(input) ? input.map(String) : [String(input)]
}

export class MockJob {
  readonly connection: MockConnection
  readonly inputs: readonly string[] | undefined
  readonly #isOpenAi: boolean
  readonly #body: Buffer
  readonly #settings: MockSettings
  readonly #onDone: (job: MockJob) => void
  #timer: Timer | undefined
  #frame = 0
  readonly #arrivedUs = monotonicUs()
  #startedUs = 0
  #firstFrameUs = 0
  readonly #sendNextFrame = (): void => this.#sendFrame()

  constructor(connection: MockConnection, request: MockRequest, context: { settings: MockSettings; onDone: (job: MockJob) => void }) {
    this.connection = connection
    this.#isOpenAi = request.path === openAiChatPath
    this.#body = request.body
    this.#settings = context.settings
    this.#onDone = context.onDone
    this.inputs = request.path.startsWith('/api/embed') ? inputsOf(request.body) : undefined
  }

  /** Begins to work on the request: the job has a slot. */
  start(): void {
    this.#startedUs = monotonicUs()
    if (this.#settings.fault === 'hang-inference' || this.#settings.fault === 'hang') return
    const waitMs = this.#waitMs()
    if (waitMs <= 0) this.#answer()
    else this.#timer = systemClock.after(waitMs, () => this.#answer(), true)
  }

  cancel(): void {
    this.#timer?.cancel()
  }

  #waitMs(): number {
    const { serviceMs, slowMs, fault, embedItemMs } = this.#settings
    const marker = this.#body.indexOf(prefillMarker)
    const prefillMs = marker < 0 ? 0 : Number.parseInt(this.#body.toString('latin1', marker + prefillMarker.length), 10)
    return serviceMs + prefillMs + (fault === 'slow' ? slowMs : 0) + embedItemMs * (this.inputs?.length ?? 0)
  }

  #answer(): void {
    if (this.inputs !== undefined) return this.#finish(embedAnswer(this.inputs))
    if (this.#isOpenAi) return this.#finish(instantOpenAiAnswer)
    if (this.#body.includes(wholeMarker)) return this.#finish(this.#whole())
    this.#firstFrameUs = monotonicUs()
    this.#sendFrame()
  }

  #sendFrame(): void {
    const { frames, frameIntervalMs, fault, faultAfterFrames } = this.#settings
    const index = this.#frame
    this.#frame += 1
    if (fault === 'hang-at-frame' && index >= faultAfterFrames) return
    if (fault === 'rst-at-frame' && index >= faultAfterFrames) {
      this.connection.socket.resetAndDestroy()
      return
    }
    const isLast = this.#frame >= frames
    const head = index === 0 ? streamHead : ''
    if (isLast) return this.#finish(head + lastStreamFrame(index, this.#streamTotals()))
    this.connection.socket.write(head + streamFrame(index), 'latin1')
    const dueMs = (this.#firstFrameUs - monotonicUs()) / 1_000 + this.#frame * frameIntervalMs
    this.#timer = systemClock.after(Math.max(0, dueMs), this.#sendNextFrame, true)
  }

  /** A fifth of the time went into the prompt. */
  #whole(): Buffer {
    if (this.#settings.serviceMs === 0 && this.#settings.slots === 0) return instantChatAnswer
    const workMs = (monotonicUs() - this.#startedUs) / 1_000
    return chatAnswer(this.#totals(workMs / 5, (workMs * 4) / 5))
  }

  /** A stream's prompt is read in the time before the first frame. */
  #streamTotals(): Totals {
    return this.#totals((this.#firstFrameUs - this.#startedUs) / 1_000, (monotonicUs() - this.#firstFrameUs) / 1_000)
  }

  /** A prompt of four characters per token. What the work took is measured, as in Ollama: a stall is work, not waiting. */
  #totals(promptMs: number, outputMs: number): Totals {
    const totalMs = (monotonicUs() - this.#arrivedUs) / 1_000 + loadMs
    return { totalMs, promptTokens: Math.ceil(this.#body.length / 4), promptMs, outputMs }
  }

  #finish(bytes: Buffer | string): void {
    this.#onDone(this)
    this.connection.finish(bytes)
  }
}
