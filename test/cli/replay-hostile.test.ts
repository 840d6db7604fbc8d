/** `corral replay` on files that are no logs, and on logs whose lines lie: a sentence, or a count of what was left out. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

import { describe, expect, test } from 'vitest'

import { learnFleet } from '../../src/cli/replay/fleet.ts'
import { FleetPricing, rankerOf, FleetLearner } from '../../src/cli/replay/live-parts.ts'
import { readRequestLog, type RequestLog } from '../../src/cli/replay/log.ts'
import { lineBytesMax } from '../../src/cli/replay/log-lines.ts'
import { policies } from '../../src/fleet/policy/index.ts'
import { simulate } from '../../src/sim/virtual/simulation.ts'
import { createFolder } from '../config/folder.ts'

const served = {
  at: '2026-11-16T08:00:01.460Z',
  model: 'red:8b',
  node: 'a',
  status: 200,
  promptTokens: 500,
  cachedPromptTokens: 100,
  outputTokens: 50,
  durationMs: 1_460,
  ttftMs: 460,
  queueMs: 0,
  loadMs: 60,
  promptMs: 400,
  outputMs: 1_000,
}

function fileOf(content: string | Buffer): string {
  const file = join(createFolder({}), 'log.json')
  writeFileSync(file, content)
  return file
}

const linesOf = (...entries: readonly object[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join('')
const read = (content: string | Buffer): Promise<RequestLog> => readRequestLog(fileOf(content))

test.each([
  ['compressed', gzipSync(linesOf(served)), 'is compressed: unpack it first'],
  ['of PowerShell', Buffer.from(`\uFEFF${linesOf(served)}`, 'utf16le'), 'is UTF-16'],
  ['empty', '', 'holds no request that a node served'],
  ['of NUL bytes', Buffer.alloc(100_000), 'holds no request that a node served'],
  ['CSV with a quote that has no end', `at,model\n"${'x'.repeat(1_000)}`, 'cannot read'],
  ['CSV with a record that has no end', `at,model\n"${'x'.repeat(lineBytesMax + 10)}`, 'cannot read'],
])('a file that is %s is refused with a sentence', async (_, content, sentence) => {
  await expect(read(content)).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining(sentence) })
})

test('what is no file is refused with a sentence', async () => {
  await expect(readRequestLog(createFolder({}))).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining('no regular file') })
  await expect(readRequestLog('/dev/null')).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining('no regular file') })
})

test('a line longer than any request, and one of NUL bytes, cost themselves alone', async () => {
  const long = `{"at":"${'x'.repeat(lineBytesMax)}"}\n`
  const torn = `\0\0\0\0${linesOf(served)}`
  const { requests, foreign } = await read(`${linesOf(served)}${long}${torn}${linesOf(served)}`)
  expect([requests.length, foreign]).toEqual([2, { count: 2, lines: [2, 3] }])
})

test('a mark of the byte order, line ends of Windows, and lines across the pieces of a file are read', async () => {
  const many = Array.from({ length: 3_000 }, (_, index) => ({ ...served, ttftMs: index, id: 'ü'.repeat(index % 50) }))
  const { requests, foreign } = await read(`\uFEFF${linesOf(...many).replaceAll('\n', '\r\n')}`)
  expect(foreign.count).toBe(0)
  expect(requests.map(({ ttftMs }) => ttftMs)).toEqual(many.map(({ ttftMs }) => ttftMs))
})

describe('a line with a number that cannot be is no request', () => {
  const names = ['durationMs', 'ttftMs', 'queueMs', 'loadMs', 'promptMs', 'outputMs', 'promptTokens', 'cachedPromptTokens', 'outputTokens']
  test.each([...names, 'status'])('%s', async (name) => {
    const wrong = [-1, 1e300, '-5', 'many', true, {}].map((value) => ({ ...served, [name]: value }))
    const { requests, foreign, unserved } = await read(linesOf(served, ...wrong))
    expect([requests.length, foreign.count, unserved]).toEqual([1, wrong.length, 0])
  })
})

test.each([
  ['model', 'models'],
  ['node', 'nodes'],
] as const)('a log with a %s of its own in each line is that of no fleet', async (field, what) => {
  const many = Array.from({ length: 1_001 }, (_, index) => ({ ...served, [field]: `x${index}` }))
  await expect(read(linesOf(...many))).rejects.toMatchObject({ exitCode: 2, message: expect.stringContaining(`more than 1000 ${what}`) })
})

test('times too short and too long for a measurement are none', async () => {
  const odd = [5e-324, 1e-300, 604_800_000].map((ms, month) => ({ ...served, at: `2026-0${month + 1}-20`, promptMs: ms, outputMs: ms }))
  const { requests } = await read(linesOf(...odd, served))
  const fleet = learnFleet(requests, { nodes: [{ name: 'a', slots: 1 }], slotsAssumed: 1, memoryGb: 24 })
  expect(fleet.nodes[0]?.speed).toBe(1)
  expect(fleet.models[0]?.prefillMsPerToken).toBeCloseTo(1)
})

test('virtual time of a hundred days and more does not stand still over the last crumb of a stream', () => {
  const model = { name: 'm:8b', sizeGb: 6, loadMs: 1_000, prefillMsPerToken: 0.1, decodeMsPerToken: 0.3 }
  const days = 1_000_000
  const conversations = Array.from({ length: 200 }, (_, id) => {
    const turn = { promptTokens: 17 + id, outputTokens: 7, thinkMs: 0 }
    return { id, model, startsAtMs: days * 86_400_000 + id * 0.7, turns: [turn] }
  })
  const { ttftMs } = simulate({
    nodes: [{ name: 'a', vramGb: 24, speed: 1 / 3, diskSpeed: 1 }],
    models: [model],
    conversations,
    slotsOf: () => 8,
    seed: 1,
    ranker: rankerOf(policies['least-loaded']),
    pricing: new FleetPricing(),
    newLearner: () => new FleetLearner({ slotsConfigured: 8, slotsAssumed: 8, slotsMax: 8 }),
    binding: 'central',
    waitingMax: Infinity,
    lengthMs: (days + 1) * 86_400_000,
    warmUpMs: 0,
  })
  expect(ttftMs).toHaveLength(conversations.length)
})
