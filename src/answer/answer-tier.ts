/**
 * Tier 1 of caching (caching.md §2.6): whole answers, by everything they depend on. Versions are read here, before anything is searched,
 * and the answer is kept under the key made of them. Trouble with the tier costs a miss and never an answer.
 */
import { keepingOf, type KeepingOptions } from '../cache/keeping.ts'
import type { Call } from '../core/call.ts'
import type { GroundedSummary } from '../core/citation.ts'
import { answerKey, type KeyParts } from './answer-key.ts'
import type { FinishedAnswer } from './answer-stream.ts'
import { decodeAnswer, encodeAnswer } from './stored-answer.ts'

/** What an entry must be found by when it has to go. */
export interface AnswerTags {
  readonly tenant: string
  /** Digest of the model. */
  readonly digest: string
}

export interface AnswerStore {
  /** Under which key an answer lies now, purges heeded; to be asked before anything is read for it. */
  keyFor(key: string, tags: AnswerTags): string
  /** `isDrawn`: it ends soon, and this reader is to make it anew, which none is that may not (`mayRenew`). */
  get(key: string, tags: AnswerTags, mayRenew: boolean): Promise<{ readonly bytes: Buffer; readonly isDrawn: boolean } | null>
  /** `originMs`: what the making took. */
  put(key: string, bytes: Buffer, facts: { readonly tags: AnswerTags; readonly originMs: number }): Promise<void>
}

export interface AnswerTierDeps {
  readonly answers: AnswerStore | null
  /** What the operator says of keeping. */
  readonly caching: () => KeepingOptions
  readonly secret: Buffer
  /** Committed versions of collections, never older than what a search that begins afterwards may see. Unknown collections are left out. */
  readonly versions: (tenant: string, collections: readonly string[]) => Promise<Readonly<Record<string, number>>>
  readonly onTrouble: (message: string, cause: unknown) => void
}

export interface TierPlace {
  readonly key: string
  readonly tags: AnswerTags
  readonly versions: Readonly<Record<string, number>>
  readonly reads: boolean
  /** Only a kept answer is wanted. */
  readonly onlyKept: boolean
}

/** Larger ones are not kept. */
const answerBytesMax = 1_048_576

/** Where the answer would be kept; null: it is not to be kept at all. */
export async function placeOf(
  parts: Omit<KeyParts, 'versions' | 'digest' | 'retrieval'> & { readonly digest: string | null; readonly retrieval: () => string },
  { headers, route, call }: { readonly headers: readonly string[]; readonly route: string; readonly call: Call },
  deps: AnswerTierDeps,
): Promise<TierPlace | null> {
  const { digest } = parts
  const { keeps, reads, onlyKept } = keepingOf({ headers, route, credential: call.principal.cache }, deps.caching())
  if (deps.answers === null || digest === null || !keeps || !isPinned(parts)) return null
  try {
    const versions = await deps.versions(parts.tenant, parts.collections)
    if (parts.collections.some((name) => versions[name] === undefined)) return null
    // Known once the versions are read.
    const retrieval = parts.retrieval()
    const tags = { tenant: parts.tenant, digest }
    const key = deps.answers.keyFor(answerKey(deps.secret, { ...parts, digest, versions, retrieval }), tags)
    return { key, tags, versions, reads, onlyKept }
  } catch (error) {
    deps.onTrouble('versions of collections could not be read', error)
    return null
  }
}

/** Only an answer whose sampling is pinned is meant to be the same again. */
function isPinned({ settings, options }: Pick<KeyParts, 'settings' | 'options'>): boolean {
  // A negative seed asks for another one each time.
  return (options.temperature ?? settings.temperature) === 0 || (typeof options.seed === 'number' && options.seed >= 0)
}

export interface KeptAnswer {
  readonly summary: GroundedSummary
  /** It ends soon, and this asker is to make it anew. */
  readonly isDrawn: boolean
}

/** The kept answer, or null. */
export async function readKept(place: TierPlace, { answers, onTrouble }: AnswerTierDeps): Promise<KeptAnswer | null> {
  if (answers === null || !place.reads) return null
  try {
    const read = await answers.get(place.key, place.tags, !place.onlyKept)
    const summary = read === null ? null : decodeAnswer(read.bytes)
    return read === null || summary === null ? null : { summary, isDrawn: read.isDrawn }
  } catch (error) {
    onTrouble('a kept answer could not be read', error)
    return null
  }
}

/**
 * Keeps a whole, undisturbed answer; everything else is passed over. Not after an edit: its key is out of reach by then, and text of a
 * deleted document must not come to rest behind the purge that removed it.
 */
export async function keep(place: TierPlace, { summary, doneReason, outcome }: FinishedAnswer, deps: AnswerTierDeps): Promise<void> {
  const { answers, onTrouble } = deps
  const isWhole = outcome.kind === 'ok' && doneReason === 'stop' && summary.text !== '' && summary.degraded === null && !summary.refused
  if (answers === null || !isWhole) return
  const bytes = encodeAnswer(summary)
  if (bytes.length > answerBytesMax) return
  try {
    const names = Object.keys(place.versions)
    const versions = await deps.versions(place.tags.tenant, names)
    if (names.some((name) => versions[name] !== place.versions[name])) return
    await answers.put(place.key, bytes, { tags: place.tags, originMs: outcome.usage?.totalMs ?? 0 })
  } catch (error) {
    onTrouble('an answer could not be kept', error)
  }
}
