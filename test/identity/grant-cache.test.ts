// What is remembered of a credential, for how long, and what happens while the store is down (F42).
import { describe, expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import { GrantCache } from '../../src/identity/grant-cache.ts'
import { type Checked, denied } from '../../src/identity/verdict.ts'
import { HandClock } from './fixture.ts'

const good: Checked = { kind: 'granted', principal: openPrincipal, expiresAtWallMs: Infinity, final: false }

class Source {
  asked = 0
  answer: Checked | CorralError = good
  readonly check = async (): Promise<Checked> => {
    this.asked += 1
    if (this.answer instanceof CorralError) throw this.answer
    return this.answer
  }
}

function setUp(max = 100) {
  const clock = new HandClock()
  const cache = new GrantCache({ freshMs: 60_000, outageMs: 60_000, max }, clock)
  const source = new Source()
  const ask = async (hash = 'h'): Promise<string> => {
    const verdict = await cache.resolve(hash, source.check)
    return verdict.kind === 'denied' ? verdict.reason : verdict.kind
  }
  return { clock, cache, source, ask }
}

const down = new CorralError('store_unavailable', 'down')

describe('a good credential', () => {
  test('is asked for once, then answered at once', async () => {
    const { cache, source, ask } = setUp()
    await ask()
    expect(cache.resolve('h', source.check)).toMatchObject({ kind: 'granted' })
    expect(source.asked).toBe(1)
  })

  test('is asked for once however many wait for it', async () => {
    const { source, ask } = setUp()
    expect(new Set(await Promise.all(Array.from({ length: 200 }, () => ask())))).toEqual(new Set(['granted']))
    expect(source.asked).toBe(1)
  })

  test('is renewed behind the back of whoever uses it, at half of its time', async () => {
    const { clock, cache, source, ask } = setUp()
    await ask()
    clock.pass(30_000)
    expect(cache.resolve('h', source.check)).toMatchObject({ kind: 'granted' })
    expect(cache.resolve('h', source.check)).toMatchObject({ kind: 'granted' })
    expect(source.asked).toBe(2)
  })

  test('that the source no longer knows is refused after the renewal', async () => {
    const { clock, source, ask } = setUp()
    await ask()
    source.answer = denied('revoked')
    clock.pass(30_000)
    expect(await ask()).toBe('granted')
    await Promise.resolve()
    expect(await ask()).toBe('revoked')
  })

  test('is never used for more than a minute without being asked for', async () => {
    const { clock, source, ask } = setUp()
    await ask()
    source.answer = denied('revoked')
    clock.pass(60_000)
    expect(await ask()).toBe('revoked')
  })

  test('that holds until it expires is not asked for again, and is refused from then on', async () => {
    const { clock, source, ask } = setUp()
    source.answer = { ...good, final: true, expiresAtWallMs: clock.wallMs() + 3_600_000 }
    await ask()
    clock.pass(3_599_999)
    expect(await ask()).toBe('granted')
    clock.pass(1)
    expect(await ask()).toBe('expired')
    expect(source.asked).toBe(1)
  })
})

describe('while the store is down', () => {
  test('a credential that was good stays good for a minute more, and then the store is to blame', async () => {
    const { clock, source, ask } = setUp()
    await ask()
    source.answer = down
    clock.pass(119_999)
    expect(await ask()).toBe('granted')
    clock.pass(1)
    expect(await ask()).toBe('undecided')
  })

  test('the store is asked at most once a second by a credential that is known', async () => {
    const { clock, source, ask } = setUp()
    await ask()
    source.answer = down
    clock.pass(60_000)
    for (let index = 0; index < 100; index += 1) await ask()
    expect(source.asked).toBe(2)
    clock.pass(1_000)
    await ask()
    expect(source.asked).toBe(3)
  })

  test('a credential that is not known is undecided, and nothing is remembered of that', async () => {
    const { source, ask } = setUp()
    source.answer = down
    expect(await ask()).toBe('undecided')
    source.answer = good
    expect(await ask()).toBe('granted')
  })

  test('a bug is not taken for an outage, and lets nobody in', async () => {
    const { cache } = setUp()
    const verdict = await cache.resolve('h', () => Promise.reject(new TypeError('a bug')))
    expect(verdict).toMatchObject({ kind: 'undecided', error: { code: 'internal', cause: new TypeError('a bug') } })
  })
})

describe('while the store hangs', () => {
  /** A credential that was good, a minute later, and a store that answers when it is told to. */
  async function hanging() {
    const stand = setUp()
    await stand.ask()
    stand.clock.pass(60_000)
    const looks: PromiseWithResolvers<Checked>[] = []
    const hang = (): Promise<Checked> => {
      const look = Promise.withResolvers<Checked>()
      looks.push(look)
      return look.promise
    }
    const fail = async (): Promise<void> => {
      looks.at(-1)?.reject(down)
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { ...stand, looks, fail, resolve: () => stand.cache.resolve('h', hang) }
  }

  test('a credential that was good waits a tenth of a second once, and not at all after that', async () => {
    const { clock, looks, resolve } = await hanging()
    const first = resolve()
    expect(first).toBeInstanceOf(Promise)
    clock.pass(99)
    const second = resolve()
    expect(second).toBeInstanceOf(Promise)
    clock.pass(1)
    expect(await Promise.all([first, second])).toMatchObject([{ kind: 'granted' }, { kind: 'granted' }])
    expect(resolve()).toMatchObject({ kind: 'granted' })
    expect(looks).toHaveLength(1)
  })

  test('it does not wait while the last look-up failed, and is looked up behind its back once a second', async () => {
    const { clock, looks, fail, resolve } = await hanging()
    void resolve()
    await fail()
    for (let second = 1; second <= 5; second += 1) {
      clock.pass(1_000)
      expect(resolve()).toMatchObject({ kind: 'granted' })
      expect(resolve()).toMatchObject({ kind: 'granted' })
      expect(looks).toHaveLength(second + 1)
      await fail()
    }
  })

  test('what the store says in the end counts', async () => {
    const { clock, looks, resolve } = await hanging()
    const first = resolve()
    clock.pass(100)
    expect(await first).toMatchObject({ kind: 'granted' })
    looks[0]?.resolve(denied('revoked'))
    await new Promise((done) => setImmediate(done))
    expect(resolve()).toMatchObject({ reason: 'revoked' })
  })

  test('a credential that is forgotten while it waits is not taken for good', async () => {
    const { clock, cache, fail, resolve } = await hanging()
    const first = resolve()
    cache.clear()
    clock.pass(100)
    await fail()
    expect(await first).toMatchObject({ kind: 'undecided' })
  })

  test('a quick answer is waited for', async () => {
    const { looks, resolve } = await hanging()
    const first = resolve()
    looks[0]?.resolve(denied('revoked'))
    expect(await first).toMatchObject({ reason: 'revoked' })
  })

  test('beyond the minute nothing is taken for good unasked', async () => {
    const { clock, fail, resolve } = await hanging()
    clock.pass(60_000)
    const verdict = resolve()
    await fail()
    expect(await verdict).toMatchObject({ kind: 'undecided' })
  })
})

describe('a bad credential', () => {
  test('is remembered for five seconds and no longer', async () => {
    const { clock, source, ask } = setUp()
    source.answer = denied('unknown')
    await ask()
    clock.pass(4_999)
    expect(await ask()).toBe('unknown')
    expect(source.asked).toBe(1)
    source.answer = good
    clock.pass(1)
    expect(await ask()).toBe('granted')
  })

  test('never pushes out a good one, however many there are', async () => {
    const { cache, source, ask } = setUp(10)
    await ask('good')
    source.answer = denied('unknown')
    for (let index = 0; index < 1_000; index += 1) await ask(`bad ${index}`)
    expect(cache.resolve('good', source.check)).toMatchObject({ kind: 'granted' })
  })
})

describe('a clear', () => {
  test('forgets good and bad ones', async () => {
    const { cache, source, ask } = setUp()
    await ask()
    cache.clear()
    await ask()
    expect(source.asked).toBe(2)
  })

  test('during a look-up keeps its result from being remembered', async () => {
    const { cache, source } = setUp()
    const answers: ((checked: Checked) => void)[] = []
    const slow = (): Promise<Checked> => new Promise((resolve) => void answers.push(resolve))
    const waiting = cache.resolve('h', slow)
    cache.clear()
    answers[0]?.(good)
    expect(await waiting).toMatchObject({ kind: 'granted' })
    source.answer = denied('revoked')
    expect(await cache.resolve('h', source.check)).toMatchObject({ reason: 'revoked' })
  })
})

test('beyond four thousand look-ups at once there are no more', async () => {
  const { cache } = setUp()
  const never = (): Promise<Checked> => new Promise(() => undefined)
  for (let index = 0; index < 4_000; index += 1) void cache.resolve(`h${index}`, never)
  expect(await cache.resolve('one more', never)).toMatchObject({ kind: 'undecided', error: { code: 'overloaded' } })
})
