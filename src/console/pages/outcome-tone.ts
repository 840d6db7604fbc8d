/** How bad it is that a request ended this way. */
import type { HistoryEntry } from '../../core/request-history.ts'
import type { Tone } from '../parts/state-badge.tsx'

export function outcomeTone({ outcome, status }: HistoryEntry): Tone {
  if (outcome === 'ok') return 'ok'
  return status >= 500 || outcome === 'truncated' || outcome === 'internal' ? 'bad' : 'warn'
}
