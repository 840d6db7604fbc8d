/**
 * Makes a follow-up question stand alone, so that search finds what `and for the second one?` is about. A small model does it in bounded
 * time; whatever goes wrong, the question itself is searched.
 */
import { CallSignal } from '../base/abort.ts'
import type { Clock } from '../base/clock.ts'
import { type Call, newProgress } from '../core/call.ts'
import { toCorralError } from '../core/errors.ts'
import type { Relay, Usage } from '../core/relay.ts'
import { readChatFrames } from './chat-frames.ts'
import { chatRequest } from './chat-request.ts'
import { oneLine, withoutInvisible } from './invisible.ts'
import type { Turn } from './prompt.ts'

export interface RewriteDeps {
  readonly relay: Relay
  readonly clock: Clock
  /** Hears of a rewrite that could not be had. */
  readonly onTrouble: (message: string, cause: unknown) => void
}

export interface RewriteWish {
  readonly question: string
  readonly history: readonly Turn[]
  readonly model: string
  readonly headers: readonly string[]
  /** After this long the question is searched as it is. */
  readonly limitMs: number
}

const turnsMax = 6
const turnChars = 600
const queryChars = 400
const outputTokens = 96
const contextTokens = 4_096

const instructions = `Rewrite the last question of the conversation so that it can be understood without the conversation. Keep names, numbers and identifiers exactly. Keep the language. Write only the question, on one line. If it already stands alone, repeat it.`

export interface Rewritten {
  readonly query: string
  /** What it took; null: nothing, or it is booked elsewhere. */
  readonly usage: Usage | null
}

/** A query that stands alone; the question itself without a conversation, after a failure, or when the model answers with nothing. */
export async function rewriteQuestion(wish: RewriteWish, call: Call, deps: RewriteDeps): Promise<Rewritten> {
  const asIs: Rewritten = { query: wish.question, usage: null }
  if (wish.history.length === 0 || wish.limitMs <= 0) return asIs
  const signal = new CallSignal()
  const onAbort = (reason: unknown): void => signal.abort(reason)
  call.signal.on(onAbort)
  let onLimit: (query: null) => void = () => undefined
  const limit = new Promise<null>((resolve) => (onLimit = resolve))
  const timer = deps.clock.after(wish.limitMs, () => {
    signal.abort(new Error(`no rewritten question within ${wish.limitMs} ms`))
    onLimit(null)
  })
  try {
    const deadlineAtMs = deps.clock.nowMs() + wish.limitMs
    // A request of its own to whoever counts requests by their ids: both may be under way at once.
    const asked = ask(wish, { ...call, id: `${call.id}q`, signal, deadlineAtMs, progress: newProgress() }, deps)
    return (await Promise.race([asked, limit])) ?? asIs
  } finally {
    timer.cancel()
    call.signal.off(onAbort)
  }
}

async function ask(
  { question, history, model, headers }: RewriteWish,
  call: Call,
  { relay, onTrouble }: RewriteDeps,
): Promise<Rewritten | null> {
  const turns = history.slice(-turnsMax).map(({ role, content }) => `${role}: ${oneLine(content, turnChars)}`)
  const request = chatRequest({
    model,
    messages: [
      { role: 'system', content: instructions },
      { role: 'user', content: [...turns, `user: ${oneLine(question, turnChars * 2)}`].join('\n') },
    ],
    stream: false,
    options: { temperature: 0, num_predict: outputTokens, num_ctx: contextTokens },
    headers,
  })
  try {
    const answer = await relay(request, call)
    if (answer.kind === 'stream') {
      answer.frames.cancel(new Error('a whole answer was asked for'))
      return null
    }
    if (answer.status !== 200) return null
    return { query: queryOf(answer.body) ?? question, usage: answer.outcome.cached === true ? null : answer.outcome.usage }
  } catch (error) {
    onTrouble('a question could not be rewritten', toCorralError(error))
    return null
  }
}

/** The first line that says something, without what models put around it. */
function queryOf(body: Buffer): string | null {
  const text = readChatFrames(body)
    .map((delta) => delta.text)
    .join('')
    .replace(/<think>[\s\S]*?<\/think>/g, '')
  const line = withoutInvisible(text)
    .split('\n')
    .map((part) =>
      part.replace(/^\s*(?:[-*#>]+|(?:rewritten\s+)?(?:question|query)\s*:)\s*/i, '').replace(/^["'“”«»\s]+|["'“”«»\s]+$/g, ''),
    )
    .find((part) => part !== '')
  return line === undefined || line.length > queryChars ? null : line
}
