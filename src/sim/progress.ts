/**
 * The answer of pull, push and create: one status line per frame, or only the last one when not streamed. Ends once.
 */
import type { Answer } from './answer.ts'
import { writeJson, type JsonObject } from './json-value.ts'
import type { Ticker } from './ticker.ts'

export class Progress {
  readonly #answer: Answer
  readonly #ticker: Ticker
  readonly #stream: boolean
  #over = false
  #lines = 0

  constructor(answer: Answer, ticker: Ticker, stream: boolean) {
    this.#answer = answer
    this.#ticker = ticker
    this.#stream = stream
    answer.onGone(() => {
      this.#over = true
    })
  }

  get over(): boolean {
    return this.#over
  }

  line(line: JsonObject): void {
    if (this.#over) return
    this.#lines += 1
    if (!this.#stream) return
    this.#answer.begin('application/x-ndjson')
    this.#answer.frames([`${writeJson(line)}\n`])
  }

  success(): void {
    this.line({ status: 'success' })
    if (this.#stream) this.#answer.end()
    else if (!this.#over) this.#answer.whole(200, writeJson({ status: 'success' }), 'application/json')
    this.#over = true
  }

  /** Ends with an error; `status` counts when nothing was sent yet. */
  fail(message: string, status = 500): void {
    if (this.#over) return
    this.#over = true
    if (!this.#stream) return this.#answer.whole(status, writeJson({ error: message }), 'application/json')
    if (this.#lines === 0) return this.#answer.whole(status, writeJson({ error: message }), { streamed: 'application/json' })
    this.#answer.frames([`${writeJson({ error: message })}\n`])
    this.#answer.end()
  }

  /** Resolves after `delayMs`. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#ticker.after(delayMs, resolve)
    })
  }
}
