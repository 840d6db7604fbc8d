/**
 * What two tenants may send on each route of the inventory, at random: both take the same names, ids, prompts and idempotency keys, and each
 * names ids that were made for the other. A request holds the mark of its own tenant or none, never that of the other.
 */
import { createHash } from 'node:crypto'

import { chatModel, embedModel } from '../rag/scripted-fleet.ts'
import { signedText } from './signing-node.ts'

/** What somebody's ids are ids of. */
export type IdKind = 'request' | 'answer' | 'job' | 'key' | 'cursor'

/** Where chance and what is known so far come from. */
export interface Draw {
  /** The tenant, and the words that stand in its texts alone. */
  readonly tenant: string
  readonly mark: string
  /** Names of both tenants. */
  readonly tenants: readonly string[]
  /** The role that asks: idempotency keys are its own within a tenant, and the same as those of this role in the other one. */
  readonly role: string
  /** A whole number from 0 to below `count`. */
  below(count: number): number
  /** An id of either tenant; one that is nobody's where none is known yet. */
  idOf(kind: IdKind): { readonly id: string; readonly isForeign: boolean }
}

export interface RouteRequest {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** What it names is the other tenant's: nothing of it may be there for this one. */
  readonly isForeign: boolean
}

const questions = 12
const collections = ['papers', 'plans', 'letters']
const assistants = ['aide', 'clerk']
const documents = ['one', 'two', 'three']
const question = 'What is the plan about?'
const retitled = { title: 'a title that both give' }

/** How often a route is drawn, where that is not once: most is asked for generations and documents, little is emptied. */
const shares: Readonly<Record<string, number>> = {
  'POST /api/chat': 16,
  'POST /api/generate': 8,
  'POST /v1/chat/completions': 8,
  'POST /v1/completions': 4,
  'POST /v1/messages': 4,
  'POST /v1/responses': 2,
  'POST /api/embed': 10,
  'POST /api/embeddings': 3,
  'POST /v1/embeddings': 4,
  'POST /rag/search': 5,
  'POST /rag/chat': 5,
  'POST /rag/collections': 3,
  'POST /rag/collections/:name/documents': 3,
  'PUT /rag/assistants/:name': 2,
  'GET /admin/requests/history/:id': 3,
  'GET /rag/jobs/:id': 3,
  'DELETE /rag/collections/:name': 0.3,
  'POST /rag/collections/:name/purge': 0.3,
  'POST /rag/collections/:name/reingest': 0.3,
  'POST /admin/keys': 0.3,
  'POST /admin/keys/:id/rotate': 0.3,
}

/** A line of the inventory without what it asks for. */
export function routeOf(line: string): string {
  return line.slice(0, line.indexOf(': '))
}

/** The routes of the inventory, each as often as its share says. */
export function drawnFrom(inventory: readonly string[]): readonly string[] {
  return inventory.flatMap((line) => {
    const route = routeOf(line)
    return Array.from({ length: Math.round(10 * (shares[route] ?? 1)) }, () => route)
  })
}

const pick = <T>(draw: Draw, items: readonly [T, ...T[]] | readonly T[]): T => {
  const item = items[draw.below(items.length)]
  if (item === undefined) throw new Error('nothing to pick from')
  return item
}

/** The kind of id that `:id` is on a route; null: a name that both tenants have. */
function kindOf(route: string): IdKind | null {
  if (route.includes(' /rag/answers')) return 'answer'
  if (route.includes(' /admin/requests')) return 'request'
  if (route.includes(' /rag/jobs')) return 'job'
  return route.includes(' /admin/keys') ? 'key' : null
}

function nameFor(route: string, parameter: string, draw: Draw): string {
  if (parameter === ':id') return pick(draw, documents)
  if (parameter === ':digest') return `sha256:${'0'.repeat(64)}`
  if (parameter === ':model') return pick(draw, [chatModel, ...assistants])
  if (route.includes('/rag/collections')) return pick(draw, collections)
  return route.includes('/rag/assistants') ? pick(draw, assistants) : 'n1'
}

/** A request on `route` of the inventory. */
export function requestOn(route: string, draw: Draw): RouteRequest {
  const [verb = '', pattern = ''] = route.split(' ')
  let isForeign = false
  const path = pattern.replace('*', 'x').replaceAll(/:\w+/g, (parameter) => {
    if (parameter === ':tenant') {
      const tenant = pick(draw, draw.tenants)
      isForeign = tenant !== draw.tenant
      return tenant
    }
    const kind = parameter === ':id' ? kindOf(route) : null
    if (kind === null) return encodeURIComponent(nameFor(route, parameter, draw))
    const named = draw.idOf(kind)
    isForeign = named.isForeign
    return encodeURIComponent(named.id)
  })
  const method = verb === 'ALL' ? pick(draw, ['GET', 'POST', 'DELETE']) : verb
  if (['GET', 'HEAD', 'DELETE'].includes(method)) return { method, path: path + queryOf(route, draw), isForeign }
  const { body, headers } = bodies[route]?.(draw, path) ?? { body: plainBody(route), headers: {} }
  const whole = path + (route.endsWith('/documents') ? uploadQuery(draw) : '')
  const key = draw.below(2) === 0 ? { 'idempotency-key': keyFor(whole, body, draw) } : {}
  return { method, path: whole, body, headers: { ...headers, ...key }, isForeign }
}

/** For a route that has no body of its own here. */
function plainBody(route: string): object {
  if (route.startsWith('PUT /admin/tenants')) return retitled
  return / \/(?:api|v1)\//.test(route) ? { model: chatModel } : {}
}

/** One for each thing that is asked for, whoever asks: a conflict with another request is one with another tenant. */
function keyFor(path: string, body: unknown, { role, mark, below }: Draw): string {
  const asked = `${path} ${body instanceof Buffer ? body.toString() : JSON.stringify(body)}`.replaceAll(mark, '')
  return `${role} ${createHash('sha256').update(asked).digest('hex')} ${below(2)}`
}

function queryOf(route: string, draw: Draw): string {
  const tenant = pick(draw, draw.tenants)
  const queries: Readonly<Record<string, readonly string[]>> = {
    'GET /admin/requests/history': [
      '?limit=20',
      `?limit=5&tenant=${tenant}`,
      `?limit=5&before=${encodeURIComponent(draw.idOf('cursor').id)}`,
    ],
    'GET /admin/usage': ['?by=subject,model', `?by=tenant,route&tenant=${tenant}`, '?by=day&format=csv'],
    'GET /admin/keys': ['', `?tenant=${tenant}`],
    'GET /admin/audit': ['?limit=20', `?tenant=${tenant}`],
    'GET /rag/jobs': ['?limit=20', `?limit=20&collection=${pick(draw, collections)}`],
    'DELETE /rag/collections/:name': ['', '?purge=true'],
    'DELETE /rag/collections/:name/documents/:id': ['', '?purge=true'],
  }
  return pick(draw, queries[route] ?? [''])
}

const uploadQuery = (draw: Draw): string => `?id=${pick(draw, documents)}${draw.below(2) === 0 ? '&wait=true' : ''}`

interface Sent {
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
}

/** Half of them are pinned, so that the cache keeps them; a few hold the mark. */
function promptOf(draw: Draw): { text: string; stream: boolean; isPinned: boolean } {
  const text = `question ${draw.below(questions)}`
  return { text: draw.below(8) === 0 ? `${draw.mark} ${text}` : text, stream: draw.below(2) === 0, isPinned: draw.below(4) > 0 }
}

const control = (draw: Draw): Record<string, string> =>
  draw.below(10) === 0 ? { 'cache-control': pick(draw, ['no-cache', 'no-store']) } : {}

/** Of Ollama's own dialect, and of those that say `temperature` at the top. */
const native = (draw: Draw, field: (text: string) => object): Sent => {
  const { text, stream, isPinned } = promptOf(draw)
  return {
    body: { model: modelOf(draw), stream, ...(isPinned ? { options: { temperature: 0 } } : {}), ...field(text) },
    headers: control(draw),
  }
}
const compatible = (draw: Draw, field: (text: string) => object, streams = true): Sent => {
  const { text, stream, isPinned } = promptOf(draw)
  const body = { model: modelOf(draw), ...(streams ? { stream } : {}), ...(isPinned ? { temperature: 0 } : {}), ...field(text) }
  return { body, headers: control(draw) }
}

/** An assistant now and then: it is a model to those who may ask for it. */
const modelOf = (draw: Draw): string => (draw.below(12) === 0 ? pick(draw, assistants) : chatModel)
const messagesOf = (content: string) => ({ messages: [{ role: 'user', content }] })
const textsOf = (draw: Draw): string[] => Array.from({ length: 1 + draw.below(3) }, () => `${signedText} ${draw.below(questions)}`)

const assistantOf = (draw: Draw): object => ({ collections: [pick(draw, collections)], model: chatModel, prompt: `Speak of ${draw.mark}.` })

const bodies: Readonly<Record<string, (draw: Draw, path: string) => Sent>> = {
  'POST /api/chat': (draw) => native(draw, messagesOf),
  'POST /api/generate': (draw) => native(draw, (prompt) => ({ prompt })),
  'POST /v1/chat/completions': (draw) => compatible(draw, messagesOf),
  'POST /v1/completions': (draw) => compatible(draw, (prompt) => ({ prompt, max_tokens: 20 }), false),
  'POST /v1/messages': (draw) => compatible(draw, (content) => ({ ...messagesOf(content), max_tokens: 20 })),
  'POST /v1/responses': (draw) => compatible(draw, (input) => ({ input }), false),
  'POST /api/embed': (draw) => ({ body: { model: embedModel, input: textsOf(draw) }, headers: control(draw) }),
  'POST /api/embeddings': (draw) => ({ body: { model: embedModel, prompt: textsOf(draw)[0] }, headers: {} }),
  'POST /v1/embeddings': (draw) => ({ body: { model: embedModel, input: textsOf(draw) }, headers: control(draw) }),
  'POST /rag/search': (draw) => ({
    body: { collection: pick(draw, collections), query: question, explain: draw.below(2) === 0 },
    headers: {},
  }),
  'POST /rag/chat': (draw) => {
    const from = draw.below(3) === 0 ? { assistant: pick(draw, assistants) } : { collection: pick(draw, collections), model: chatModel }
    return { body: { ...from, question, stream: draw.below(2) === 0 }, headers: {} }
  },
  'POST /rag/collections': (draw) => ({ body: { name: pick(draw, collections) }, headers: {} }),
  'POST /rag/collections/:name/documents': (draw) => ({
    body: Buffer.from(`The plan of ${draw.mark} begins in May with ${draw.mark}.`),
    headers: { 'content-type': 'text/plain' },
  }),
  'PATCH /rag/collections/:name': () => ({ body: { settings: {} }, headers: {} }),
  'PUT /rag/assistants/:name': (draw, path) => ({
    body: { name: path.slice(path.lastIndexOf('/') + 1), ...assistantOf(draw) },
    headers: {},
  }),
  'POST /rag/assistants': (draw) => ({ body: { name: pick(draw, assistants), ...assistantOf(draw) }, headers: {} }),
  'POST /rag/answers/:id/feedback': (draw) => ({ body: { rating: pick(draw, ['up', 'down']), comment: draw.mark }, headers: {} }),
  'POST /admin/keys': (draw) => {
    const wish = { title: draw.mark, scopes: ['chat'] }
    return { body: draw.below(3) === 0 ? { ...wish, tenant: pick(draw, draw.tenants) } : wish, headers: {} }
  },
  'POST /admin/keys/:id/revoke': (draw) => ({ body: { reason: draw.mark }, headers: {} }),
  'POST /admin/cache/purge': (draw) => ({ body: { tenant: pick(draw, draw.tenants), dryRun: false }, headers: {} }),
  'POST /admin/tokens/revoke': () => ({ body: { issuer: 'https://issuer.example' }, headers: {} }),
}
