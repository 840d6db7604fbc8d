/** The one word for a node that counts most, and its tone. */
import type { FleetNode } from '../api/shapes.ts'
import { formatMs } from '../format.ts'
import type { Tone } from '../parts/state-badge.tsx'

export interface NodeVerdict {
  readonly tone: Tone
  readonly text: string
}

export function judgeNode({ up, draining, breaker, ejectedForMs, overloadedForMs }: FleetNode): NodeVerdict {
  if (up === null) return { tone: 'quiet', text: 'not probed yet' }
  if (!up) return { tone: 'bad', text: 'down' }
  if (breaker === 'open') return { tone: 'bad', text: `ejected, ${formatMs(ejectedForMs)} left` }
  if (draining) return { tone: 'warn', text: 'draining' }
  if (breaker === 'half_open') return { tone: 'warn', text: 'on trial' }
  if (overloadedForMs > 0) return { tone: 'warn', text: 'overloaded' }
  return { tone: 'ok', text: 'up' }
}
