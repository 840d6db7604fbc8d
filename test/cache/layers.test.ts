/** Layers behind memory, and caching.md §11 Consistency: C1 and C6; of HTTP H2; what a layer may do wrong. */
import { describe, expect, it } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import type { Tags } from '../../src/cache/tags.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { newCall, take } from './ask.ts'
import { cached, type Cached, chat, settle } from './cached.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { chatLines } from './scripted.ts'
import { sharedEpochs, sharedLayer, sharedLease } from './shared-layer.ts'

const text = chatLines(['One', ' two']).join('')

async function fill({ ask, upstream, cache }: Cached, body = chat('hi')): Promise<void> {
  const answer = take(ask(body))
  await settle()
  upstream.at(-1).begin(text).end()
  await answer
  await cache.idle()
}

describe('a layer behind memory', () => {
  it('serves what another replica stored, and memory has it from then on', async () => {
    const layer = sharedLayer(manualClock())
    const [one, other] = [cached({ layers: [layer] }), cached({ layers: [layer] })]
    await fill(one)
    const hit = await take(other.ask(chat('hi')))
    expect(hit).toMatchObject({ text, cache: 'hit', headers: { 'cache-status': expect.stringMatching(/detail=redis$/) } })
    expect(hit.outcome.cached).toBe(true)
    const gets = layer.gets
    expect((await take(other.ask(chat('hi')))).headers['cache-status']).toMatch(/detail=memory$/)
    expect(layer.gets).toBe(gets)
    expect(other.upstream.calls).toHaveLength(0)
  })

  it('C7: a purge by key is not undone by a look-up or a write that was under way', async () => {
    const layer = sharedLayer(manualClock())
    const [one, other] = [cached({ layers: [layer] }), cached({ layers: [layer] })]
    await fill(one)
    const get = layer.get.bind(layer)
    let answer: () => void = () => undefined
    layer.get = (key, tags) => {
      const found = get(key, tags)
      return new Promise((resolve) => (answer = () => resolve(found)))
    }
    const asked = take(other.ask(chat('hi')))
    const [slot = ''] = layer.kept.keys()
    await other.cache.purge({ key: slot.slice(0, 64) }, { dryRun: false })
    layer.get = get
    answer()
    await settle()
    other.upstream.at(0).begin(text).end()
    expect((await asked).cache).toBe('miss')
    expect(other.cache.stats().memory.entries).toBe(0)
    const put = layer.put.bind(layer)
    const waiting: (() => void)[] = []
    layer.put = (key, bytes, facts) => new Promise((resolve) => waiting.push(() => void put(key, bytes, facts)?.then(resolve)))
    for (const word of ['a', 'b', 'c', 'd', 'e']) {
      const filling = take(one.ask(chat(word)))
      await settle()
      one.upstream.at(-1).begin(text).end()
      await filling
    }
    await one.cache.purge({ key: '0'.repeat(64) }, { dryRun: false })
    for (const write of waiting) write()
    await one.cache.idle()
    expect([waiting.length, layer.kept.size]).toEqual([4, 4])
  })

  it('is asked once for all that come meanwhile', async () => {
    const layer = sharedLayer(manualClock())
    const [one, other] = [cached({ layers: [layer] }), cached({ layers: [layer] })]
    await fill(one)
    const before = layer.gets
    const all = await Promise.all(Array.from({ length: 20 }, () => take(other.ask(chat('hi')))))
    expect(layer.gets - before).toBe(1)
    expect(new Set(all.map((taken) => taken.text))).toEqual(new Set([text]))
  })

  it('adds up a stream of another replica for a request without one', async () => {
    const layer = sharedLayer(manualClock())
    const [one, other] = [cached({ layers: [layer] }), cached({ layers: [layer] })]
    await fill(one)
    const whole = await take(other.ask(chat('hi', { stream: false })))
    expect(whole.cache).toBe('hit')
    expect(JSON.parse(whole.text)).toMatchObject({ message: { content: 'One two' } })
  })

  it.each(['skip', 'reject'] as const)('that is down (%s) costs no request', async (mode) => {
    const layer = sharedLayer(manualClock())
    const built = cached({ layers: [layer] })
    layer.mode = mode
    await fill(built)
    expect((await take(built.ask(chat('hi')))).cache).toBe('hit')
    expect(built.upstream.calls).toHaveLength(1)
  })

  it('is passed over for the next one', async () => {
    const [near, far] = [sharedLayer(manualClock()), sharedLayer(manualClock(), 'postgres')]
    const [one, other] = [cached({ layers: [near, far] }), cached({ layers: [near, far] })]
    await fill(one)
    near.mode = 'skip'
    expect((await take(other.ask(chat('hi')))).headers['cache-status']).toMatch(/detail=postgres$/)
  })

  it('that gives back changed bytes is a miss, and the entry goes', async () => {
    for (let at = 0; at < 40; at += 1) {
      const layer = sharedLayer(manualClock())
      const [one, other] = [cached({ layers: [layer] }), cached({ layers: [layer] })]
      await fill(one)
      const [[key, kept] = []] = layer.kept
      if (key === undefined || kept === undefined) throw new Error('nothing stored')
      kept.bytes = Buffer.from(kept.bytes)
      const place = Math.floor((at * kept.bytes.length) / 40)
      kept.bytes[place] = (kept.bytes[place] ?? 0) ^ 1
      const answer = take(other.ask(chat('hi')))
      await settle()
      other.upstream
        .at(0)
        .begin(chatLines(['anew']).join(''))
        .end()
      expect((await answer).text).toContain('anew')
      expect(other.cache.stats().layers[0]?.corrupt).toBe(1)
    }
  })

  it.each([['half'], ['empty'], ['garbage']])('that gives back %s bytes is a miss', async (how) => {
    const layer = sharedLayer(manualClock())
    const [one, other] = [cached({ layers: [layer] }), cached({ layers: [layer] })]
    await fill(one)
    for (const kept of layer.kept.values()) {
      kept.bytes = how === 'half' ? kept.bytes.subarray(0, kept.bytes.length / 2) : Buffer.from(how === 'empty' ? '' : 'x'.repeat(300))
    }
    const answer = take(other.ask(chat('hi')))
    await settle()
    other.upstream.at(0).begin(text).end()
    expect((await answer).cache).toBe('miss')
  })

  it('gets its writes behind the answers, a bounded number of them', async () => {
    const layer = sharedLayer(manualClock())
    const held: (() => void)[] = []
    const slow = { ...layer, put: () => new Promise<boolean>((resolve) => void held.push(() => resolve(true))) }
    const built = cached({ layers: [slow] })
    for (let index = 0; index < 1_100; index += 1) {
      const answer = take(built.ask(chat(`question ${index}`)))
      await settle()
      built.upstream.at(-1).begin(text).end()
      await answer
    }
    expect(built.cache.stats().layers[0]?.writes).toMatchObject({ queued: 1_000, dropped: 96, written: 0 })
    const idle = built.cache.idle()
    while (built.cache.stats().layers[0]?.writes.written !== 1_004) {
      for (const done of held.splice(0)) done()
      await settle()
    }
    await idle
  })

  it.each([
    ['kept', () => Promise.resolve(true), { written: 1 }],
    ['not for this layer', () => Promise.resolve(false), { declined: 1 }],
    ['refused by a layer that is left alone', (): null => null, { dropped: 1 }],
    ['failed', (): Promise<boolean> => Promise.reject(new Error('down')), { failed: 1 }],
  ] as const)('counts a write that was %s as that alone', async (_, put, counted) => {
    const built = cached({ layers: [{ ...sharedLayer(manualClock()), put }] })
    await fill(built)
    await built.cache.idle()
    const none = { queued: 0, queuedBytes: 0, written: 0, declined: 0, dropped: 0, failed: 0 }
    expect(built.cache.stats().layers[0]?.writes).toEqual({ ...none, ...counted })
  })

  it('H2: the age goes on from there, never back', async () => {
    const clocks = [manualClock(), manualClock(5_000_000), manualClock(77)] as const
    const layer = sharedLayer(clocks[2])
    const [one, other] = [cached({ layers: [layer], clock: clocks[0] }), cached({ layers: [layer], clock: clocks[1] })]
    await fill(one)
    let last = 0
    for (let step = 0; step < 6; step += 1) {
      for (const clock of clocks) clock.advance(1_700)
      const ages = [await take(one.ask(chat('hi'))), await take(other.ask(chat('hi')))].map(({ headers }) => Number(headers.age))
      expect(ages[1]).toBe(ages[0])
      expect(ages[0]).toBeGreaterThanOrEqual(last)
      last = ages[0] ?? 0
    }
    expect(last).toBe(10)
  })

  it.each([-3_600_000, 3_600_000])('C6: wall clocks %d ms apart change no decision', async (apartMs) => {
    const host = manualClock()
    const here = manualClock()
    const skewed = { ...here, wallMs: () => here.nowMs() + apartMs }
    const layer = sharedLayer(host)
    const options = { ttlMs: { inference: 10_000 }, staleMs: 10_000 }
    const [one, other] = [cached({ layers: [layer], clock: host, options }), cached({ layers: [layer], clock: skewed, options })]
    await fill(one)
    host.advance(9_000)
    here.advance(9_000)
    expect((await take(other.ask(chat('hi')))).headers).toMatchObject({ age: '9' })
    host.advance(2_000)
    here.advance(2_000)
    const stale = take(other.ask(chat('hi')))
    await settle()
    other.upstream.at(0).begin(text).end()
    expect((await stale).headers['cache-status']).toBe('corral;fwd=stale')
  })
})

describe('a lease among replicas', () => {
  it('four replicas make one upstream call, and all get its answer', async () => {
    const [layer, lease] = [sharedLayer(manualClock()), sharedLease()]
    const replicas = Array.from({ length: 4 }, () => cached({ layers: [layer], lease }))
    const all = replicas.flatMap(({ ask }) => [take(ask(chat('hi'))), take(ask(chat('hi')))])
    await settle()
    const calls = replicas.flatMap(({ upstream }) => upstream.calls)
    expect(calls).toHaveLength(1)
    calls[0]?.begin(text).end()
    expect(new Set((await Promise.all(all)).map((taken) => taken.text))).toEqual(new Set([text]))
    expect(replicas.flatMap(({ upstream }) => upstream.calls)).toHaveLength(1)
    expect(lease.held.size).toBe(0)
  })

  it('an answer that is not stored, a failure and a leaving client give the turn to another', async () => {
    for (const how of ['limit', 'failure', 'leave'] as const) {
      const [layer, lease] = [sharedLayer(manualClock()), sharedLease()]
      const [one, other] = [cached({ layers: [layer], lease }), cached({ layers: [layer], lease })]
      const call = newCall()
      const first = take(one.ask(chat('hi'), { call })).catch(() => null)
      await settle()
      const second = take(other.ask(chat('hi')))
      await settle()
      expect(other.upstream.calls).toHaveLength(0)
      if (how === 'limit')
        one.upstream
          .at(0)
          .begin(chatLines(['One'], { reason: 'length' }).join(''))
          .end()
      else if (how === 'failure') one.upstream.at(0).fail(new CorralError('node_failed', 'broken'))
      else call.signal.abort('client gone')
      one.clock.advance(250)
      await first
      await settle()
      expect(other.upstream.calls, how).toHaveLength(1)
      other.upstream.at(0).begin(text).end()
      expect((await second).text).toBe(text)
      await other.cache.idle()
      expect(lease.held.size).toBe(0)
    }
  })

  it('an answer that came between the look and the turn is not asked for again', async () => {
    const [layer, lease] = [sharedLayer(manualClock()), sharedLease()]
    const one = cached({ layers: [layer], lease })
    let isFirst = true
    const late = {
      ...layer,
      get: (key: string, tags: Tags) => {
        if (!isFirst) return layer.get(key, tags)
        isFirst = false
        return Promise.resolve(null)
      },
    }
    await fill(one)
    const reader = cached({ layers: [late], lease })
    expect((await take(reader.ask(chat('hi')))).cache).toBe('hit')
    expect(reader.upstream.calls).toHaveLength(0)
    expect(lease.held.size).toBe(0)
  })

  it.each(['skip', 'reject'] as const)('that cannot be asked (%s) leaves each replica to itself', async (mode) => {
    const [layer, lease] = [sharedLayer(manualClock()), sharedLease()]
    lease.mode = mode
    const replicas = [cached({ layers: [layer], lease }), cached({ layers: [layer], lease })]
    const all = replicas.map(({ ask }) => take(ask(chat('hi'))))
    await settle()
    for (const { upstream } of replicas) {
      expect(upstream.calls).toHaveLength(1)
      upstream.at(0).begin(text).end()
    }
    await Promise.all(all)
  })

  it('a look-up under way is not joined by who bounds an age', async () => {
    const host = manualClock()
    const layer = sharedLayer(host)
    const [one, other] = [cached({ layers: [layer], clock: host }), cached({ layers: [layer], clock: host })]
    await fill(one)
    host.advance(60_000)
    const old = take(other.ask(chat('hi')))
    const strict = take(other.ask(chat('hi'), { headers: ['cache-control', 'max-age=30'] }))
    await settle()
    other.upstream
      .at(0)
      .begin(chatLines(['anew']).join(''))
      .end()
    expect((await old).headers.age).toBe('60')
    expect((await strict).text).toContain('anew')
  })
})

describe('C1: replicas and purges', () => {
  it('C1: no answer is older than a purge that was told two polls ago, whatever the order of events', async () => {
    for (let seed = 1; seed <= 40; seed += 1) await play(seed)
  })

  it('C1: a replica that cannot tell the others purges itself at once and tells them later', async () => {
    const epochStore = sharedEpochs()
    const clock = manualClock()
    const [one, other] = [cached({ clock, epochStore }), cached({ clock, epochStore })]
    await Promise.all([one.cache.start(), other.cache.start()])
    await Promise.all([fill(one), fill(other)])
    epochStore.up = false
    expect(await one.cache.purge({ tenant: 'a' }, { dryRun: false })).toMatchObject({ shared: false })
    expect((await take(other.ask(chat('hi')))).cache).toBe('hit')
    await fill(one)
    expect(one.upstream.calls).toHaveLength(2)
    epochStore.up = true
    for (let poll = 0; poll < 2; poll += 1) {
      clock.advance(1_001)
      await settle()
    }
    await fill(other)
    expect(other.upstream.calls).toHaveLength(2)
  })

  it('C1: what could not be told is told within a second of the store being back, however seldom it is looked at', async () => {
    const epochStore = sharedEpochs(60_000)
    const clock = manualClock()
    const { cache } = cached({ clock, epochStore })
    await cache.start()
    epochStore.up = false
    await cache.purge({ tenant: 'a' }, { dryRun: false })
    clock.advance(5_000)
    await settle()
    expect(await sharedAfter(epochStore)).toEqual({})
    clock.advance(1_001)
    await settle()
    expect(Object.values(await sharedAfter(epochStore))).toEqual([1])
  })
})

/** What the store holds once it is back. */
function sharedAfter(epochStore: ReturnType<typeof sharedEpochs>): Promise<Readonly<Record<string, number>>> {
  epochStore.up = true
  return epochStore.load()
}

/** Three replicas, one slow layer and one store of epochs, which is away now and then; the upstream says how many purges there were. */
async function play(seed: number): Promise<void> {
  const random = randomSequence(seed)
  const clock = manualClock()
  const layer = sharedLayer(clock)
  const epochStore = sharedEpochs()
  const version = { now: 0 }
  const told: { readonly atMs: number; readonly version: number }[] = []
  const onCall: NonNullable<Parameters<typeof cached>[0]>['onCall'] = (call) => call.begin(chatLines([`v${version.now}.`]).join('')).end()
  const replicas = [1, 2, 3].map(() => cached({ clock, layers: [layer], epochStore, onCall }))
  await Promise.all(replicas.map(({ cache }) => cache.start()))
  for (let step = 0; step < 60; step += 1) {
    const replica = replicas[Math.floor(random() * replicas.length)]
    if (replica === undefined) continue
    epochStore.up = random() > 0.1
    if (random() < 0.15) {
      version.now += 1
      const { shared } = await replica.cache.purge({ tenant: 'a' }, { dryRun: false })
      if (shared) told.push({ atMs: clock.nowMs(), version: version.now })
      const { text: own } = await take(replica.ask(chat('hi')))
      expect(own).toContain(`v${version.now}.`)
    } else {
      const { text: got } = await take(replica.ask(chat('hi')))
      const known = told.findLast(({ atMs }) => atMs < clock.nowMs() - 2_100)?.version ?? 0
      expect(Number(/v(\d+)\./.exec(got)?.[1])).toBeGreaterThanOrEqual(known)
    }
    epochStore.up = true
    clock.advance(Math.floor(random() * 900))
    await settle()
  }
}
