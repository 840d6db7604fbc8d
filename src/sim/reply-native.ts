/**
 * `/api/generate` and `/api/chat`: one JSON line per frame, or one JSON object. `created_at` and the prefix of a line are
 * built once per line from precomputed text, because this is the hot path of every load test.
 */
import type { Answer } from './answer.ts'
import { emptyPiece, type Piece, type ToolCall } from './generation.ts'
import { sortKeys, writeJson, type JsonObject, type JsonValue } from './json-value.ts'
import { nanos, nativeError, timestamp, type FailureOrigin, type Outcome, type Reply } from './reply.ts'
import type { Ticker } from './ticker.ts'

const jsonType = 'application/json; charset=utf-8'

export function nativeToolCalls(calls: readonly ToolCall[]): JsonValue[] {
  return calls.map((call) => ({ id: call.id, function: { index: call.index, name: call.name, arguments: sortKeys(call.args) } }))
}

export interface NativeReplyOptions {
  readonly route: 'generate' | 'chat'
  readonly model: string
  readonly stream: boolean
  /** Load and unload answers without an explicit message stream their only line on some routes. */
  readonly ticker: Ticker
}

export class NativeReply implements Reply {
  readonly answer: Answer
  readonly stream: boolean
  readonly #options: NativeReplyOptions
  readonly #prefix: string

  constructor(answer: Answer, options: NativeReplyOptions) {
    this.answer = answer
    this.stream = options.stream
    this.#options = options
    this.#prefix = `{"model":${writeJson(options.model)},"created_at":"`
  }

  pieces(pieces: readonly Piece[]): void {
    this.answer.begin('application/x-ndjson')
    this.answer.frames(pieces.map((piece) => this.#line(piece)))
  }

  finish(outcome: Outcome, whole: Piece): void {
    const shown: Piece = this.stream ? emptyPiece : whole
    const body = this.#final(shown, outcome)
    if (!this.stream) {
      this.answer.whole(200, body, jsonType)
      return
    }
    this.answer.begin('application/x-ndjson')
    this.answer.frames([`${body}\n`])
    this.answer.end()
  }

  abandon(whole: Piece): void {
    if (this.stream) this.answer.end()
    else this.answer.whole(200, this.#line(whole).trimEnd(), jsonType)
  }

  loaded(reason: 'load' | 'unload'): void {
    const body = `${this.#prefix}${this.#now()}",${this.#text(emptyPiece)},"done":true,"done_reason":"${reason}"}`
    this.answer.whole(200, body, jsonType)
  }

  fail(status: number, message: string, origin: FailureOrigin): void {
    const streamed = origin === 'runner' && this.stream
    this.answer.whole(status, writeJson(nativeError(message)), streamed ? { streamed: 'application/json' } : jsonType)
  }

  broke(message: string): void {
    this.answer.frames([`${writeJson(nativeError(message))}\n`])
    this.answer.end()
  }

  #now(): string {
    const { ticker } = this.#options
    return timestamp(ticker.clock.wallMs(), ticker.nowMs())
  }

  #text(piece: Piece): string {
    const extra = piece.thinking === '' && piece.toolCalls.length === 0
    const content = writeJson(piece.content)
    if (this.#options.route === 'generate') return extra ? `"response":${content}` : `"response":${content}${this.#extra(piece)}`
    return extra
      ? `"message":{"role":"assistant","content":${content}}`
      : `"message":{"role":"assistant","content":${content}${this.#extra(piece)}}`
  }

  #extra(piece: Piece): string {
    const thinking = piece.thinking === '' ? '' : `,"thinking":${writeJson(piece.thinking)}`
    return piece.toolCalls.length === 0 ? thinking : `${thinking},"tool_calls":${writeJson(nativeToolCalls(piece.toolCalls))}`
  }

  #line(piece: Piece): string {
    const logprobs = piece.logprobs === null ? '' : `,"logprobs":${writeJson(piece.logprobs)}`
    return `${this.#prefix}${this.#now()}",${this.#text(piece)},"done":false${logprobs}}\n`
  }

  #final(piece: Piece, outcome: Outcome): string {
    const times: JsonObject = {
      total_duration: nanos(outcome.totalMs),
      load_duration: nanos(outcome.loadMs),
      prompt_eval_count: outcome.promptTokens,
      prompt_eval_duration: nanos(outcome.promptMs),
      eval_count: outcome.evalTokens,
      eval_duration: nanos(outcome.evalMs),
    }
    const context = outcome.context === null ? '' : `,"context":${writeJson([...outcome.context])}`
    const logprobs = piece.logprobs === null ? '' : `,"logprobs":${writeJson(piece.logprobs)}`
    const head = `${this.#prefix}${this.#now()}",${this.#text(piece)},"done":true,"done_reason":"${outcome.doneReason}"`
    return `${head}${context}${logprobs},${writeJson(times).slice(1)}`
  }
}
