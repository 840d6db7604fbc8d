/** Events of queues, choices and tries: what dispatch does with a request. */
import type { Outcome, Usage } from '../core/relay.ts'
import type { EventContext } from './event-context.ts'
import type { ObservedAttempt, Observer } from './events.ts'

/** Why tokens of a stream were generated for nobody, by how it ended. */
const undeliveredReasons: Readonly<Partial<Record<Outcome['kind'], string>>> = { client_gone: 'disconnect' }

/** An estimate of a prompt, four bytes a token, must be this much over the context: then it cannot have fitted. */
const surelyOver = 1.5

/** Whether the node can have read only a part of the prompt: it was well over the model's context, and no more than fits was counted. */
function isTruncated({ claim: { runner }, request }: ObservedAttempt, { promptTokens }: Usage): boolean {
  const contextLength = runner.listed()?.contextLength ?? null
  if (contextLength === null || promptTokens === null) return false
  return request.envelope.promptTokens > contextLength * surelyOver && promptTokens <= contextLength
}

/** The functions that dispatch reports through. */
export function dispatchEvents({ deps, metrics, logs, quiet, modelLabel, observeLatency }: EventContext) {
  const { families } = metrics
  const pool = (name: string): string => (name === '*' ? '*' : metrics.pool.admit(name))
  const modelOf = ({ runner, model }: ObservedAttempt['claim']): string => (runner.bounded ? metrics.model.admit(model) : 'other')
  return {
    streamStarted: quiet(({ claim }: Pick<ObservedAttempt, 'claim'>) => families.interToken.at(modelOf(claim))),
    attemptEnded: quiet((attempt: ObservedAttempt, result: { readonly outcome: Outcome['kind']; readonly ttftMs: number | null }) => {
      const { runner, waitedMs } = attempt.claim
      const node = metrics.node.admit(runner.node)
      const cells = metrics.nodeCells(node)
      const { trace } = attempt.call
      observeLatency(cells.duration, deps.clock.nowMs() - attempt.startedAtMs, trace)
      if (result.ttftMs !== null) observeLatency(cells.firstToken, result.ttftMs, trace)
      families.nodeRequests.at(node, result.outcome).value += 1
      if (waitedMs === 0 && attempt.call.progress.attempts === 1) {
        const { receivedAtMs, progress } = attempt.call
        metrics.overhead.dispatch.observe((attempt.startedAtMs - receivedAtMs) / 1_000)
        if (progress.boundaryAtMs !== null) metrics.overhead.route.observe((attempt.startedAtMs - progress.boundaryAtMs) / 1_000)
      }
      const { usage } = attempt
      const model = modelOf(attempt.claim)
      if (result.ttftMs !== null && result.outcome !== 'ok') {
        families.undelivered.at(model, undeliveredReasons[result.outcome] ?? 'broken').value += usage?.outputTokens ?? attempt.frameCount
      }
      if (usage === null) return
      if (isTruncated(attempt, usage)) families.truncated.at(model, node).value += 1
      if (usage.promptTokens !== null) families.inputTokens.at(model, node).value += usage.promptTokens
      if (usage.outputTokens !== null) families.outputTokens.at(model, node).value += usage.outputTokens
    }),
    queued: () => undefined,
    dequeued: quiet((...[name, , waitedMs, priority]: Parameters<Observer['dequeued']>) => {
      families.queueWait.at(pool(name), priority).observe(waitedMs / 1_000)
    }),
    rejected: quiet((name: string, reason: 'full' | 'deadline' | 'no_node') => {
      families.queueRejected.at(pool(name), reason).value += 1
    }),
    routed: quiet((node: string, reason: string) => {
      families.routing.at(metrics.node.admit(node), reason).value += 1
    }),
    retried: quiet((node: string, reason: string) => {
      families.retries.at(metrics.node.admit(node), reason).value += 1
      logs.logger.debug({ node, reason }, 'retrying on another node')
    }),
    reloadAvoided: quiet((model: string) => {
      families.reloadsAvoided.at(modelLabel(model)).value += 1
    }),
    shardResent: quiet((node: string | null, reason: 'straggler' | 'hedge') => {
      families.hedges.at(reason).value += 1
      logs.logger.debug({ node, reason }, 'embedding shard sent a second time')
    }),
  }
}
