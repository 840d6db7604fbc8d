/** The description of `/rag` (OpenAPI 3.1), made of the shapes that its routes parse by and of those its answers have. */
import { z } from 'zod'

import {
  answerView,
  assistantView,
  collectionView,
  documentView,
  feedbackView,
  jobView,
  pages,
  problemView,
  searchView,
} from './answer-shapes.ts'
import {
  assistantWish,
  changedCollection,
  chatBody,
  feedbackWish,
  newCollection,
  searchBody,
  urlDocument,
  urlDocumentType,
} from './shapes.ts'

interface Parameter {
  readonly name: string
  readonly in: 'query' | 'header'
  readonly description: string
}

interface Described {
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  /** As OpenAPI writes it. */
  readonly path: string
  readonly summary: string
  readonly parameters?: readonly Parameter[]
  /** By content type; null is bytes. */
  readonly body?: Readonly<Record<string, Taken | null>>
  /** By status; a null shape has no body, a text is a content type of bytes. */
  readonly answers: Readonly<Record<number, z.ZodType | string | null>>
}

/** What a body is parsed by, and one that can be sent as it stands once its names are there. */
interface Taken {
  readonly shape: z.ZodType
  readonly example: unknown
}

const taken = <T extends z.ZodType>(shape: T, example: z.input<T>): Taken => ({ shape, example })

const query = (name: string, description: string): Parameter => ({ name, in: 'query', description })
const header = (name: string, description: string): Parameter => ({ name, in: 'header', description })
const paging = [query('limit', 'Rows of a page, 1 to 200.'), query('cursor', 'The "next" of the page before.')]
const ifMatch = header('If-Match', 'Changes only this state (its ETag); else 412.')
const ifNoneMatch = header('If-None-Match', 'The ETag of what the client has: 304 when it is still so.')
const idempotency = header('Idempotency-Key', 'The same key with the same request makes nothing new.')
const wait = query('wait', 'true: answers when the document can be found, within two minutes.')
const purge = query('purge', 'true: also removes whatever is cached for this tenant, and the texts of its answers.')
const json = 'application/json'
const any = '*/*'

const collection = '/rag/collections/{name}'
const documents = `${collection}/documents`
const document = `${documents}/{id}`

const searchExample = taken(searchBody, { collection: 'handbook', query: 'days off', limit: 5 })
const chatExample = taken(chatBody, { collection: 'handbook', model: 'llama3.2:3b', question: 'How many days off are there?' })
const assistantExample: Taken = {
  shape: assistantWish,
  example: { name: 'librarian', collections: ['handbook'], model: 'llama3.2:3b', prompt: 'Answer in one sentence.' },
}

const described: readonly Described[] = [
  {
    method: 'post',
    path: '/rag/collections',
    summary: 'Makes a collection',
    body: { [json]: taken(newCollection, { name: 'handbook' }) },
    answers: { 201: collectionView },
  },
  { method: 'get', path: '/rag/collections', summary: 'Lists collections', parameters: paging, answers: { 200: pages.collections } },
  { method: 'get', path: collection, summary: 'A collection', parameters: [ifNoneMatch], answers: { 200: collectionView, 304: null } },
  {
    method: 'patch',
    path: collection,
    summary: 'Changes settings',
    parameters: [ifMatch],
    body: { [json]: taken(changedCollection, { settings: { fusionWeight: 0.6 } }) },
    answers: { 200: collectionView },
  },
  {
    method: 'delete',
    path: collection,
    summary: 'Removes a collection with all its documents',
    parameters: [ifMatch, purge],
    answers: { 204: null },
  },
  {
    method: 'post',
    path: `${collection}/purge`,
    summary: 'Removes all documents',
    parameters: [ifMatch, purge],
    answers: { 200: collectionView },
  },
  {
    method: 'post',
    path: `${collection}/reingest`,
    summary: 'Makes all documents again from their bytes, by present settings: a job each',
    answers: { 202: pages.reingested },
  },
  { method: 'post', path: `${collection}/retry-failed`, summary: 'Tries failed jobs again', answers: { 200: pages.retried } },
  {
    method: 'post',
    path: documents,
    summary: 'Takes documents in: files as multipart, one raw body, or a URL',
    parameters: [
      query('id', "The document's id; left out: the name of the file."),
      query('title', 'Shown instead of its own.'),
      query('uri', 'Where it can be read.'),
      query('metadata', 'A flat JSON object of at most 256 fields.'),
      query('skipDuplicates', 'true: what is there under another id is not taken.'),
      wait,
      idempotency,
    ],
    body: {
      'multipart/form-data': null,
      [any]: null,
      [urlDocumentType]: taken(urlDocument, { url: 'https://example.com/', title: 'An example' }),
    },
    answers: { 200: pages.accepted, 202: pages.accepted },
  },
  { method: 'get', path: documents, summary: 'Lists documents', parameters: paging, answers: { 200: pages.documents } },
  { method: 'get', path: document, summary: 'A document', parameters: [ifNoneMatch], answers: { 200: documentView, 304: null } },
  {
    method: 'get',
    path: `${document}/text`,
    summary: 'The text that offsets count in',
    parameters: [ifNoneMatch],
    answers: { 200: 'text/plain', 304: null },
  },
  { method: 'get', path: `${document}/source`, summary: 'The bytes as they were given', answers: { 200: any } },
  {
    method: 'post',
    path: `${document}/reingest`,
    summary: 'Makes the document again from its bytes',
    parameters: [wait],
    answers: { 200: pages.accepted, 202: pages.accepted },
  },
  { method: 'delete', path: document, summary: 'Removes a document', parameters: [ifMatch, purge], answers: { 204: null } },
  {
    method: 'get',
    path: '/rag/jobs',
    summary:
      'Lists jobs, newest first; with Accept: text/event-stream as events jobs whenever the list changes, and renew when a minute is over',
    parameters: [
      query('collection', 'By name.'),
      query('document', 'By id.'),
      query('state', 'queued, running, paused, done, failed or cancelled.'),
      ...paging,
    ],
    answers: { 200: pages.jobs },
  },
  {
    method: 'get',
    path: '/rag/jobs/{id}',
    summary: 'A job; with Accept: text/event-stream its states as events progress and done',
    answers: { 200: jobView },
  },
  ...['pause', 'resume', 'cancel', 'retry'].map((action): Described => ({
    method: 'post',
    path: `/rag/jobs/{id}/${action}`,
    summary: `Asks a job to ${action}`,
    answers: { 200: jobView },
  })),
  { method: 'post', path: '/rag/search', summary: 'Searches', body: { [json]: searchExample }, answers: { 200: searchView } },
  {
    method: 'post',
    path: '/rag/chat',
    summary: 'A cited answer: events sources, text, thinking, citation, done, error; with "stream": false one object',
    body: { [json]: chatExample },
    answers: { 200: answerView },
  },
  { method: 'get', path: '/rag/assistants', summary: 'Lists assistants', parameters: paging, answers: { 200: pages.assistants } },
  {
    method: 'post',
    path: '/rag/assistants',
    summary: 'Makes an assistant',
    body: { [json]: assistantExample },
    answers: { 201: assistantView },
  },
  {
    method: 'get',
    path: '/rag/assistants/{name}',
    summary: 'An assistant',
    parameters: [ifNoneMatch],
    answers: { 200: assistantView, 304: null },
  },
  {
    method: 'put',
    path: '/rag/assistants/{name}',
    summary: 'Makes or replaces an assistant',
    parameters: [ifMatch, ifNoneMatch],
    body: { [json]: assistantExample },
    answers: { 200: assistantView, 201: assistantView },
  },
  { method: 'delete', path: '/rag/assistants/{name}', summary: 'Removes an assistant', parameters: [ifMatch], answers: { 204: null } },
  {
    method: 'post',
    path: '/rag/answers/{id}/feedback',
    summary: 'Rates an answer',
    body: { [json]: taken(feedbackWish, { rating: 'up', comment: 'It names the right page.' }) },
    answers: { 201: feedbackView },
  },
  {
    method: 'get',
    path: '/rag/answers/{id}/feedback',
    summary: 'What was said of an answer',
    parameters: paging,
    answers: { 200: pages.feedback },
  },
  { method: 'get', path: '/rag/openapi.json', summary: 'This description', answers: { 200: z.looseObject({ openapi: z.string() }) } },
]

/** The whole description. */
export function describeApi(): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const operation of described) (paths[operation.path] ??= {})[operation.method] = operationOf(operation)
  return {
    openapi: '3.1.0',
    info: { title: 'Corral: documents, search, answers', version: '1' },
    security: [{ key: [] }, {}],
    components: { securitySchemes: { key: { type: 'http', scheme: 'bearer' } } },
    paths,
  }
}

function operationOf({ method, path, summary, parameters: own = [], body: bodies = {}, answers }: Described): object {
  const isAsked = path === '/rag/search' || path === '/rag/chat'
  const parameters = method === 'get' || isAsked || own.includes(idempotency) ? own : [...own, idempotency]
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({ name, in: 'path', required: true, schema: { type: 'string' } }))
  const others = parameters.map((parameter) => ({ ...parameter, required: false, schema: { type: 'string' } }))
  const content = Object.entries(bodies).map(([type, body]) => [
    type,
    body === null ? {} : { schema: schemaOf(body.shape, 'input'), example: body.example },
  ])
  return {
    operationId: `${method}${path.replaceAll(/[{}]/g, '').replaceAll(/[/.-](\w)/g, (_, letter: string) => letter.toUpperCase())}`,
    summary,
    parameters: [...inPath, ...others],
    ...(content.length === 0 ? {} : { requestBody: { required: true, content: Object.fromEntries(content) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, shape]) => [status, responseOf(shape)])),
      default: {
        description: 'A problem (RFC 9457)',
        content: { 'application/problem+json': { schema: schemaOf(problemView, 'output') } },
      },
    },
  }
}

function responseOf(shape: z.ZodType | string | null): object {
  if (shape === null) return { description: 'No body' }
  if (typeof shape === 'string') return { description: 'Bytes', content: { [shape]: {} } }
  return { description: 'Done', content: { [json]: { schema: schemaOf(shape, 'output') } } }
}

/** JSON Schema 2020-12, which OpenAPI 3.1 takes as it is. */
function schemaOf(shape: z.ZodType, io: 'input' | 'output'): object {
  const { $schema: _, ...schema } = z.toJSONSchema(shape, { io, unrepresentable: 'any' })
  return schema
}
