/** What clients send below `/rag`, as shapes: routes parse by them, and the API's description is made of them. */
import { z } from 'zod'

import { searchedCollectionsMax } from '../../core/corpus.ts'
import { documentIdCharsMax } from '../../core/document-id.ts'
import { collectionSettings } from '../../search/collections.ts'
import { fieldCharactersMax } from '../../search/filter.ts'
import { facetsShape, filterShape } from '../../search/filter-shape.ts'
import { queryCharactersMax, searchLimitMax } from '../../search/search.ts'
import { vectorIndexSettings } from '../../search/vector/tables.ts'
import { neighboursMax, passageCharacters } from '../../search/widen.ts'

const settings = z.strictObject({
  ...collectionSettings.shape,
  vectorStorage: z.enum(['full', 'half']),
  vectorIndex: vectorIndexSettings,
})

const collectionName = z.string().min(1).max(63)
/** Half a surrogate pair or U+0000 is no text that JSON in a database can hold. */
const isText = (text: string): boolean => text.isWellFormed() && !text.includes('\0')
const metadataText = z.string().max(8_192).refine(isText, 'holds U+0000 or half a character')
const metadataValue = z.union([
  metadataText,
  z.number(),
  z.boolean(),
  z.null(),
  z.array(z.union([metadataText, z.number(), z.boolean()])).max(256),
])

/** Of one document: each is a row with up to four entries in indexes, written anew with every change of any. */
const metadataFieldsMax = 256

/** Flat; dates are ISO 8601 strings. What was stored before there was a limit is made again as it is. */
export const metadataShape = z
  .record(z.string().min(1).max(fieldCharactersMax).refine(isText, 'holds U+0000 or half a character'), metadataValue)
  .refine((fields) => Object.keys(fields).length <= metadataFieldsMax, `more than ${metadataFieldsMax} fields`)
  .meta({ maxProperties: metadataFieldsMax })

export const newCollection = z.strictObject({ name: collectionName, settings: settings.partial().default({}) })

export const changedCollection = z.strictObject({ settings: settings.partial() })

/** Content type of a request whose body names a page to be fetched. */
export const urlDocumentType = 'application/vnd.corral.url+json'

export const urlDocument = z.strictObject({
  url: z.string().min(1).max(2_048),
  id: z.string().min(1).max(documentIdCharsMax).optional(),
  title: z.string().max(500).optional(),
  metadata: metadataShape.optional(),
})

const collections = {
  collection: collectionName.optional(),
  collections: z.array(collectionName).min(1).max(searchedCollectionsMax).optional(),
}

export const searchBody = z.strictObject({
  ...collections,
  query: z.string().min(1).max(queryCharactersMax),
  mode: z.enum(['hybrid', 'keyword', 'vector']).default('hybrid'),
  limit: z.int().min(1).max(searchLimitMax).default(10),
  filter: filterShape,
  facets: facetsShape,
  neighbours: z.int().min(0).max(neighboursMax).default(0),
  section: z.boolean().default(false),
  passageCharacters: z.int().min(1).max(passageCharacters.max).default(passageCharacters.default),
  perDocument: z.boolean().default(false),
  reranker: z.string().min(1).max(200).nullable().default(null),
  fusionWeight: z.number().min(0).max(1).optional(),
  explain: z.boolean().default(false),
})

const turn = z.strictObject({ role: z.enum(['system', 'user', 'assistant']), content: z.string().max(200_000) })

export const chatBody = z.strictObject({
  ...collections,
  /** An assistant's name, in place of collections and model. */
  assistant: z.string().min(1).max(128).optional(),
  question: z.string().min(1).max(100_000).optional(),
  /** Instead of `question`: the last message of the user is the question. */
  messages: z.array(turn).min(1).max(1_000).optional(),
  model: z.string().min(1).max(200).optional(),
  instructions: z.string().max(16_384).default(''),
  settings: z.unknown().optional(),
  stream: z.boolean().default(true),
})

export { assistantWish } from '../../answer/assistant-wish.ts'
export { feedbackWish } from '../../answer/answer-log.ts'
