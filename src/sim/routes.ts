/**
 * The route table of the node and what Go's mux does around it: redirects for untidy paths, 404 and 405 as plain text.
 * Paths are matched after percent-decoding, as the real server does.
 */
import type { Answer } from './answer.ts'
import { messages } from './anthropic-routes.ts'
import { headBlob, postBlob } from './blob-routes.ts'
import { me, signOut, webFetch, webSearch } from './cloud-routes.ts'
import type { NodeContext } from './context.ts'
import { create } from './create-routes.ts'
import { embed, embeddings, openAiEmbeddings } from './embed-routes.ts'
import { copy, openAiModelByName, openAiModels, ps, remove, show, status, tags, version } from './model-routes.ts'
import { chat, generate } from './native-routes.ts'
import { openAiChat, openAiCompletions, responses } from './openai-routes.ts'
import { recommendations } from './recommendations.ts'
import { pull, push } from './registry-routes.ts'
import { transcriptions } from './transcription-routes.ts'

export type Handler = (context: NodeContext, answer: Answer, body: Buffer) => void

export interface Route {
  readonly handler: Handler
  /** The body goes to the handler unread. */
  readonly unread: boolean
}

interface Entry {
  readonly methods: Readonly<Record<string, Handler>>
  readonly prefix?: boolean
  readonly unread?: boolean
}

const root: Handler = (_context, answer) => answer.whole(200, 'Ollama is running', 'text/plain; charset=utf-8')

/** Methods in the order the `Allow` header lists them. */
const table: Readonly<Record<string, Entry>> = {
  '/': { methods: { HEAD: root, GET: root } },
  '/api/version': { methods: { HEAD: version, GET: version } },
  '/api/status': { methods: { GET: status } },
  '/api/tags': { methods: { HEAD: tags, GET: tags } },
  '/api/ps': { methods: { GET: ps } },
  '/api/show': { methods: { POST: show } },
  '/api/generate': { methods: { POST: generate } },
  '/api/chat': { methods: { POST: chat } },
  '/api/embed': { methods: { POST: embed } },
  '/api/embeddings': { methods: { POST: embeddings } },
  '/api/pull': { methods: { POST: pull } },
  '/api/push': { methods: { POST: push } },
  '/api/create': { methods: { POST: create } },
  '/api/copy': { methods: { POST: copy } },
  '/api/delete': { methods: { DELETE: remove } },
  '/api/blobs/': { methods: { HEAD: headBlob, POST: postBlob }, prefix: true, unread: true },
  '/api/me': { methods: { POST: me } },
  '/api/signout': { methods: { POST: signOut } },
  '/api/user/keys/': { methods: { DELETE: signOut }, prefix: true },
  '/api/experimental/web_search': { methods: { POST: webSearch } },
  '/api/experimental/web_fetch': { methods: { POST: webFetch } },
  '/api/experimental/model-recommendations': { methods: { GET: recommendations } },
  '/v1/chat/completions': { methods: { POST: openAiChat } },
  '/v1/completions': { methods: { POST: openAiCompletions } },
  '/v1/embeddings': { methods: { POST: openAiEmbeddings } },
  '/v1/models': { methods: { GET: openAiModels } },
  '/v1/models/': { methods: { GET: openAiModelByName }, prefix: true },
  '/v1/responses': { methods: { POST: responses } },
  '/v1/audio/transcriptions': { methods: { POST: transcriptions } },
  '/v1/messages': { methods: { POST: messages } },
}

export interface Matched {
  readonly route: Route | null
  /** `Allow` header: the methods of the path; null when there is no such path. */
  readonly allow: string | null
  readonly parameter: string
}

function entryOf(path: string): { entry: Entry; parameter: string } | null {
  const exact = table[path]
  if (exact !== undefined && exact.prefix !== true) return { entry: exact, parameter: '' }
  const slash = path.lastIndexOf('/') + 1
  const parameter = path.slice(slash)
  const entry = table[path.slice(0, slash)]
  return entry?.prefix === true && parameter !== '' ? { entry, parameter } : null
}

/** Finds the route of a decoded path. */
export function matchRoute(method: string, path: string): Matched {
  const found = entryOf(path)
  if (found === null) return { route: null, allow: null, parameter: '' }
  const handler = found.entry.methods[method]
  const allow = Object.keys(found.entry.methods).join(', ')
  return { route: handler === undefined ? null : { handler, unread: found.entry.unread === true }, allow, parameter: found.parameter }
}

/** Where Go's mux or the router sends a path that is not clean; null when it is. */
export function redirectOf(method: string, path: string, forwardedPrefix: string): { status: number; location: string } | null {
  const clean = cleanPath(path)
  if (clean !== path) return { status: 307, location: clean }
  if (path === '/') return null
  const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`
  if (matchRoute(method, path).route !== null || matchRoute(method, other).route === null) return null
  return { status: method === 'GET' ? 301 : 307, location: `${forwardedPrefix}${other}` }
}

function cleanPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  const joined = `/${parts.join('/')}`
  return path.endsWith('/') && joined !== '/' ? `${joined}/` : joined
}
