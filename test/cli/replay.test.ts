/** `corral replay`: what a log tells of its fleet, and what is foretold of it, on logs whose making is known. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'
import { z } from 'zod'

import { isColdLoad, learnFleet } from '../../src/cli/replay/fleet.ts'
import { FleetLearner, FleetPricing, rankerOf } from '../../src/cli/replay/live-parts.ts'
import { type LoggedRequest, readRequestLog } from '../../src/cli/replay/log.ts'
import { type Gateway, predict } from '../../src/cli/replay/predict.ts'
import type { SlotOptions } from '../../src/fleet/learning.ts'
import { policies } from '../../src/fleet/policy/index.ts'
import type { Policy } from '../../src/fleet/policy/policy.ts'
import { historyColumns } from '../../src/limits/usage-history.ts'
import { writeCsv } from '../../src/limits/usage-csv.ts'
import { accessLine } from '../../src/observe/access-log.ts'
import { baselines } from '../../src/sim/virtual/baselines.ts'
import type { Sample } from '../../src/sim/virtual/node-view.ts'
import { simulate } from '../../src/sim/virtual/simulation.ts'
import { drawConversations, models as drawnModels, type Shape, shapes } from '../../src/sim/virtual/workload.ts'
import { createFolder } from '../config/folder.ts'
import { corral } from './corral.ts'

const startMs = Date.parse('2026-11-16T08:00:00Z')
const testMsMax = 60_000

interface Served {
  readonly model: string
  readonly node: string
  readonly atMs: number
  readonly loadMs?: number
  /** Times the speed of the usual node. */
  readonly speed?: number
}

/** 400 prompt tokens at 1 ms and 50 output tokens at 20 ms, as a node of that speed serves them alone. */
function served({ model, node, atMs, loadMs = 60, speed = 1 }: Served) {
  const promptMs = 400 / speed
  const outputMs = 1_000 / speed
  const durationMs = loadMs + promptMs + outputMs
  const at = new Date(startMs + atMs + durationMs).toISOString()
  const names = {
    id: `r${atMs}`,
    at,
    tenant: 'local',
    subject: null,
    model,
    node,
    route: '/api/chat',
    status: 200,
    outcome: 'ok',
    error: null,
  }
  const counts = { cache: null, stream: true, attempts: 1, promptTokens: 500, cachedPromptTokens: 100, outputTokens: 50, gpuSeconds: 1 }
  const times = { durationMs, ttftMs: loadMs + promptMs, queueMs: 0, retryMs: 0, loadMs, promptMs, outputMs }
  return { ...names, ...counts, estimated: false, reason: 'loaded', ...times }
}

const jsonLines = (entries: readonly object[]): string => entries.map((entry) => `${JSON.stringify(entry)}\n`).join('')

/** Two models that take turns on two nodes: each node has room for one of them. */
const turns = Array.from({ length: 60 }, (_, index) => {
  const model = index % 2 === 0 ? 'red:27b' : 'blue:27b'
  return served({ model, node: index % 4 < 2 ? 'a' : 'b', atMs: index * 40_000, loadMs: 15_000 })
})

function fileOf(name: string, text: string): string {
  return join(createFolder({ [name]: text }), name)
}

const nodes = [
  { name: 'a', slots: null },
  { name: 'b', slots: null },
]

const gatewayOf = (policy: Partial<Gateway>): Gateway => ({
  ranker: () => rankerOf(policies['least-loaded']),
  binding: 'central',
  waitingMax: 512,
  slots: { slotsAssumed: 4, slotsMax: 4_096 },
  slotsConfigured: () => null,
  ...policy,
})

test('two models that a blind rule makes take turns in one memory stay where they are under the policies of the gateway', async () => {
  const { requests } = await readRequestLog(fileOf('log.json', jsonLines(turns)))
  // Red, blue, red, blue over three nodes in turn: each node is asked for what it does not hold, every time.
  const fleet = learnFleet(requests, { nodes: [...nodes, { name: 'c', slots: null }], slotsAssumed: 4, memoryGb: 24 })
  expect(requests.filter(isColdLoad)).toHaveLength(turns.length)
  const roundRobin = baselines['round-robin']
  if (roundRobin === undefined) throw new Error('the simulator has no round robin')
  const blind = predict(fleet, requests, gatewayOf({ ranker: roundRobin, binding: 'immediate' }))
  expect(blind).toMatchObject({ requests: turns.length, coldLoads: turns.length, refused: 0, busiestShare: 1 })
  expect(blind.meanTtftMs).toBeCloseTo(15_000 + 400 + 20, -2)
  for (const policy of Object.values(policies)) {
    const kept = predict(fleet, requests, gatewayOf({ ranker: () => rankerOf(policy) }))
    expect(kept).toMatchObject({ requests: turns.length, refused: 0 })
    // A memory whose size is not known yet may be tried once.
    expect(kept.coldLoads).toBeLessThanOrEqual(3)
    expect(kept.meanTtftMs).toBeLessThan(1_500)
  }
})

/** Writes down what it learns from. */
class WritingLearner extends FleetLearner {
  readonly #write: (sample: Sample) => void

  constructor(slots: SlotOptions, write: (sample: Sample) => void) {
    super(slots)
    this.#write = write
  }

  override sawRequest(sample: Sample): void {
    super.sawRequest(sample)
    this.#write(sample)
  }
}

/** A day of the simulator's own fleet, sent at once, as a log of it would be. */
function simulatedDay(shape: Shape, policy: Policy) {
  const requests: LoggedRequest[] = []
  const lengthMs = 8 * 3_600_000
  const slots = { slotsConfigured: shape.slots, slotsAssumed: 1, slotsMax: 16 }
  const write = (node: string, model: string, sample: Sample): void => {
    const { nowMs, totalMs, loadMs, prefillMs, decodeMs, promptTokens, outputTokens } = sample
    const queueMs = 0
    const times = { arrivedAtMs: startMs + nowMs - totalMs, endedAtMs: startMs + nowMs, ttftMs: totalMs - decodeMs, queueMs, loadMs }
    requests.push({ model, node, promptTokens, outputTokens, ...times, promptMs: prefillMs, outputMs: decodeMs })
  }
  const result = simulate({
    nodes: shape.nodes,
    models: drawnModels,
    conversations: drawConversations(shape, 301, lengthMs),
    slotsOf: () => shape.slots,
    seed: 301,
    ranker: rankerOf(policy),
    pricing: new FleetPricing(),
    newLearner: (node, model) => new WritingLearner(slots, (sample) => write(node, model, sample)),
    binding: 'immediate',
    waitingMax: Infinity,
    lengthMs,
    warmUpMs: 0,
  })
  return { requests: requests.toSorted((a, b) => a.arrivedAtMs - b.arrivedAtMs), result }
}

test('of a fleet that is known only by its log, the policy in force is foretold as it was', () => {
  const shape = shapes.find(({ name }) => name === 'mixed-4slot-0.20')
  if (shape === undefined) throw new Error('the simulator has no such fleet')
  const { requests, result } = simulatedDay(shape, policies['least-loaded'])
  const own = shape.nodes.map(({ name }) => ({ name, slots: shape.slots }))
  const fleet = learnFleet(requests, { nodes: own, slotsAssumed: 1, memoryGb: 24 })
  const told = predict(fleet, requests, gatewayOf({ binding: 'immediate', slotsConfigured: () => shape.slots }))
  const meanMs = result.ttftMs.reduce((sum, ms) => sum + ms, 0) / result.ttftMs.length
  expect(told.requests).toBe(result.ttftMs.length)
  // The first node has twice the memory that is assumed; all else is learned.
  const ratio = (told.meanTtftMs ?? 0) / meanMs
  expect(ratio).toBeGreaterThan(0.75)
  expect(ratio).toBeLessThan(1.33)
  expect((told.coldLoads ?? 0) / result.coldLoads).toBeLessThan(2)
  // The way of choosing that the simulator ranks last is foretold to be the worst, from the log of a good one.
  const random = predict(fleet, requests, gatewayOf({ ...(baselines['random'] && { ranker: baselines['random'] }), binding: 'immediate' }))
  expect(random.coldLoads).toBeGreaterThan(10 * result.coldLoads)
  expect(random.meanTtftMs).toBeGreaterThan(10 * meanMs)
})

test('speeds, load times and slots are learned, and what the log does not tell is said', async () => {
  const entries = Array.from({ length: 40 }, (_, index) => {
    // Two at once on b, which is half as fast, one after the other on a.
    const node = index % 2 === 0 ? 'a' : 'b'
    return served({
      model: 'red:8b',
      node,
      atMs: Math.floor(index / 2) * 10_000,
      loadMs: index < 2 ? 9_000 : 60,
      speed: node === 'a' ? 1 : 0.5,
    })
  })
  const { requests } = await readRequestLog(fileOf('log.json', jsonLines(entries)))
  const known = [...nodes, { name: 'c', slots: 2 }]
  const { nodes: learned, models, assumed } = learnFleet(requests, { nodes: known, slotsAssumed: 3, memoryGb: 24 })
  const [a, b, c] = learned
  expect((a?.speed ?? 0) / (b?.speed ?? 1)).toBeCloseTo(2, 1)
  expect([a?.slots, c?.slots, c?.speed]).toEqual([3, 2, 1])
  expect(models).toMatchObject([{ name: 'red:8b', loadMs: 9_000 }])
  expect((models[0]?.decodeMsPerToken ?? 0) / (a?.speed ?? 1)).toBeCloseTo(20, 0)
  expect((models[0]?.prefillMsPerToken ?? 0) / (a?.speed ?? 1)).toBeCloseTo(1, 1)
  expect(assumed.join('\n')).toContain('c')
  const moved = learnFleet(requests, { nodes: [{ name: 'c', slots: null }], slotsAssumed: 3, memoryGb: 24 })
  expect(moved.assumed.join('\n')).toContain('gone, since the configuration does not name them: a, b')
})

test('streams side by side where others had to wait are as many as there are slots', () => {
  const three = [0, 1, 2].map((index): LoggedRequest => {
    const arrivedAtMs = startMs + index
    return { model: 'm:1b', node: 'a', arrivedAtMs, endedAtMs: arrivedAtMs + 5_000, promptTokens: 100, outputTokens: 100, ...phases }
  })
  const late = { ...three[0], arrivedAtMs: startMs + 10, endedAtMs: startMs + 10_000, queueMs: 4_995 } as LoggedRequest
  const slots = (requests: readonly LoggedRequest[]) =>
    learnFleet(requests, { nodes: [{ name: 'a', slots: null }], slotsAssumed: 8, memoryGb: 24 }).nodes[0]?.slots
  expect(slots(three)).toBe(8)
  expect(slots([...three, late])).toBe(3)
})

const phases = { ttftMs: 100, queueMs: 0, loadMs: 50, promptMs: 100, outputMs: 4_800 }

test('history as JSON and as CSV and the access log say the same; what is no request is named by its line', async () => {
  const entries = turns.slice(0, 6)
  const asJson = await readRequestLog(fileOf('log.json', jsonLines(entries)))
  expect(await readRequestLog(fileOf('log.csv', writeCsv(historyColumns, entries)))).toEqual(asJson)
  const lines = entries.map((entry) => {
    const { id, status, node, model, ttftMs, durationMs } = entry
    const names = {
      id,
      traceId: null,
      method: 'POST',
      route: '/api/chat',
      status,
      outcome: 'ok' as const,
      error: null,
      node,
      reason: null,
      model,
    }
    const counts = { attempts: 1, stream: true, ttftMs, durationMs, bytes: 1, inputTokens: 400, outputTokens: 50 }
    return accessLine(entry.at, { ...names, ...counts })
  })
  const access = await readRequestLog(fileOf('access.log', `{"level":"info","msg":"listening"}\n\n${lines.join('')}not json\n{"a":1}\n`))
  const bare = { queueMs: null, loadMs: null, promptMs: null, outputMs: null }
  expect(access.requests).toEqual(asJson.requests.map((request) => ({ ...request, ...bare })))
  expect(access.foreign).toEqual({ count: 3, lines: [1, 9, 10] })
  const rest = [{ ...entries[0], cache: 'hit' }, { ...entries[1], node: null, status: 503 }, { ...entries[2], status: 404 }, entries[3]]
  expect(await readRequestLog(fileOf('log.json', jsonLines(rest.map((entry) => entry ?? {}))))).toMatchObject({
    unserved: 3,
    requests: [{}],
  })
})

test('a longer line than admission keeps is refused, not waited for', async () => {
  const crowd = Array.from({ length: 20 }, (_, index) => served({ model: 'red:8b', node: 'a', atMs: index }))
  const { requests } = await readRequestLog(fileOf('log.json', jsonLines(crowd)))
  const fleet = learnFleet(requests, { nodes: [{ name: 'a', slots: 1 }], slotsAssumed: 1, memoryGb: 24 })
  const figures = predict(fleet, requests, gatewayOf({ waitingMax: 5, slotsConfigured: () => 1 }))
  expect([figures.requests + figures.refused, figures.refused > 0]).toEqual([20, true])
})

test('the command prints both policies, as a table and as JSON, and refuses an empty log', { timeout: testMsMax }, async () => {
  const cwd = createFolder({
    'corral.yaml': 'fleet:\n  nodes:\n    - { url: "http://127.0.0.1:1", name: a }\n    - { url: "http://127.0.0.1:2", name: b }\n',
    'empty.json': '\n',
    'foreign.json': '{"msg":"listening"}\n',
  })
  writeFileSync(join(cwd, 'week.json'), `${jsonLines(turns)}torn li`)
  const [plain, json, empty, foreign, missing, wrong] = await Promise.all([
    corral(['replay', 'week.json', '--policy', 'expected-completion'], { cwd }),
    corral(['replay', 'week.json', '--policy', 'expected-completion', '--json'], { cwd }),
    corral(['replay', 'empty.json', '--policy', 'expected-completion'], { cwd }),
    corral(['replay', 'foreign.json', '--policy', 'expected-completion'], { cwd }),
    corral(['replay', 'none.json', '--policy', 'expected-completion'], { cwd }),
    corral(['replay', 'week.json', '--policy', 'best'], { cwd }),
  ])
  expect(plain.code).toBe(0)
  expect(plain.stdout).toMatch(/as logged +60 .*\nleast-loaded \(now\) +60 .*\nexpected-completion +60 /)
  expect(plain.stderr).toContain('1 lines that are no requests (61)')
  const shape = z.object({ predicted: z.array(z.object({ policy: z.string(), isPresent: z.boolean(), coldLoads: z.number() })) })
  const { predicted } = shape.parse(JSON.parse(json.stdout))
  expect(predicted.map(({ policy, isPresent }) => [policy, isPresent])).toEqual([
    ['least-loaded', true],
    ['expected-completion', false],
  ])
  expect(Math.max(...predicted.map(({ coldLoads }) => coldLoads))).toBeLessThanOrEqual(3)
  expect([empty.code, foreign.code, missing.code, wrong.code]).toEqual([2, 2, 2, 2])
  expect(empty.stderr).toContain('empty.json: holds no request that a node served')
  expect(missing.stderr).toContain('cannot read none.json')
  expect(wrong.stderr).toContain('least-loaded or expected-completion')
})
