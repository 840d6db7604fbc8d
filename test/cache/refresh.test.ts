/** An answer that a client had made anew, or that took the place of a stale one, is what everybody finds from then on. */
import { describe, expect, it } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { take, type Taken } from './ask.ts'
import { type AskOptions, cached, type Cached, chat, settle } from './cached.ts'
import { setup } from './embedding-setup.ts'
import { chatLines, type UpstreamCall } from './scripted.ts'
import { sharedLayer, type SharedLayer, sharedLease } from './shared-layer.ts'

/** Asks; a node that is asked says `word`. */
async function served({ ask, upstream, cache }: Cached, word: string, { body = chat('hi'), ...how }: AskOptions & { body?: object } = {}) {
  const before = upstream.calls.length
  const answer = take(ask({ ...body }, how))
  await settle()
  if (upstream.calls.length > before)
    upstream
      .at(-1)
      .begin(chatLines([word]).join(''))
      .end()
  const taken = await answer
  await cache.idle()
  return taken
}

const wordOf = ({ text }: Taken): string | undefined => /"content":"(\w+)"/.exec(text)?.[1]

function replicas(layer: SharedLayer, options: Readonly<Record<string, unknown>> = {}) {
  const clock = manualClock()
  const make = (): Cached => cached({ layers: [layer], clock, options })
  return { clock, make, one: make() }
}

describe('an answer asked for anew', () => {
  it('is what a replica finds that starts later', async () => {
    const { one, make } = replicas(sharedLayer(manualClock()))
    await served(one, 'old')
    expect(wordOf(await served(one, 'new', { headers: ['cache-control', 'no-cache'] }))).toBe('new')
    const found = await served(make(), 'other')
    expect([wordOf(found), found.cache]).toEqual(['new', 'hit'])
  })

  it('because what is there is older than wanted takes its place', async () => {
    const shared = manualClock()
    const { one, clock, make } = replicas(sharedLayer(shared))
    await served(one, 'old')
    for (const each of [clock, shared]) each.advance(60_000)
    const strict = make()
    expect(wordOf(await served(strict, 'new', { headers: ['cache-control', 'max-age=30'] }))).toBe('new')
    expect(wordOf(await served(make(), 'other', { headers: ['cache-control', 'max-age=30'] }))).toBe('new')
  })

  it('because it was stale takes its place, where stale ones are kept', async () => {
    const shared = manualClock()
    const { one, clock, make } = replicas(sharedLayer(shared), { ttlMs: { inference: 10_000 }, staleMs: 3_600_000 })
    await served(one, 'old')
    for (const each of [clock, shared]) each.advance(20_000)
    for (const replica of [make(), make()]) expect(wordOf(await served(replica, 'new'))).toBe('new')
    const found = await served(make(), 'other')
    expect([wordOf(found), found.cache]).toEqual(['new', 'hit'])
  })

  it('does not take the place of one that another replica made meanwhile', async () => {
    const { one, make } = replicas(sharedLayer(manualClock()))
    const other = make()
    const [first, second] = [take(one.ask(chat('hi'))), take(other.ask(chat('hi')))]
    await settle()
    for (const [{ upstream, cache }, word] of [
      [one, 'first'],
      [other, 'second'],
    ] as const) {
      upstream
        .at(0)
        .begin(chatLines([word]).join(''))
        .end()
      await cache.idle()
    }
    await Promise.all([first, second])
    expect(wordOf(await served(make(), 'third'))).toBe('first')
  })

  it.each([
    ['a stream', {}, { stream: false }],
    ['a whole one', { stream: false }, {}],
  ])('as %s is what the other form gives, too', async (_, form, otherForm) => {
    const layer = sharedLayer(manualClock())
    const { one, make } = replicas(layer)
    const ask = async (replica: Cached, word: string, fields: object, headers: readonly string[] = []): Promise<Taken> => {
      const before = replica.upstream.calls.length
      const answer = take(replica.ask(chat('hi', { ...fields }), { headers }))
      await settle()
      const call = replica.upstream.calls.length > before ? replica.upstream.at(-1) : null
      if (call?.request.stream === true) call.begin(chatLines([word]).join('')).end()
      else call?.whole(chatLines([word]).join('').split('\n').at(0)?.replace('"done":false', '"done":true,"done_reason":"stop"') ?? '')
      const taken = await answer
      await replica.cache.idle()
      return taken
    }
    for (const fields of [{}, { stream: false }]) await ask(one, 'old', fields)
    expect(wordOf(await ask(one, 'new', form, ['cache-control', 'no-cache']))).toBe('new')
    for (const replica of [one, make()]) expect(wordOf(await ask(replica, 'new', otherForm))).toBe('new')
  })

  it('is what a replica finds of vectors, too', async () => {
    const stored: boolean[] = []
    const layer = sharedLayer(manualClock())
    layer.putMany = (_, { replaces }) => {
      stored.push(replaces)
      return Promise.resolve(true)
    }
    const { ask, clock } = setup([layer], { ttlMs: { embedding: 10_000 }, staleMs: 3_600_000 })
    await ask({ input: 'a' })
    await ask({ input: 'a' }, { headers: ['cache-control', 'no-cache'] })
    layer.getMany = (keys) => Promise.resolve(new Map(keys.map((key) => [key, { bytes: entry, ageMs: 20_000, freshForMs: -1 }])))
    const entry = await new Promise<Buffer>((resolve) => {
      layer.putMany = (entries, { replaces }) => {
        stored.push(replaces)
        resolve(entries[0]?.bytes ?? Buffer.alloc(0))
        return Promise.resolve(true)
      }
      void ask({ input: 'b' }, { headers: ['cache-control', 'no-cache'] })
    })
    clock.advance(20_000)
    await ask({ input: 'c' })
    expect(stored).toEqual([false, true, true, true])
  })
})

describe('F6: an entry that many want and that ends', () => {
  it('is made anew once over four replicas, however many ask', async () => {
    const [shared, clock, lease] = [manualClock(), manualClock(), sharedLease()]
    const layer = sharedLayer(shared)
    const options = { ttlMs: { inference: 60_000 }, staleMs: 60_000 }
    const four = Array.from({ length: 4 }, () => cached({ layers: [layer], clock, lease, options }))
    const callsMade = (): number => four.reduce((sum, { upstream }) => sum + upstream.calls.length, 0)
    for (const replica of four) await served(replica, 'old')
    expect(callsMade()).toBe(1)
    for (const each of [clock, shared]) each.advance(70_000)
    const answers = four.flatMap(({ ask }) => Array.from({ length: 500 }, () => take(ask(chat('hi')))))
    await settle()
    expect(callsMade()).toBe(2)
    for (const replica of four)
      for (const call of replica.upstream.calls) if (call.call.progress.phase !== 'streaming') call.begin(chatLines(['new']).join('')).end()
    expect(new Set((await Promise.all(answers)).map(wordOf))).toEqual(new Set(['new']))
    expect(callsMade()).toBe(2)
  })

  it('is made anew before it ends by one of each replica at most, and nobody else waits: 500 ask a second, making it takes 5 s', async () => {
    const [shared, clock, lease] = [manualClock(), manualClock(), sharedLease()]
    const layer = sharedLayer(shared)
    const random = randomSequence(6)
    const ttlMs = 600_000
    const making = new Set<UpstreamCall>()
    const onCall = (call: UpstreamCall): void => {
      making.add(call)
      clock.after(5_000, () => call.begin(chatLines(['said']).join('')).end())
    }
    const options = { ttlMs: { inference: ttlMs } }
    const four = Array.from({ length: 4 }, () => cached({ layers: [layer], clock, lease, options, random, onCall }))
    const advance = async (ms: number): Promise<void> => {
      for (const each of [clock, shared]) each.advance(ms)
      await settle()
    }
    const first = four.map(({ ask }) => take(ask(chat('hi'))))
    await settle()
    await advance(5_000)
    await Promise.all(first)
    making.clear()
    // Lives differ by a tenth: in this time every replica's entry ends.
    await advance(ttlMs * 0.85)
    let asked = 0
    let hits = 0
    const answers: Promise<void>[] = []
    for (let ms = 0; ms < ttlMs * 0.3; ms += 10) {
      for (let each = 0; each < 5; each += 1) {
        const { ask } = four[asked % 4] ?? raise()
        asked += 1
        answers.push(ask(chat('hi')).then(({ provenance }) => void (hits += provenance.cache === 'hit' ? 1 : 0)))
      }
      await advance(10)
    }
    await advance(10_000)
    await Promise.all(answers)
    expect(making.size).toBeGreaterThan(0)
    expect(making.size).toBeLessThanOrEqual(4)
    expect((asked - hits) / asked).toBeLessThan(0.001)
  })

  /** One that took 5 s to make and lasts 110 more, and who is drawn when it is asked for near its end. */
  async function kept(options: Readonly<Record<string, unknown>> = {}) {
    const built = cached({ options: { ttlMs: { inference: 100_000 }, ...options }, random: () => 0.999 })
    const live = take(built.ask(chat('hi')))
    await settle()
    built.clock.advance(5_000)
    built.upstream
      .at(0)
      .begin(chatLines(['old']).join(''))
      .end()
    await live
    return built
  }

  /** Of one that was drawn to make anew what has 5 s of its 110 left, and the upstream call that it waits for. */
  async function drawn({ headers = [], staleMs = 0 }: { headers?: readonly string[]; staleMs?: number } = {}) {
    const built = await kept({ staleMs })
    const { ask, upstream, clock } = built
    clock.advance(105_000)
    const answer = take(ask(chat('hi'), { headers }))
    await settle()
    return { ...built, answer, renewal: upstream.at(1) }
  }

  it('is still given when making it anew before its end fails, and is not made anew again at once', async () => {
    const { ask, upstream, answer, renewal } = await drawn()
    expect(upstream.calls).toHaveLength(2)
    expect((await take(ask(chat('hi')))).cache).toBe('hit')
    renewal.fail(new CorralError('node_failed', 'broken'))
    expect([await answer, await take(ask(chat('hi')))].map((taken) => [wordOf(taken), taken.cache])).toEqual([
      ['old', 'hit'],
      ['old', 'hit'],
    ])
    expect(upstream.calls).toHaveLength(2)
  })

  const fails: readonly (readonly [string, (renewal: UpstreamCall) => void])[] = [
    ['a failure', (renewal) => renewal.fail(new CorralError('node_failed', 'broken'))],
    ['a 503', (renewal) => renewal.whole('{"error":"busy"}', { status: 503 })],
    ['a 404', (renewal) => renewal.whole('{"error":"model not found"}', { status: 404 })],
  ]

  it.each(fails)('is given while it is fresh in place of %s', async (_, fail) => {
    const { answer, renewal } = await drawn()
    fail(renewal)
    const taken = await answer
    expect([wordOf(taken), taken.cache]).toEqual(['old', 'hit'])
  })

  const outcomeOf = (answer: Promise<Taken>): Promise<string | number | undefined> =>
    answer.then(
      (taken) => wordOf(taken) ?? taken.status,
      (thrown) => (thrown instanceof CorralError ? thrown.code : String(thrown)),
    )

  const purge = ({ cache }: Cached): Promise<unknown> => cache.purge({}, { dryRun: false })
  const changes: readonly (readonly [string, readonly string[], (built: Cached) => unknown])[] = [
    ['purged', [], purge],
    ['purged, to one who takes a stale one', ['cache-control', 'stale-if-error=999'], purge],
    ['of another build', [], ({ digests }: Cached) => void digests.set('llama3:latest', 'd2')],
    ['over', [], ({ clock }: Cached) => clock.advance(600_000)],
    ['older than wanted', ['cache-control', 'max-age=106'], ({ clock }: Cached) => clock.advance(2_000)],
    ['longer over than a failure excuses', ['cache-control', 'stale-if-error=60'], ({ clock }: Cached) => clock.advance(600_000)],
  ]

  it.each(changes)('is not given when making it anew fails after it is %s', async (_, headers, change) => {
    const told = []
    for (const [, fail] of fails) {
      const built = await drawn({ headers, staleMs: 900_000 })
      await change(built)
      fail(built.renewal)
      told.push(await outcomeOf(built.answer))
    }
    expect(told).toEqual(['node_failed', 503, 404])
  })

  it('is given when it ended while making it anew failed, to one who takes that', async () => {
    for (const control of ['stale-if-error=999', 'max-stale=999']) {
      const { answer, renewal, clock } = await drawn({ headers: ['cache-control', control], staleMs: 900_000 })
      clock.advance(600_000)
      renewal.fail(new CorralError('node_failed', 'broken'))
      expect(wordOf(await answer)).toBe('old')
    }
  })

  it.each([
    ['not long before its end', 90_000, [], 'hit'],
    ['shortly before its end', 105_000, [], 'miss'],
    ['shortly before its end, by one who takes no other', 105_000, ['cache-control', 'only-if-cached'], 'hit'],
  ])('is given or made anew: %s', async (_, ageMs, headers, role) => {
    const { ask, upstream, clock } = await kept()
    clock.advance(ageMs)
    const taken = take(ask(chat('hi'), { headers }))
    await settle()
    if (upstream.calls.length > 1)
      upstream
        .at(1)
        .begin(chatLines(['new']).join(''))
        .end()
    expect((await taken).cache).toBe(role)
  })
})

function raise(): never {
  throw new Error('no replica')
}
