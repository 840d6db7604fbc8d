/**
 * What may differ between a recorded answer and a simulated one, field by field and for one reason each. Everything else
 * (names and order of keys, types, other values, error texts) must be equal.
 */
import { isObject, type JsonObject, type JsonValue } from '../../../src/sim/json-value.ts'

type Rule = (value: JsonValue) => JsonValue

const time: Rule = (value) =>
  typeof value === 'string' && !Number.isNaN(Date.parse(value)) ? '<time>' : typeof value === 'number' ? 0 : value
const duration: Rule = (value) => (typeof value === 'number' && value > 0 && Number.isInteger(value) ? '<nanoseconds>' : value)
const count: Rule = (value) => (typeof value === 'number' && value > 0 && Number.isInteger(value) ? '<count>' : value)
const generated: Rule = (value) => (typeof value === 'string' && value !== '' ? '<generated>' : value)
const bytes: Rule = (value) => (typeof value === 'number' && value > 0 ? '<bytes>' : value)
const ended: Rule = (value) => {
  if (value === 'stop' || value === 'length') return '<ended>'
  return value === 'end_turn' || value === 'max_tokens' ? '<ended>' : value
}
const id: Rule = (value) =>
  typeof value === 'string' ? value.replace(/^(chatcmpl|cmpl|resp|msg|rs|fc|req|call)([-_])[\w-]+$/, '$1$2<id>') : value
const list: Rule = (value) => (Array.isArray(value) && value.length > 0 ? ['<list>'] : value)
const vector: Rule = (value) => {
  if (typeof value === 'string') return `<base64 of ${value.length}>`
  if (!Array.isArray(value)) return value
  return value.length > 0 && value.every((one) => typeof one === 'number') ? `<vector of ${value.length}>` : value.map(vector)
}
const generatedArguments: Rule = (value) => {
  if (typeof value === 'string' && value !== '') return '<generated>'
  if (!isObject(value)) return value
  return Object.fromEntries(Object.keys(value).map((key) => [key, '<generated>']))
}

/** Field → why it may differ and how it is blanked. */
export const allowedDifferences: Readonly<Record<string, { readonly why: string; readonly blank: Rule }>> = {
  created_at: { why: 'time of the answer', blank: time },
  completed_at: { why: 'time of the answer', blank: time },
  created: { why: 'time of the answer', blank: time },
  modified_at: { why: 'time of the model', blank: time },
  expires_at: { why: 'time of the end of the session', blank: time },
  total_duration: { why: 'speed', blank: duration },
  load_duration: { why: 'speed', blank: duration },
  prompt_eval_duration: { why: 'speed', blank: duration },
  eval_duration: { why: 'speed', blank: duration },
  id: { why: 'random', blank: id },
  item_id: { why: 'random', blank: id },
  call_id: { why: 'random', blank: id },
  request_id: { why: 'random', blank: id },
  response: { why: 'generated text', blank: generated },
  content: { why: 'generated text', blank: generated },
  thinking: { why: 'generated text', blank: generated },
  reasoning: { why: 'generated text', blank: generated },
  text: { why: 'generated text', blank: generated },
  delta: { why: 'generated text', blank: generated },
  encrypted_content: { why: 'generated text', blank: generated },
  partial_json: { why: 'generated text', blank: generatedArguments },
  arguments: { why: 'generated tool arguments', blank: generatedArguments },
  input: { why: 'generated tool arguments', blank: generatedArguments },
  token: { why: 'generated token', blank: generated },
  bytes: { why: 'generated token', blank: list },
  logprob: { why: 'generated token', blank: (value) => (typeof value === 'number' ? 0 : value) },
  done_reason: { why: 'length of the generated text', blank: ended },
  finish_reason: { why: 'length of the generated text', blank: ended },
  stop_reason: { why: 'length of the generated text', blank: ended },
  context: { why: 'token ids', blank: list },
  rendered_template: { why: 'templates are not rendered', blank: generated },
  prompt_eval_count: { why: 'token counts', blank: count },
  eval_count: { why: 'token counts', blank: count },
  prompt_tokens: { why: 'token counts', blank: count },
  completion_tokens: { why: 'token counts', blank: count },
  total_tokens: { why: 'token counts', blank: count },
  input_tokens: { why: 'token counts', blank: count },
  output_tokens: { why: 'token counts', blank: count },
  embedding: { why: 'another embedding model', blank: vector },
  embeddings: { why: 'another embedding model', blank: vector },
  size: { why: 'bytes of layers and of memory', blank: bytes },
  total: { why: 'bytes of layers', blank: bytes },
  completed: { why: 'bytes of layers', blank: bytes },
  tensors: { why: 'weights', blank: list },
  'tokenizer.ggml.tokens': { why: 'vocabulary', blank: list },
  'tokenizer.ggml.token_type': { why: 'vocabulary', blank: list },
  'tokenizer.ggml.scores': { why: 'vocabulary', blank: list },
  'tokenizer.ggml.merges': { why: 'vocabulary', blank: list },
}

/** What may differ inside any text: ports, digests, the time in a URL, token counts in an error. */
const allowedInText: readonly (readonly [RegExp, string])[] = [
  [/read udp 127\.0\.0\.1:\d+/g, 'read udp 127.0.0.1:<port>'],
  [/http:\/\/127\.0\.0\.1:\d+/g, 'http://127.0.0.1:<port>'],
  [/\?ts=\d+/g, '?ts=<seconds>'],
  [/sha256([:-])[0-9a-f]{64}/g, 'sha256$1<digest>'],
  [/^[0-9a-f]{64}$/g, '<digest>'],
  [/^(pulling|pushing) [0-9a-f]{12}$/g, '$1 <digest>'],
  [/request \(\d+ tokens\)/g, 'request (<count> tokens)'],
  [/"n_prompt_tokens":\d+/g, '"n_prompt_tokens":<count>'],
]

/** Lines of `show.parameters` come in any order. */
function sortedLines(text: string): string {
  return text.split('\n').toSorted().join('\n')
}

/** `value` with everything blanked that may differ. */
export function blanked(value: JsonValue, key = ''): JsonValue {
  if (key === 'parameters' && typeof value === 'string') return sortedLines(value)
  const rule = Object.hasOwn(allowedDifferences, key) ? allowedDifferences[key] : undefined
  const changed = rule === undefined ? value : rule.blank(value)
  if (typeof changed === 'string') return allowedInText.reduce((text, [pattern, by]) => text.replace(pattern, by), changed)
  if (Array.isArray(changed)) return changed.map((item) => (isObject(item) || Array.isArray(item) ? blanked(item) : item))
  if (!isObject(changed)) return changed
  const result: JsonObject = {}
  for (const [name, one] of Object.entries(changed)) result[name] = blanked(one ?? null, name)
  return result
}
