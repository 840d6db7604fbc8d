/**
 * The texts of requests, kept only where the operator asked for it (`limits.usage.texts`): what was sent, as it came, and what the
 * model said. Each is cut to a size, and all that wait for the store are bounded together; beyond that a record goes without its text.
 * Off, nothing here is called.
 */
import type { Clock } from '../base/clock.ts'
import { QueueView } from '../base/queue-view.ts'
import type { Answer, InferenceRequest } from '../core/relay.ts'
import { readDirectives } from '../wire/cache-directives.ts'
import { AnswerText, type BoundedText, boundedText } from './answer-text.ts'
import type { LimitsOptions } from './options.ts'

/** The texts of one request. */
export interface KeptText {
  readonly prompt: string
  readonly isPromptCut: boolean
  /** Null: none was kept, or nothing was said. */
  readonly answer: string | null
  readonly isAnswerCut: boolean
}

export type TextOptions = LimitsOptions['usage']['texts']

/** How long a record waits for a client that takes the last of its answer slowly. */
const drainMsMax = 5_000

/** Texts that wait for the store, in bytes, at most. */
export const waitingTextBytesMax = 32 * 1_048_576

/** Listens to one request. */
export class TextCapture {
  readonly #prompt: BoundedText
  readonly #answer: AnswerText | null
  readonly #ended = Promise.withResolvers<void>()

  constructor({ body, route }: InferenceRequest, { keep, bytesMax }: TextOptions) {
    this.#prompt = boundedText(body, bytesMax)
    this.#answer = keep === 'all' && route.operation !== 'embed' ? new AnswerText(route.framing, bytesMax) : null
  }

  /** The same answer, listened to. */
  listen(answer: Answer): Answer {
    const text = this.#answer
    if (text === null) return answer
    if (answer.kind === 'stream') {
      const pass = (chunk: Buffer): Buffer => {
        text.add(chunk)
        return chunk
      }
      return { ...answer, frames: new QueueView(answer.frames, { pass, onEnd: () => this.#ended.resolve() }) }
    }
    if (answer.status < 400) text.addBody(answer.body)
    return answer
  }

  /** Resolves when the client has all that came of a stream, or is too slow to wait for. */
  async drained(clock: Clock): Promise<void> {
    if (this.#answer === null) return
    const timer = clock.after(drainMsMax, () => this.#ended.resolve())
    await this.#ended.promise
    timer.cancel()
  }

  /** What was heard until now. */
  get text(): KeptText {
    const answer = this.#answer?.result ?? null
    return { prompt: this.#prompt.text, isPromptCut: this.#prompt.isCut, answer: answer?.text ?? null, isAnswerCut: answer?.isCut === true }
  }
}

const askingOperations: ReadonlySet<InferenceRequest['route']['operation']> = new Set(['chat', 'generate', 'embed'])

/** A capture where texts are kept, the request asks a model something and does not say `Cache-Control: no-store`; null otherwise. */
export function captureOf(request: InferenceRequest, options: TextOptions): TextCapture | null {
  if (options.keep === 'off' || !askingOperations.has(request.route.operation)) return null
  return readDirectives(request.headers).noStore ? null : new TextCapture(request, options)
}

/** Bytes a text takes while it waits. */
export function sizeOf({ prompt, answer }: KeptText): number {
  return 2 * (prompt.length + (answer?.length ?? 0))
}
