/**
 * Whether an answer that ended is one to keep: a 200, complete, with something in it, that the model ended by itself. An
 * answer cut short by a token limit, an empty one or one without its terminator would be wrong for everybody who asks later.
 *
 * It looks for keys with bare quotes, which cannot stand inside a JSON string; a native tool call's arguments could hold such
 * a key, but stand before the fields looked for here, which are searched from the end.
 */
import type { Outcome } from '../core/relay.ts'
import type { RouteFacts } from '../core/route.ts'

/** Why an answer was not kept, a closed set. */
export type Refusal = 'outcome' | 'status' | 'finish' | 'empty' | 'too-large' | 'purged' | 'digest' | 'limit'

export interface JudgedAnswer {
  readonly route: RouteFacts
  readonly status: number
  readonly outcome: Outcome
  readonly body: Buffer
  readonly form: 'stream' | 'whole'
  /** The client's own limit of output tokens; null: none. */
  readonly outputTokensMax: number | null
}

/** Null: keep it. */
export function refusal({ route, status, outcome, body, form, outputTokensMax }: JudgedAnswer): Refusal | null {
  if (status !== 200) return 'status'
  if (outcome.kind !== 'ok' || outcome.error !== null) return 'outcome'
  if (!hasContent(body)) return 'empty'
  if (!endedByItself(route, body, form)) return 'finish'
  const outputTokens = outcome.usage?.outputTokens ?? null
  return outputTokensMax !== null && outputTokens !== null && outputTokens >= outputTokensMax ? 'limit' : null
}

function endedByItself(route: RouteFacts, body: Buffer, form: 'stream' | 'whole'): boolean {
  switch (route.terminator) {
    case 'done':
      return isOneOf(textAfterLast(body, '"done_reason":"'), ['stop'])
    case 'openai':
      return isOneOf(textAfterLast(body, '"finish_reason":"'), ['stop', 'tool_calls'])
    case 'anthropic':
      return isOneOf(textAfterLast(body, '"stop_reason":"'), ['end_turn', 'tool_use', 'stop_sequence'])
    case 'responses':
      return form === 'stream' ? body.lastIndexOf('event: response.completed\n') >= 0 : body.includes('"status":"completed"')
    case 'success':
    case 'none':
      return false
  }
}

function isOneOf(word: string | null, words: readonly string[]): boolean {
  return word !== null && words.includes(word)
}

const wordBytesMax = 64

/** The text behind the last `key`, up to its closing quote. */
function textAfterLast(body: Buffer, key: string): string | null {
  const at = body.lastIndexOf(key)
  if (at < 0) return null
  const start = at + key.length
  const end = body.indexOf('"', start)
  return end < 0 || end - start > wordBytesMax ? null : body.latin1Slice(start, end)
}

/** Keys whose text is what the user asked for: thinking alone is no answer. */
const contentKeys = ['"content":"', '"response":"', '"text":"', '"delta":"', '"partial_json":"'].map((key) => Buffer.from(key))
const toolKeys = ['"tool_calls":[{', '"type":"tool_use"', '"type":"function_call"'].map((key) => Buffer.from(key))
const quote = 0x22

function hasContent(body: Buffer): boolean {
  return contentKeys.some((key) => hasText(body, key)) || toolKeys.some((key) => body.includes(key))
}

function hasText(body: Buffer, key: Buffer): boolean {
  for (let at = body.indexOf(key); at >= 0; at = body.indexOf(key, at + key.length)) {
    if (body[at + key.length] !== quote) return true
  }
  return false
}
