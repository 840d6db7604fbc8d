/** Finished answers in the gateway's cache layers. Their keys carry the versions of their collections, so an edit hides them at once; they go by age. */
import type { AnswerStore } from '../answer/answer-tier.ts'
import { decodeAnswer } from '../answer/stored-answer.ts'
import type { Cache } from '../cache/layer.ts'
import type { CacheOptions } from '../cache/options.ts'
import type { Clock } from '../base/clock.ts'

export interface AnswerStoreDeps {
  readonly store: Cache['store']
  readonly options: () => CacheOptions
  readonly clock: Clock
}

const isIntact = (bytes: Buffer): boolean => decodeAnswer(bytes) !== null

export function createAnswerStore({ store, options, clock }: AnswerStoreDeps): AnswerStore {
  return {
    async get(key, { tenant, digest }) {
      const held = store.peek(key)
      if (held !== null && held.expiresAtMs > clock.nowMs()) return held.bytes
      const found = await store.find(key, { tenant, digest, kind: 'answer' }, isIntact)
      return found === null ? null : found.item.bytes
    },
    put(key, bytes, { tags: { tenant, digest }, originMs }) {
      store.put(key, bytes, { tags: { tenant, digest, kind: 'answer' }, ttlMs: options().ttlMs.answer, originMs })
      return Promise.resolve()
    },
  }
}
