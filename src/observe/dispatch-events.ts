/** Events of queues, choices and tries: what dispatch does with a request. */
import type { Outcome } from '../core/relay.ts'
import type { EventContext } from './event-context.ts'
import type { ObservedAttempt, Observer } from './events.ts'

/** The functions that dispatch reports through. */
export function dispatchEvents({ deps, metrics, logs, quiet, modelLabel }: EventContext) {
  const { families } = metrics
  const pool = (name: string): string => (name === '*' ? '*' : metrics.pool.admit(name))
  return {
    attemptEnded: quiet((attempt: ObservedAttempt, result: { readonly outcome: Outcome['kind']; readonly ttftMs: number | null }) => {
      const { runner, waitedMs } = attempt.claim
      const node = metrics.node.admit(runner.node)
      const cells = metrics.nodeCells(node)
      cells.duration.observe((deps.clock.nowMs() - attempt.startedAtMs) / 1_000)
      if (result.ttftMs !== null) cells.firstToken.observe(result.ttftMs / 1_000)
      families.nodeRequests.at(node, result.outcome).value += 1
      if (waitedMs === 0 && attempt.call.progress.attempts === 1) {
        metrics.overhead.observe((attempt.startedAtMs - attempt.call.receivedAtMs) / 1_000)
      }
      const { usage } = attempt
      if (usage === null) return
      const model = runner.bounded ? metrics.model.admit(runner.model) : 'other'
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
