/**
 * One request as stages that follow each other: what the gateway measured (its queue, earlier tries, the first token, the end) and, between
 * those, what the node reported of itself. A node's own times are cut to the room that the gateway saw, so that no stage lies outside.
 */
import type { HistoryEntry } from '../../core/request-history.ts'

export type StageKind = 'wait' | 'node' | 'output' | 'cache'

export interface Stage {
  readonly name: string
  readonly kind: StageKind
  /** After arrival. */
  readonly fromMs: number
  readonly ms: number
}

type Part = Omit<Stage, 'fromMs'>

export function stagesOf(request: HistoryEntry): Stage[] {
  const stages: Stage[] = []
  let fromMs = 0
  for (const part of partsOf(request)) {
    stages.push({ ...part, fromMs })
    fromMs += part.ms
  }
  return stages
}

function partsOf(request: HistoryEntry): Part[] {
  const { durationMs, ttftMs, cache, queueMs, node } = request
  if (cache === 'hit') return [{ name: 'From the cache', kind: 'cache', ms: durationMs }]
  if (cache === 'joined') return spread(request, [], 'With an equal request')
  if (queueMs !== null && node === null) return [{ name: 'Queue', kind: 'wait', ms: durationMs }]
  if (queueMs === null) return spread(request, [], ttftMs === null ? 'Whole answer' : 'First token')
  return spread(request, waitsOf(request), 'On the node')
}

function waitsOf({ queueMs, retryMs, attempts }: HistoryEntry): Part[] {
  const queue: Part = { name: 'Queue', kind: 'wait', ms: queueMs ?? 0 }
  return attempts > 1
    ? [queue, { name: attempts === 2 ? 'Try before' : `${attempts - 1} tries before`, kind: 'wait', ms: retryMs ?? 0 }]
    : [queue]
}

/** `before`, then what is known of the time until the first token, then the rest. `unknown` names what nobody reported. */
function spread({ durationMs, ttftMs, loadMs, promptMs, outputMs }: HistoryEntry, before: readonly Part[], unknown: string): Part[] {
  const waitedMs = before.reduce((sum, { ms }) => sum + ms, 0)
  const untilMs = ttftMs ?? durationMs
  let leftMs = Math.max(0, untilMs - waitedMs)
  const take = (name: string, kind: StageKind, ms: number | null): Part[] => {
    const taken = Math.min(leftMs, ms ?? 0)
    leftMs -= taken
    return ms === null || taken === 0 ? [] : [{ name, kind, ms: taken }]
  }
  const known = [
    ...take('Model load', 'wait', loadMs),
    ...take('Prompt', 'node', promptMs),
    ...(ttftMs === null ? take('Output', 'output', outputMs) : []),
  ]
  const rest: Part[] =
    leftMs === 0 && known.length > 0 ? [] : [{ name: known.length > 0 ? 'Network, node queue' : unknown, kind: 'node', ms: leftMs }]
  const stream: Part[] = ttftMs === null ? [] : [{ name: 'Output', kind: 'output', ms: Math.max(0, durationMs - ttftMs) }]
  return [...before, ...rest, ...known, ...stream]
}
