// Embeddings text by text: what reaches a node, what comes back, and what is shared.
import { expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { newCall, requestOf } from './ask.ts'
import { settle } from './cached.ts'
import { nodeBody, tokensOf } from './embedding-upstream.ts'
import { type How, nodeSays, setup, withoutCount, withoutTimes } from './embedding-setup.ts'

const countIn = (text: string): number => Number(/"(?:prompt_eval_count|prompt_tokens)":(\d+)/.exec(text)?.[1])

test('E1 asks for each missing text once, in one request, and answers in the order of the input', async () => {
  const { node, ask } = setup()
  await ask({ input: ['one', 'two words'] })
  const answer = await ask({ input: ['three', 'one', 'four of them', 'three', 'two words'] })
  expect(node.calls).toEqual([
    ['one', 'two words'],
    ['three', 'four of them'],
  ])
  const expected = nodeSays({ input: ['three', 'one', 'four of them', 'three', 'two words'] })
  expect(withoutCount(answer.text)).toBe(withoutCount(expected))
  expect(answer.headers).toMatchObject({ 'x-corral-cache': 'partial', 'cache-status': 'corral;fwd=partial' })
  expect(answer.cache).toBe('miss')
})

test('E1 tells the tokens of single texts exactly and of a batch as the sum it was told', async () => {
  const { ask } = setup()
  await ask({ input: 'one' })
  await ask({ input: 'two words' })
  const known = await ask({ input: ['two words', 'one'] })
  expect(countIn(known.text)).toBe(tokensOf('one') + tokensOf('two words'))
  await ask({ input: ['a', 'b b b b', 'c c'] })
  const again = await ask({ input: ['c c', 'a', 'b b b b'] })
  expect(countIn(again.text)).toBe(tokensOf('a') + tokensOf('b b b b') + tokensOf('c c'))
})

test('E1 books what was computed for a request and nothing for what was known', async () => {
  const { ask } = setup()
  const first = await ask({ input: ['one', 'two'] })
  expect(first.outcome).toMatchObject({ usage: { promptTokens: 6 } })
  const partial = await ask({ input: ['one', 'three'] })
  expect(partial.outcome.usage?.promptTokens).toBe(tokensOf('three'))
  expect(partial.outcome.cached).toBeUndefined()
  const hit = await ask({ input: ['three', 'two'] })
  expect(hit).toMatchObject({ cache: 'hit', outcome: { cached: true, usage: { promptTokens: 6, outputTokens: null } } })
})

test('forwards a request of which nothing is known as it came, and its answer too', async () => {
  const { node, ask } = setup()
  const request = { keep_alive: '5m', input: ['eins', 'zwei'], odd: [1, { b: 2 }] }
  const answer = await ask(request)
  expect(node.requests[0]?.body.toString()).toBe(JSON.stringify({ model: 'e', ...request }))
  expect(answer.text).toBe(nodeBody(requestOf('/api/embed', { model: 'e', ...request }), 24))
  expect(answer.headers['x-corral-cache']).toBe('miss')
})

test('sends the missing texts as the client wrote them', async () => {
  const { node, cache } = setup()
  const relay = cache.layer(node.relay)
  await relay(requestOf('/api/embed', '{"model":"e","input":["known"]}'), newCall())
  await relay(requestOf('/api/embed', '{"model":"e", "input" : ["known", "\\u00e9\\/x","\u2028"] ,"truncate":true}'), newCall())
  expect(node.requests[1]?.body.toString()).toBe('{"model":"e", "input" : ["\\u00e9\\/x","\u2028"] ,"truncate":true}')
})

test.each(['/api/embed', '/v1/embeddings'])('E2 gives the bytes of a node out of memory: %s', async (path) => {
  const { node, ask } = setup()
  await ask({ input: ['x', 'y z'] }, { path })
  const answer = await ask({ input: ['x', 'y z'] }, { path })
  expect(node.calls).toHaveLength(1)
  expect(withoutTimes(answer.text)).toBe(nodeSays({ input: ['x', 'y z'] }, path))
  expect(answer.headers['content-type']).toBe(path.startsWith('/v1') ? 'application/json' : 'application/json; charset=utf-8')
  expect(answer.headers['cache-status']).toMatch(/^corral;hit;ttl=\d+;detail=memory$/)
})

test('E2 gives the bytes of a node for the legacy route, and shares nothing with it', async () => {
  const { node, ask } = setup()
  await ask({ input: 'x' })
  const legacy = { path: '/api/embeddings' }
  const fresh = await ask({ prompt: 'x' }, legacy)
  const hit = await ask({ prompt: 'x' }, legacy)
  expect(node.calls).toHaveLength(2)
  expect(hit.text).toBe(fresh.text)
  expect(hit.cache).toBe('hit')
})

test('shares vectors between /api/embed, /v1/embeddings and its base64', async () => {
  const base64 = { encoding_format: 'base64' }
  const forms: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['/api/embed', {}],
    ['/v1/embeddings', {}],
    ['/v1/embeddings', base64],
  ]
  for (const [firstPath, firstFields] of forms) {
    const { node, ask } = setup()
    await ask({ input: ['p', 'q'], ...firstFields }, { path: firstPath })
    for (const [path, fields] of forms) {
      const answer = await ask({ input: ['q', 'p'], ...fields }, { path })
      expect(withoutTimes(answer.text)).toBe(nodeSays({ input: ['q', 'p'], ...fields }, path))
    }
    expect(node.calls).toEqual([['p', 'q']])
  }
})

test('E3 asks again when anything differs that a vector depends on', async () => {
  const { node, ask, digests } = setup()
  const input = ['search_query: a']
  await ask({ input })
  const others = [
    { input: ['search_document: a'] },
    { input: ['search_query: A'] },
    { input: ['search_query: a '] },
    { input, dimensions: 8 },
    { input, truncate: false },
    { input, options: { num_ctx: 128 } },
    { input, unknown: 1 },
  ]
  for (const fields of others) expect((await ask(fields)).cache, JSON.stringify(fields)).toBe('miss')
  expect(node.calls).toHaveLength(1 + others.length)
  digests.set('e:latest', 'd2')
  expect((await ask({ input })).cache).toBe('miss')
})

test('E3 asks again under another engine and for another tenant', async () => {
  const made = setup()
  await made.ask({ input: 'a' })
  expect((await made.ask({ input: 'a' }, { call: newCall({ tenant: 'b' }) })).cache).toBe('miss')
  made.engine = '0.34'
  expect((await made.ask({ input: 'a' })).cache).toBe('miss')
})

test('E3 does not ask again for what changes no vector', async () => {
  const { node, ask } = setup()
  await ask({ input: 'a' })
  const same = [
    { input: ['a'] },
    { input: 'a', keep_alive: '1h' },
    { input: 'a', truncate: true },
    { input: 'a', options: {} },
    { input: 'a', dimensions: 0 },
    { input: 'a', user: 'u' },
  ]
  for (const fields of same) expect((await ask(fields)).cache, JSON.stringify(fields)).toBe('hit')
  expect((await ask({ model: 'E:latest', input: 'a' })).text).toContain('"model":"E:latest"')
  expect(node.calls).toHaveLength(1)
})

test('keeps a /v1 field apart from the native one that /v1 ignores', async () => {
  const { node, ask } = setup()
  await ask({ input: 'a', truncate: false })
  await ask({ input: 'a', truncate: false }, { path: '/v1/embeddings' })
  expect(node.calls).toHaveLength(2)
})

test('E4 stores nothing of an answer that is short', async () => {
  const { node, ask, cache } = setup()
  await ask({ input: 'known' })
  node.answer = () => ({ status: 200, body: '{"model":"e","embeddings":[[0.5,0.25]],"prompt_eval_count":3}' })
  const whole = await ask({ input: ['a', 'b'] })
  expect(whole.text).toBe('{"model":"e","embeddings":[[0.5,0.25]],"prompt_eval_count":3}')
  await expect(ask({ input: ['known', 'a', 'b'] })).rejects.toMatchObject({ code: 'node_protocol' })
  expect(cache.stats().stored).toBe(1)
})

test.each([
  ['zero', '[0,0,-0]'],
  ['not finite', '[1e39,0.5,0.5]'],
  ['no number', '["NaN",0.5,0.5]'],
  ['empty', '[]'],
  ['longer than the others', '[0.5,0.5,0.5,0.5]'],
])('E5 passes a vector on that is %s, and does not keep it', async (_, vector) => {
  const { node, ask, cache } = setup()
  const body = `{"model":"e","embeddings":[[0.25,0.5,0.5],${vector}],"prompt_eval_count":3}`
  node.answer = () => ({ status: 200, body })
  expect((await ask({ input: ['good', 'bad'] })).text).toBe(body)
  expect(cache.stats().stored).toBe(1)
})

test('E5 does not keep vectors longer than the dimensions that were asked for', async () => {
  const { node, ask, cache } = setup()
  node.answer = () => ({ status: 200, body: '{"model":"e","embeddings":[[0.25,0.5,0.5]],"prompt_eval_count":3}' })
  await ask({ input: 'a', dimensions: 2 })
  expect(cache.stats().stored).toBe(0)
})

test('passes an error on as it came, also of a partly known batch, and stores nothing', async () => {
  const { node, ask, cache } = setup()
  await ask({ input: 'known', truncate: false })
  node.answer = () => ({ status: 400, body: '{"error":"input length exceeds the context length"}' })
  const answer = await ask({ input: ['known', 'long'], truncate: false })
  expect(answer).toMatchObject({ status: 400, text: '{"error":"input length exceeds the context length"}' })
  expect(cache.stats().stored).toBe(1)
})

test('one flight per text: batches that overlap compute each text once', async () => {
  const { node, ask } = setup()
  const { promise, resolve } = Promise.withResolvers<void>()
  node.hold = promise
  const batches = [
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'a', 'd'],
    ['a', 'b', 'c', 'd'],
  ]
  const answers = batches.map((input) => ask({ input }))
  await settle()
  resolve()
  for (const [index, answer] of (await Promise.all(answers)).entries()) {
    const input = batches[index]
    expect(withoutCount(answer.text)).toBe(withoutCount(nodeSays({ input })))
  }
  expect(node.calls).toEqual([['a', 'b'], ['c'], ['d']])
  expect((await Promise.all(answers)).map(({ cache }) => cache)).toEqual(['miss', 'miss', 'miss', 'joined'])
})

test('a batch in another form takes part, too', async () => {
  const { node, ask } = setup()
  const { promise, resolve } = Promise.withResolvers<void>()
  node.hold = promise
  const native = ask({ input: ['a', 'b'] })
  const base64 = ask({ input: ['b'], encoding_format: 'base64' }, { path: '/v1/embeddings' })
  await settle()
  resolve()
  await native
  expect((await base64).text).toBe(nodeSays({ input: ['b'], encoding_format: 'base64' }, '/v1/embeddings'))
  expect(node.calls).toHaveLength(1)
})

test('whoever began a batch may leave; the last one leaving aborts it', async () => {
  const { node, ask } = setup()
  const { promise, resolve } = Promise.withResolvers<void>()
  node.hold = promise
  const [leader, follower, third] = [newCall(), newCall(), newCall()]
  const first = ask({ input: ['a', 'b'] }, { call: leader })
  const second = ask({ input: ['b'] }, { call: follower })
  await settle()
  leader.signal.abort('gone')
  await expect(first).rejects.toMatchObject({ code: 'client_gone' })
  expect(node.given[0]?.signal.aborted).toBe(false)
  const last = ask({ input: ['a'] }, { call: third })
  follower.signal.abort('gone')
  await expect(second).rejects.toMatchObject({ code: 'client_gone' })
  expect(node.given[0]?.signal.aborted).toBe(false)
  third.signal.abort('gone')
  await expect(last).rejects.toMatchObject({ code: 'client_gone' })
  expect(node.given[0]?.signal.aborted).toBe(true)
  expect([leader, follower, third].map(({ signal }) => signal.listenerCount)).toEqual([0, 0, 0])
  resolve()
})

test('a failure of another batch is tried again for the texts that were not its fault', async () => {
  const { node, ask } = setup()
  const { promise, resolve } = Promise.withResolvers<void>()
  node.hold = promise
  node.answer = (texts) =>
    texts.includes('too long')
      ? { status: 400, body: '{"error":"too long"}' }
      : { status: 200, body: nodeBody(requestOf('/api/embed', { model: 'e', input: texts }), 24) }
  const bad = ask({ input: ['a', 'too long'] })
  const good = ask({ input: ['a', 'b'] })
  await settle()
  resolve()
  expect((await bad).status).toBe(400)
  expect(withoutCount((await good).text)).toBe(withoutCount(nodeSays({ input: ['a', 'b'] })))
  expect(node.calls).toEqual([['a', 'too long'], ['b'], ['a']])
})

test('F5 fifty who wait for one failing text get the one failure', async () => {
  const { cache } = setup()
  let calls = 0
  const { promise, reject } = Promise.withResolvers<never>()
  const relay = cache.layer(() => {
    calls += 1
    return promise
  })
  const asked = Array.from({ length: 50 }, () => relay(requestOf('/api/embed', { model: 'e', input: ['a'] }), newCall()))
  await settle()
  reject(new CorralError('node_protocol', 'broken'))
  for (const answer of asked) await expect(answer).rejects.toMatchObject({ code: 'node_protocol' })
  expect(calls).toBe(1)
})

test('client directives: no-store, no-cache, only-if-cached, max-age, off', async () => {
  const { node, ask, clock } = setup()
  const say = (value: string): How => ({ headers: ['cache-control', value] })
  expect((await ask({ input: 'a' }, say('no-store'))).headers['x-corral-cache']).toBe('bypass')
  await expect(ask({ input: 'a' }, say('only-if-cached'))).rejects.toMatchObject({ code: 'cache_miss' })
  expect(node.calls).toHaveLength(1)
  await ask({ input: 'a' })
  expect((await ask({ input: 'a' }, say('only-if-cached'))).cache).toBe('hit')
  clock.advance(10_000)
  expect((await ask({ input: 'a' }, say('max-age=20'))).headers['age']).toBe('10')
  expect((await ask({ input: 'a' }, say('max-age=5'))).cache).toBe('miss')
  const refreshed = await ask({ input: ['a'] }, say('no-cache'))
  expect(refreshed.headers['cache-status']).toBe('corral;fwd=request')
  expect((await ask({ input: 'a' }, { headers: ['x-corral-cache', 'off'] })).cache).toBe('bypass')
})

test.each([
  ['no input', {}],
  ['an empty input', { input: [] }],
  ['a wrong type', { input: [1, 2] }],
  ['a nested list', { input: [['a']] }],
  ['a lone surrogate', { input: ['\ud800'] }],
  ['unloading', { input: 'a', keep_alive: 0 }],
  ['an unknown form', { input: 'a', encoding_format: 'hex' }],
])('lets a node answer itself: %s', async (_, fields) => {
  const { node, ask } = setup()
  const path = 'encoding_format' in fields ? '/v1/embeddings' : '/api/embed'
  await ask(fields, { path })
  expect((await ask(fields, { path })).cache).toBe('bypass')
  expect(node.calls).toHaveLength(2)
})

test('a purge during a batch: its vectors reach who waits and are not stored', async () => {
  const { node, ask, cache } = setup()
  const { promise, resolve } = Promise.withResolvers<void>()
  node.hold = promise
  const asked = ask({ input: ['a'] })
  await settle()
  expect(await cache.purge({ kind: 'embedding' }, { dryRun: false })).toMatchObject({ flights: 1 })
  resolve()
  expect((await asked).status).toBe(200)
  expect(cache.stats().stored).toBe(0)
})

test('off means that nothing of it happens', async () => {
  const { node, ask } = setup([], { kinds: { embedding: false } })
  await ask({ input: ['a', 'a'] })
  expect((await ask({ input: ['a', 'a'] })).cache).toBeUndefined()
  expect(node.calls).toEqual([
    ['a', 'a'],
    ['a', 'a'],
  ])
})
