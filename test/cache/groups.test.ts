/** Callers held to different groups of nodes: what one group answered is nothing for another. */
import { describe, expect, it, test } from 'vitest'

import { defaultModels } from '../../src/sim/model.ts'
import { chatBody } from '../fleet/ask.ts'
import { type KeyedGateway, startKeyedHerd } from '../identity/keyed-herd.ts'
import { describePlaces, type Place } from '../identity/places.ts'
import { newCall, take, type Taken } from './ask.ts'
import { cached, type Cached, chat, settle } from './cached.ts'
import { setup } from './embedding-setup.ts'
import { chatLines } from './scripted.ts'

const text = chatLines(['hello']).join('')

async function served(built: Cached, nodeGroup: string | null): Promise<Taken['cache']> {
  const before = built.upstream.calls.length
  const answer = take(built.ask(chat('hi'), { principal: { nodeGroup } }))
  await settle()
  if (built.upstream.calls.length > before) built.upstream.at(-1).begin(text).end()
  return (await answer).cache
}

describe('an answer of one group', () => {
  it('serves that group alone, at equal digests too: what its nodes can hold of a prompt is their own', async () => {
    const built = cached()
    for (const group of ['red', 'blue', null]) {
      expect(await served(built, group)).toBe('miss')
      expect(await served(built, group)).toBe('hit')
    }
  })

  it('is not joined by another group', async () => {
    const built = cached()
    const answers = ['red', 'blue', 'red'].map((nodeGroup) => take(built.ask(chat('hi'), { principal: { nodeGroup } })))
    expect(built.upstream.calls).toHaveLength(2)
    for (const call of built.upstream.calls) call.begin(text).end()
    expect((await Promise.all(answers)).map(({ cache }) => cache)).toEqual(['miss', 'miss', 'joined'])
  })

  it('is gone when the group’s digest or engine is another one, and stays when only another group’s is', async () => {
    const digests = new Map([
      ['red', 'd1'],
      ['blue', 'd2'],
    ])
    let redEngine = '0.33'
    const built = cached({
      digestOf: (_, group) => digests.get(group ?? '') ?? null,
      engineEpoch: (_, group) => (group === 'red' ? redEngine : '0.33'),
    })
    for (const group of ['red', 'blue']) expect(await served(built, group)).toBe('miss')
    digests.set('red', 'd3')
    expect([await served(built, 'red'), await served(built, 'blue')]).toEqual(['miss', 'hit'])
    redEngine = '0.34'
    expect([await served(built, 'red'), await served(built, 'blue')]).toEqual(['miss', 'hit'])
  })

  it('is not stored when the group’s digest changed while it was made', async () => {
    let digest = 'd1'
    const built = cached({ digestOf: (_, group) => (group === 'red' ? digest : 'other') })
    const answer = take(built.ask(chat('hi'), { principal: { nodeGroup: 'red' } }))
    digest = 'd2'
    built.upstream.at(0).begin(text).end()
    await answer
    digest = 'd1'
    expect(await served(built, 'red')).toBe('miss')
  })

  it('is purged by the model’s name whichever build it came from', async () => {
    const built = cached({ digestOf: (_, group) => (group === 'red' ? 'd1' : 'd2'), digestsOf: () => ['d1', 'd2'] })
    for (const group of ['red', 'blue']) await served(built, group)
    expect(await built.cache.purge({ model: 'llama3:latest' }, { dryRun: true })).toMatchObject({ memory: 2 })
    expect(await built.cache.purge({ model: 'llama3:latest' }, { dryRun: false })).toMatchObject({ memory: 2, shared: true })
    for (const group of ['red', 'blue']) expect(await served(built, group)).toBe('miss')
  })

  it('shares no vectors either', async () => {
    const { ask } = setup()
    const of = (nodeGroup: string | null) => ({ call: newCall({ principal: { nodeGroup } }) })
    for (const group of ['red', 'blue', null]) {
      expect((await ask({ input: ['one'] }, of(group))).cache).toBe('miss')
      expect((await ask({ input: ['one'] }, of(group))).cache).toBe('hit')
    }
  })
})

describePlaces((place) => {
  describe('two groups whose nodes hold one name at two digests', () => {
    it('each get their own build’s answers, cached apart', async () => {
      const { gateway, nodes } = await twoBuilds(place)
      const scopes = ['chat'] as const
      const keys = { red: await gateway.key({ nodeGroup: 'red', scopes }), blue: await gateway.key({ nodeGroup: 'blue', scopes }) }
      const body = chatBody({ stream: false, options: { temperature: 0 } })
      const seen: string[] = []
      for (const key of [keys.red, keys.blue, keys.red, keys.blue]) {
        const { headers, node } = await gateway.ask('/api/chat', key, body)
        seen.push(`${String(headers['x-corral-cache'])} ${node ?? ''}`.trim())
      }
      expect(seen).toEqual([`miss ${nodes.red}`, `miss ${nodes.blue}`, 'hit', 'hit'])
    })

    it('serve a key that is off nothing stored, over the wire too', async () => {
      const { gateway } = await twoBuilds(place)
      const scopes = ['chat'] as const
      const usual = await gateway.key({ nodeGroup: 'red', scopes })
      const off = await gateway.key({ nodeGroup: 'red', scopes, cache: 'off' })
      const on = await gateway.key({ nodeGroup: 'red', scopes, cache: 'on' })
      const pinned = chatBody({ stream: false, options: { temperature: 0 } })
      const vague = chatBody({ stream: false, options: { num_predict: 400 } })
      const role = async (key: string, body: unknown, headers = {}): Promise<unknown> =>
        (await gateway.ask('/api/chat', key, body, headers)).headers['x-corral-cache']
      expect(await role(usual, pinned)).toBe('miss')
      expect(await role(off, pinned, { 'x-corral-cache': 'on' })).toBe('bypass')
      expect(await role(usual, vague)).toBe('bypass')
      expect([await role(on, vague), await role(on, vague)]).toEqual(['miss', 'hit'])
    })
  })

  test('a key gets its mode through the admin API, which takes no other word', async () => {
    const { gateway } = await twoBuilds(place)
    const admin = await gateway.key({ scopes: ['admin', 'chat'] })
    const make = (cache: unknown) => gateway.ask('/admin/keys', admin, { scopes: ['chat'], cache })
    const made = await make('off')
    expect([made.status, JSON.parse(made.text).cache]).toEqual([201, 'off'])
    const body = chatBody({ options: { temperature: 0 } })
    const reply = await gateway.ask('/api/chat', JSON.parse(made.text).key, body)
    expect(reply.headers['cache-status']).toBe('corral;fwd=bypass;detail=off')
    expect(JSON.parse((await make(null)).text).cache).toBeNull()
    expect((await make('sometimes')).status).toBe(400)
  })
})

interface TwoBuilds {
  readonly gateway: KeyedGateway
  readonly nodes: { readonly red: string; readonly blue: string }
}

async function twoBuilds(place: Place): Promise<TwoBuilds> {
  const [model] = defaultModels
  if (model === undefined) throw new Error('no model')
  const { gateways, sims } = await startKeyedHerd({
    nodes: [
      { group: 'red', models: [{ ...model, digest: 'a'.repeat(64) }] },
      { group: 'blue', models: [{ ...model, digest: 'b'.repeat(64) }] },
    ],
    place,
    sections: { cache: {} },
  })
  const [gateway] = gateways
  const [red, blue] = sims
  if (gateway === undefined || red === undefined || blue === undefined) throw new Error('no gateway or nodes')
  return { gateway, nodes: { red: red.name, blue: blue.name } }
}
