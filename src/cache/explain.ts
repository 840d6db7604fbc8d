/** Under which keys a request is looked for, for people: to compare two requests, and to purge one answer. */
import type { Explanation as RequestExplanation, ExplainedEntry } from '../core/explanation.ts'
import type { InferenceRequest } from '../core/relay.ts'
import type { BypassReason } from './policy.ts'

export interface Explanation {
  /** Why it has no key: its route's answers are never kept, or what `Cache-Status` says; null: it has. */
  readonly bypass: BypassReason | 'route' | null
  /** The one of its answer, or one per text to embed; empty when it has none. */
  readonly entries: readonly ExplainedEntry[]
  /** What of the body is in the key, beside route, model, engine and epochs; empty for texts to embed. */
  readonly parts: readonly { readonly name: string; readonly digest: string }[]
}

/** Of a batch to embed: enough to look some up, and little enough to keep. */
const entriesMax = 16

export function notCached(bypass: NonNullable<Explanation['bypass']>): Explanation {
  return { bypass, entries: [], parts: [] }
}

/** Tells a request that asks why; one that has no key hears with its answer why not. */
export function noteEntries(
  explanation: RequestExplanation,
  { route }: InferenceRequest,
  { told: { entries, parts }, nowMs }: { readonly told: Explanation; readonly nowMs: number },
): void {
  if (entries.length === 0) return
  const entriesDropped = Math.max(0, entries.length - entriesMax)
  explanation.note({ kind: 'cache', route: route.pattern, entries: entries.slice(0, entriesMax), entriesDropped, parts }, nowMs)
}
