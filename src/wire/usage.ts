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

function readNative(body: Buffer): Usage | null {
  const at = body.lastIndexOf(nativeKey)
  if (at < 0) return null
  const fields = parseObject(`{${body.toString('latin1', at)}`)
  if (fields === null) return null
  return {
    promptTokens: numberAt(fields, 'prompt_eval_count'),
    cachedPromptTokens: numberAt(fields, 'prompt_eval_cached_count'),
    outputTokens: numberAt(fields, 'eval_count'),
    loadMs: millisecondsAt(fields, 'load_duration'),
    promptMs: millisecondsAt(fields, 'prompt_eval_duration'),
    outputMs: millisecondsAt(fields, 'eval_duration'),
    totalMs: millisecondsAt(fields, 'total_duration'),
  }
}

function readForeign(body: Buffer): Usage | null {
  const at = body.lastIndexOf(usageKey)
  if (at < 0) return null
  const range = scanValue(body, at + usageKey.length, 64)
  const fields = range === null ? null : parseObject(body.toString('latin1', range.start, range.end))
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

function millisecondsAt(fields: Record<string, unknown>, name: string): number | null {
  const ns = numberAt(fields, name)
  return ns === null ? null : ns / nsPerMs
}
