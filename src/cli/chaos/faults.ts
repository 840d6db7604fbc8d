/**
 * The faults that `corral doctor --chaos` plays on the first of the simulated nodes, or on all of them, and what the clients are owed
 * under each. Faults of single answers leave the health paths well: what a node says of itself must not be trusted.
 */
import type { SimNode } from '../../sim/node.ts'

/**
 * `nothing lost`: every answer comes whole. `cut and told`: streams that had begun may break, each with an error, and they are few: in
 * the end nothing goes to the node any more. `told to come back`: a refusal at once, with a time to try again, and then service again.
 */
export type Promised = 'nothing lost' | 'cut and told' | 'told to come back'

export interface ChaosFault {
  readonly name: string
  readonly promised: Promised
  /** Clients per slot of the fleet; below 1 they fit even when one node is gone. */
  readonly clientsPerSlot: number
  strike(nodes: readonly SimNode[]): void | Promise<void>
  /** The key that matters most for this fault, next to those that matter for all. */
  readonly key: string | null
}

const path = '/api/chat'
const calm = 0.4

type Kind = Parameters<SimNode['control']['set']>[0]
type Rest = Omit<ChaosFault, 'name' | 'clientsPerSlot' | 'strike'>

function onFirst(name: string, kind: Kind, rest: Rest & { readonly delayMs?: number; readonly atFrame?: number }): ChaosFault {
  const { delayMs, atFrame, promised, key } = rest
  const options = { path, ...(delayMs === undefined ? {} : { delayMs }), ...(atFrame === undefined ? {} : { atFrame }) }
  return { name, promised, key, clientsPerSlot: calm, strike: ([first]) => first?.control.set(kind, options) }
}

const whole = { promised: 'nothing lost', key: null } as const
const midStream = { promised: 'cut and told', atFrame: 3 } as const

export const chaosFaults: readonly ChaosFault[] = [
  onFirst('connection refused', 'refuse', whole),
  onFirst('answers 503', 'instant-503', whole),
  onFirst('answers 500', 'server-error', whole),
  onFirst('model gone (404)', 'missing-model', whole),
  onFirst('resets before the answer', 'rst-before-head', whole),
  onFirst('hangs before the answer', 'hang-before-head', { ...whole, key: 'fleet.deadlines.firstFrameMsMin' }),
  onFirst('slow to answer', 'slow-head', { ...whole, delayMs: 1_500, key: 'fleet.deadlines.firstFrameMsMax' }),
  onFirst('resets in mid-stream', 'rst-at-frame', { ...midStream, key: 'fleet.breaker.consecutiveBrokenStreams' }),
  onFirst('ends streams early', 'truncate', { ...midStream, key: 'fleet.breaker.consecutiveBrokenStreams' }),
  onFirst('hangs in mid-stream', 'hang-mid-stream', { ...midStream, key: 'fleet.deadlines.idleMsMin' }),
  {
    name: 'process killed',
    promised: 'cut and told',
    clientsPerSlot: calm,
    key: 'fleet.probe.intervalMs',
    strike: async ([first]) => first?.kill(),
  },
  {
    name: 'three times what all can do',
    promised: 'nothing lost',
    clientsPerSlot: 3,
    key: 'fleet.admission.queueMax',
    strike: () => {},
  },
  {
    name: 'all nodes away, then back',
    promised: 'told to come back',
    clientsPerSlot: calm,
    key: 'fleet.probe.intervalMs',
    strike: (nodes) => {
      for (const node of nodes) node.control.set('refuse')
    },
  },
]
