/**
 * The key of a whole answer (caching.md §2.6, tier 1): everything that the answer depends on, the versions of its collections included, as they
 * were *before* anything was searched. An edit makes another key, so an answer from before it cannot be found; a fill that races with an
 * edit lands on the old key. HMAC under the gateway's secret, because questions are guessable; a JSON array of texts is injective.
 */
import { createHmac } from 'node:crypto'

import type { AnswerSettings } from '../core/assistant.ts'
import type { SamplingValue } from './chat-request.ts'
import { promptVersion, type Turn } from './prompt.ts'

/** Raised when what is stored or how answers are made changes. */
const tierVersion = 2

export interface KeyParts {
  readonly tenant: string
  /** What the caller may see within its tenant; '' for all of it. */
  readonly access: string
  readonly question: string
  readonly history: readonly Turn[]
  readonly instructions: string
  readonly collections: readonly string[]
  readonly versions: Readonly<Record<string, number>>
  readonly settings: AnswerSettings
  readonly options: Readonly<Record<string, SamplingValue>>
  readonly model: string
  readonly digest: string
  /** Of the rewriter and the reranker, where they are used. */
  readonly helperDigests: readonly string[]
  /** Digest of each collection's embedder, or what else tells a change of retrieval; '' when it is in the version. */
  readonly retrieval: string
}

/** 64 hex digits. */
export function answerKey(secret: Buffer, parts: KeyParts): string {
  const fields = [
    `corral answer ${tierVersion}.${promptVersion}`,
    parts.tenant,
    parts.access,
    parts.question,
    parts.history.map(({ role, content }) => [role, content]),
    parts.instructions,
    parts.collections,
    Object.entries(parts.versions).toSorted(byName),
    sorted(parts.settings),
    Object.entries(parts.options).toSorted(byName),
    parts.model,
    parts.digest,
    parts.helperDigests,
    parts.retrieval,
  ]
  return createHmac('sha256', secret).update(JSON.stringify(fields)).digest('hex')
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1
}

/** Objects as sorted pairs, so that the order of their fields means nothing. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.entries(value)
    .toSorted(byName)
    .map(([name, inner]) => [name, sorted(inner)])
}
