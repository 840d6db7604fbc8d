/**
 * A route as one can try it, and the request that is made of what somebody filled in: the same for the page, which sends it with the session,
 * and for curl, which names a key in the environment. No credential is ever part of it.
 */
import type { OperationOf } from './openapi.ts'
import { embedder, model, ownRouteExamples } from './own-route-examples.ts'
import { curl, quoted, type ShellPlace } from './shell.ts'

export interface TriedParameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly description: string
}

export interface BodyKind {
  readonly type: string
  /** `form`: a file among other fields, which only curl sends. */
  readonly as: 'json' | 'file' | 'form'
  /** Of JSON. */
  readonly example: object
}

export interface TriedRoute {
  readonly method: string
  /** With its parameters as `{name}`. */
  readonly path: string
  readonly parameters: readonly TriedParameter[]
  /** None: it takes no body. */
  readonly bodies: readonly BodyKind[]
  /** Whether it may change or delete something. */
  readonly changes: boolean
}

/** Scopes whose routes leave everything as it was, also where they are asked by POST. */
const reading = new Set(['none', 'any', 'chat', 'embed', 'models:read', 'rag:read'])
/** What is asked of documents by POST; every other POST below `/rag` makes something. */
const askedOfDocuments = new Set(['/rag/search', '/rag/chat'])

const pathParameter = /\{(\w+)\}/g

export function triedOperation({ method, path, operation: { parameters = [], requestBody } }: OperationOf): TriedRoute {
  return {
    method,
    path,
    parameters: parameters.flatMap(({ name, in: place, description = '' }) =>
      place === 'path' || place === 'query' || place === 'header' ? [{ name, in: place, description }] : [],
    ),
    bodies: Object.entries(requestBody?.content ?? {}).map(([type, { example }]) => kindOf(type, example)),
    changes: method !== 'GET' && !askedOfDocuments.has(path),
  }
}

function kindOf(type: string, example: unknown): BodyKind {
  if (type.endsWith('json')) return { type, as: 'json', example: typeof example === 'object' && example !== null ? example : {} }
  return { type: type === '*/*' ? 'application/octet-stream' : type, as: type.startsWith('multipart/') ? 'form' : 'file', example: {} }
}

/** `route`: `METHOD path` of our own list, with the scope that it asks for. */
export function triedOwnRoute(route: string, scope: string): TriedRoute {
  const [method = '', pattern = ''] = route.split(' ')
  const path = pattern.replaceAll(/:(\w+)/g, '{$1}')
  const { body, query = {}, bytes } = ownRouteExamples[route] ?? {}
  const inPath = [...path.matchAll(pathParameter)].map(([, name = '']): TriedParameter => ({ name, in: 'path', description: '' }))
  const inQuery = Object.entries(query).map(([name, description]): TriedParameter => ({ name, in: 'query', description }))
  return {
    method,
    path,
    parameters: [...inPath, ...inQuery],
    bodies: [
      ...(body === undefined ? [] : [kindOf('application/json', body)]),
      ...(bytes === undefined ? [] : [kindOf(bytes === 'form' ? 'multipart/form-data' : '*/*', {})]),
    ],
    changes: method !== 'GET' && !reading.has(scope),
  }
}

/** What is there to be asked, most fitting first. */
export interface Known {
  readonly talking: readonly string[]
  readonly embedding: readonly string[]
  readonly collections: readonly string[]
}

/** The example of a body as JSON, with models and a collection that are there. */
export function exampleOf({ example }: BodyKind, { talking, embedding, collections }: Known): string {
  const known = new Map([
    [model, talking[0]],
    [embedder, embedding[0]],
  ])
  const replace = (key: string, value: unknown): unknown => {
    if (key === 'collection') return collections[0] ?? value
    if (key === 'collections' && collections[0] !== undefined) return [collections[0]]
    return value === model || value === embedder ? (known.get(value) ?? value) : value
  }
  return JSON.stringify(Object.fromEntries(Object.entries(example).map(([key, value]) => [key, replace(key, value)])), null, 2)
}

/** What somebody filled in: parameters by `in` and name, and the body. */
export interface Filled {
  readonly values: Readonly<Record<string, string>>
  /** Null: none is taken. */
  readonly kind: BodyKind | null
  /** Of JSON. */
  readonly text: string
  readonly file: File | null
}

export const fieldOf = ({ in: place, name }: TriedParameter): string => `${place} ${name}`

/** Path and query. A part of the path that is left out stays as `{name}`. */
export function targetOf({ path, parameters }: TriedRoute, { values }: Filled): string {
  const filled = path.replaceAll(pathParameter, (whole, name: string) => {
    const value = values[`path ${name}`] ?? ''
    return value === '' ? whole : encodeURIComponent(value)
  })
  const query = new URLSearchParams()
  for (const { in: place, name } of parameters) {
    const value = values[`${place} ${name}`] ?? ''
    if (place === 'query' && value !== '') query.set(name, value)
  }
  const text = query.toString()
  return text === '' ? filled : `${filled}?${text}`
}

/** Headers that somebody filled in, and the type of the body. */
export function headersOf({ parameters }: TriedRoute, { values, kind }: Filled): Readonly<Record<string, string>> {
  const own = parameters.flatMap((parameter) => {
    const value = values[fieldOf(parameter)] ?? ''
    return parameter.in === 'header' && value !== '' ? [[parameter.name.toLowerCase(), value]] : []
  })
  return Object.fromEntries([...own, ...(kind === null || kind.as === 'form' ? [] : [['content-type', kind.type]])])
}

/** What a header carries; the browser takes anything else for a gateway that is not there. */
const headerText = /^[\t\x20-\x7e\x80-\xff]*$/

/** What has to be put right before it can be sent; null: nothing. What the route itself demands, it says. */
export function faultOf({ values, kind, text, file }: Filled): string | null {
  const [field] = Object.entries(values).find(([name, value]) => name.startsWith('header ') && !headerText.test(value)) ?? []
  if (field !== undefined) return `The ${field} holds a character that no header can carry.`
  if (kind?.as === 'form') return 'A form with a file: send it by curl.'
  if (kind?.as === 'file') return file === null ? 'Choose a file first.' : null
  return kind === null ? null : faultOfJson(text)
}

function faultOfJson(text: string): string | null {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    return `The body is no JSON: ${error instanceof Error ? error.message : String(error)}`
  }
}

export function curlOf(route: TriedRoute, filled: Filled, place: ShellPlace): string {
  const request = { method: route.method, target: targetOf(route, filled), headers: headersOf(route, filled), body: bodyArguments(filled) }
  return curl(request, place)
}

function bodyArguments({ kind, text, file }: Filled): string[] {
  switch (kind?.as) {
    case undefined:
      return []
    case 'json':
      return [`-d ${quoted(text)}`]
    case 'file':
      return [`--data-binary ${quoted(`@${file?.name ?? 'FILE'}`)}`]
    case 'form':
      return [`-F ${quoted(`file=@${file?.name ?? 'FILE'}`)}`]
  }
}
