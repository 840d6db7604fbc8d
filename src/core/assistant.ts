/**
 * Assistants: a virtual model bound to collections, a prompt and settings. Types, defaults and limits only; `answer/assistant-store.ts`
 * keeps them and `answer/grounded.ts` answers for them.
 */
import type { FilterCondition, SearchMode } from './corpus.ts'

/** How an answer is made. */
export interface AnswerSettings {
  readonly mode: SearchMode
  /** Passages asked of the search. */
  readonly passages: number
  /** What of a document is given to the model around each hit: nothing, the section, or so many chunks to each side. */
  readonly expand: 'none' | 'section' | number
  readonly perDocument: boolean
  /** A chat model that orders the best passages again; null: none. */
  readonly reranker: string | null
  readonly filter: readonly FilterCondition[]
  /** Least calibrated probability with which the model is asked, 0–1. */
  readonly strengthMin: number
  /** Asks the model even when retrieval is weak. */
  readonly answersWhenWeak: boolean
  /** Keeps runs of the instructions, and what looks like a secret in them, out of the answer. */
  readonly withholdsPrompt: boolean
  /** Makes a follow-up question stand alone before it is searched. */
  readonly rewritesQuestion: boolean
  /** The model that does it; null: the one that answers. */
  readonly rewriter: string | null
  /** Context the model is run with; constant per assistant, because another value reloads the model. */
  readonly contextTokens: number
  /** Room kept for the answer, and its upper bound. */
  readonly outputTokens: number
  /** Zero pins the sampling, which lets the generation be cached. */
  readonly temperature: number
}

export const answerDefaults: AnswerSettings = {
  mode: 'hybrid',
  passages: 8,
  expand: 'none',
  perDocument: false,
  reranker: null,
  filter: [],
  strengthMin: 0.5,
  answersWhenWeak: false,
  withholdsPrompt: true,
  rewritesQuestion: false,
  rewriter: null,
  contextTokens: 8_192,
  outputTokens: 1_024,
  temperature: 0,
}

export const assistantLimits = {
  nameChars: 128,
  promptChars: 16_384,
  passages: 32,
  contextTokens: 262_144,
  perTenant: 200,
  /** Over all tenants, what one process keeps in memory. */
  total: 10_000,
} as const

export interface AssistantWish {
  /** A model name as clients send it, e.g. `handbook`. */
  readonly name: string
  readonly title: string
  readonly collections: readonly string[]
  readonly model: string
  /** Goes before Corral's own instructions in the system message. */
  readonly prompt: string
  readonly settings: AnswerSettings
}

export interface Assistant extends AssistantWish {
  readonly tenant: string
  /** Changes with every edit: part of cache keys and ETags. */
  readonly revision: number
  readonly createdAtMs: number
  readonly updatedAtMs: number
}
