// The records one by one, on each kind of store: what they say, who sees which, pages and their cursors, and when they go.
import { beforeAll, describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Answer, InferenceRequest, Outcome, StreamAnswer } from '../../src/core/relay.ts'
import { ByteQueue } from '../../src/base/byte-queue.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { migrations } from '../../src/migrations.ts'
import { createUsageLedger } from '../../src/limits/usage-ledger.ts'
import { parseHistoryQuery, UsageHistory } from '../../src/limits/usage-history.ts'
import { UsageSweep } from '../../src/limits/usage-sweep.ts'
import type { OpenableDatabase } from '../../src/store/store.ts'
import { migrate } from '../../src/store/migrate.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { options, principal } from './plans.ts'

const dayMs = 86_400_000
const provenance = { node: 'n1', reason: 'only', attempts: 2, dispatchedAtMs: 0 }
const outcome: Outcome = { kind: 'ok', usage: null, frames: 1, bytes: 1, error: null }
const whole: Answer = { kind: 'whole', status: 200, headers: {}, body: Buffer.alloc(0), outcome, provenance }
const all = { limit: 100 }

describeStores(storeKinds, (servers) => {
  let database: OpenableDatabase
  let history: UsageHistory
  /** Moved by the tests: when answers end. */
  let wallMs = Date.parse('2026-11-01T00:00:00.000Z')
  let nowMs = 10_000
  const clock = { ...systemClock, after: systemClock.after.bind(systemClock), wallMs: () => wallMs, nowMs: () => nowMs }

  beforeAll(async () => {
    database = await servers.open()
    await migrate(database, migrations, systemClock)
    history = new UsageHistory(database, 'the secret of this test')
    return () => database.close()
  })

  interface Asked {
    readonly tenant?: string
    readonly subject?: string
    readonly id?: string
    readonly path?: string
  }

  /** One request through the ledger that ends as `end` says. */
  async function record(
    end: Answer | CorralError,
    { tenant = 'acme', subject = 'key-1', id = 'r', path = '/api/chat' }: Asked = {},
  ): Promise<void> {
    const budgets = new Budgets(systemClock, () => 100)
    const replica = `replica-${Math.random()}`
    const kept = { classOf: () => '', budgetsOf: () => [], budgets }
    const ledger = createUsageLedger({ database, clock, options: () => options({}), replica, ...kept })
    const relay = ledger.layer(() => (end instanceof CorralError ? Promise.reject(end) : Promise.resolve(end)))
    const request: InferenceRequest = makeRequest(path, { model: 'small', messages: [] })
    await relay(request, makeCall({ id, receivedAtMs: nowMs, principal: principal({ tenant, subject }) })).catch(() => null)
    await new Promise((resolve) => setImmediate(resolve))
    await ledger.flush()
    await ledger.close()
  }

  test('an entry says how it went, with times and tries, and no text', async () => {
    const settled = Promise.withResolvers<Outcome>()
    const stream: StreamAnswer = {
      kind: 'stream',
      status: 200,
      headers: {},
      frames: new ByteQueue(1_024),
      outcome: settled.promise,
      provenance: { ...provenance, firstDispatchedAtMs: nowMs + 40, dispatchedAtMs: nowMs + 130 },
    }
    const ledger = createUsageLedger({
      database,
      clock,
      options: () => options({}),
      classOf: () => '',
      budgetsOf: () => [],
      budgets: new Budgets(systemClock, () => 100),
      replica: 'replica-of-stream',
    })
    const call = makeCall({ id: 'streamed', receivedAtMs: nowMs, principal: principal({ tenant: 'times', subject: 'key-1' }) })
    await ledger.layer(async () => {
      nowMs += 250
      return stream
    })(makeRequest('/api/chat', { model: 'small', messages: [{ role: 'user', content: 'a secret text' }] }), call)
    await new Promise((resolve) => setImmediate(resolve))
    nowMs += 750
    const error = new CorralError('node_failed', 'it broke: with a text of the node')
    const usage = {
      promptTokens: 9,
      cachedPromptTokens: null,
      outputTokens: 3,
      loadMs: 12.4,
      promptMs: 30.6,
      outputMs: null,
      totalMs: null,
    }
    settled.resolve({ kind: 'truncated', usage, frames: 3, bytes: 9, error })
    await new Promise((resolve) => setImmediate(resolve))
    await ledger.flush()
    await ledger.close()
    const { requests } = await history.read(all, 'times')
    expect(requests).toEqual([
      expect.objectContaining({
        id: 'streamed',
        stream: true,
        ttftMs: 250,
        durationMs: 1_000,
        attempts: 2,
        outcome: 'truncated',
        error: 'node_failed',
        node: 'n1',
        model: 'small:latest',
        route: '/api/chat',
        reason: 'only',
        queueMs: 40,
        retryMs: 90,
        loadMs: 12,
        promptMs: 31,
        outputMs: null,
      }),
    ])
    expect(JSON.stringify(requests)).not.toMatch(/secret text|it broke/)
  })

  test('a request that got no answer stands there with its error', async () => {
    await record(new CorralError('no_node', 'nobody'), { tenant: 'failing' })
    const { requests } = await history.read(all, 'failing')
    expect(requests).toEqual([expect.objectContaining({ outcome: 'rejected', error: 'no_node', status: 503, ttftMs: null, attempts: 0 })])
  })

  test('filters hold, each and together', async () => {
    await record(whole, { tenant: 'filters', id: 'a', subject: 'one' })
    wallMs += 1_000
    await record(whole, { tenant: 'filters', id: 'b', subject: 'two', path: '/api/generate' })
    wallMs += 1_000
    await record(new CorralError('no_node', 'nobody'), { tenant: 'filters', id: 'c', subject: 'two' })
    const ids = async (parameters: Readonly<Record<string, string>>): Promise<string[]> =>
      (await history.read(parseHistoryQuery(parameters), 'filters')).requests.map(({ id }) => id)
    expect(await ids({})).toEqual(['c', 'b', 'a'])
    expect(await ids({ subject: 'two' })).toEqual(['c', 'b'])
    expect(await ids({ route: '/api/generate' })).toEqual(['b'])
    expect(await ids({ outcome: 'rejected', subject: 'two' })).toEqual(['c'])
    expect(await ids({ model: 'other' })).toEqual([])
    expect(await ids({ model: 'small' })).toHaveLength(3)
    expect(await ids({ from: new Date(wallMs).toISOString() })).toEqual(['c'])
    expect(await ids({ to: new Date(wallMs).toISOString() })).toEqual(['b', 'a'])
    expect(await ids({ tenant: 'acme' })).toEqual([])
  })

  describe('pages', () => {
    beforeAll(async () => {
      // Five of one moment: only the row tells them apart.
      for (let index = 0; index < 5; index += 1) await record(whole, { tenant: 'paged', id: `same-${index}` })
      wallMs += 1_000
      for (let index = 0; index < 2; index += 1) await record(whole, { tenant: 'paged', id: `later-${index}` })
      await record(whole, { tenant: 'rival', id: 'of-rival' })
    })

    test('hold every row once, newest first', async () => {
      const seen: string[] = []
      let before: string | null = null
      do {
        const page = await history.read({ limit: 2, ...(before === null ? {} : { before }) }, 'paged')
        seen.push(...page.requests.map(({ id }) => id))
        before = page.next
      } while (before !== null)
      expect(seen).toEqual(['later-1', 'later-0', 'same-4', 'same-3', 'same-2', 'same-1', 'same-0'])
    })

    test('a cursor that was made up, changed, or made for somebody else is refused', async () => {
      const { next } = await history.read({ limit: 2 }, 'paged')
      const own = next ?? ''
      const [place = '', mac = ''] = own.split('.')
      const moved = Buffer.from(JSON.stringify(['2030-01-01T00:00:00.000Z', '99'])).toString('base64url')
      const forged = [`${moved}.${mac}`, place, `${place}.`, `${place}.AAAA`, '.', 'x', `${place}.${mac.slice(0, -2)}`]
      for (const before of forged)
        await expect(history.read({ limit: 2, before }, 'paged')).rejects.toMatchObject({ code: 'invalid_request' })
      for (const within of ['rival', null]) {
        await expect(history.read({ limit: 2, before: own }, within)).rejects.toMatchObject({ code: 'invalid_request' })
      }
      const stranger = new UsageHistory(database, 'another secret of a test')
      await expect(stranger.read({ limit: 2, before: own }, 'paged')).rejects.toMatchObject({ code: 'invalid_request' })
      expect((await history.read({ limit: 2, before: own }, 'paged')).requests).toHaveLength(2)
    })

    test('a tenant sees its own, the operator all', async () => {
      const own = await history.read(all, 'rival')
      expect(own.requests.map(({ tenant }) => tenant)).toEqual(['rival'])
      const everything = await history.read({ limit: 1_000 }, null)
      expect(new Set(everything.requests.map(({ tenant }) => tenant)).size).toBeGreaterThan(3)
    })
  })

  test('what is older than it is kept goes, and nothing else', async () => {
    wallMs += 100 * dayMs
    await record(whole, { tenant: 'swept', id: 'old' })
    wallMs += 29 * dayMs
    await record(whole, { tenant: 'swept', id: 'young' })
    wallMs += 2 * dayMs
    const sweep = new UsageSweep({
      database,
      clock,
      keepMs: () => ({ usage_records: 30 * dayMs, usage_texts: 7 * dayMs }),
      onTrouble: () => undefined,
    })
    expect(await sweep.sweep()).toBeGreaterThan(1)
    expect(await sweep.sweep()).toBe(0)
    expect((await history.read({ limit: 1_000 }, null)).requests.map(({ id }) => id)).toEqual(['young'])
  })
})

test.each([
  { limit: '-1' },
  { limit: '0' },
  { limit: '1000000000' },
  { limit: '1e3' },
  { limit: '1001' },
  { outcome: 'perfect' },
  { from: 'yesterday' },
  { before: 'x'.repeat(201) },
  { unknown: '1' },
])('%j is no query', (parameters) => {
  expect(() => parseHistoryQuery(parameters)).toThrow(CorralError)
})
