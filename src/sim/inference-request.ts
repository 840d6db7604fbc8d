/**
 * One inference request in the terms of Ollama's own routes, whatever dialect it came in, and the checks that happen
 * before a runner is asked for. The order of the checks is the real server's, because it decides which error a client sees.
 */
import type { NodeContext } from './context.ts'
import { thinkWish } from './generation.ts'
import { isObject, listOf, numberOf, objectOf, textOf, type JsonObject, type JsonValue } from './json-value.ts'
import { fullName, parseModelName } from './model-name.ts'
import type { RunnerOptions } from './scheduler.ts'
import type { StoredModel } from './store.ts'

export interface InferenceRequest {
  readonly kind: 'generate' | 'chat'
  /** The name as the client wrote it. */
  readonly model: string
  readonly body: JsonObject
}

export interface Refusal {
  readonly status: number
  readonly message: string
}

export type Checked = { readonly refusal: Refusal } | { readonly model: StoredModel; readonly sessionMs: number | null }

const integerOptions = new Set(
  'num_ctx num_batch num_gpu main_gpu num_thread num_keep seed num_predict top_k repeat_last_n draft_num_predict'.split(' '),
)
const floatOptions = new Set('top_p min_p typical_p temperature repeat_penalty presence_penalty frequency_penalty'.split(' '))

function refuse(status: number, message: string): { refusal: Refusal } {
  return { refusal: { status, message } }
}

/** Milliseconds of a Go duration or a number of seconds; Infinity for ever; null when absent. */
export function keepAliveMs(value: JsonValue | undefined): number | null {
  if (typeof value === 'number') return value < 0 ? Infinity : value * 1_000
  if (typeof value !== 'string') return null
  const units: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
  let totalMs = 0
  for (const [, amount, unit] of value.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g))
    totalMs += Number(amount) * (units[unit ?? ''] ?? 0)
  return value.startsWith('-') && totalMs > 0 ? Infinity : totalMs
}

/** The first option of a wrong type, as an error. */
export function optionProblem(options: Iterable<readonly [string, unknown]>): string | null {
  for (const [key, value] of options) {
    if (value === null || value === undefined) continue
    if (integerOptions.has(key) && typeof value !== 'number') return `option "${key}" must be of type integer`
    if (floatOptions.has(key) && typeof value !== 'number') return `option "${key}" must be of type float32`
    if (key === 'stop' && !Array.isArray(value)) return 'option "stop" must be of type array'
  }
  return null
}

/** Options of the model file with those of the request on top. */
export function mergedOptions(model: StoredModel, body: JsonObject): JsonObject {
  const merged: JsonObject = {}
  for (const [key, value] of model.parameters) if (isPlain(value)) merged[key] = value
  for (const [key, value] of Object.entries(objectOf(body['options']))) if (value !== null) merged[key] = value
  return merged
}

function isPlain(value: unknown): value is JsonValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || Array.isArray(value)
}

/** The part of the options that belongs to the runner process. */
export function runnerOptions(context: NodeContext, model: StoredModel, body: JsonObject): RunnerOptions {
  const options = mergedOptions(model, body)
  const asked = numberOf(options['num_ctx'], context.settings.contextTokens)
  const gpuLayers = numberOf(options['num_gpu'], -1)
  const rest: string[] = []
  for (const key of ['num_batch', 'num_thread', 'use_mmap', 'main_gpu', 'draft_num_predict']) {
    if (options[key] !== undefined && !isRunnerDefault(key, options[key])) rest.push(`${key}=${JSON.stringify(options[key])}`)
  }
  if (gpuLayers > 0) rest.push(`num_gpu=${gpuLayers}`)
  return { numCtx: Math.max(4, Math.min(asked, model.facts.contextLength)), shift: body['shift'] !== false, rest: rest.join(' ') }
}

function isRunnerDefault(key: string, value: JsonValue | undefined): boolean {
  return (key === 'num_batch' && value === 512) || (key !== 'use_mmap' && value === 0)
}

function sourceProblem(name: string): string | null {
  const both = /:local:cloud$|:cloud:local$/.test(name)
  return both ? `use either :local or :cloud, not both: ${JSON.stringify(name)}` : null
}

function emptyAsk(request: InferenceRequest): boolean {
  const { body } = request
  return request.kind === 'chat' ? listOf(body['messages']).length === 0 : textOf(body['prompt']) === '' && textOf(body['suffix']) === ''
}

/** Whether the request only loads (or, with `keep_alive: 0`, unloads) the model. */
export function loadsOnly(request: InferenceRequest): boolean {
  return emptyAsk(request) && listOf(request.body['images']).length === 0
}

/** Checks the name and finds the model. */
export function findModel(context: NodeContext, request: InferenceRequest): Checked {
  const { body, kind, model: name } = request
  const topLogprobs = numberOf(body['top_logprobs'])
  if (topLogprobs < 0 || topLogprobs > 20) return refuse(400, 'top_logprobs must be between 0 and 20')
  if (name === '') return kind === 'chat' ? refuse(400, 'model is required') : refuse(404, "model '' not found")
  const both = sourceProblem(name)
  if (both !== null) return refuse(400, both)
  const parsed = parseModelName(name.trim().replace(/:local$/, ''))
  if (parsed === null) return refuse(400, 'invalid model name')
  const model = context.store.get(parsed)
  if (model === null) return refuse(404, `model '${name}' not found`)
  return { model, sessionMs: keepAliveMs(body['keep_alive']) }
}

/** Checks what the model can do; null when all is well. */
export function checkAsk(request: InferenceRequest, model: StoredModel): Refusal | null {
  const { body, kind } = request
  const can = new Set(model.facts.capabilities)
  const quoted = JSON.stringify(request.model)
  if (kind === 'generate' && body['raw'] === true) {
    const dressed = ['template', 'system'].some((key) => textOf(body[key]) !== '') || listOf(body['context']).length > 0
    if (dressed) return { status: 400, message: 'raw mode does not support template, system, or context' }
  }
  if (!can.has('completion')) return { status: 400, message: `${quoted} does not support ${kind}` }
  if (textOf(body['suffix']) !== '' && !can.has('insert'))
    return { status: 400, message: `${fullName(model.parsed)} does not support insert` }
  if (listOf(body['tools']).length > 0 && !can.has('tools'))
    return { status: 400, message: `${fullName(model.parsed)} does not support tools` }
  if (thinkWish(body['think']) === true && !can.has('thinking')) return { status: 400, message: `${quoted} does not support thinking` }
  const problem = optionProblem([...model.parameters, ...Object.entries(objectOf(body['options']))])
  if (problem !== null) return { status: 500, message: problem }
  return null
}

/** What the runner refuses: format, images, too long a prompt. Null when all is well. */
export function checkRunnable(
  context: NodeContext,
  request: InferenceRequest,
  facts: { model: StoredModel; promptTokens: number },
): Refusal | null {
  const { body } = request
  const format = body['format']
  if (format !== undefined && format !== null && format !== 'json' && format !== '' && !isObject(format)) {
    return {
      status: 500,
      message: `invalid format: ${JSON.stringify(JSON.stringify(format))}; expected "json" or a valid JSON Schema object`,
    }
  }
  if (isObject(format)) {
    const type = format['type']
    if (typeof type === 'string' && !['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'].includes(type)) {
      const message = `Field 'json_schema': "json_schema": JSON schema conversion failed:\nJSON schema error at #: unrecognized type ${type}`
      return runnerRefusal({ code: 400, message, type: 'invalid_request_error' })
    }
  }
  const pictures = listOf(body['images']).length > 0 || listOf(body['messages']).some((one) => listOf(objectOf(one)['images']).length > 0)
  if (pictures && !facts.model.facts.capabilities.includes('vision')) {
    const message = 'Multimodal data provided, but model does not support multimodal requests.'
    return runnerRefusal({ code: 400, message, type: 'invalid_request_error' })
  }
  const { numCtx } = runnerOptions(context, facts.model, body)
  const strict = body['truncate'] === false || (context.settings.nativeTemplate && request.kind === 'chat')
  if (strict && facts.promptTokens > numCtx) return tooLong(facts.promptTokens, numCtx)
  return null
}

function tooLong(promptTokens: number, numCtx: number): Refusal {
  const message = `request (${promptTokens} tokens) exceeds the available context size (${numCtx} tokens), try increasing it`
  return runnerRefusal({ code: 400, message, type: 'exceed_context_size_error', n_prompt_tokens: promptTokens, n_ctx: numCtx })
}

/** Ollama hands a runner's JSON error on as a text inside its own. */
function runnerRefusal(error: JsonObject): Refusal {
  return { status: 400, message: JSON.stringify({ error }) }
}
