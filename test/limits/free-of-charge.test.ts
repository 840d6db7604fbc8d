// What recording and limiting cost a caller of whom nothing is kept: nothing, not even a promise.
import { expect, onTestFinished, test, vi } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { Answer } from '../../src/core/relay.ts'
import { createLimits } from '../../src/limits/limits.ts'
import type { Database } from '../../src/store/database.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'
import { options, principal, type Who } from './plans.ts'

const unused: Database = { kind: 'embedded', tx: () => Promise.reject(new Error('it was asked')), close: () => Promise.resolve() }

const usage = { promptTokens: 1, outputTokens: 1, cachedPromptTokens: null, loadMs: 0, promptMs: 500, outputMs: 500, totalMs: 1_000 }
const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs: 0 }
const outcome = { kind: 'ok' as const, usage, frames: 1, bytes: 2, error: null }
const answer: Answer = { kind: 'whole', status: 200, headers: {}, body: Buffer.from('{}'), outcome, provenance }

function ask(database: Database | null, who: Who, given: Readonly<Record<string, unknown>>) {
  const parsed = options(given)
  const events = { limited: () => undefined, usageTrouble: () => undefined, budgetsApart: () => undefined }
  const deps = { clock: systemClock, random: () => 0, redis: null, audit: null, replica: 'r', events }
  const limits = createLimits({ ...deps, options: () => parsed, database })
  onTestFinished(() => limits.close())
  const answered = Promise.resolve(answer)
  const waited = vi.spyOn(answered, 'then')
  const request = makeRequest('/api/chat', { model: 'm', messages: [] })
  const call = makeCall({ principal: principal(who) })
  const recorded = limits.recording(() => answered)(request, call)
  return { recorded, answered, waited, limited: () => limits.limiting(() => answered)(request, call) }
}

test.each([
  ['without a store', null, {}],
  ['with rows switched off', unused, { usage: { enabled: false } }],
  ['with limits switched off and without a store', null, { enabled: false }],
])('%s, a caller without limits gets the very promise of the node, and nobody else waits for it', (_, database, given) => {
  const { recorded, answered, waited, limited } = ask(database, {}, given)
  expect(recorded).toBe(answered)
  expect(limited()).toBe(answered)
  expect(waited).not.toHaveBeenCalled()
})

test.each([
  ['a budget of the credential', { own: { gpuSecondsPerDay: 10 } }, {}],
  ['a budget of the tenant', { ofTenant: { gpuSecondsPerMonth: 10 } }, {}],
  ['a budget of the model’s class', {}, { modelClasses: [{ name: 'all', models: ['*'], limits: { gpuSecondsPerDay: 10 } }] }],
])('without a store, %s is counted all the same', (_, who, given) => {
  expect(ask(null, who, given).waited).toHaveBeenCalled()
})

test('with a store, a caller without limits is recorded', () => {
  expect(ask(unused, {}, {}).waited).toHaveBeenCalled()
})
