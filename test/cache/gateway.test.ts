/** The cache in a whole gateway before simulated nodes: what clients see on the wire, and what nodes are asked. */
import { expect, it } from 'vitest'

import { ask, type Reply, start } from '../fleet/ask.ts'
import { sample } from '../observe/fixtures.ts'
import { expectIdle, type Gateway, until } from '../fleet/gateway.ts'
import { describeBacked } from './backed.ts'

const model = 'llama3.2:3b'
const pinned = { temperature: 0, num_predict: 400 }
const question = [{ role: 'user', content: 'Tell me of herds.' }]
const chat = { model, messages: question, options: pinned }

/** Requests that all nodes got on a path. */
function askedAll({ sims }: Gateway, path: string): number {
  return sims.reduce((sum, sim) => sum + (sim.stats().byPath[path] ?? 0), 0)
}

/** Requests that wait for what another had asked for. */
async function joinedBy({ url }: Gateway): Promise<unknown> {
  return JSON.parse((await ask(`${url}/admin/cache`, undefined, { method: 'GET' })).text).joined
}

type Case = readonly [path: string, body: object]

const dialects: readonly Case[] = [
  ['/api/chat', chat],
  ['/api/generate', { model, prompt: 'Tell me of herds.', options: pinned }],
  ['/v1/chat/completions', { model, messages: question, temperature: 0, stream: true }],
  ['/v1/completions', { model, prompt: 'Tell me of herds.', temperature: 0, stream: true }],
  ['/v1/messages', { model, messages: question, max_tokens: 500, temperature: 0, stream: true }],
  ['/v1/responses', { model, input: 'Tell me of herds.', temperature: 0, stream: true }],
]

const wholes: readonly Case[] = dialects.map(([path, body]) => [path, { ...body, stream: false }])

/** Ids and times of its own are all that a replay may differ in. */
function withoutOwn(text: string): string {
  return text
    .replaceAll(/"(created|created_at|completed_at)":("[^"]*"|\d+)/g, '"$1":0')
    .replaceAll(/"(chatcmpl-|cmpl-|msg_|resp_|rs_)[\w-]+"/g, '"$1"')
}

describeBacked((openGateway) => {
  it.each([...dialects, ...wholes])('S9: %s %o is answered twice and generated once', async (path, body) => {
    const gateway = await openGateway({ cache: {} })
    const before = askedAll(gateway, path)
    const live = await ask(gateway.url + path, body)
    const hit = await ask(gateway.url + path, body)
    expect(live.status, live.text).toBe(200)
    expect([live, hit].map(({ headers }) => headers['x-corral-cache'])).toEqual(['miss', 'hit'])
    expect(hit.headers).toMatchObject({ age: '0', 'cache-control': 'private, no-store', 'x-corral-route': 'cache' })
    expect(hit.headers['content-type']).toBe(live.headers['content-type'])
    expect(hit.node).toBeNull()
    expect(withoutOwn(hit.text)).toBe(withoutOwn(live.text))
    expect(askedAll(gateway, path) - before).toBe(1)
    await expectIdle(gateway)
  })

  it('whoever asks why learns the key of an answer and of each text, and a purge by it takes that one', async () => {
    const gateway = await openGateway({ cache: {} })
    const other = { ...chat, options: { ...pinned, seed: 3 } }
    const keysOf = async (path: string, body: unknown): Promise<string[]> => {
      const { headers } = await ask(gateway.url + path, body, { headers: { 'x-corral-explain': 'true' } })
      const told = await ask(`${gateway.url}/admin/requests/${String(headers['x-request-id'])}/explain`, undefined, { method: 'GET' })
      const { steps, summary } = JSON.parse(told.text)
      const keys = steps.flatMap(({ entries = [] }: { entries?: { key: string }[] }) => entries.map(({ key }) => key))
      for (const key of keys) expect(summary.join('\n')).toContain(key)
      expect(told.text).not.toContain('herds')
      return keys
    }
    const purge = async (key: string | undefined): Promise<void> => {
      expect((await ask(`${gateway.url}/admin/cache/purge`, { key, dryRun: false })).status).toBe(200)
    }
    const roleOf = async (path: string, body: unknown) => (await ask(gateway.url + path, body)).headers['x-corral-cache']
    const keys = await keysOf('/api/chat', chat)
    expect(await keysOf('/api/chat', chat)).toEqual(keys)
    expect(keys).toEqual([expect.stringMatching(/^[\da-f]{64}$/)])
    expect(await keysOf('/api/chat', other)).not.toEqual(keys)
    await purge(keys[0])
    expect([await roleOf('/api/chat', other), await roleOf('/api/chat', chat)]).toEqual(['hit', 'miss'])
    const texts = { model: 'nomic-embed-text', input: ['one of herds', 'two of herds'] }
    const [first, second, ...more] = await keysOf('/api/embed', texts)
    expect([new Set([first, second]).size, more.length]).toEqual([2, 0])
    await purge(first)
    expect(await roleOf('/api/embed', texts)).toBe('partial')
    expect(await keysOf('/api/chat', { ...chat, options: {} })).toEqual([])
  })

  it('a scrape tells how often each layer was asked, what it had, and what gave way', async () => {
    const gateway = await openGateway({ cache: {} })
    const told = async (series: string): Promise<number | null> => sample(await (await fetch(`${gateway.url}/metrics`)).text(), series)
    const hits = 'corral_cache_layer_lookups_total{layer="memory",result="hits"}'
    const misses = 'corral_cache_layer_lookups_total{layer="memory",result="misses"}'
    const before = { hits: await told(hits), misses: (await told(misses)) ?? 0 }
    await ask(`${gateway.url}/api/chat`, chat)
    expect(await told(misses)).toBeGreaterThan(before.misses)
    expect(await told(hits)).toBe(before.hits)
    await ask(`${gateway.url}/api/chat`, chat)
    expect(await told(hits)).toBe((before.hits ?? 0) + 1)
    expect(await told('corral_cache_evictions_total{layer="memory"}')).toBe(0)
  })

  it.each(['/v1/chat/completions', '/v1/messages', '/v1/completions', '/v1/responses'])(
    'S9: %s gets a fresh id each time',
    async (path) => {
      const gateway = await openGateway({ cache: {} })
      const [, body] = dialects.find(([pattern]) => pattern === path) ?? []
      const replies: Reply[] = []
      for (let turn = 0; turn < 6; turn += 1) replies.push(await ask(gateway.url + path, body))
      const ids = replies.map(({ text }) => /"id":"((?:chatcmpl|cmpl|msg|resp)[-_]\w+)"/.exec(text)?.[1])
      expect(ids).not.toContain(undefined)
      expect(new Set(ids).size).toBeGreaterThan(1)
    },
  )

  it('a client that signs its requests, with the time in the URL, gets what it was answered a second ago', async () => {
    const gateway = await openGateway({ cache: {} })
    const roles: unknown[] = []
    for (const query of ['?ts=1764000000', '?ts=1764000001', '', '?ts=1764000000&more=1']) {
      const { headers } = await ask(`${gateway.url}/api/chat${query}`, chat)
      roles.push(headers['x-corral-cache'])
    }
    expect(roles).toEqual(['miss', 'hit', 'hit', 'miss'])
  })

  it('S1: 100 clients at once and late ones share one generation, byte for byte', async () => {
    const gateway = await openGateway({ cache: { replay: { fresh: false } }, speed: 2, answerTokens: [250, 300] })
    for (const { control } of gateway.sims) control.set('frozen-runner')
    const askings = Array.from({ length: 100 }, () => start(`${gateway.url}/api/chat`, chat))
    await expect.poll(() => joinedBy(gateway)).toBe(99)
    for (const { control } of gateway.sims) control.clear('frozen-runner')
    await Promise.all(askings.map(({ head }) => head))
    for (let turn = 0; turn < 10; turn += 1) askings.push(start(`${gateway.url}/api/chat`, chat))
    const replies = await Promise.all(askings.map(({ reply }) => reply))
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1)
    expect(askedAll(gateway, '/api/chat')).toBe(1)
    const roles = replies.map(({ headers }) => headers['x-corral-cache'])
    expect(roles.filter((role) => role === 'miss')).toHaveLength(1)
    expect(roles.filter((role) => role === 'joined').length).toBeGreaterThanOrEqual(99)
    await expectIdle(gateway)
  })

  it('S2 and S3: the first client leaving costs nobody anything; all leaving stops the node', async () => {
    const gateway = await openGateway({ cache: {}, speed: 4, answerTokens: [250, 300] })
    const [first, second] = [start(`${gateway.url}/api/chat`, chat), start(`${gateway.url}/api/chat`, chat)]
    await Promise.all([first.head, second.head])
    first.leave()
    expect((await second.reply).text).toContain('"done":true')
    const other = { ...chat, messages: [{ role: 'user', content: 'Tell me of fences.' }] }
    const both = [start(`${gateway.url}/api/chat`, other), start(`${gateway.url}/api/chat`, other)]
    await Promise.all(both.map(({ head }) => head))
    for (const asking of both) asking.leave()
    await until(() => gateway.sims.some((sim) => sim.stats().aborted === 1), 'the node’s stream was aborted')
    await expectIdle(gateway)
  })

  it('S6: a runner that dies in the middle shows as the same error to all', async () => {
    const gateway = await openGateway({ cache: {}, nodes: 1, speed: 4 })
    const control = gateway.sims[0]?.control
    // Nothing comes before all three wait for it.
    control?.set('frozen-runner')
    control?.set('runner-death', { atFrame: 4, count: 1 })
    const askings = [1, 2, 3].map(() => start(`${gateway.url}/api/chat`, chat))
    await expect.poll(() => joinedBy(gateway)).toBe(2)
    control?.clear('frozen-runner')
    const replies = await Promise.all(askings.map(({ reply }) => reply))
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1)
    expect(replies[0]?.text).toMatch(/\{"error":/)
    expect(askedAll(gateway, '/api/chat')).toBe(1)
    await until(() => gateway.app.fleet.nodes.every(({ up }) => up !== false), 'the node is up')
    const refused = await ask(`${gateway.url}/api/chat`, chat)
    expect(refused.headers['x-corral-cache']).not.toBe('hit')
  })

  it('S8 and H1: only-if-cached is refused with 504 in the dialect of the route, then served', async () => {
    const gateway = await openGateway({ cache: {} })
    const headers = { 'cache-control': 'only-if-cached' }
    const refused = await ask(`${gateway.url}/api/chat`, chat, { headers })
    expect(refused.status).toBe(504)
    expect(JSON.parse(refused.text)).toMatchObject({ error: expect.stringContaining('only-if-cached') })
    expect(refused.headers['cache-status']).toBeUndefined()
    await ask(`${gateway.url}/api/chat`, chat)
    expect((await ask(`${gateway.url}/api/chat`, chat, { headers })).status).toBe(200)
  })

  it('K7: other weights under the same name are asked for anew', async () => {
    const gateway = await openGateway({ cache: {}, nodes: 1, fleet: { probe: { modelsIntervalMs: 50 } } })
    await ask(`${gateway.url}/api/chat`, chat)
    expect((await ask(`${gateway.url}/api/chat`, chat)).headers['x-corral-cache']).toBe('hit')
    const before = gateway.app.fleet.digestOf(model)
    gateway.sims[0]?.control.set('digest-drift')
    await until(() => gateway.app.fleet.digestOf(model) !== before, 'the gateway saw the other digest')
    expect((await ask(`${gateway.url}/api/chat`, chat)).headers['x-corral-cache']).toBe('miss')
  })

  it('S10: an answer at its limit is generated each time', async () => {
    const gateway = await openGateway({ cache: {} })
    const short = { ...chat, options: { temperature: 0, num_predict: 3 } }
    const roles = [await ask(`${gateway.url}/api/chat`, short), await ask(`${gateway.url}/api/chat`, short)].map(
      ({ headers }) => headers['x-corral-cache'],
    )
    expect(roles).toEqual(['miss', 'miss'])
  })
})
