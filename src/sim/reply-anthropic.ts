/**
 * `/v1/messages`: named events, one per chunk. The opening events leave with the first piece; a runner's death ends the
 * body without a word, as the real server does it.
 */
import type { Answer } from './answer.ts'
import { emptyPiece, type Piece } from './generation.ts'
import { sortKeys, writeJson, type JsonObject, type JsonValue } from './json-value.ts'
import { type FailureOrigin, idleOutcome, type Outcome, refuse, type Reply } from './reply.ts'

/** An error in Anthropic's shape. */
export function anthropicError(status: number, message: string, requestId: string): string {
  return writeJson({ type: 'error', error: { type: errorType(status), message }, request_id: requestId })
}

function errorType(status: number): string {
  if (status === 400) return 'invalid_request_error'
  if (status === 401) return 'authentication_error'
  if (status === 403) return 'permission_error'
  if (status === 404) return 'not_found_error'
  if (status === 429) return 'rate_limit_error'
  return status === 503 || status === 529 ? 'overloaded_error' : 'api_error'
}

export interface AnthropicReplyOptions {
  readonly model: string
  readonly stream: boolean
  readonly id: string
  readonly requestId: string
  /** The estimate that `message_start` carries. */
  readonly inputTokens: number
}

type Block = 'text' | 'thinking'

function stopReason(outcome: Outcome, calledTools: boolean): string {
  if (calledTools) return 'tool_use'
  return outcome.doneReason === 'length' ? 'max_tokens' : 'end_turn'
}

export class AnthropicReply implements Reply {
  readonly answer: Answer
  readonly stream: boolean
  readonly #options: AnthropicReplyOptions
  #started = false
  #open: Block | null = null
  #index = 0
  #calledTools = false

  constructor(answer: Answer, options: AnthropicReplyOptions) {
    this.answer = answer
    this.stream = options.stream
    this.#options = options
    answer.faultFrame = event('error', {
      type: 'error',
      error: { type: 'api_error', message: 'an error was encountered while running the model: unexpected EOF' },
    })
  }

  pieces(pieces: readonly Piece[]): void {
    this.answer.begin('text/event-stream')
    const frames = this.#opening()
    for (const piece of pieces) this.#piece(piece, frames)
    this.answer.frames(frames)
  }

  finish(outcome: Outcome, whole: Piece): void {
    if (!this.stream) {
      this.answer.whole(200, `${this.#whole(outcome, whole)}\n`, 'application/json')
      return
    }
    this.answer.begin('text/event-stream')
    const frames = this.#opening()
    this.#close(frames)
    const usage = { input_tokens: outcome.promptTokens, output_tokens: outcome.evalTokens }
    frames.push(event('message_delta', { type: 'message_delta', delta: { stop_reason: stopReason(outcome, this.#calledTools) }, usage }))
    frames.push(event('message_stop', { type: 'message_stop' }))
    this.answer.frames(frames)
    this.answer.end()
  }

  abandon(whole: Piece): void {
    if (this.stream) this.answer.end()
    else this.loadedWith(whole)
  }

  loaded(): void {
    this.loadedWith(emptyPiece)
  }

  private loadedWith(whole: Piece): void {
    const outcome = idleOutcome('load')
    this.finish(outcome, whole)
  }

  fail(status: number, message: string, origin: FailureOrigin): void {
    refuse(this, { status, body: anthropicError(status, message, this.#options.requestId) }, origin)
  }

  broke(): void {
    this.answer.end()
  }

  #opening(): string[] {
    if (this.#started) return []
    this.#started = true
    const { id, model, inputTokens } = this.#options
    const message = { id, type: 'message', role: 'assistant', model, content: [], usage: { input_tokens: inputTokens, output_tokens: 0 } }
    return [event('message_start', { type: 'message_start', message })]
  }

  #piece(piece: Piece, frames: string[]): void {
    if (piece.thinking !== '') {
      this.#switch('thinking', frames)
      frames.push(this.#delta({ type: 'thinking_delta', thinking: piece.thinking }))
    }
    if (piece.content !== '') {
      this.#switch('text', frames)
      frames.push(this.#delta({ type: 'text_delta', text: piece.content }))
    }
    for (const call of piece.toolCalls) {
      this.#close(frames)
      this.#calledTools = true
      const block = { type: 'tool_use', id: call.id, name: call.name, input: {} }
      frames.push(event('content_block_start', { type: 'content_block_start', index: this.#index, content_block: block }))
      frames.push(this.#delta({ type: 'input_json_delta', partial_json: writeJson(sortKeys(call.args)) }))
      frames.push(event('content_block_stop', { type: 'content_block_stop', index: this.#index }))
      this.#index += 1
    }
  }

  #switch(block: Block, frames: string[]): void {
    if (this.#open === block) return
    this.#close(frames)
    this.#open = block
    const body: JsonObject = block === 'text' ? { type: 'text', text: '' } : { type: 'thinking', thinking: '' }
    frames.push(event('content_block_start', { type: 'content_block_start', index: this.#index, content_block: body }))
  }

  #close(frames: string[]): void {
    if (this.#open === null) return
    frames.push(event('content_block_stop', { type: 'content_block_stop', index: this.#index }))
    this.#open = null
    this.#index += 1
  }

  #delta(delta: JsonObject): string {
    return event('content_block_delta', { type: 'content_block_delta', index: this.#index, delta })
  }

  #whole(outcome: Outcome, whole: Piece): string {
    const blocks: JsonValue[] = []
    if (whole.thinking !== '') blocks.push({ type: 'thinking', thinking: whole.thinking })
    if (whole.content !== '') blocks.push({ type: 'text', text: whole.content })
    for (const call of whole.toolCalls) blocks.push({ type: 'tool_use', id: call.id, name: call.name, input: sortKeys(call.args) })
    return writeJson({
      id: this.#options.id,
      type: 'message',
      role: 'assistant',
      model: this.#options.model,
      content: blocks,
      stop_reason: stopReason(outcome, whole.toolCalls.length > 0),
      usage: { input_tokens: outcome.promptTokens, output_tokens: outcome.evalTokens },
    })
  }
}

function event(name: string, data: JsonValue): string {
  return `event: ${name}\ndata: ${writeJson(data)}\n\n`
}
