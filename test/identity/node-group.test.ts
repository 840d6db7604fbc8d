/** Callers held to a group of nodes: through the whole gateway. */
import { expect, test } from 'vitest'

import { ask, chatBody, isComplete } from '../fleet/ask.ts'
import { until } from '../support/gateway.ts'
import { defaultModels } from '../../src/sim/model.ts'
import { startKeyedHerd } from './keyed-herd.ts'
import { describePlaces } from './places.ts'

const scopes = ['chat', 'embed', 'models:read'] as const
const names = (text: string): string[] => JSON.parse(text).models.map(({ name }: { name: string }) => name)

function askAs(gateway: Awaited<ReturnType<typeof startKeyedHerd>>['gateways'][number] | undefined, key: string, model: string) {
  if (gateway === undefined) throw new Error('no gateway')
  return gateway.ask('/api/chat', key, chatBody({ model }))
}

describePlaces((place) => {
  test('a caller with a group is served only by its nodes, one without by all', async () => {
    const { gateways, sims } = await startKeyedHerd({
      place,
      nodes: [{ group: 'red' }, { group: 'blue' }, {}],
      sections: { fleet: { policy: 'least-loaded' } },
    })
    const [gateway] = gateways
    if (gateway === undefined) throw new Error('no gateway')
    const red = await gateway.key({ nodeGroup: 'red', scopes })
    const any = await gateway.key({ scopes })
    const [first] = sims
    await Promise.all(sims.map((sim) => ask(`${sim.url}/api/generate`, { model: 'llama3.2:3b', stream: false, keep_alive: -1 })))
    await Promise.all(gateway.app.fleet.nodes.map((node) => gateway.app.fleet.prober.refreshLoaded(node)))

    const held = await Promise.all(Array.from({ length: 12 }, () => gateway.ask('/api/chat', red, chatBody())))
    expect(held.every(isComplete)).toBe(true)
    expect(new Set(held.map(({ node }) => node))).toEqual(new Set([first?.name]))

    const free = await Promise.all(Array.from({ length: 24 }, () => gateway.ask('/api/chat', any, chatBody())))
    expect(new Set(free.map(({ node }) => node)).size).toBe(3)
  })

  test('batches of embeddings are split over the nodes of the group alone', async () => {
    const { gateways, sims } = await startKeyedHerd({ place, nodes: [{ group: 'red' }, { group: 'red' }, { group: 'blue' }] })
    const [gateway] = gateways
    const red = await gateway?.key({ nodeGroup: 'red', scopes })
    const input = Array.from({ length: 64 }, (_, index) => `text number ${index}`)
    const reply = await gateway?.ask('/api/embed', red ?? null, { model: 'nomic-embed-text', input })
    expect(reply?.status).toBe(200)
    expect(JSON.parse(reply?.text ?? '').embeddings).toHaveLength(64)
    const embeds = sims.map((sim) => sim.stats().byPath['/api/embed'] ?? 0)
    expect(embeds[0]).toBeGreaterThan(0)
    expect(embeds[1]).toBeGreaterThan(0)
    expect(embeds[2]).toBe(0)
  })

  test('lists, facts and loads come from the group', async () => {
    const [chat, ...others] = defaultModels
    if (chat === undefined) throw new Error('no model')
    const { gateways, sims } = await startKeyedHerd({
      place,
      nodes: [
        { group: 'red', models: [chat] },
        { group: 'blue', models: [chat, ...others] },
      ],
    })
    const [gateway] = gateways
    const red = (await gateway?.key({ nodeGroup: 'red', scopes })) ?? ''
    const tags = await gateway?.ask('/api/tags', red)
    expect(names(tags?.text ?? '')).toEqual([chat.name])

    const elsewhere = others[0]?.name ?? ''
    expect((await gateway?.ask('/api/show', red, { model: elsewhere }))?.status).toBe(404)
    expect((await gateway?.ask('/api/show', red, { model: chat.name }))?.status).toBe(200)
    expect(isComplete(await askAs(gateway, red, chat.name))).toBe(true)
    expect(names((await gateway?.ask('/api/ps', red))?.text ?? '')).toEqual([chat.name])
    expect(sims[1]?.stats().loads).toBe(0)

    const refused = await askAs(gateway, red, elsewhere)
    expect(refused.status).toBe(503)
    expect(refused.text).toContain('no node of the group red')
  })

  test('a group without a node is named, and remembered by nobody', async () => {
    const { gateways } = await startKeyedHerd({ place })
    const [gateway] = gateways
    const key = (await gateway?.key({ nodeGroup: 'green', scopes })) ?? ''
    const chat = await gateway?.ask('/api/chat', key, chatBody())
    expect(chat?.status).toBe(503)
    expect(chat?.text).toContain('no node of the group green')
    const tags = await gateway?.ask('/api/tags', key)
    expect(tags?.status).toBe(503)
    expect(tags?.text).toContain('no node of the group green')
    expect([...(gateway?.app.fleet.pools.all() ?? [])].filter(({ group }) => group !== null)).toEqual([])
  })

  test('nobody waits behind those who wait for other nodes', async () => {
    const { gateways } = await startKeyedHerd({
      place,
      nodes: [
        { group: 'red', numParallel: 1 },
        { group: 'blue', numParallel: 1 },
      ],
      sections: { fleet: { admission: { slotsAssumed: 1, slotsMax: 1 } } },
    })
    const [gateway] = gateways
    if (gateway === undefined) throw new Error('no gateway')
    const red = await gateway.key({ nodeGroup: 'red', scopes })
    const blue = await gateway.key({ nodeGroup: 'blue', scopes })
    await gateway.ask('/api/chat', red, chatBody())
    await gateway.ask('/api/chat', blue, chatBody())

    const long = chatBody({ options: { num_predict: 200 } })
    const slow = Array.from({ length: 60 }, () => gateway.ask('/api/chat', red, long))
    const waiting = (): number =>
      [...gateway.app.fleet.pools.all()].reduce((sum, { group, queue }) => sum + (group === 'red' ? queue.size : 0), 0)
    await until(() => waiting() > 40, 'red ones wait')
    const replies = await Promise.all(Array.from({ length: 8 }, () => gateway.ask('/api/chat', blue, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(waiting()).toBeGreaterThan(0)
    expect((await Promise.all(slow)).every(isComplete)).toBe(true)
  })

  test('those with and those without a group take turns on the nodes they share', async () => {
    const { gateways } = await startKeyedHerd({
      place,
      nodes: [{ group: 'red', numParallel: 1 }],
      sections: { fleet: { admission: { slotsAssumed: 1, slotsMax: 1 } } },
    })
    const [gateway] = gateways
    if (gateway === undefined) throw new Error('no gateway')
    const red = await gateway.key({ nodeGroup: 'red', scopes })
    const any = await gateway.key({ scopes })
    await gateway.ask('/api/chat', any, chatBody())

    const order: string[] = []
    const send = (who: string, key: string, count: number) =>
      Array.from({ length: count }, () => gateway.ask('/api/chat', key, chatBody()).then(() => order.push(who)))
    const many = send('any', any, 20)
    await until(() => [...gateway.app.fleet.pools.all()].some(({ queue }) => queue.size >= 10), 'some wait')
    const few = send('red', red, 5)
    await Promise.all([...many, ...few])
    expect(order.lastIndexOf('red')).toBeLessThan(order.lastIndexOf('any') - 3)
  })
})
