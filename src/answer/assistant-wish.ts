/** Decoders of assistants: from a client's JSON, with every limit said, and from the database's rows. */
import { z } from 'zod'

import { answerDefaults, type AnswerSettings, type Assistant, assistantLimits, type AssistantWish } from '../core/assistant.ts'
import { searchedCollectionsMax } from '../core/corpus.ts'
import { filterShape, storedFilterShape } from '../search/filter-shape.ts'
import { neighboursMax } from '../search/widen.ts'
import type { Row } from '../store/database.ts'
import { canonicalModelName } from '../wire/model-name.ts'

const modelName = z.string().trim().min(1).max(assistantLimits.nameChars)

const settingsShape = z.strictObject({
  mode: z.enum(['keyword', 'vector', 'hybrid']).default(answerDefaults.mode),
  passages: z.int().min(1).max(assistantLimits.passages).default(answerDefaults.passages),
  expand: z.union([z.enum(['none', 'section']), z.int().min(1).max(neighboursMax)]).default(answerDefaults.expand),
  perDocument: z.boolean().default(answerDefaults.perDocument),
  reranker: modelName.nullable().default(null),
  filter: filterShape,
  strengthMin: z.number().min(0).max(1).default(answerDefaults.strengthMin),
  answersWhenWeak: z.boolean().default(answerDefaults.answersWhenWeak),
  withholdsPrompt: z.boolean().default(answerDefaults.withholdsPrompt),
  rewritesQuestion: z.boolean().default(answerDefaults.rewritesQuestion),
  rewriter: modelName.nullable().default(null),
  contextTokens: z.int().min(1_024).max(assistantLimits.contextTokens).default(answerDefaults.contextTokens),
  outputTokens: z.int().min(16).max(65_536).default(answerDefaults.outputTokens),
  temperature: z.number().min(0).max(2).default(answerDefaults.temperature),
})

/** Settings of an answer; what is left out is the default. */
export const answerSettings: z.ZodType<AnswerSettings> = settingsShape

/** As they were stored, also by versions that took filters which cannot run: such an assistant is listed, and its questions are refused. */
const storedSettings: z.ZodType<AnswerSettings> = settingsShape.extend({ filter: storedFilterShape })

/** An assistant as a client asks for it. A name is a model name without a host: letters, digits and `-_.`, with an optional tag. */
export const assistantWish: z.ZodType<AssistantWish> = z.strictObject({
  name: modelName.regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]*(?::[A-Za-z0-9][A-Za-z0-9._-]*)?$/,
    'expected a model name such as handbook or handbook:v2',
  ),
  title: z.string().max(200).default(''),
  collections: z
    .array(z.string().min(1).max(128))
    .min(1)
    .max(searchedCollectionsMax, `at most ${searchedCollectionsMax} collections are searched at once`)
    .refine((names) => new Set(names).size === names.length, 'a collection is named twice'),
  model: modelName,
  prompt: z.string().max(assistantLimits.promptChars).default(''),
  settings: z.unknown().default({}).pipe(answerSettings),
})

const row = z.object({
  tenant: z.string(),
  name: z.string(),
  title: z.string(),
  collections: z.array(z.string()),
  model: z.string(),
  prompt: z.string(),
  settings: storedSettings,
  revision: z.coerce.number(),
  created_at: z.date(),
  updated_at: z.date(),
})

export const assistantColumns = 'tenant, name, title, collections, model, prompt, settings, revision, created_at, updated_at'

/** Throws on a row that no version of Corral wrote. */
export function decodeAssistant(stored: Row): Assistant {
  const { created_at: createdAt, updated_at: updatedAt, ...rest } = row.parse(stored)
  return { ...rest, createdAtMs: createdAt.getTime(), updatedAtMs: updatedAt.getTime() }
}

/** The form in which names are compared. */
export function assistantKey(name: string): string {
  return canonicalModelName(name)
}
