// Two tenants on one gateway: all that the one has is tried by the other on every route of the inventory, by every id it goes by.
// What the first one has carries marks that the second one never sends, so a mark in an answer is a leak.
import { afterAll, beforeAll, expect, test } from 'vitest'

import { scopes } from '../../src/core/principal.ts'
import { type Api, mustBe, type RagGateway, startRagApp } from '../rag/rag-app.ts'
import { chatModel, embedModel, quoteAll } from '../rag/scripted-fleet.ts'
import { operatorAct } from './fixture.ts'
import { connectRedis, describePlaces, type Place } from './places.ts'
import { inventory } from './route-inventory.ts'

const owner = 'acme'
const stranger = 'rival'
const collection = 'papers-of-acme'
const document = 'the-plan'
const assistant = 'aide-of-acme'
/** Words of the owner's texts, titles, labels and settings. The questions below hold none of them. */
const marks = ['MARIGOLD', 'OLEANDER', 'HYACINTH', 'SNOWDROP', 'CROCUS', 'LAVENDER']
const [inText, inTitle, inMetadata, inInstructions, inComment, inPrompt] = marks

const question = 'What is the plan about?'
const pinnedChat = { model: chatModel, messages: [{ role: 'user', content: question }], options: { temperature: 0 }, stream: false }
const embedding = { model: embedModel, input: ['a text that both embed'] }
const ragChat = { collection, model: chatModel, question, stream: false }

let gateway: RagGateway
let ownerKey: string
let strangerKey: string
/** What the owner's things are called, as the API tells it. */
let ids: readonly string[]
let cachedOfOwner: unknown

const asOwner = (method: string, path: string, body?: unknown): Promise<Api> => gateway.ask(method, path, { body, key: ownerKey })

async function prepare(place: Place): Promise<void> {
  const stores = await place.newStores()
  gateway = await startRagApp({
    database: await stores.connect(),
    redis: await connectRedis(stores.redisUrl),
    identity: { mode: 'keys' },
    config: { limits: { usage: { texts: { keep: 'all' } } } },
  })
  gateway.fleet.script = (prompted) => (prompted.passages.length === 0 ? 'An answer.' : quoteAll(prompted))
  const { identity } = gateway.app
  for (const tenant of [owner, stranger]) await identity?.tenants.put(tenant, { title: tenant === owner ? `${inTitle}` : '' }, operatorAct)
  ownerKey = await gateway.key({ tenant: owner, scopes: [...scopes], title: `${inTitle}` })
  strangerKey = await gateway.key({ tenant: stranger, scopes: [...scopes] })
  ids = [collection, document, assistant, owner, ownerKey.slice(7, 19), ...(await fillOwner())]
}

/** Gives the owner one of everything; the ids that were made on the way. */
async function fillOwner(): Promise<string[]> {
  await gateway.collection(collection, {}, { key: ownerKey })
  await gateway.put(collection, document, `The plan is about ${inText}. It begins in May.`, { key: ownerKey, metadata: { of: inMetadata } })
  const wish = { name: assistant, collections: [collection], model: chatModel, prompt: `Speak of ${inInstructions}.` }
  mustBe(201, await asOwner('POST', '/rag/assistants', wish))
  const answer = mustBe(200, await asOwner('POST', '/rag/chat', ragChat))
  expect(answer.text).toContain(inText)
  const answerId = answer.headers.get('x-request-id') ?? ''
  mustBe(201, await asOwner('POST', `/rag/answers/${answerId}/feedback`, { rating: 'up', comment: `${inComment}` }))
  mustBe(200, await asOwner('POST', '/api/chat', pinnedChat))
  mustBe(200, await asOwner('POST', '/api/embed', embedding))
  const told = mustBe(200, await asOwner('POST', '/api/chat', { ...pinnedChat, messages: [{ role: 'user', content: `${inPrompt}` }] }))
  const { jobs } = mustBe(200, await asOwner('GET', '/rag/jobs')).json
  const jobIds = (jobs as { id: string }[]).map(({ id }) => id)
  expect(jobIds.length).toBeGreaterThan(0)
  return [answerId, told.headers.get('x-request-id') ?? '', ...jobIds]
}

interface Try {
  readonly method: string
  readonly path: string
  readonly body?: unknown
}

/** A route with its parameters filled by `idsOf`, each by all of them. */
function triesOf(line: string, values: readonly string[]): Try[] {
  const [, verb = '', pattern = ''] = /^(\S+) (\S+): /.exec(line) ?? []
  const paths = pathsOf(pattern.replace('*', values[0] ?? 'x'), values)
  const methods = verb === 'ALL' ? ['GET', 'POST', 'DELETE'] : [verb]
  return methods.flatMap((method) =>
    paths.flatMap((path) =>
      method === 'GET' || method === 'HEAD' || method === 'DELETE'
        ? [{ method, path }]
        : bodiesFor(path).map((body) => ({ method, path, body })),
    ),
  )
}

function pathsOf(pattern: string, values: readonly string[]): string[] {
  const [parameter] = /:\w+/.exec(pattern) ?? []
  if (parameter === undefined) return [pattern]
  return values.flatMap((value) => pathsOf(pattern.replace(parameter, encodeURIComponent(value)), values))
}

/** What a stranger who knows all names would send: the owner's own requests, and each route's wishes for the owner's things. */
function bodiesFor(path: string): unknown[] {
  if (path === '/rag/search')
    return [
      { collection, query: question },
      { collections: [collection], query: question, explain: true, neighbours: 5 },
    ]
  if (path === '/rag/chat') return [ragChat, { assistant, question, stream: false }, { assistant, question }]
  if (path === '/rag/assistants') return [{ name: 'mine', collections: [collection], model: chatModel }]
  if (path.startsWith('/rag/assistants/')) return [{ collections: [collection], model: chatModel }]
  if (path.endsWith('/feedback')) return [{ rating: 'down' }]
  if (path === '/admin/keys') return [{ tenant: owner, scopes: ['admin'] }]
  if (path === '/admin/cache/purge') return [{ tenant: owner, dryRun: false }]
  if (path === '/admin/tokens/revoke') return [{ tenant: owner }]
  if (path.startsWith('/admin/tenants/')) return [{ title: 'taken over' }]
  if (/\/(rotate|revoke|restore)$/.test(path)) return [{ reason: 'mine now' }]
  if (path.startsWith('/api/embed') || path === '/v1/embeddings')
    return [
      { ...embedding, prompt: embedding.input[0] },
      { ...embedding, model: assistant },
    ]
  if (path.startsWith('/api/') || path.startsWith('/v1/')) {
    const asked = { ...pinnedChat, prompt: question, input: question, max_tokens: 64 }
    return [asked, { ...asked, model: assistant }]
  }
  return [{}, { settings: {} }]
}

/** What came back: body and headers. */
const wordsOf = ({ text, headers }: Api): string => `${text}\n${JSON.stringify([...headers])}`

/** Entries of the owner in the cache, as the operator counts them. */
async function countCached(): Promise<unknown> {
  const key = await gateway.key({ scopes: ['admin'] })
  return mustBe(200, await gateway.ask('POST', '/admin/cache/purge', { body: { tenant: owner }, key })).json['memory']
}

describePlaces((place) => {
  beforeAll(() => prepare(place))
  afterAll(() => gateway.close())

  test('an equal request of the other tenant is no hit, and reaches a node', async () => {
    const before = gateway.fleet.prompted.length
    const body = { ...pinnedChat, messages: [{ role: 'user', content: 'asked by both' }] }
    const mine = await asOwner('POST', '/api/chat', body)
    const again = await asOwner('POST', '/api/chat', body)
    const theirs = await gateway.ask('POST', '/api/chat', { body, key: strangerKey })
    expect([mine, again, theirs].map(({ headers }) => headers.get('x-corral-cache'))).toEqual(['miss', 'hit', 'miss'])
    expect(gateway.fleet.prompted.length - before).toBe(2)
    cachedOfOwner = await countCached()
    expect(cachedOfOwner).toBeGreaterThan(3)
  })

  test.each(inventory)('%s: nothing of the other tenant comes back, whatever it is called', async (line) => {
    const tries = triesOf(line, ids)
    const isNamed = /^\S+ \/(?:rag|admin)\/\S*\/:\w/.test(line) && !line.startsWith('PUT')
    expect(tries.length).toBeGreaterThan(0)
    for (const { method, path, body } of tries) {
      for (const query of method === 'GET' ? ['', `?tenant=${owner}`, `?collection=${collection}`] : ['']) {
        const answer = await gateway.ask(method, path + query, { body, key: strangerKey })
        const words = wordsOf(answer)
        expect([`${method} ${path}${query}`, marks.filter((mark) => words.includes(mark))]).toEqual([`${method} ${path}${query}`, []])
        // A route that does not name the owner's things says nothing of them, not even that they are there.
        const isBlind = body === undefined && query === '' && !path.includes(owner) && ids.every((id) => !path.includes(id))
        if (isBlind) expect([path, ids.filter((id) => words.includes(id))]).toEqual([path, []])
        if (isNamed) expect([`${method} ${path}`, answer.status >= 400]).toEqual([`${method} ${path}`, true])
      }
    }
  })

  test.each(scopes.map((scope) => [scope] as const))(
    'a stranger who has the scope %s alone gets nothing of it on any route',
    async (scope) => {
      const key = await gateway.key({ tenant: stranger, scopes: [scope] })
      for (const [index, { method, path, body }] of inventory.flatMap((line) => triesOf(line, ids).slice(0, 2)).entries()) {
        const words = wordsOf(await gateway.ask(method, path, { body, key }))
        expect([index, `${method} ${path}`, marks.filter((mark) => words.includes(mark))]).toEqual([index, `${method} ${path}`, []])
      }
    },
  )

  test('afterwards the owner has everything, as it was', async () => {
    const kept = mustBe(200, await asOwner('GET', `/rag/collections/${collection}/documents/${document}/text`))
    expect(kept.text).toContain(inText)
    expect(mustBe(200, await asOwner('GET', `/rag/collections/${collection}/documents/${document}`)).text).toContain(inMetadata)
    expect(mustBe(200, await asOwner('GET', `/rag/assistants/${assistant}`)).text).toContain(inInstructions)
    const { id } = { id: ids.find((one) => one.length > 20) ?? '' }
    const { text } = mustBe(200, await asOwner('GET', `/rag/answers/${id}/feedback`))
    expect(text).toContain(inComment)
    expect(text).not.toContain('down')
    const { keys } = mustBe(200, await asOwner('GET', '/admin/keys')).json
    expect(keys).toEqual([expect.objectContaining({ title: inTitle, revokedAt: null })])
    expect(mustBe(200, await asOwner('GET', '/admin/tenants')).text).toContain(inTitle)
    expect(mustBe(200, await asOwner('GET', '/admin/requests/history')).text).toContain(ids.at(-2) ?? '')
    expect(await countCached()).toBe(cachedOfOwner)
  })
})
