/** Finished answers in the gateway's cache layers. Their keys carry the versions of their collections, so an edit hides them at once; they go by age. */
import type { AnswerStore } from '../answer/answer-tier.ts'
import { decodeAnswer } from '../answer/stored-answer.ts'
import type { Cache } from '../cache/layer.ts'
import type { CacheOptions } from '../cache/options.ts'

export interface AnswerStoreDeps {
  readonly store: Cache['store']
  readonly epochs: Cache['epochs']
  readonly options: () => CacheOptions
}

const isIntact = (bytes: Buffer): boolean => decodeAnswer(bytes) !== null

export function createAnswerStore({ store, epochs, options }: AnswerStoreDeps): AnswerStore {
  return {
    keyFor: (key, tags) => epochs.keyFor(key, epochs.stampOf({ ...tags, kind: 'answer' })),
    get: (key, tags, mayRenew) => store.read(key, { ...tags, kind: 'answer' }, { isIntact, mayRenew }),
    put(key, bytes, { tags, originMs }) {
      store.put(key, bytes, { tags: { ...tags, kind: 'answer' }, ttlMs: options().ttlMs.answer, originMs, replaces: true })
      return Promise.resolve()
    },
  }
}
