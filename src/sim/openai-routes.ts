/**
 * `/v1/chat/completions`, `/v1/completions` and `/v1/responses`: requests are turned into Ollama's own terms, as the real
 * server's middleware does, then run by `inference.ts`. Errors found while turning keep a charset in their type.
 */
import type { Answer } from './answer.ts'
import { refuseCloud } from './cloud-routes.ts'
import { decimalId, type NodeContext } from './context.ts'
import { runInference } from './inference.ts'
import { decodeBody, type Shape } from './json-shape.ts'
import { isObject, listOf, numberOf, objectOf, textOf, type JsonObject, type JsonValue } from './json-value.ts'
import { isCloudName } from './model-name.ts'
import { OpenAiReply, openAiError } from './reply-openai.ts'
import { ResponsesReply } from './reply-responses.ts'
import { openAiChatShape, openAiCompletionShape, responsesShape } from './request-shapes.ts'

type Struct = { readonly fields: Readonly<Record<string, Shape>>; readonly type: string }

const urlRefusal = 'image URLs are not currently supported, please use base64 encoded data instead'

function refuse(answer: Answer, message: string): null {
  answer.whole(400, openAiError(400, message), 'application/json; charset=utf-8')
  return null
}

function decoded(answer: Answer, bytes: Buffer, shape: Struct): JsonObject | null {
  const result = decodeBody(bytes, shape)
  return 'value' in result ? result.value : refuse(answer, result.error)
}

/** Whether the call went to ollama.com instead. */
function toCloud(context: NodeContext, answer: Answer, model: string): boolean {
  if (!isCloudName(model)) return false
  refuseCloud(context, answer, { method: 'POST', path: answer.request.url ?? '', subject: 'remote model' })
  return true
}

function seconds(context: NodeContext): number {
  return Math.floor(context.ticker.clock.wallMs() / 1_000)
}

/** Sampling options by Ollama's names; `limit` is the name of the token limit. */
function samplingOptions(body: JsonObject, limit: string): JsonObject {
  const options: JsonObject = {}
  const stop = body['stop']
  if (typeof stop === 'string') options['stop'] = [stop]
  else if (Array.isArray(stop)) options['stop'] = stop
  if (body[limit] !== undefined) options['num_predict'] = body[limit]
  for (const key of ['temperature', 'seed', 'frequency_penalty', 'presence_penalty', 'top_p'])
    if (body[key] !== undefined) options[key] = body[key]
  options['temperature'] ??= 1
  return options
}

function formatOf(body: JsonObject): JsonValue | undefined {
  const format = objectOf(body['response_format'])
  if (format['type'] === 'json_object') return 'json'
  if (format['type'] === 'json_schema') return objectOf(format['json_schema'])['schema']
  return undefined
}

interface Parts {
  text: string
  images: JsonValue[]
}

/** Text and images of a content list; an error text when a part cannot be used. */
function partsOf(content: JsonValue | undefined): Parts | string {
  if (!Array.isArray(content)) return { text: textOf(content), images: [] }
  const parts: Parts = { text: '', images: [] }
  for (const entry of content) {
    const part = objectOf(entry)
    if (part['type'] === 'text' || part['type'] === 'input_text' || part['type'] === 'output_text') parts.text += textOf(part['text'])
    const image = part['image_url']
    if (image === undefined) continue
    const url = isObject(image) ? textOf(image['url']) : textOf(image)
    if (/^https?:/.test(url)) return urlRefusal
    parts.images.push(url.slice(url.indexOf(',') + 1))
  }
  return parts
}

function nativeCalls(calls: JsonValue | undefined): JsonValue[] {
  return listOf(calls).map((call) => {
    const described = objectOf(objectOf(call)['function'])
    return { function: { name: described['name'] ?? '', arguments: parseArguments(described['arguments']) } }
  })
}

function parseArguments(value: JsonValue | undefined): JsonValue {
  if (typeof value !== 'string') return value ?? {}
  try {
    const parsed: JsonValue = JSON.parse(value)
    return parsed
  } catch {
    return {}
  }
}

function nativeMessages(messages: readonly JsonValue[]): JsonValue[] | string {
  const result: JsonValue[] = []
  for (const entry of messages) {
    const message = objectOf(entry)
    const parts = partsOf(message['content'])
    if (typeof parts === 'string') return parts
    const native: JsonObject = { role: textOf(message['role']), content: parts.text }
    if (parts.images.length > 0) native['images'] = parts.images
    if (message['reasoning'] !== undefined) native['thinking'] = textOf(message['reasoning'])
    if (message['tool_calls'] !== undefined) native['tool_calls'] = nativeCalls(message['tool_calls'])
    result.push(native)
  }
  return result
}

function thinkOf(body: JsonObject): JsonValue | undefined {
  const effort = textOf(objectOf(body['reasoning'])['effort'], textOf(body['reasoning_effort']))
  if (effort === '') return undefined
  return effort === 'none' ? false : effort
}

/** Takes out what is absent, so that a body reads as if it had not been sent. */
function present(body: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined))
}

export function openAiChat(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decoded(answer, bytes, openAiChatShape)
  if (body === null) return
  const model = textOf(body['model'])
  if (toCloud(context, answer, model)) return
  const sent = listOf(body['messages'])
  if (sent.length === 0) return void refuse(answer, "[] is too short - 'messages'")
  const messages = nativeMessages(sent)
  if (typeof messages === 'string') return void refuse(answer, messages)
  const reply = new OpenAiReply(answer, {
    route: 'chat',
    model,
    stream: body['stream'] === true,
    includeUsage: objectOf(body['stream_options'])['include_usage'] === true,
    id: `chatcmpl-${decimalId(context, 999)}`,
    createdSeconds: seconds(context),
  })
  const native = present({
    messages,
    options: samplingOptions(body, 'max_tokens'),
    format: formatOf(body),
    tools: body['tool_choice'] === 'none' ? undefined : body['tools'],
    think: thinkOf(body),
    logprobs: body['logprobs'],
    top_logprobs: body['top_logprobs'],
  })
  runInference(context, { kind: 'chat', model, body: native }, reply)
}

export function openAiCompletions(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decoded(answer, bytes, openAiCompletionShape)
  if (body === null) return
  const model = textOf(body['model'])
  if (toCloud(context, answer, model)) return
  const reply = new OpenAiReply(answer, {
    route: 'completions',
    model,
    stream: body['stream'] === true,
    includeUsage: objectOf(body['stream_options'])['include_usage'] === true,
    id: `cmpl-${decimalId(context, 999)}`,
    createdSeconds: seconds(context),
  })
  const native = present({ prompt: textOf(body['prompt']), suffix: body['suffix'], options: samplingOptions(body, 'max_tokens') })
  runInference(context, { kind: 'generate', model, body: native }, reply)
}

function responseMessages(body: JsonObject): JsonValue[] | string {
  const { input } = body
  const messages: JsonValue[] = []
  const instructions = textOf(body['instructions'])
  if (instructions !== '') messages.push({ role: 'system', content: instructions })
  if (typeof input === 'string') {
    if (input !== '') messages.push({ role: 'user', content: input })
    return messages
  }
  for (const entry of listOf(input)) {
    const item = objectOf(entry)
    if (item['type'] === 'function_call') {
      const call = { function: { name: item['name'] ?? '', arguments: parseArguments(item['arguments']) } }
      messages.push({ role: 'assistant', content: '', tool_calls: [call] })
    } else if (item['type'] === 'function_call_output') messages.push({ role: 'tool', content: textOf(item['output']) })
    else if (item['type'] !== 'reasoning') {
      const parts = partsOf(item['content'])
      if (typeof parts === 'string') return parts
      messages.push(
        present({ role: textOf(item['role'], 'user'), content: parts.text, images: parts.images.length > 0 ? parts.images : undefined }),
      )
    }
  }
  return messages
}

function responseTools(body: JsonObject): JsonObject[] {
  return listOf(body['tools']).map((entry) => {
    const tool = objectOf(entry)
    const { type, name, description, parameters } = tool
    return {
      type: type ?? null,
      name: name ?? null,
      description: description ?? null,
      strict: tool['strict'] ?? null,
      parameters: parameters ?? null,
    }
  })
}

export function responses(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const body = decoded(answer, bytes, responsesShape)
  if (body === null) return
  const model = textOf(body['model'])
  if (toCloud(context, answer, model)) return
  const messages = responseMessages(body)
  if (typeof messages === 'string') return void refuse(answer, messages)
  const stream = body['stream'] === true
  if (stream) {
    answer.set('Cache-Control', 'no-cache')
    answer.set('Connection', 'keep-alive')
  }
  const tools = responseTools(body)
  const format = objectOf(objectOf(body['text'])['format'])
  const limit = body['max_output_tokens']
  const reply = new ResponsesReply(answer, {
    model,
    stream,
    number: decimalId(context, 999_999),
    messageNumber: decimalId(context, 999_999),
    nowSeconds: () => seconds(context),
    echo: {
      instructions: body['instructions'] ?? null,
      tools,
      topP: numberOf(body['top_p'], 1),
      temperature: numberOf(body['temperature'], 1),
      truncation: textOf(body['truncation'], 'disabled'),
      reasoning: body['reasoning'] ?? null,
      text: { format: Object.keys(format).length > 0 ? format : { type: 'text' } },
      maxOutputTokens: typeof limit === 'number' ? limit : null,
    },
  })
  const native = present({
    messages,
    options: samplingOptions(body, 'max_output_tokens'),
    format: format['type'] === 'json_schema' ? format['schema'] : undefined,
    tools:
      tools.length > 0
        ? tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } }))
        : undefined,
    think: thinkOf(body),
  })
  runInference(context, { kind: 'chat', model, body: native }, reply)
}
