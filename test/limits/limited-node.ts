/** A limit of tokens before a node that says how many tokens each prompt had, and gives ten more. */
import { createLimiter } from '../../src/limits/limiter.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { limited } from '../../src/limits/limited.ts'
import { PlanBook } from '../../src/limits/plan.ts'
import type { Answer } from '../../src/core/relay.ts'
import { manualClock, type ManualClock } from '../fleet/manual-clock.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { options, principal } from './plans.ts'

export type Prompt = Readonly<Record<string, unknown>>

/** A prompt and the tokens that the node will count in it. */
export interface Counted {
  readonly prompt: Prompt
  readonly tokens: number
  readonly path?: string
  readonly tenant?: string
}

export interface LimitedNode {
  readonly clock: ManualClock
  /** Sends all before any ends; what the node counted in those that were let in. */
  atOnce(asked: readonly Counted[]): Promise<{ readonly admitted: number; readonly tokens: number; readonly refusals: readonly unknown[] }>
}

const outputTokens = 10

export function limitedNode(tokensPerMinute: number): LimitedNode {
  const clock = manualClock(1_700_000_000_000)
  const parsed = options({})
  const book = new PlanBook(parsed)
  const budgets = new Budgets(clock, () => 1_000)
  const limiter = createLimiter({ clock, options: () => parsed, budgets, redis: null, replica: 'r' })
  const waiting = new Map<string, (promptTokens: number) => void>()
  const relay = limited({ options: () => parsed, book: () => book, limiter, random: () => 0.5 })(
    (_, call) => new Promise<Answer>((resolve) => waiting.set(call.id, (promptTokens) => resolve(answerOf(promptTokens)))),
  )
  const maxima = { max_tokens: outputTokens, max_output_tokens: outputTokens, options: { num_predict: outputTokens } }
  let calls = 0
  return {
    clock,
    async atOnce(asked) {
      const sent = asked.map(({ prompt, path = '/api/chat', tenant = 't' }) => {
        const id = `c${(calls += 1)}`
        const request = makeRequest(path, { model: 'm', stream: false, ...maxima, ...prompt })
        return { id, answer: relay(request, makeCall({ id, tenant, principal: principal({ own: { tokensPerMinute } }) })) }
      })
      const settled = Promise.allSettled(sent.map(({ answer }) => answer))
      await Promise.resolve()
      let tokens = 0
      for (const [index, { id }] of sent.entries()) {
        const end = waiting.get(id)
        const promptTokens = asked[index]?.tokens ?? 0
        if (end === undefined) continue
        tokens += promptTokens + outputTokens
        end(promptTokens)
      }
      const refusals = (await settled).flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
      return { admitted: asked.length - refusals.length, tokens, refusals }
    },
  }
}

function answerOf(promptTokens: number): Answer {
  const usage = { promptTokens, outputTokens, cachedPromptTokens: null, loadMs: null, promptMs: 10, outputMs: 90, totalMs: 100 }
  const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 }
  const outcome = { kind: 'ok', usage, frames: 1, bytes: 10, error: null } as const
  return { kind: 'whole', status: 200, headers: {}, body: Buffer.from('{}'), outcome, provenance }
}
