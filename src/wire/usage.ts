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
  if (inTail >= 0) return readNativeFields(tail.slice(inTail))
  const at = body.lastIndexOf(nativeKey)
  return at < 0 ? null : readNativeFields(body.latin1Slice(at, body.length))
}

/** `fields`: from the first of them to the end of the answer. Parsed as an object of their own, which beats a search for each. */
function readNativeFields(fields: string): Usage | null {
  const found = parseObject(`{${fields}`)
  if (found === null) return null
  return {
    promptTokens: countAt(found, 'prompt_eval_count'),
    cachedPromptTokens: countAt(found, 'prompt_eval_cached_count'),
    outputTokens: countAt(found, 'eval_count'),
    loadMs: millisecondsAt(found, 'load_duration'),
    promptMs: millisecondsAt(found, 'prompt_eval_duration'),
    outputMs: millisecondsAt(found, 'eval_duration'),
    totalMs: millisecondsAt(found, 'total_duration'),
  }
}

/** What a node reports is never less than nothing. */
function countAt(fields: Record<string, unknown>, name: string): number | null {
  const value = numberAt(fields, name)
  return value === null || value < 0 ? null : value
}

function millisecondsAt(fields: Record<string, unknown>, name: string): number | null {
  const ns = countAt(fields, name)
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
