// Searches that were made before: found again while nothing they looked at has changed, and never after an edit.
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CallSignal } from '../../src/base/abort.ts'
import { type Cache, type CacheDeps, createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { newProgress } from '../../src/core/call.ts'
import type { SearchRequest } from '../../src/core/corpus.ts'
import { openPrincipal } from '../../src/core/principal.ts'
import { RetrievalCache } from '../../src/rag/retrieval-cache.ts'
import { sharedEpochs } from '../cache/shared-layer.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { until } from '../support/gateway.ts'

const request: SearchRequest = {
  tenant: 'local',
  collections: ['docs'],
  query: 'weight of copper',
  mode: 'hybrid',
  limit: 3,
  filter: [],
  facets: [],
  neighbours: 0,
  section: false,
  perDocument: false,
  reranker: null,
  explain: false,
}

const timings = { embedMs: 1, keywordMs: 1, vectorMs: 1, fuseMs: 1, rerankMs: 0, totalMs: 4 }

interface Play {
  readonly ask: (overrides?: Partial<SearchRequest>, headers?: readonly string[]) => Promise<boolean>
  version: number
  embedder: string
  degraded: boolean
  signal: AbortSignal
  /** Null: there must be none. */
  troubles: string[] | null
  looks: number
  readonly cache: Cache
  /** Waited for while a search is looked up. */
  during: () => Promise<void>
  /** What the last answer says of the cache. */
  role: string
}

function play(settings: object = {}, deps: Partial<CacheDeps> = {}): Play {
  const { clock = systemClock } = deps
  const options = () => cacheOptions.parse(settings)
  const secret = Buffer.alloc(32, 7)
  const build = { digestOf: () => 'd', digestsOf: () => [], engineEpoch: () => '' }
  const cache = createCache({ options, clock, random: () => 0.5, secret, ...build, ...deps })
  onTestFinished(() => cache.close())
  const own: Play = {
    version: 1,
    embedder: 'a',
    degraded: false,
    signal: new AbortController().signal,
    troubles: null,
    looks: 0,
    role: '',
    cache,
    during: () => Promise.resolve(),
    ask,
  }
  const versions = (): Promise<Record<string, number>> => Promise.resolve({ docs: own.version })
  const kept = new RetrievalCache({
    store: cache.store,
    epochs: cache.epochs,
    options,
    secret,
    clock,
    versions,
    digestOf: () => 'd',
    embedderState: () => own.embedder,
    onTrouble(_, cause) {
      const { troubles } = own
      if (troubles === null || !(cause instanceof Error)) expect.fail(String(cause))
      troubles.push(cause.message)
    },
  })
  async function ask(overrides: Partial<SearchRequest> = {}, headers: readonly string[] = []): Promise<boolean> {
    const nowMs = clock.nowMs()
    const common = {
      id: 'c',
      receivedAtMs: nowMs,
      deadlineAtMs: nowMs + 1_000,
      priority: 'interactive',
      trace: null,
      explanation: null,
    } as const
    const call = { ...common, tenant: 'local', principal: openPrincipal, signal: new CallSignal(), progress: newProgress() }
    const limits = { signal: own.signal, call, headers, route: '/rag/search', endsAtMs: nowMs + 1_000 }
    const answer = await kept.through({ ...request, ...overrides }, limits, async () => {
      own.looks += 1
      await own.during()
      const degraded = own.degraded ? { reason: 'no embedder' } : null
      return { results: [], facets: {}, timings, degraded, versions: { docs: own.version } }
    })
    own.role = answer.cacheRole
    return answer.cached
  }
  return own
}

test('an equal search is found again; another query, limit, filter or tenant is not', async () => {
  const it = play()
  expect(await it.ask()).toBe(false)
  expect(await it.ask()).toBe(true)
  const others: Partial<SearchRequest>[] = [
    { query: 'weight of tin' },
    { limit: 4 },
    { filter: [{ field: 'a', op: 'eq', value: 1 }] },
    { tenant: 'other' },
    { mode: 'keyword' },
    { fusionWeight: 0.1 },
  ]
  for (const other of others) expect([other, await it.ask(other)]).toEqual([other, false])
  expect(it.looks).toBe(1 + others.length)
})

test('a search that ends soon is made anew by one who asks, and still given when that is not whole', async () => {
  const clock = manualClock()
  const it = play({ ttlMs: { retrieval: 1_000 } }, { clock, random: () => 0.999 })
  await it.ask()
  // Its life is a tenth longer by this random number, and making it took 4 ms.
  clock.advance(1_050)
  expect([await it.ask(), it.looks]).toEqual([true, 1])
  clock.advance(40)
  it.degraded = true
  expect([await it.ask(), it.looks]).toEqual([true, 2])
  expect([await it.ask(), it.looks]).toEqual([true, 2])
})

test('a kept search is given in time when it cannot be made anew in half of the time that is left', async () => {
  const clock = manualClock()
  const it = play({ ttlMs: { retrieval: 1_000 } }, { clock, random: () => 0.999 })
  await it.ask()
  clock.advance(1_090)
  it.during = () => new Promise(() => undefined)
  it.troubles = []
  const asked = it.ask()
  await until(() => it.looks === 2, 'it is looked up anew')
  clock.advance(500)
  expect([await asked, it.role]).toEqual([true, 'hit'])
  expect(it.troubles).toEqual(['a search was not made anew within 500 ms'])
})

test('an edit makes every search of its collection a new one', async () => {
  const it = play()
  await it.ask()
  it.version += 1
  expect(await it.ask()).toBe(false)
  it.embedder = 'another build'
  expect(await it.ask()).toBe(false)
})

test('a purge on one replica makes every search of the tenant a new one on the others', async () => {
  const epochStore = sharedEpochs(10)
  const [one, other] = [play({}, { epochStore }), play({}, { epochStore })]
  await Promise.all([one.cache.start(), other.cache.start()])
  await other.ask()
  expect(await other.ask()).toBe(true)
  await one.cache.purge({ tenant: 'local', kind: 'retrieval' }, { dryRun: false })
  await until(() => other.cache.epochs.version > 0, 'the other replica heard of it')
  expect([await other.ask(), await other.ask()]).toEqual([false, true])
})

test('a search that was under way at a purge is not found after it', async () => {
  const it = play()
  it.during = async () => void (await it.cache.purge({ tenant: 'local' }, { dryRun: false }))
  await it.ask()
  it.during = () => Promise.resolve()
  expect(await it.ask()).toBe(false)
})

test('what is degraded, explained, or not to be stored is not kept', async () => {
  const it = play()
  it.degraded = true
  await it.ask()
  it.degraded = false
  expect(await it.ask()).toBe(false)
  await it.ask({ query: 'x', explain: true })
  expect(await it.ask({ query: 'x', explain: true })).toBe(false)
  await it.ask({ query: 'y' }, ['cache-control', 'no-store'])
  expect(await it.ask({ query: 'y' })).toBe(false)
  expect(await it.ask({ query: 'y' }, ['cache-control', 'no-cache'])).toBe(false)
  expect(await it.ask({ query: 'y' })).toBe(true)
})

test('a client that limits the age of what it gets is searched for anew, and the new result is kept', async () => {
  const it = play()
  await it.ask()
  expect(await it.ask({}, ['cache-control', 'max-age=60'])).toBe(false)
  expect(await it.ask()).toBe(true)
})

test('only-if-cached gets what is kept or a cache_miss, and nothing is looked up', async () => {
  const it = play()
  const only = ['cache-control', 'only-if-cached']
  await expect(it.ask({}, only)).rejects.toMatchObject({ code: 'cache_miss' })
  await expect(it.ask({ explain: true }, only)).rejects.toMatchObject({ code: 'cache_miss' })
  expect(it.looks).toBe(0)
  await it.ask()
  expect(await it.ask({}, only)).toBe(true)
  it.version += 1
  await expect(it.ask({}, only)).rejects.toMatchObject({ code: 'cache_miss' })
  expect(it.looks).toBe(1)
})

test('hit, miss and bypass are told apart', async () => {
  const it = play()
  const roles: string[] = []
  for (const headers of [[], [], ['cache-control', 'no-cache'], ['cache-control', 'no-store'], ['x-corral-cache', 'off']]) {
    await it.ask({}, headers)
    roles.push(it.role)
  }
  await it.ask({ explain: true })
  expect([...roles, it.role]).toEqual(['miss', 'hit', 'miss', 'bypass', 'bypass', 'bypass'])
})

test.each([
  ['its kind', { kinds: { retrieval: false } }],
  ['the whole cache', { enabled: false }],
  ['the mode', { mode: 'off' }],
  ['the route', { routes: { '/rag/search': 'off' } }],
])('%s turns it off', async (_, settings) => {
  const it = play(settings)
  await it.ask()
  expect(await it.ask()).toBe(false)
})

test('a client may ask for what the mode leaves out, not for what its route leaves out, and for nothing where it has no say', async () => {
  const on = ['x-corral-cache', 'on']
  for (const [settings, isKept] of [
    [{ mode: 'off' }, true],
    [{ routes: { '/rag/search': 'off' } }, false],
    [{ mode: 'off', clientControl: false }, false],
  ] as const) {
    const it = play(settings)
    await it.ask({}, on)
    expect([settings, await it.ask({}, on)]).toEqual([settings, isKept])
  }
  const it = play({ clientControl: false })
  await it.ask({}, ['cache-control', 'no-store'])
  expect(await it.ask({}, ['cache-control', 'no-cache'])).toBe(true)
})
