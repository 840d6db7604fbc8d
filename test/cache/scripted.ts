/** An upstream that a test leads by the hand: each call is recorded and answers when the test says so. */
import { ByteQueue } from '../../src/base/byte-queue.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { Call } from '../../src/core/call.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Answer, InferenceRequest, Outcome, Relay } from '../../src/core/relay.ts'
import { renderStreamError } from '../../src/wire/render-error.ts'

const usage = { promptTokens: 7, cachedPromptTokens: null, outputTokens: 3, loadMs: 1, promptMs: 2, outputMs: 3, totalMs: 6 }

export const okOutcome: Outcome = { kind: 'ok', usage, frames: 4, bytes: 0, error: null }

/** One upstream call under way. */
export class UpstreamCall {
  readonly request: InferenceRequest
  readonly call: Call
  readonly #dispatchedAtMs: number
  readonly #resolve: (answer: Answer) => void
  readonly #reject: (error: unknown) => void
  #frames: ByteQueue | null = null
  #outcome: ((outcome: Outcome) => void) | null = null
  aborts = 0

  constructor(
    clock: Clock,
    { request, call }: { readonly request: InferenceRequest; readonly call: Call },
    { resolve, reject }: { readonly resolve: (answer: Answer) => void; readonly reject: (error: unknown) => void },
  ) {
    this.#dispatchedAtMs = clock.nowMs()
    this.request = request
    this.call = call
    this.#resolve = resolve
    this.#reject = reject
    call.signal.on(() => {
      this.aborts += 1
      if (this.#frames === null) this.#reject(new CorralError('client_gone', 'aborted before the first frame'))
      else {
        this.#frames.cancel('call aborted')
        this.#outcome?.({ ...okOutcome, kind: 'client_gone', usage: null })
      }
    })
  }

  /** The head with the first frames. */
  begin(first: string | Buffer, headers: Answer['headers'] = { 'content-type': 'application/x-ndjson' }): this {
    const frames = new ByteQueue(64 * 1_048_576)
    this.#frames = frames
    const outcome = new Promise<Outcome>((resolve) => {
      this.#outcome = resolve
    })
    this.call.progress.phase = 'streaming'
    this.#resolve({ kind: 'stream', status: 200, headers, provenance: this.#provenance(), frames, outcome })
    frames.push(Buffer.from(first))
    return this
  }

  send(frames: string | Buffer): this {
    this.#frames?.push(Buffer.from(frames))
    return this
  }

  /** The end: after the last frame, or with an error in band. */
  end(outcome: Outcome = okOutcome): void {
    const frames = this.#frames
    if (frames === null) throw new Error('not begun')
    if (outcome.error !== null) frames.push(renderStreamError(this.request.route, outcome.error, this.call.id))
    frames.end()
    this.#outcome?.(outcome)
  }

  whole(body: string, { status = 200, outcome = okOutcome, type = 'application/json; charset=utf-8' } = {}): void {
    const headers = { 'content-type': type, 'x-node': 'yes' }
    this.#resolve({ kind: 'whole', status, headers, provenance: this.#provenance(), body: Buffer.from(body), outcome })
  }

  fail(error: unknown): void {
    this.#reject(error)
  }

  #provenance(): Answer['provenance'] {
    return { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: this.#dispatchedAtMs }
  }
}

export interface Upstream {
  readonly relay: Relay
  readonly calls: readonly UpstreamCall[]
  /** Call `index` from 0, negative from the end; throws when it was not made. */
  at(index: number): UpstreamCall
}

/** `onCall` runs in the same tick as the call. */
export function scriptedUpstream(clock: Clock, onCall: (call: UpstreamCall, index: number) => void = () => undefined): Upstream {
  const calls: UpstreamCall[] = []
  return {
    calls,
    relay: (request, call) =>
      new Promise((resolve, reject) => {
        const made = new UpstreamCall(clock, { request, call }, { resolve, reject })
        calls.push(made)
        onCall(made, calls.length - 1)
      }),
    at(index) {
      const call = calls.at(index)
      if (call === undefined) throw new Error(`no upstream call ${index}`)
      return call
    },
  }
}

/** Lines of a native chat: one per word, then the last one. */
export function chatLines(words: readonly string[], { reason = 'stop', model = 'llama3' } = {}): string[] {
  const head = `{"model":"${model}","created_at":"2026-11-25T10:00:00Z"`
  const lines = words.map((word) => `${head},"message":{"role":"assistant","content":${JSON.stringify(word)}},"done":false}\n`)
  const times = `"total_duration":6000000,"load_duration":1000000,"prompt_eval_count":7,"prompt_eval_duration":2000000,"eval_count":3,"eval_duration":3000000`
  return [...lines, `${head},"message":{"role":"assistant","content":""},"done":true,"done_reason":"${reason}",${times}}\n`]
}
