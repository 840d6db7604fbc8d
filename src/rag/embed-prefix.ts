/**
 * What some embedders want to stand before a text, by what the text is (their model cards; forgetting it costs quality in silence,
 * search-and-ingest.md). Models that are not listed get their texts as they are.
 */
import { canonicalModelName } from '../wire/model-name.ts'

type Prefixes = Readonly<Record<'query' | 'document', string>>

const bgeQuery = 'Represent this sentence for searching relevant passages: '

/** By the beginning of the model's name without its namespace; the first that fits. */
const known: readonly (readonly [string, Prefixes])[] = [
  ['nomic-embed-text', { query: 'search_query: ', document: 'search_document: ' }],
  ['embeddinggemma', { query: 'task: search result | query: ', document: 'title: none | text: ' }],
  ['mxbai-embed', { query: bgeQuery, document: '' }],
  ['snowflake-arctic-embed2', { query: 'query: ', document: '' }],
  ['snowflake-arctic-embed', { query: bgeQuery, document: '' }],
  ['bge-large', { query: bgeQuery, document: '' }],
  ['bge-base', { query: bgeQuery, document: '' }],
  ['bge-small', { query: bgeQuery, document: '' }],
  ['multilingual-e5', { query: 'query: ', document: 'passage: ' }],
  ['e5-', { query: 'query: ', document: 'passage: ' }],
  [
    'qwen3-embedding',
    { query: 'Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: ', document: '' },
  ],
]

/** '' where the model wants none. */
export function embedPrefix(model: string, role: 'query' | 'document'): string {
  const name = canonicalModelName(model).split('/').at(-1) ?? ''
  return known.find(([begin]) => name.startsWith(begin))?.[1][role] ?? ''
}
