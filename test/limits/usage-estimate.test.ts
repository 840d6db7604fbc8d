// What is booked for an answer whose node reported nothing, or not all.
import { expect, test } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { newProgress, type Progress } from '../../src/core/call.ts'
import type { Answer, Outcome, Usage } from '../../src/core/relay.ts'
import { failureRecordOf, recordOf } from '../../src/limits/usage-record.ts'
import { makeCall, makeRequest } from '../fleet/requests.ts'

const messages = [{ role: 'user', content: 'hello there' }]
const chat = makeRequest('/api/chat', { model: 'm', messages })
const prompt = chat.envelope.promptTokens
const silent: Usage = {
  promptTokens: null,
  cachedPromptTokens: null,
  outputTokens: null,
  loadMs: null,
  promptMs: null,
  outputMs: null,
  totalMs: null,
}
const left: Outcome = { kind: 'client_gone', usage: null, frames: 40, bytes: 400, error: null }

/** The record of a call that came at 1,000 ms, went to its node at 1,500 ms and ended at 3,000 ms. */
function record(outcome: Outcome, request = chat, dispatchedAtMs = 1_500) {
  const provenance = { node: 'n1', reason: 'only', attempts: 1, dispatchedAtMs }
  const answer: Answer = { kind: 'whole', status: 200, headers: {}, body: Buffer.alloc(0), outcome, provenance }
  const call = makeCall({ receivedAtMs: 1_000 })
  const { prompt_tokens, output_tokens, gpu_us, estimated } = recordOf(request, answer, {
    outcome,
    firstFrameAtMs: null,
    call,
    wallMs: 0,
    nowMs: 3_000,
  })
  return [prompt_tokens, output_tokens, gpu_us, estimated]
}

const timesOnly = { ...silent, promptMs: 100, outputMs: 200 }
const cases: readonly [string, Parameters<typeof record>, ReturnType<typeof record>][] = [
  ['a stream left early: time on the node, a token per frame', [left], [prompt, 40, 1_500_000, true]],
  ['never more tokens than the client’s maximum', [left, limited(10)], [prompt, 10, 1_500_000, true]],
  ['a part in another’s generation: from one’s own arrival', [left, chat, 200], [prompt, 40, 2_000_000, true]],
  ['tokens without times', [{ ...left, kind: 'ok', usage: { ...silent, promptTokens: 7, outputTokens: 9 } }], [7, 9, 1_500_000, true]],
  ['what the node reports is taken as it is', [{ ...left, kind: 'ok', usage: { ...timesOnly, outputTokens: 9 } }], [0, 9, 300_000, false]],
  ['embeddings: the whole time without loading', embedded(), [7, 0, 80_000, false]],
  ['a shared answer: nothing', [{ ...left, kind: 'ok', cached: true }], [0, 0, 0, false]],
  ['a refusal of the node: nothing', [{ ...left, kind: 'client_error', frames: 0 }], [0, 0, 0, false]],
  ['a broken stream: what came of it', [{ ...left, kind: 'truncated' }], [prompt, 40, 1_500_000, true]],
  ['a load without a prompt: nothing', [{ ...left, kind: 'ok' }, makeRequest('/api/chat', { model: 'm' })], [0, 0, 0, false]],
  ['a pull: nothing', [{ ...left, kind: 'ok' }, makeRequest('/api/pull', { model: 'm' })], [0, 0, 0, false]],
]

function limited(maximum: number) {
  return makeRequest('/api/chat', { model: 'm', messages, options: { num_predict: maximum } })
}

function embedded(): Parameters<typeof record> {
  const usage = { ...silent, promptTokens: 7, loadMs: 20, totalMs: 100 }
  return [{ ...left, kind: 'ok', frames: 0, usage }, makeRequest('/api/embed', { model: 'm', input: 'x' })]
}

test.each(cases)('%s', (_, given, expected) => {
  expect(record(...given)).toEqual(expected)
})

function failure(code: 'client_gone' | 'node_timeout', progress: Partial<Progress>) {
  const call = makeCall({
    receivedAtMs: 1_000,
    progress: { ...newProgress(), attempts: 1, dispatchedAtMs: 1_500, phase: 'waiting', ...progress },
  })
  const { gpu_us, estimated } = failureRecordOf(chat, new CorralError(code, 'x'), { call, wallMs: 0, nowMs: 3_000 })
  return [gpu_us, estimated]
}

test('a client that leaves before the first frame has used the time on the node; a node’s failure costs nobody anything', () => {
  expect(failure('client_gone', {})).toEqual([1_500_000, true])
  expect(failure('client_gone', { dispatchedAtMs: null, attempts: 0 })).toEqual([0, false])
  expect(failure('client_gone', { phase: 'queued' })).toEqual([0, false])
  expect(failure('node_timeout', {})).toEqual([0, false])
})
