/** Finished answers in the gateway's cache layers. Their keys carry the versions of their collections, so an edit hides them at once; they go by age. */
import type { AnswerStore } from '../answer/answer-tier.ts'
import { decodeAnswer } from '../answer/stored-answer.ts'
import type { Cache } from '../cache/layer.ts'
import type { CacheOptions } from '../cache/options.ts'

export interface AnswerStoreDeps {
  readonly store: Cache['store']
  readonly options: () => CacheOptions
}

const isIntact = (bytes: Buffer): boolean => decodeAnswer(bytes) !== null

export function createAnswerStore({ store, options }: AnswerStoreDeps): AnswerStore {
  return {
    get: (key, { tenant, digest }) => store.read(key, { tenant, digest, kind: 'answer' }, isIntact),
    put(key, bytes, { tags: { tenant, digest }, originMs }) {
      store.put(key, bytes, { tags: { tenant, digest, kind: 'answer' }, ttlMs: options().ttlMs.answer, originMs })
      return Promise.resolve()
    },
  }
}
