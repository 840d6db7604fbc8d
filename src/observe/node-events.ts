/** Events of nodes: reachability, breakers, loads, stuck runners and drifting models. */
import type { EventContext } from './event-context.ts'
import type { Observer } from './events.ts'

/** The functions that report nodes. */
export function nodeEvents({ metrics, logs, quiet, modelLabel }: EventContext) {
  const { families } = metrics
  const { logger } = logs
  const label = (node: string): string => metrics.node.admit(node)
  return {
    loadStarted: quiet((node: string, model: string) => {
      logger.info({ node, model }, 'loading model')
    }),
    loadEnded: quiet((...[node, model, durationMs, error]: Parameters<Observer['loadEnded']>) => {
      families.loads.at(label(node), error === null ? 'ok' : 'failed').value += 1
      families.loadSeconds.at(modelLabel(model)).observe(durationMs / 1_000)
      if (error === null) logger.info({ node, model, durationMs: Math.round(durationMs) }, 'model loaded')
      else logger.warn({ node, model, durationMs: Math.round(durationMs), error }, 'model load failed')
    }),
    partFailed: quiet((node: string, reason: string) => {
      logger.warn({ node, reason }, 'an upload failed on a node that lacks it still')
    }),
    nodeUp: quiet((node: string) => {
      families.nodeTransitions.at(label(node), 'up').value += 1
      logger.info({ node }, 'node is up')
    }),
    nodeDown: quiet((node: string, reason: string) => {
      families.nodeTransitions.at(label(node), 'down').value += 1
      logger.warn({ node, reason }, 'node is down')
    }),
    probeFailed: quiet((node: string, probe: string, reason: string) => {
      families.probeFailures.at(label(node), probe).value += 1
      logger.debug({ node, probe, reason }, 'probe failed')
    }),
    probeEnded: quiet((node: string, probe: string, durationMs: number) => {
      families.probeSeconds.at(label(node), probe).value = durationMs / 1_000
    }),
    breakerChanged: quiet((node: string, state: 'closed' | 'open' | 'half_open') => {
      families.circuitTransitions.at(label(node), state).value += 1
      if (state === 'open') logger.warn({ node, state }, 'node ejected: too many of its answers failed')
      else logger.info({ node, state }, 'circuit breaker changed')
    }),
    wedgeFreed: quiet((node: string, model: string) => {
      families.wedges.at(label(node)).value += 1
      logger.warn({ node, model }, 'stuck runner freed')
    }),
    digestDrift: quiet((model: string, digests: ReadonlyMap<string, readonly string[]>) => {
      if (digests.size > 1) logger.warn({ model, digests: Object.fromEntries(digests) }, 'nodes hold different builds of one model')
    }),
  }
}
