// One request as a waterfall: its stages follow each other, end where the request ended, and show what is known and nothing else.
import { expect, test } from 'vitest'

import { stagesOf } from '../../src/console/pages/request-stages.ts'
import type { HistoryEntry } from '../../src/core/request-history.ts'

const ended: HistoryEntry = {
  id: 'r',
  at: '2026-11-26T00:00:00.000Z',
  tenant: 'local',
  subject: null,
  model: 'small',
  node: 'n1',
  route: '/api/chat',
  status: 200,
  outcome: 'ok',
  error: null,
  cache: null,
  stream: true,
  attempts: 1,
  durationMs: 1_000,
  ttftMs: 400,
  promptTokens: 10,
  cachedPromptTokens: 0,
  outputTokens: 10,
  gpuSeconds: 0.8,
  estimated: false,
  reason: 'least-loaded',
  queueMs: 100,
  retryMs: 0,
  loadMs: 150,
  promptMs: 120,
  outputMs: 590,
}

const shown = (request: Partial<HistoryEntry>): (readonly [string, number, number])[] =>
  stagesOf({ ...ended, ...request }).map(({ name, fromMs, ms }) => [name, fromMs, ms])

test('a stream waits, is taken up, loads, reads its prompt, and streams', () => {
  expect(shown({})).toEqual([
    ['Queue', 0, 100],
    ['Network, node queue', 100, 30],
    ['Model load', 130, 150],
    ['Prompt', 280, 120],
    ['Output', 400, 600],
  ])
})

test.each([
  ['tries before the one that counted', { attempts: 3, retryMs: 50 }, ['Queue', '2 tries before', 'Model load', 'Prompt', 'Output']],
  ['a node that reports no times', { loadMs: null, promptMs: null, outputMs: null }, ['Queue', 'On the node', 'Output']],
  ['a whole answer', { stream: false, ttftMs: null }, ['Queue', 'Network, node queue', 'Model load', 'Prompt', 'Output']],
  ['an answer from the cache', { cache: 'hit', node: null, queueMs: null, durationMs: 3 }, ['From the cache']],
  ['an answer shared with another', { cache: 'joined', queueMs: null, loadMs: null, promptMs: null }, ['With an equal request', 'Output']],
  ['a request that was refused in the queue', { node: null, ttftMs: null, attempts: 0, retryMs: null }, ['Queue']],
  ['a record from before these times were kept', { queueMs: null, loadMs: null, promptMs: null }, ['First token', 'Output']],
  ['a node that claims more time than there was', { loadMs: 9_000, promptMs: 9_000 }, ['Queue', 'Model load', 'Output']],
])('%s', (_, request: Partial<HistoryEntry>, names) => {
  const stages = stagesOf({ ...ended, ...request })
  expect(stages.map(({ name }) => name)).toEqual(names)
  expect(stages.reduce((endMs, { fromMs, ms }) => (fromMs === endMs ? endMs + ms : Number.NaN), 0)).toBe(
    request.durationMs ?? ended.durationMs,
  )
})
