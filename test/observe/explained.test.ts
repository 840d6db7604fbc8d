// Explanations kept in memory: their clock is the request's, whatever it makes on its way, and nothing else of the request stays.
import { expect, test } from 'vitest'

import type { Call } from '../../src/core/call.ts'
import type { Relay, WholeAnswer } from '../../src/core/relay.ts'
import { Explanations } from '../../src/observe/explained.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { makeCall, makeRequest, outcome } from './fixtures.ts'

const provenance = { node: 'a', reason: 'only', attempts: 1, dispatchedAtMs: 0 }

function whole(): WholeAnswer {
  return { kind: 'whole', status: 200, headers: {}, provenance, body: Buffer.from(''), outcome: outcome('ok') }
}

test('a call made on the way of a request notes its steps by the time of the request', async () => {
  const clock = manualClock()
  const explanations = new Explanations(clock)
  const call: Call = { ...makeCall('outer'), receivedAtMs: clock.nowMs() }
  call.explanation = explanations.begin(call)
  const inner: Relay = explanations.layer(() => {
    clock.advance(30)
    return Promise.resolve(whole())
  })
  const outer: Relay = explanations.layer(async () => {
    clock.advance(500)
    await inner(makeRequest(), { ...call, id: 'outer.e1', receivedAtMs: clock.nowMs() })
    expect(explanations.find('outer')?.done).toBe(false)
    clock.advance(70)
    return whole()
  })
  await outer(makeRequest(), call)
  await Promise.resolve()
  const found = explanations.find('outer')
  expect(found?.steps.map(({ kind, atMs }) => ({ kind, atMs }))).toEqual([
    { kind: 'answer', atMs: 530 },
    { kind: 'answer', atMs: 600 },
  ])
  expect(found?.done).toBe(true)
})
