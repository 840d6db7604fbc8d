/** Who decides whether an answer is cached: the request, the credential, the route, the configuration. */
import { describe, expect, it } from 'vitest'

import { chooseMode, isPinned } from '../../src/cache/policy.ts'
import type { CacheMode } from '../../src/core/principal.ts'
import { unloads } from '../../src/wire/keep-alive.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { type AskOptions, type Cached, cached, chat, settle } from './cached.ts'
import { setup } from './embedding-setup.ts'
import { chatLines } from './scripted.ts'

const text = chatLines(['hello']).join('')
const vague = (content: string): Readonly<Record<string, unknown>> => ({ ...chat(content), options: {} })
const said = { request: null, credential: null, route: null, general: 'auto' } as const

/** Asks and lets upstream answer, where it is asked at all. */
async function served(built: Cached, body: Readonly<Record<string, unknown>>, options: AskOptions = {}): Promise<Taken> {
  const before = built.upstream.calls.length
  const answer = take(built.ask(body, options))
  await settle()
  if (built.upstream.calls.length > before) built.upstream.at(-1).begin(text).end()
  return answer
}

function heldTo(cache: CacheMode): AskOptions {
  return { principal: { cache } }
}

describe('the mode of a request', () => {
  it.each<[CacheMode, Partial<Parameters<typeof chooseMode>[0]>]>([
    ['auto', {}],
    ['on', { general: 'on' }],
    ['off', { general: 'off' }],
    ['on', { route: 'on', general: 'off' }],
    ['auto', { credential: 'auto', route: 'on' }],
    ['on', { credential: 'on', route: 'auto' }],
    ['on', { request: 'on', credential: 'auto' }],
    ['auto', { request: 'auto', credential: 'on' }],
    ['off', { request: 'off', credential: 'on', route: 'on', general: 'on' }],
    ['off', { request: 'on', credential: 'off', route: 'on', general: 'on' }],
    ['off', { request: 'on', credential: 'on', route: 'off', general: 'on' }],
  ])('is %s by %j', (mode, wishes) => {
    expect(chooseMode({ ...said, ...wishes })).toBe(mode)
  })
})

describe('a seed', () => {
  const question = { model: 'llama3', messages: [{ role: 'user', content: 'hi' }], seed: 5 }
  it.each<[string, Readonly<Record<string, unknown>>, boolean]>([
    ['/api/chat', { ...question, options: { temperature: 0.8, seed: 5 } }, true],
    ['/api/generate', { model: 'llama3', prompt: 'hi', options: { seed: 0 } }, true],
    ['/api/chat', { ...question, options: { seed: -1 } }, false],
    ['/api/chat', question, false],
    ['/v1/chat/completions', question, true],
    ['/v1/completions', { model: 'llama3', prompt: 'hi', seed: 5 }, true],
    ['/v1/responses', { model: 'llama3', input: 'hi', seed: 5 }, false],
    ['/v1/responses', { model: 'llama3', input: 'hi', temperature: 0 }, true],
    ['/v1/messages', { ...question, max_tokens: 9 }, false],
    ['/v1/messages', { ...question, max_tokens: 9, temperature: 0 }, true],
  ])('pins the sampling only where the node reads it: %s %j is %s', (path, body, pinned) => {
    expect(isPinned(requestOf(path, body))).toBe(pinned)
  })
})

describe('a request that unloads the model when it is answered', () => {
  it.each([0, '0', '0s'])('goes to a node, and is neither kept nor joined: keep_alive %j', async (keepAlive) => {
    const built = cached()
    const asked = [chat('hi'), chat('hi', { keep_alive: keepAlive }), chat('hi', { keep_alive: keepAlive })]
    const answers = asked.map((body) => take(built.ask(body)))
    await settle()
    expect(built.upstream.calls).toHaveLength(3)
    for (const call of built.upstream.calls) call.begin(text).end()
    expect((await Promise.all(answers)).map(({ cache }) => cache)).toEqual(['miss', 'bypass', 'bypass'])
    const again = await served(built, chat('hi', { keep_alive: keepAlive }))
    expect(again.headers['cache-status']).toBe('corral;fwd=bypass;detail=unload')
    expect((await served(built, chat('hi', { keep_alive: '5m' }))).cache).toBe('hit')
  })

  it('is only one on the native routes, since others have no keep_alive', () => {
    const body = { model: 'llama3', messages: [], keep_alive: 0 }
    expect(['/api/chat', '/v1/chat/completions'].map((path) => unloads(requestOf(path, body)))).toEqual([true, false])
  })
})

describe('a credential that is off', () => {
  it('neither stores nor reads, whatever the request says', async () => {
    const built = cached()
    await served(built, chat('hi'))
    const answer = await served(built, chat('hi'), { ...heldTo('off'), headers: ['x-corral-cache', 'on'] })
    expect(answer.headers).toMatchObject({ 'x-corral-cache': 'bypass', 'cache-status': 'corral;fwd=bypass;detail=off' })
    await served(built, chat('other'), heldTo('off'))
    expect((await served(built, chat('other'))).cache).toBe('miss')
    expect(built.upstream.calls).toHaveLength(4)
  })

  it('does not join an answer under way', async () => {
    const built = cached()
    const first = take(built.ask(chat('hi')))
    const second = take(built.ask(chat('hi'), heldTo('off')))
    expect(built.upstream.calls).toHaveLength(2)
    for (const call of built.upstream.calls) call.begin(text).end()
    expect((await first).cache).toBe('miss')
    expect((await second).cache).toBe('bypass')
  })

  it('gets no answer out of the cache when it insists', async () => {
    const built = cached()
    await served(built, chat('hi'))
    const insisting = built.ask(chat('hi'), { ...heldTo('off'), headers: ['cache-control', 'only-if-cached'] })
    await expect(insisting).rejects.toMatchObject({ code: 'cache_miss' })
  })

  it('shares no vectors', async () => {
    const built = setup()
    const held = () => ({ call: newCall(heldTo('off')) })
    await built.ask({ input: ['known'] })
    expect((await built.ask({ input: ['known'] }, held())).cache).toBe('bypass')
    expect((await built.ask({ input: ['kept?'] }, held())).cache).toBe('bypass')
    expect((await built.ask({ input: ['kept?'] })).cache).toBe('miss')
  })
})

describe('a credential that is on', () => {
  it('caches what auto would not', async () => {
    const built = cached()
    expect((await served(built, vague('hi'), heldTo('on'))).cache).toBe('miss')
    expect((await served(built, vague('hi'), heldTo('on'))).cache).toBe('hit')
    expect((await served(built, vague('hi'))).cache).toBe('bypass')
  })

  it('takes less from a request: auto, off, no-store', async () => {
    const built = cached()
    await served(built, vague('hi'), heldTo('on'))
    for (const headers of [
      ['x-corral-cache', 'auto'],
      ['x-corral-cache', 'off'],
      ['cache-control', 'no-store'],
    ]) {
      expect((await served(built, vague('hi'), { ...heldTo('on'), headers })).cache).toBe('bypass')
    }
  })

  it('opens no route that is off', async () => {
    const built = cached({ options: { routes: { '/api/chat': 'off' } } })
    expect((await served(built, chat('hi'), heldTo('on'))).cache).toBe('bypass')
  })
})

describe('a credential that is auto', () => {
  it('is stronger than a route that is on, and a request may ask for more', async () => {
    const built = cached({ options: { routes: { '/api/chat': 'on' } } })
    expect((await served(built, vague('hi'), heldTo('auto'))).cache).toBe('bypass')
    const headers = ['x-corral-cache', 'on']
    expect((await served(built, vague('hi'), { ...heldTo('auto'), headers })).cache).toBe('miss')
  })
})
