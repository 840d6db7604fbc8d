// The ledger on each kind of store: exact to the token and the microsecond, once per request, whatever happens to the store.
import { beforeAll, expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { newProgress } from '../../src/core/call.ts'
import { CorralError } from '../../src/core/errors.ts'
import type { Answer, Outcome } from '../../src/core/relay.ts'
import { Budgets } from '../../src/limits/budget.ts'
import { migrations } from '../../src/migrations.ts'
import { createUsageLedger, type UsageLedger } from '../../src/limits/usage-ledger.ts'
import { parseUsageQuery, sumUsage } from '../../src/limits/usage-query.ts'
import { goingOn, type Database } from '../../src/store/database.ts'
import { migrate } from '../../src/store/migrate.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { describeStores, storeKinds } from '../store/stores.ts'
import { options, planOf, principal } from './plans.ts'

interface Ledger {
  readonly ledger: UsageLedger
  readonly budgets: Budgets
  /** One request of `subject` that used so much. */
  use(subject: string, used: Partial<Used>): Promise<void>
}

interface Used {
  readonly promptTokens: number
  readonly outputTokens: number
  readonly gpuMs: number
  readonly cached: boolean
  readonly tenant: string
  readonly model: string
  readonly fails: CorralError
}

let replicas = 0

function ledgerOn(database: Database | null, given: Readonly<Record<string, unknown>> = {}): Ledger {
  replicas += 1
  const parsed = options({ usage: { flushMs: 20, ...given } })
  const budgets = new Budgets(systemClock, () => 1_000)
  const ledger = createUsageLedger({
    database,
    clock: systemClock,
    options: () => parsed,
    classOf: (model) => (model?.startsWith('big') === true ? 'large' : ''),
    budgetsOf: ({ tenant }) => (tenant === 'free' ? [] : planOf({ tenant, own: { gpuSecondsPerDay: 1e6 } }).budgets),
    budgets,
    replica: `replica-${replicas}-${systemClock.nowMs()}`,
  })
  onTestFinished(() => ledger.close())
  return { ledger, budgets, use: (subject, used) => use(ledger, subject, used) }
}

async function use(ledger: UsageLedger, subject: string, used: Partial<Used>): Promise<void> {
  const { promptTokens = 0, outputTokens = 0, gpuMs = 0, cached = false, tenant = 'acme', model = 'small', fails } = used
  const usage = { promptTokens, outputTokens, cachedPromptTokens: 1, loadMs: 5, promptMs: gpuMs / 2, outputMs: gpuMs / 2, totalMs: gpuMs }
  const outcome: Outcome = { kind: 'ok', usage, frames: 1, bytes: 1, error: null, cached }
  const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0, ...(cached ? { cache: 'hit' as const } : {}) }
  const answer: Answer = { kind: 'whole', status: 200, headers: {}, body: Buffer.alloc(0), outcome, provenance }
  const relay = ledger.layer(() => (fails === undefined ? Promise.resolve(answer) : Promise.reject(fails)))
  await relay(makeRequest('/api/chat', { model, messages: [] }), makeCall({ principal: principal({ tenant, subject }) })).catch(() => null)
}

describeStores(storeKinds, (servers) => {
  let database: Database

  beforeAll(async () => {
    const opened = await servers.open()
    database = opened
    await migrate(opened, migrations, systemClock)
    return () => opened.close()
  })

  async function emptied(): Promise<void> {
    await database.tx('system', async (transaction) => {
      for (const table of ['usage_records', 'gpu_usage', 'usage_batches']) await transaction.query(`delete from ${table}`)
    })
  }

  const sumsBy = async (by: string, within: string | null = null) => (await sumUsage(database, parseUsageQuery({ by }), within)).usage

  test('sums are exact to the token over many batches', async () => {
    await emptied()
    const { ledger, use: ask } = ledgerOn(database, { rowsPerFlush: 50 })
    await ledger.start()
    let prompt = 0
    let output = 0
    for (let index = 0; index < 400; index += 1) {
      await ask(`k${index % 3}`, { promptTokens: index, outputTokens: index * 7, gpuMs: 1.5 })
      prompt += index
      output += index * 7
    }
    await ledger.flush()
    const [all] = await sumsBy('')
    expect(all).toMatchObject({ requests: 400, promptTokens: prompt, outputTokens: output, cachedPromptTokens: 400, gpuSeconds: 0.6 })
    expect((await sumsBy('subject')).map(({ group, requests }) => [group.subject, requests])).toEqual([
      ['k0', 134],
      ['k1', 133],
      ['k2', 133],
    ])
    expect(ledger.stats).toMatchObject({ written: 400, dropped: 0, buffered: 0 })
  })

  test('a cached answer counts as a request and nothing else; a denial is not recorded, a failure is', async () => {
    await emptied()
    const { ledger, budgets, use: ask } = ledgerOn(database)
    await ask('k', { promptTokens: 10, outputTokens: 20, gpuMs: 100, cached: true })
    await ask('k', { fails: new CorralError('rate_limited', 'no') })
    await ask('k', { fails: new CorralError('no_node', 'none') })
    await ledger.flush()
    expect(await sumsBy('')).toMatchObject([{ requests: 2, cachedRequests: 1, promptTokens: 0, outputTokens: 0, gpuSeconds: 0 }])
    expect(budgets.usedSeconds('acme', 't', 'day')).toBe(0)
  })

  test('more sums than an answer takes are the ones with the most GPU time, and it says so', async () => {
    await emptied()
    for (let from = 1; from <= 10_001; from += 500) {
      const text = `insert into usage_records (tenant, subject, request, at, route, status, outcome, prompt_tokens, output_tokens,
          cached_prompt_tokens, gpu_us, duration_ms, stream, attempts)
        select 'acme', 's' || n, 'r' || n, now(), '/api/chat', 200, 'ok', 1, 1, 0, n, 1, false, 1
        from generate_series($1::int, least($1::int + 499, 10001)) as n`
      await database.tx('system', ({ query }) => query(text, [from]))
    }
    const { usage, truncated } = await sumUsage(database, parseUsageQuery({ by: 'subject' }), 'acme')
    expect([usage.length, truncated, usage.some(({ group }) => group.subject === 's1')]).toEqual([10_000, true, false])
    await database.tx('system', ({ query }) => query(`delete from usage_records where subject = 's1'`))
    expect((await sumUsage(database, parseUsageQuery({ by: 'subject' }), 'acme')).truncated).toBe(false)
    await emptied()
  })

  test('a tenant sees its own rows, whatever it asks for', async () => {
    await emptied()
    const { ledger, use: ask } = ledgerOn(database)
    await ask('k', { promptTokens: 1 })
    await ask('k', { promptTokens: 2, tenant: 'other' })
    await ledger.flush()
    expect(await sumsBy('tenant', 'acme')).toMatchObject([{ group: { tenant: 'acme' }, promptTokens: 1 }])
    expect(await sumUsage(database, parseUsageQuery({ tenant: 'other' }), 'acme')).toMatchObject({
      usage: [{ requests: 0 }],
      truncated: false,
    })
    expect(await sumsBy('tenant')).toHaveLength(2)
  })

  test('budgets are exact after a restart and over two replicas', async () => {
    await emptied()
    const one = ledgerOn(database)
    const two = ledgerOn(database)
    for (let index = 0; index < 30; index += 1) {
      await one.use('k', { gpuMs: 100.001, model: 'big:70b' })
      await two.use('k', { gpuMs: 50 })
    }
    await one.ledger.flush()
    await two.ledger.flush()
    expect(two.budgets.usedSeconds('acme', 'c:k', 'day')).toBe(4.50003)
    const restarted = ledgerOn(database)
    await restarted.ledger.start()
    expect(restarted.budgets.usedSeconds('acme', 't', 'month')).toBe(4.50003)
    expect(restarted.budgets.usedSeconds('acme', 'm:large', 'day')).toBe(3.00003)
    await restarted.use('k', { gpuMs: 1_000 })
    expect(restarted.budgets.usedSeconds('acme', 'c:k', 'day')).toBe(5.50003)
  })

  test('a batch whose commit was not confirmed is written once', async () => {
    await emptied()
    let lost = 2
    const unsure: Database = {
      kind: database.kind,
      close: () => database.close(),
      async tx(scope, work, settings) {
        const result = await database.tx(scope, work, settings)
        lost -= 1
        if (lost >= 0) throw new CorralError('store_unavailable', 'the connection was lost')
        return result
      },
    }
    const { ledger, budgets, use: ask } = ledgerOn(unsure)
    for (let index = 0; index < 20; index += 1) await ask('k', { promptTokens: 5, gpuMs: 10 })
    for (let round = 0; round < 5; round += 1) await ledger.flush().catch(() => null)
    expect(await sumsBy('')).toMatchObject([{ requests: 20, promptTokens: 100, gpuSeconds: 0.2 }])
    expect(budgets.usedSeconds('acme', 't', 'day')).toBe(0.2)
    expect(ledger.stats).toMatchObject({ written: 20, failures: 2, buffered: 0 })
  })

  test('a store that is away costs no memory beyond the buffer, and the loss is counted', async () => {
    await emptied()
    let away = true
    const flaky: Database = {
      kind: database.kind,
      close: () => database.close(),
      tx: (scope, work, settings) =>
        away ? Promise.reject(new CorralError('store_unavailable', 'away')) : database.tx(scope, work, settings),
    }
    const { ledger, use: ask } = ledgerOn(flaky, { rowsPerFlush: 10, rowsBufferedMax: 100 })
    for (let index = 0; index < 500; index += 1) await ask('k', { promptTokens: 1 })
    expect(ledger.stats.buffered).toBeLessThanOrEqual(110)
    away = false
    await ledger.flush()
    const [all] = await sumsBy('')
    expect(all?.requests).toBe(ledger.stats.written)
    expect(ledger.stats.written + ledger.stats.dropped).toBe(500)
  })

  test('with rows switched off the budgets are kept all the same', async () => {
    await emptied()
    const { ledger, use: ask } = ledgerOn(database, { enabled: false })
    await ask('k', { promptTokens: 5, gpuMs: 100 })
    await ask('k', { promptTokens: 5 })
    await ledger.flush()
    expect(await sumsBy('')).toMatchObject([{ requests: 0 }])
    const restarted = ledgerOn(database)
    await restarted.ledger.start()
    expect(restarted.budgets.usedSeconds('acme', 'c:k', 'day')).toBe(0.1)
  })

  test('a model name that no column takes is stored without what cannot be stored', async () => {
    await emptied()
    const { ledger, use: ask } = ledgerOn(database)
    await ask('k', { model: 'a\0b\ud800' })
    await ledger.flush()
    expect(await sumsBy('model')).toMatchObject([{ group: { model: 'ab\ufffd:latest' } }])
  })
})

test('a query that names no known group is the client’s fault', () => {
  expect(() => parseUsageQuery({ by: 'tenant,prompt' })).toThrow(CorralError)
  expect(() => parseUsageQuery({ from: 'yesterday' })).toThrow(CorralError)
})

test('without a store budgets count in memory', async () => {
  const { ledger, budgets, use: ask } = ledgerOn(null)
  await ledger.start()
  await ask('k', { gpuMs: 2_000 })
  expect(budgets.usedSeconds('acme', 'c:k', 'month')).toBe(2)
  expect(ledger.stats.buffered).toBe(0)
})

interface HeldStore {
  readonly database: Database
  /** Lets each transaction through, after `before`. */
  release(before?: () => Promise<void>): void
}

/** A store that takes everything in the end, but nothing before `release`. */
function heldStore(): HeldStore {
  const released = Promise.withResolvers<void>()
  let beforeEach = (): Promise<void> => Promise.resolve()
  const nothing = goingOn({ query: () => Promise.resolve({ rows: [], rowCount: 1 }) })
  return {
    database: {
      kind: 'embedded',
      close: () => Promise.resolve(),
      async tx(_, work) {
        await released.promise
        await beforeEach()
        return work(nothing)
      },
    },
    release(before = beforeEach) {
      beforeEach = before
      released.resolve()
    },
  }
}

test.each(['rate_limited', 'model_not_allowed', 'invalid_request', 'operation_disabled', 'cache_miss'] as const)(
  'a flood of refusals pushes out no row of usage: %s',
  async (code) => {
    const { database, release } = heldStore()
    const { ledger, use: ask } = ledgerOn(database, { rowsPerFlush: 10, rowsBufferedMax: 20 })
    for (let index = 0; index < 15; index += 1) await ask('k', { gpuMs: 1 })
    for (let index = 0; index < 200; index += 1) await ask('k', { fails: new CorralError(code, 'no') })
    expect(ledger.stats).toMatchObject({ buffered: 15, dropped: 0 })
    release()
    await ledger.flush()
    expect(ledger.stats.written).toBe(15)
  },
)

test('a client’s failure that reached a node is recorded', async () => {
  const { database, release } = heldStore()
  const { ledger } = ledgerOn(database)
  const call = makeCall({ progress: { ...newProgress(), attempts: 1 } })
  const refused = ledger.layer(() => Promise.reject(new CorralError('client_too_slow', 'slow')))
  await refused(makeRequest('/api/chat', { model: 'small', messages: [] }), call).catch(() => null)
  expect(ledger.stats.buffered).toBe(1)
  release()
})

test('a flush ends under load: it writes what was there when it was asked for', async () => {
  const { database, release } = heldStore()
  const { ledger, use: ask } = ledgerOn(database, { rowsPerFlush: 10, flushMs: 60_000 })
  for (let index = 0; index < 25; index += 1) await ask('k', { promptTokens: 1 })
  release(async () => {
    if (ledger.stats.written > 1_000) throw new Error('it writes on and on')
    for (let index = 0; index < 10; index += 1) await ask('k', { promptTokens: 1 })
  })
  await ledger.flush()
  expect(ledger.stats.written).toBe(30)
  expect(ledger.stats.buffered).toBeGreaterThan(20)
  release(() => Promise.resolve())
})
