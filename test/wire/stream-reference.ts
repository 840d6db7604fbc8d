/** What a stream says, found the plain way: split as text, every frame through `JSON.parse`. The readers must agree with it. */
import type { RouteFacts } from '../../src/core/route.ts'
import type { Reading } from './stream-driver.ts'

type Fields = Readonly<Record<string, unknown>>

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null
}

function parse(text: string): Fields {
  const value: unknown = JSON.parse(text)
  return isFields(value) ? value : {}
}

interface Frame {
  readonly kind: 'data' | 'done' | 'error' | 'died'
  readonly fields: Fields
}

function lineFrame(route: RouteFacts, text: string): Frame {
  const fields = parse(text)
  if ('error' in fields) return { kind: 'error', fields }
  const done = route.terminator === 'done' ? fields.done === true : fields.status === 'success'
  return { kind: done ? 'done' : 'data', fields }
}

const finalNames = new Set(['message_stop', 'response.completed', 'response.failed', 'response.incomplete'])

function eventFrame(text: string): Frame {
  const name = /^event: (.*)$/m.exec(text)?.[1] ?? ''
  const data = /^data: (.*)$/m.exec(text)?.[1] ?? ''
  if (data === '[DONE]') return { kind: 'done', fields: {} }
  const fields = parse(data)
  if (finalNames.has(name)) return { kind: 'done', fields }
  if (name === 'error' || isFields(fields.error)) return { kind: 'error', fields }
  return { kind: fields.model === '' ? 'died' : 'data', fields }
}

/** The usage object of a frame, wherever the dialects put it. */
function usageOf({ fields, kind }: Frame): Fields | null {
  if (kind === 'done' && 'total_duration' in fields) return fields
  for (const place of [fields, fields.message, fields.response]) {
    if (isFields(place) && isFields(place.usage)) return place.usage
  }
  return null
}

const countOf = (usage: Fields, ...names: readonly string[]): number | null => {
  const found = names.map((name) => usage[name]).find((value) => typeof value === 'number')
  return typeof found === 'number' ? found : null
}

interface Expectation extends Pick<Reading, 'forwarded' | 'frames'> {
  readonly event: 'done' | 'error' | 'died' | null
  readonly promptTokens: number | null
  readonly outputTokens: number | null
}

/** What a correct reader reports of `text`. */
export function expectationOf(route: RouteFacts, text: string): Expectation {
  const separator = route.framing === 'ndjson' ? '\n' : '\n\n'
  let forwarded = ''
  let frames = 0
  let event: Expectation['event'] = null
  let usage: Fields | null = null
  for (const piece of text.split(separator).slice(0, -1)) {
    const frame = route.framing === 'ndjson' ? lineFrame(route, piece) : eventFrame(piece)
    if (frame.kind !== 'data') event = frame.kind
    if (frame.kind === 'error' || frame.kind === 'died') break
    forwarded += piece + separator
    frames += 1
    usage = usageOf(frame) ?? usage
    if (frame.kind === 'done') break
  }
  const promptTokens = usage === null ? null : countOf(usage, 'prompt_eval_count', 'prompt_tokens', 'input_tokens')
  const outputTokens = usage === null ? null : countOf(usage, 'eval_count', 'completion_tokens', 'output_tokens')
  return { forwarded: Buffer.from(forwarded).toString('latin1'), frames, event, promptTokens, outputTokens }
}
