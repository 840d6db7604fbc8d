/**
 * `/v1/messages`: turned into a chat in Ollama's own terms. Thinking is dropped for models that cannot think.
 */
import type { Answer } from './answer.ts'
import { refuseCloud } from './cloud-routes.ts'
import { hexId, type NodeContext } from './context.ts'
import { runInference } from './inference.ts'
import { decodeBody } from './json-shape.ts'
import { listOf, numberOf, objectOf, textOf, type JsonObject, type JsonValue } from './json-value.ts'
import { isCloudName, parseModelName } from './model-name.ts'
import { AnthropicReply, anthropicError } from './reply-anthropic.ts'
import { messagesShape } from './request-shapes.ts'

interface Native {
  readonly messages: JsonValue[]
  readonly problem: string | null
}

function systemText(system: JsonValue | undefined): string {
  if (typeof system === 'string') return system
  return listOf(system)
    .map((block) => textOf(objectOf(block)['text']))
    .join('')
}

/** Messages of one entry: tool results become messages of their own. */
function nativeMessages(entry: JsonObject): Native {
  const role = textOf(entry['role'])
  if (typeof entry['content'] === 'string') return { messages: [{ role, content: entry['content'] }], problem: null }
  const message: JsonObject = { role, content: '' }
  const results: JsonValue[] = []
  let problem: string | null = null
  for (const item of listOf(entry['content'])) {
    const block = objectOf(item)
    const type = textOf(block['type'])
    if (type === 'text') message['content'] = textOf(message['content']) + textOf(block['text'])
    else if (type === 'thinking') message['thinking'] = textOf(block['thinking'])
    else if (type === 'tool_use') {
      const call = { function: { name: block['name'] ?? '', arguments: block['input'] ?? {} } }
      message['tool_calls'] = [...listOf(message['tool_calls']), call]
    } else if (type === 'tool_result') {
      const content = typeof block['content'] === 'string' ? block['content'] : systemText(block['content'])
      results.push({ role: 'tool', content })
    } else if (type === 'image') {
      const source = objectOf(block['source'])
      if (source['type'] !== 'base64') problem ??= `invalid image source type: ${textOf(source['type'])}. Only base64 images are supported.`
      message['images'] = [...listOf(message['images']), textOf(source['data'])]
    }
  }
  const empty = message['content'] === '' && message['tool_calls'] === undefined && message['images'] === undefined && results.length > 0
  return { messages: empty ? results : [message, ...results], problem }
}

function toolsOf(body: JsonObject): JsonValue[] {
  return listOf(body['tools']).map((entry) => {
    const tool = objectOf(entry)
    return {
      type: 'function',
      function: { name: tool['name'] ?? '', description: tool['description'] ?? '', parameters: tool['input_schema'] ?? {} },
    }
  })
}

function optionsOf(body: JsonObject): JsonObject {
  const options: JsonObject = {}
  if (body['max_tokens'] !== undefined) options['num_predict'] = body['max_tokens']
  for (const key of ['temperature', 'top_p', 'top_k']) if (body[key] !== undefined) options[key] = body[key]
  if (body['stop_sequences'] !== undefined) options['stop'] = body['stop_sequences']
  return options
}

/** The estimate of input tokens that `message_start` carries: a quarter of the characters. */
function estimate(entries: readonly JsonValue[], tools: readonly JsonValue[]): number {
  let chars = tools.length > 0 ? JSON.stringify(tools).length : 0
  for (const entry of entries) {
    const message = objectOf(entry)
    chars += textOf(message['role']).length + textOf(message['content']).length
    if (message['tool_calls'] !== undefined) chars += JSON.stringify(message['tool_calls']).length
  }
  return Math.max(1, Math.floor(chars / 4))
}

export function messages(context: NodeContext, answer: Answer, bytes: Buffer): void {
  const requestId = `req_${hexId(context)}`
  const refuse = (message: string): void => answer.whole(400, anthropicError(400, message, requestId), 'application/json; charset=utf-8')
  const decoded = decodeBody(bytes, messagesShape)
  if (!('value' in decoded)) return refuse(decoded.error)
  const body = decoded.value
  const model = textOf(body['model'])
  if (isCloudName(model)) return refuseCloud(context, answer, { method: 'POST', path: '/v1/messages', subject: 'remote model' })
  if (model === '') return refuse('model is required')
  if (numberOf(body['max_tokens']) <= 0) return refuse('max_tokens is required and must be positive')
  const sent = listOf(body['messages'])
  if (sent.length === 0) return refuse('messages is required')
  const native: JsonValue[] = []
  const system = systemText(body['system'])
  if (system !== '') native.push({ role: 'system', content: system })
  for (const entry of sent) {
    const turned = nativeMessages(objectOf(entry))
    if (turned.problem !== null) return refuse(turned.problem)
    native.push(...turned.messages)
  }
  run(context, answer, { body, model, native, requestId })
}

interface Turned {
  readonly body: JsonObject
  readonly model: string
  readonly native: JsonValue[]
  readonly requestId: string
}

function run(context: NodeContext, answer: Answer, turned: Turned): void {
  const { body, model, native, requestId } = turned
  const stream = body['stream'] === true
  if (stream) {
    answer.set('Cache-Control', 'no-cache')
    answer.set('Connection', 'keep-alive')
  }
  const tools = toolsOf(body)
  const parsed = parseModelName(model)
  const stored = parsed === null ? null : context.store.get(parsed)
  const thinks = stored?.facts.capabilities.includes('thinking') === true
  const chat: JsonObject = { messages: native, options: optionsOf(body) }
  if (tools.length > 0) chat['tools'] = tools
  if (thinks) chat['think'] = objectOf(body['thinking'])['type'] === 'enabled'
  const inputTokens = estimate(native, tools)
  const reply = new AnthropicReply(answer, { model, stream, id: `msg_${hexId(context)}`, requestId, inputTokens })
  runInference(context, { kind: 'chat', model, body: chat }, reply)
}
