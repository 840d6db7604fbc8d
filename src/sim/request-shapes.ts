/**
 * The request bodies of the node's routes as shapes: which keys exist and of which type, with Go's names for error texts.
 */
import type { Shape } from './json-shape.ts'
import type { JsonValue } from './json-value.ts'

type Struct = { readonly fields: Readonly<Record<string, Shape>>; readonly type: string }

const goDuration = /^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/

function checkDuration(value: JsonValue): string | null {
  if (typeof value === 'number') return null
  if (typeof value !== 'string') return 'Unsupported type: ' + typeof value
  if (value === '0' || /^[+-]?((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))+$/.test(value)) return null
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(value)) return `time: missing unit in duration ${JSON.stringify(value)}`
  return goDuration.test(value)
    ? `time: missing unit in duration ${JSON.stringify(value)}`
    : `time: invalid duration ${JSON.stringify(value)}`
}

function checkThink(value: JsonValue): string | null {
  if (typeof value === 'boolean' || (typeof value === 'string' && ['high', 'medium', 'low', 'max'].includes(value))) return null
  return `invalid think value: ${JSON.stringify(value)} (must be "high", "medium", "low", "max", true, or false)`
}

const base64Text = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function checkImage(value: JsonValue): string | null {
  if (typeof value !== 'string' || base64Text.test(value)) return null
  const bad = /[^A-Za-z0-9+/]/.exec(value)
  return `illegal base64 data at input byte ${bad?.index ?? Math.max(0, value.length - 1)}`
}

const duration: Shape = { check: checkDuration }
const think: Shape = { check: checkThink }
const images: Shape = { list: { check: checkImage }, type: '[]api.ImageData' }
const options: Shape = { map: 'any', type: 'map[string]interface {}' }

const message: Struct = {
  type: 'api.Message',
  fields: {
    role: 'string',
    content: 'string',
    thinking: 'string',
    images,
    tool_calls: { list: 'any', type: '[]api.ToolCall' },
    tool_name: 'string',
    tool_call_id: 'string',
  },
}

export const generateShape: Struct = {
  type: 'api.GenerateRequest',
  fields: {
    model: 'string',
    prompt: 'string',
    suffix: 'string',
    system: 'string',
    template: 'string',
    context: { list: 'int', type: '[]int' },
    stream: 'bool',
    raw: 'bool',
    format: 'any',
    keep_alive: duration,
    images,
    options,
    think,
    truncate: 'bool',
    shift: 'bool',
    logprobs: 'bool',
    top_logprobs: 'int',
    _debug_render_only: 'bool',
  },
}

export const chatShape: Struct = {
  type: 'api.ChatRequest',
  fields: {
    model: 'string',
    messages: { list: message, type: '[]api.Message' },
    stream: 'bool',
    format: 'any',
    keep_alive: duration,
    tools: { list: 'any', type: 'api.Tools' },
    options,
    think,
    truncate: 'bool',
    shift: 'bool',
    logprobs: 'bool',
    top_logprobs: 'int',
    _debug_render_only: 'bool',
  },
}

export const embedShape: Struct = {
  type: 'api.EmbedRequest',
  fields: { model: 'string', input: 'any', keep_alive: duration, truncate: 'bool', dimensions: 'int', options },
}

export const embeddingsShape: Struct = {
  type: 'api.EmbeddingRequest',
  fields: { model: 'string', prompt: 'string', keep_alive: duration, options },
}

export const nameShape: Struct = {
  type: 'api.ShowRequest',
  fields: {
    model: 'string',
    name: 'string',
    verbose: 'bool',
    system: 'string',
    template: 'string',
    options,
    stream: 'bool',
    insecure: 'bool',
    username: 'string',
    password: 'string',
  },
}

export const copyShape: Struct = { type: 'api.CopyRequest', fields: { source: 'string', destination: 'string' } }

export const createShape: Struct = {
  type: 'api.CreateRequest',
  fields: {
    model: 'string',
    name: 'string',
    stream: 'bool',
    quantize: 'string',
    from: 'string',
    files: { map: 'string', type: 'map[string]string' },
    adapters: { map: 'string', type: 'map[string]string' },
    template: 'string',
    license: 'any',
    system: 'string',
    parameters: { map: 'any', type: 'map[string]interface {}' },
    messages: { list: message, type: '[]api.Message' },
    renderer: 'string',
    parser: 'string',
    requires: 'string',
    info: { map: 'any', type: 'map[string]interface {}' },
  },
}

export const openAiChatShape: Struct = {
  type: 'openai.ChatCompletionRequest',
  fields: {
    model: 'string',
    messages: { list: 'any', type: '[]openai.Message' },
    stream: 'bool',
    stream_options: { type: 'openai.StreamOptions', fields: { include_usage: 'bool' } },
    max_tokens: 'int',
    seed: 'int',
    stop: 'any',
    temperature: 'float64',
    frequency_penalty: 'float64',
    presence_penalty: 'float64',
    top_p: 'float64',
    response_format: { type: 'openai.ResponseFormat', fields: { type: 'string', json_schema: 'any' } },
    tools: { list: 'any', type: '[]api.Tool' },
    reasoning: 'any',
    reasoning_effort: 'any',
    logprobs: 'bool',
    top_logprobs: 'int',
    tool_choice: 'any',
  },
}

export const openAiCompletionShape: Struct = {
  type: 'openai.CompletionRequest',
  fields: {
    model: 'string',
    prompt: 'string',
    frequency_penalty: 'float64',
    max_tokens: 'int',
    presence_penalty: 'float64',
    seed: 'int',
    stop: 'any',
    stream: 'bool',
    stream_options: { type: 'openai.StreamOptions', fields: { include_usage: 'bool' } },
    temperature: 'float64',
    top_p: 'float64',
    suffix: 'string',
    logprobs: 'int',
  },
}

export const openAiEmbedShape: Struct = {
  type: 'openai.EmbedRequest',
  fields: { model: 'string', input: 'any', dimensions: 'int', encoding_format: 'string' },
}

export const responsesShape: Struct = {
  type: 'openai.ResponsesRequest',
  fields: {
    model: 'string',
    input: 'any',
    instructions: 'string',
    tools: { list: 'any', type: '[]openai.ResponsesTool' },
    temperature: 'float64',
    top_p: 'float64',
    max_output_tokens: 'int',
    stream: 'bool',
    text: 'any',
    reasoning: 'any',
    truncation: 'string',
    previous_response_id: 'string',
    tool_choice: 'any',
  },
}

export const messagesShape: Struct = {
  type: 'anthropic.MessagesRequest',
  fields: {
    model: 'string',
    max_tokens: 'int',
    messages: { list: 'any', type: '[]anthropic.MessageParam' },
    system: 'any',
    stream: 'bool',
    temperature: 'float64',
    top_p: 'float64',
    top_k: 'int',
    stop_sequences: { list: 'string', type: '[]string' },
    tools: { list: 'any', type: '[]anthropic.Tool' },
    tool_choice: 'any',
    thinking: 'any',
    metadata: 'any',
  },
}
