/** From the lines of a native stream to the one object that `stream: false` gives (golden test against the simulated node). */
import type { EnvelopeField } from '../core/envelope.ts'
import { fieldsIn, fieldsOf, hasOnly, joinItems, objectText, rawInside, rawText } from './raw-json.ts'

const messageKeys: ReadonlySet<string> = new Set(['role', 'content', 'thinking', 'tool_calls'])
const newline = 0x0a

interface Gathered {
  content: string
  thinking: string
  toolCalls: string
  logprobs: string
}

/** The whole answer; null when the stream holds something that is not known to go into one. */
export function aggregateNative(body: Buffer): Buffer | null {
  const gathered: Gathered = { content: '', thinking: '', toolCalls: '', logprobs: '' }
  let last: ReadonlyMap<string, EnvelopeField> | null = null
  let end = 0
  for (let start = 0; start < body.length; start = end + 1) {
    end = body.indexOf(newline, start)
    if (end < 0) end = body.length
    if (end === start) continue
    const line = fieldsOf(body, start)
    if (line === null || last?.get('done')?.kind === 'true') return null
    if (!gather(body, line, gathered)) return null
    last = line
  }
  return last?.get('done')?.kind === 'true' ? Buffer.from(finalText(body, last, gathered), 'latin1') : null
}

function gather(body: Buffer, line: ReadonlyMap<string, EnvelopeField>, gathered: Gathered): boolean {
  const message = line.get('message')
  const fields = message === undefined ? line : fieldsIn(body, message)
  if (fields === null || (message !== undefined && !hasOnly(fields, messageKeys))) return false
  gathered.content += rawInside(body, fields.get(message === undefined ? 'response' : 'content'))
  gathered.thinking += rawInside(body, fields.get('thinking'))
  gathered.toolCalls = joinItems(gathered.toolCalls, rawInside(body, fields.get('tool_calls')))
  gathered.logprobs = joinItems(gathered.logprobs, rawInside(body, line.get('logprobs')))
  return true
}

/** The last line with all text in it. */
function finalText(body: Buffer, last: ReadonlyMap<string, EnvelopeField>, { content, thinking, toolCalls, logprobs }: Gathered): string {
  const extras: (readonly [string, string | null])[] = [
    ['thinking', thinking === '' ? null : `"${thinking}"`],
    ['tool_calls', toolCalls === '' ? null : `[${toolCalls}]`],
  ]
  const pairs: (readonly [string, string | null])[] = []
  for (const [key, field] of last) {
    if (key === 'message') {
      const role = fieldsIn(body, field)?.get('role')
      pairs.push([
        key,
        objectText([['role', role === undefined ? '"assistant"' : rawText(body, role)], ['content', `"${content}"`], ...extras]),
      ])
    } else if (key === 'response') {
      pairs.push([key, `"${content}"`], ...extras)
    } else if (key === 'total_duration') {
      pairs.push(['logprobs', logprobs === '' ? null : `[${logprobs}]`], [key, rawText(body, field)])
    } else if (key !== 'logprobs' && key !== 'thinking' && key !== 'tool_calls') {
      pairs.push([key, rawText(body, field)])
    }
  }
  return objectText(pairs)
}
