/**
 * `/v1/chat/completions` and `/v1/completions`. A stream's finish, usage and `[DONE]` share one chunk; after a runner's
 * death one chunk with an empty model name is all that follows, as the real server does it.
 */
import type { Answer } from './answer.ts'
import { emptyPiece, type Piece, type ToolCall } from './generation.ts'
import { sortKeys, writeJson, type JsonObject, type JsonValue } from './json-value.ts'
import { type FailureOrigin, idleOutcome, type Outcome, refuse, type Reply } from './reply.ts'

/** An error in OpenAI's shape. */
export function openAiError(status: number, message: string): string {
  const type = status === 404 ? 'not_found_error' : status >= 400 && status < 500 ? 'invalid_request_error' : 'api_error'
  return writeJson({ error: { message, type, param: null, code: null } })
}

export interface OpenAiReplyOptions {
  readonly route: 'chat' | 'completions'
  readonly model: string
  readonly stream: boolean
  readonly includeUsage: boolean
  readonly id: string
  readonly createdSeconds: number
}

function toolCalls(calls: readonly ToolCall[]): JsonValue[] {
  return calls.map((call) => ({
    id: call.id,
    index: call.index,
    type: 'function',
    function: { name: call.name, arguments: writeJson(sortKeys(call.args)) },
  }))
}

const zeroUsage: JsonObject = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }

function usageOf(outcome: Outcome): JsonObject {
  const { promptTokens, evalTokens } = outcome
  return { prompt_tokens: promptTokens, completion_tokens: evalTokens, total_tokens: promptTokens + evalTokens }
}

export class OpenAiReply implements Reply {
  readonly answer: Answer
  readonly stream: boolean
  readonly #options: OpenAiReplyOptions
  #first = true
  #calledTools = false

  constructor(answer: Answer, options: OpenAiReplyOptions) {
    this.answer = answer
    this.stream = options.stream
    this.#options = options
    answer.faultFrame = `data: ${openAiError(500, 'an error was encountered while running the model: unexpected EOF')}\n\n`
  }

  pieces(pieces: readonly Piece[]): void {
    this.answer.begin('text/event-stream')
    this.answer.frames(pieces.map((piece) => `data: ${this.#chunk(this.#choice(piece), this.#options.model, null)}\n\n`))
  }

  finish(outcome: Outcome, whole: Piece): void {
    const reason = this.#reason(outcome, whole)
    if (!this.stream) {
      this.answer.whole(200, `${this.#whole(outcome, whole, reason)}\n`, 'application/json')
      return
    }
    this.answer.begin('text/event-stream')
    const usage = usageOf(outcome)
    const last = this.#chunk(this.#lastChoice(reason), this.#options.model, null)
    const extra = this.#options.includeUsage ? `data: ${this.#chunk(null, this.#options.model, usage)}\n\n` : ''
    this.answer.frames([`data: ${last}\n\n${extra}data: [DONE]\n\n`])
    this.answer.end()
  }

  abandon(whole: Piece): void {
    if (this.stream) this.answer.end()
    else this.finish(idleOutcome(''), whole)
  }

  loaded(reason: 'load' | 'unload'): void {
    const outcome = idleOutcome(reason)
    if (this.stream) this.finish(outcome, emptyPiece)
    else this.answer.whole(200, `${this.#whole(outcome, emptyPiece, reason)}\n`, 'application/json')
  }

  fail(status: number, message: string, origin: FailureOrigin): void {
    refuse(this, { status, body: openAiError(status, message) }, origin)
  }

  broke(): void {
    this.answer.frames([`data: ${this.#chunk(this.#choice(emptyPiece), '', null)}\n\n`])
    this.answer.end()
  }

  #reason(outcome: Outcome, whole: Piece): string {
    if (this.#options.route === 'chat' && (this.#calledTools || whole.toolCalls.length > 0)) return 'tool_calls'
    return outcome.doneReason
  }

  #choice(piece: Piece): JsonObject {
    if (this.#options.route === 'completions') return { text: piece.content, index: 0, finish_reason: null }
    const delta: JsonObject = {}
    if (this.#first) delta['role'] = 'assistant'
    this.#first = false
    delta['content'] = piece.content
    if (piece.thinking !== '') delta['reasoning'] = piece.thinking
    if (piece.toolCalls.length > 0) {
      this.#calledTools = true
      delta['tool_calls'] = toolCalls(piece.toolCalls)
    }
    const choice: JsonObject = { index: 0, delta, finish_reason: null }
    if (piece.logprobs !== null) choice['logprobs'] = { content: piece.logprobs }
    return choice
  }

  #lastChoice(reason: string): JsonObject {
    return this.#options.route === 'chat' ? { index: 0, delta: {}, finish_reason: reason } : { text: '', index: 0, finish_reason: reason }
  }

  #chunk(choice: JsonObject | null, model: string, usage: JsonObject | null): string {
    const { id, createdSeconds, route, includeUsage } = this.#options
    const choices = choice === null ? [] : [choice]
    const object = route === 'chat' ? 'chat.completion.chunk' : 'text_completion'
    const body: JsonObject =
      route === 'chat'
        ? { id, object, created: createdSeconds, model, system_fingerprint: 'fp_ollama', choices }
        : { id, object, created: createdSeconds, choices, model, system_fingerprint: 'fp_ollama' }
    if (usage !== null) body['usage'] = usage
    else if (route === 'completions' && includeUsage) body['usage'] = zeroUsage
    return writeJson(body)
  }

  #whole(outcome: Outcome, whole: Piece, reason: string): string {
    const { id, createdSeconds, model, route } = this.#options
    const finish = reason === '' ? null : reason
    const choice: JsonObject =
      route === 'chat'
        ? { index: 0, message: this.#message(whole), finish_reason: finish }
        : { text: whole.content, index: 0, finish_reason: finish }
    if (whole.logprobs !== null && route === 'chat') choice['logprobs'] = { content: whole.logprobs }
    const object = route === 'chat' ? 'chat.completion' : 'text_completion'
    return writeJson({
      id,
      object,
      created: createdSeconds,
      model,
      system_fingerprint: 'fp_ollama',
      choices: [choice],
      usage: usageOf(outcome),
    })
  }

  #message(whole: Piece): JsonObject {
    const message: JsonObject = { role: 'assistant', content: whole.content }
    if (whole.thinking !== '') message['reasoning'] = whole.thinking
    if (whole.toolCalls.length > 0) message['tool_calls'] = toolCalls(whole.toolCalls)
    return message
  }
}
