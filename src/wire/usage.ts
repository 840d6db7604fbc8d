/**
 * Token counts and phase times as an answer reports them, found from its end: the fields stand last, and the text
 * `"total_duration":` with bare quotes cannot stand inside a JSON string.
 */
import type { Usage } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'
import { scanValue } from './json-scan.ts'

const nativeKey = '"total_duration":'
const usageKey = '"usage":'
const nsPerMs = 1e6

/** Usage of a complete JSON answer, or of the event that carries it; null when it reports none. */
export function readUsage(route: RouteFacts, body: Buffer): Usage | null {
  return route.dialect === 'ollama' ? readNative(body) : readForeign(body)
}

/** Native usage stands in the last bytes of an answer; other Ollamas' orders are found by a search of the whole. */
const tailBytes = 512

function readNative(body: Buffer): Usage | null {
  const tail = body.latin1Slice(Math.max(0, body.length - tailBytes), body.length)
  const inTail = tail.lastIndexOf(nativeKey)
  if (inTail >= 0) return readNativeFields(tail, inTail)
  const at = body.lastIndexOf(nativeKey)
  return at < 0 ? null : readNativeFields(body.latin1Slice(at, body.length), 0)
}

function readNativeFields(text: string, from: number): Usage {
  return {
    promptTokens: integerAfter(text, '"prompt_eval_count":', from),
    cachedPromptTokens: integerAfter(text, '"prompt_eval_cached_count":', from),
    outputTokens: integerAfter(text, '"eval_count":', from),
    loadMs: millisecondsAfter(text, '"load_duration":', from),
    promptMs: millisecondsAfter(text, '"prompt_eval_duration":', from),
    outputMs: millisecondsAfter(text, '"eval_duration":', from),
    totalMs: millisecondsAfter(text, nativeKey, from),
  }
}

const zero = 0x30
const space = 0x20

/** The digits behind `key`; null when the key is absent or no number follows. */
function integerAfter(text: string, key: string, from: number): number | null {
  const found = text.indexOf(key, from)
  if (found < 0) return null
  let at = found + key.length
  while (text.charCodeAt(at) === space) at += 1
  let value = 0
  const start = at
  for (let digit = text.charCodeAt(at) - zero; digit >= 0 && digit <= 9; digit = text.charCodeAt(at) - zero) {
    value = value * 10 + digit
    at += 1
  }
  return at === start ? null : value
}

function millisecondsAfter(text: string, key: string, from: number): number | null {
  const ns = integerAfter(text, key, from)
  return ns === null ? null : ns / nsPerMs
}

function readForeign(body: Buffer): Usage | null {
  const at = body.lastIndexOf(usageKey)
  if (at < 0) return null
  const range = scanValue(body, at + usageKey.length, Infinity)
  const fields = range === null ? null : parseObject(body.latin1Slice(range.start, range.end))
  if (fields === null) return null
  const details = fields.prompt_tokens_details ?? fields.input_tokens_details
  const cached = isRecord(details) ? numberAt(details, 'cached_tokens') : numberAt(fields, 'cache_read_input_tokens')
  return {
    promptTokens: numberAt(fields, 'prompt_tokens') ?? numberAt(fields, 'input_tokens'),
    cachedPromptTokens: cached,
    outputTokens: numberAt(fields, 'completion_tokens') ?? numberAt(fields, 'output_tokens'),
    loadMs: null,
    promptMs: null,
    outputMs: null,
    totalMs: null,
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

function numberAt(fields: Record<string, unknown>, name: string): number | null {
  const value = fields[name]
  return typeof value === 'number' ? value : null
}
