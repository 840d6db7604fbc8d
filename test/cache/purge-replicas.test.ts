/** Purges over replicas: nothing that was purged is found on any of them, in whatever layer, and others' entries stay. */
import { describe, expect, it } from 'vitest'

import { manualClock } from '../fleet/manual-clock.ts'
import { newCall, requestOf, take, type Taken } from './ask.ts'
import { cached, type Cached, chat, settle } from './cached.ts'
import { setup } from './embedding-setup.ts'
import { chatLines } from './scripted.ts'
import { type SharedEpochs, sharedEpochs, sharedLayer } from './shared-layer.ts'

const text = chatLines(['One', ' two']).join('')

async function served({ ask, upstream, cache }: Cached, body = chat('hi')): Promise<Taken['cache']> {
  const before = upstream.calls.length
  const answer = take(ask(body))
  await settle()
  if (upstream.calls.length > before) upstream.at(-1).begin(text).end()
  const { cache: role } = await answer
  await cache.idle()
  return role
}

interface Pair {
  readonly one: Cached
  readonly other: Cached
  readonly epochStore: SharedEpochs
  /** Both look at the counters. */
  look(): Promise<void>
}

async function pair(): Promise<Pair> {
  const [epochStore, clock, layer] = [sharedEpochs(), manualClock(), sharedLayer(manualClock())]
  const [one, other] = [cached({ clock, epochStore, layers: [layer] }), cached({ clock, epochStore, layers: [layer] })]
  await Promise.all([one.cache.start(), other.cache.start()])
  return {
    one,
    other,
    epochStore,
    async look() {
      clock.advance(1_001)
      await settle()
    },
  }
}

const keyOf = ({ cache }: Cached, body = chat('hi')): string => cache.explain(requestOf('/api/chat', body), newCall()).entries[0]?.key ?? ''

describe('a purge by key', () => {
  it('takes the entry out of the memory of every replica within one look, and no other', async () => {
    const { one, other, look } = await pair()
    for (const body of [chat('hi'), chat('ho')]) expect([await served(one, body), await served(other, body)]).toEqual(['miss', 'hit'])
    expect(await one.cache.purge({ key: keyOf(one) }, { dryRun: false })).toMatchObject({ memory: 1, shared: true })
    await look()
    expect([await served(other), await served(one)]).toEqual(['miss', 'hit'])
    expect([await served(one, chat('ho')), await served(other, chat('ho'))]).toEqual(['hit', 'hit'])
  })

  it('can be said again, by the key before and by the one after', async () => {
    const { one, other, look } = await pair()
    const first = keyOf(one)
    await one.cache.purge({ key: first }, { dryRun: false })
    await look()
    const second = keyOf(other)
    expect(second).not.toBe(first)
    for (const key of [first, second, second]) {
      await served(one)
      expect(await served(other)).toBe('hit')
      await one.cache.purge({ key }, { dryRun: false })
      await look()
      expect(await served(other)).toBe('miss')
    }
  })

  it('says that the others were not told while the store is away, and tells them when it is back', async () => {
    const { one, other, epochStore, look } = await pair()
    await served(one)
    await served(other)
    epochStore.up = false
    expect(await one.cache.purge({ key: keyOf(one) }, { dryRun: false })).toMatchObject({ shared: false })
    expect(await served(one)).toBe('miss')
    epochStore.up = true
    await look()
    await look()
    expect(await served(other)).not.toBe('hit')
  })

  it('stores nothing of an answer that another replica had under way', async () => {
    const { one, other, look } = await pair()
    const live = take(other.ask(chat('hi')))
    await settle()
    await one.cache.purge({ key: keyOf(one) }, { dryRun: false })
    await look()
    other.upstream.at(0).begin(text).end()
    expect((await live).text).toBe(text)
    expect(other.cache.stats()).toMatchObject({ stored: 0, refusals: { purged: 1 } })
    expect(await served(other)).toBe('miss')
  })

  it('takes a vector out of the memory of every replica', async () => {
    const epochStore = sharedEpochs()
    const [one, other] = [setup([], {}, { epochStore }), setup([], {}, { epochStore })]
    await Promise.all([one.cache.start(), other.cache.start()])
    for (const { ask } of [one, other]) await ask({ input: ['a', 'b'] })
    const keys: string[] = []
    const layer = sharedLayer(manualClock())
    const spy = setup([layer], {}, { epochStore })
    layer.putMany = (entries) => {
      keys.push(...entries.map(({ key }) => key))
      return Promise.resolve(true)
    }
    await spy.cache.start()
    await spy.ask({ input: 'a' })
    const [key = ''] = keys
    expect(await one.cache.purge({ key }, { dryRun: false })).toMatchObject({ memory: 1, shared: true })
    other.clock.advance(1_001)
    await settle()
    await other.ask({ input: ['a', 'b'] })
    expect(other.node.calls).toEqual([['a', 'b'], ['a']])
  })
})
