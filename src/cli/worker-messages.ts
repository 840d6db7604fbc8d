/** What a worker and the process that watches it say to each other. Both are this same program, so the shapes need no check. */
import type { PeerAnswer, PeerQuestion } from '../http/peers.ts'

export type FromWorker =
  | { readonly kind: 'hello' }
  /** From now on it answers the others' questions, and hears of what is changed. */
  | { readonly kind: 'open' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'ask'; readonly id: number; readonly question: PeerQuestion }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: PeerAnswer }

export type ToWorker =
  | { readonly kind: 'place'; readonly index: number; readonly count: number; readonly machine: string }
  | { readonly kind: 'stop' }
  | { readonly kind: 'reload' }
  | { readonly kind: 'question'; readonly id: number; readonly question: PeerQuestion }
  | { readonly kind: 'answers'; readonly id: number; readonly answers: readonly PeerAnswer[] }
