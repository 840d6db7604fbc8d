/**
 * `/v1/responses`: numbered events with their keys in alphabetical order (Go maps), one per chunk; a whole answer keeps the
 * order of the struct. A runner's death ends the body without a word.
 */
import type { Answer } from './answer.ts'
import { emptyPiece, type Piece, type ToolCall } from './generation.ts'
import { sortKeys, writeJson, type JsonObject, type JsonValue } from './json-value.ts'
import { openAiError } from './reply-openai.ts'
import { type FailureOrigin, idleOutcome, type Outcome, refuse, type Reply } from './reply.ts'

/** Fields of a response that echo the request. */
export interface ResponsesEcho {
  readonly instructions: JsonValue
  readonly tools: JsonValue[]
  readonly topP: number
  readonly temperature: number
  readonly truncation: string
  readonly reasoning: JsonValue
  readonly text: JsonValue
  readonly maxOutputTokens: number | null
}

export interface ResponsesReplyOptions {
  readonly model: string
  readonly stream: boolean
  readonly number: string
  readonly messageNumber: string
  nowSeconds(): number
  readonly echo: ResponsesEcho
}

export class ResponsesReply implements Reply {
  readonly answer: Answer
  readonly stream: boolean
  readonly #options: ResponsesReplyOptions
  readonly #createdSeconds: number
  #sequence = 0
  #started = false
  #output: JsonValue[] = []
  #open: { kind: 'message' | 'reasoning'; id: string; text: string } | null = null
  #itemCount = 0

  constructor(answer: Answer, options: ResponsesReplyOptions) {
    this.answer = answer
    this.stream = options.stream
    this.#options = options
    this.#createdSeconds = options.nowSeconds()
    answer.faultFrame = `data: ${openAiError(500, 'an error was encountered while running the model: unexpected EOF')}\n\n`
  }

  pieces(pieces: readonly Piece[]): void {
    this.answer.begin('text/event-stream')
    const frames = this.#opening()
    for (const piece of pieces) this.#piece(piece, frames)
    this.answer.frames(frames)
  }

  finish(outcome: Outcome, whole: Piece): void {
    const usage = usageOf(outcome)
    if (!this.stream) {
      this.answer.whole(200, `${writeJson(this.#response('completed', this.#wholeOutput(whole), usage))}\n`, 'application/json')
      return
    }
    this.answer.begin('text/event-stream')
    const frames = this.#opening()
    if (this.#itemCount === 0 && this.#open === null) this.#switch('message', frames)
    this.#close(frames)
    frames.push(this.#event('response.completed', { response: this.#response('completed', this.#output, usage) }))
    this.answer.frames(frames)
    this.answer.end()
  }

  abandon(whole: Piece): void {
    if (this.stream) this.answer.end()
    else this.finish(idleOutcome(''), whole)
  }

  loaded(): void {
    const outcome = idleOutcome('load')
    this.finish(outcome, emptyPiece)
  }

  fail(status: number, message: string, origin: FailureOrigin): void {
    refuse(this, { status, body: openAiError(status, message) }, origin)
  }

  broke(): void {
    this.answer.end()
  }

  #event(type: string, body: JsonObject): string {
    const data = sortKeys({ ...body, type, sequence_number: this.#sequence })
    this.#sequence += 1
    return `event: ${type}\ndata: ${writeJson(data)}\n\n`
  }

  #opening(): string[] {
    if (this.#started) return []
    this.#started = true
    const frames: string[] = []
    for (const type of ['response.created', 'response.in_progress']) {
      frames.push(this.#event(type, { response: this.#response('in_progress', [], null) }))
    }
    return frames
  }

  #piece(piece: Piece, frames: string[]): void {
    if (piece.thinking !== '') {
      this.#switch('reasoning', frames)
      frames.push(this.#event('response.reasoning_summary_text.delta', { ...this.#place(), summary_index: 0, delta: piece.thinking }))
      if (this.#open !== null) this.#open.text += piece.thinking
    }
    if (piece.content !== '') {
      this.#switch('message', frames)
      frames.push(this.#event('response.output_text.delta', { ...this.#place(), content_index: 0, delta: piece.content, logprobs: [] }))
      if (this.#open !== null) this.#open.text += piece.content
    }
    for (const call of piece.toolCalls) this.#call(call, frames)
  }

  #call(call: ToolCall, frames: string[]): void {
    this.#close(frames)
    const id = `fc_${this.#options.number}_${call.index}`
    const place = { item_id: id, output_index: this.#itemCount }
    const item = this.#callItem(call, id, 'completed')
    const added = { ...item, arguments: '', status: 'in_progress' }
    frames.push(this.#event('response.output_item.added', { item: added, output_index: this.#itemCount }))
    frames.push(this.#event('response.function_call_arguments.delta', { ...place, delta: textOfArgs(call) }))
    frames.push(this.#event('response.function_call_arguments.done', { ...place, arguments: textOfArgs(call) }))
    frames.push(this.#event('response.output_item.done', { item, output_index: this.#itemCount }))
    this.#output.push(item)
    this.#itemCount += 1
  }

  #callItem(call: ToolCall, id: string, status: string): JsonObject {
    return { id, type: 'function_call', status, call_id: call.id, name: call.name, arguments: textOfArgs(call) }
  }

  #place(): JsonObject {
    return { item_id: this.#open?.id ?? '', output_index: this.#itemCount }
  }

  #switch(kind: 'message' | 'reasoning', frames: string[]): void {
    if (this.#open?.kind === kind) return
    this.#close(frames)
    const id = `${kind === 'message' ? 'msg' : 'rs'}_${this.#options.messageNumber}`
    this.#open = { kind, id, text: '' }
    const item: JsonObject =
      kind === 'message'
        ? { id, type: 'message', status: 'in_progress', role: 'assistant', content: [] }
        : { id, type: 'reasoning', summary: [] }
    frames.push(this.#event('response.output_item.added', { item, output_index: this.#itemCount }))
    if (kind === 'reasoning') return
    frames.push(this.#event('response.content_part.added', { ...this.#place(), content_index: 0, part: textPart('') }))
  }

  #close(frames: string[]): void {
    const open = this.#open
    if (open === null) return
    let item: JsonObject
    if (open.kind === 'message') {
      item = this.#messageItem(open.text, open.id)
      frames.push(this.#event('response.output_text.done', { ...this.#place(), content_index: 0, text: open.text, logprobs: [] }))
      frames.push(this.#event('response.content_part.done', { ...this.#place(), content_index: 0, part: textPart(open.text) }))
    } else {
      item = reasoningItem(open.text, open.id)
      frames.push(this.#event('response.reasoning_summary_text.done', { ...this.#place(), summary_index: 0, text: open.text }))
    }
    frames.push(this.#event('response.output_item.done', { item, output_index: this.#itemCount }))
    this.#output.push(item)
    this.#open = null
    this.#itemCount += 1
  }

  #messageItem(text: string, id: string): JsonObject {
    return {
      id,
      type: 'message',
      status: 'completed',
      role: 'assistant',
      content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
    }
  }

  #wholeOutput(whole: Piece): JsonValue[] {
    const output: JsonValue[] = []
    if (whole.thinking !== '') output.push(reasoningItem(whole.thinking, `rs_${this.#options.messageNumber}`))
    if (whole.toolCalls.length === 0) return [...output, this.#messageItem(whole.content, `msg_${this.#options.messageNumber}`)]
    if (whole.content !== '') output.push(this.#messageItem(whole.content, `msg_${this.#options.messageNumber}`))
    for (const call of whole.toolCalls) output.push(this.#callItem(call, `fc_${this.#options.number}_${call.index}`, 'completed'))
    return output
  }

  #response(status: string, output: JsonValue[], usage: JsonValue): JsonObject {
    const { echo, number, model } = this.#options
    return {
      id: `resp_${number}`,
      object: 'response',
      created_at: this.#createdSeconds,
      completed_at: status === 'completed' ? this.#options.nowSeconds() : null,
      status,
      incomplete_details: null,
      model,
      previous_response_id: null,
      instructions: echo.instructions,
      output: [...output],
      error: null,
      tools: echo.tools,
      tool_choice: 'auto',
      truncation: echo.truncation,
      parallel_tool_calls: true,
      text: echo.text,
      top_p: echo.topP,
      presence_penalty: 0,
      frequency_penalty: 0,
      top_logprobs: 0,
      temperature: echo.temperature,
      reasoning: echo.reasoning,
      usage,
      max_output_tokens: echo.maxOutputTokens,
      max_tool_calls: null,
      store: false,
      background: false,
      service_tier: 'default',
      metadata: {},
      safety_identifier: null,
      prompt_cache_key: null,
    }
  }
}

function textOfArgs(call: ToolCall): string {
  return writeJson(sortKeys(call.args))
}

function textPart(text: string): JsonObject {
  return { type: 'output_text', text, annotations: [], logprobs: [] }
}

function reasoningItem(text: string, id: string): JsonObject {
  return { id, type: 'reasoning', summary: [{ type: 'summary_text', text }], encrypted_content: text }
}

function usageOf(outcome: Outcome): JsonObject {
  const { promptTokens, evalTokens } = outcome
  return {
    input_tokens: promptTokens,
    output_tokens: evalTokens,
    total_tokens: promptTokens + evalTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens_details: { reasoning_tokens: 0 },
  }
}
