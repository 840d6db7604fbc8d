// How long an attempt may stay silent, from what its runner is known to need.

import { describe, expect, test } from 'vitest'

import { AttemptWatch } from '../../src/fleet/attempt-watch.ts'
import { blamedSilenceMs, firstFrameBudgetMs, firstFramePatienceMs, idleBudgetMs, standstill } from '../../src/fleet/deadlines.ts'
import { ModelStats } from '../../src/fleet/learning.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { NodeUse, Runner } from '../../src/fleet/runner.ts'
import { bareNode, load } from './bare-node.ts'
import { makeRequest } from './requests.ts'

const { deadlines } = fleetOptions.parse({})

/** A runner that prefills a token in 1 ms and decodes one in 20 ms, after `samples` answers of 1,100 ms. */
function runner(samples = 5, slots?: number): Runner {
  const stats = new ModelStats({ slotsConfigured: slots ?? null, slotsAssumed: 4, slotsMax: 4_096 })
  for (let time = 0; time < samples; time += 1) {
    const usage = {
      promptTokens: 100,
      cachedPromptTokens: null,
      outputTokens: 50,
      loadMs: 0,
      promptMs: 100,
      outputMs: 1_000,
      totalMs: 1_100,
    }
    stats.observe(usage, { nowMs: 0, inFlightAtDispatch: 1, durationMs: 1_100 })
  }
  const node = bareNode('a', { 'm:latest': {} })
  return new Runner(node, 'm:latest', new NodeUse(), stats, true)
}

/** Answers of which `count` streamed at once, and are over. */
function streamed(target: Runner, count: number): Runner {
  for (let time = 0; time < count; time += 1) {
    target.noteStreaming()
    target.stats.observeStreaming(target.streaming, 0)
  }
  target.streaming = 0
  return target
}

function chat(promptChars: number, change: Record<string, unknown> = {}) {
  return makeRequest('/api/chat', { model: 'm', messages: [{ role: 'user', content: 'x'.repeat(promptChars) }], ...change })
}

describe('first frame', () => {
  test('while nothing is learned the budget is the largest', () => {
    expect(firstFrameBudgetMs(runner(0), chat(4), deadlines)).toBe(deadlines.firstFrameMsMax)
    expect(firstFrameBudgetMs(runner(2), chat(4), deadlines)).toBe(deadlines.firstFrameMsMax)
  })

  test('a node that is not known yet gets four times what the slowest known one beside it would get', () => {
    const unknown = runner(2)
    unknown.peers = [unknown, runner()]
    expect(firstFrameBudgetMs(unknown, chat(400), deadlines)).toBe(4 * deadlines.firstFrameMsMin)
    const long = chat(40_000)
    expect(firstFrameBudgetMs(unknown, long, deadlines)).toBeCloseTo(4 * firstFrameBudgetMs(runner(), long, deadlines), 3)
    expect(firstFrameBudgetMs(unknown, chat(4, { stream: false }), deadlines)).toBe(deadlines.firstFrameMsMax)
  })

  test('a short prompt gets the least budget, a long one four times its expected prefill', () => {
    expect(firstFrameBudgetMs(runner(), chat(400), deadlines)).toBe(deadlines.firstFrameMsMin)
    const budgetMs = firstFrameBudgetMs(runner(), chat(240_000), deadlines)
    expect(budgetMs).toBeGreaterThan(4 * 60_000 * 0.95)
    expect(budgetMs).toBeLessThan(4 * 60_000 * 1.1)
  })

  test('no prompt gets more than the largest budget', () => {
    expect(firstFrameBudgetMs(runner(), chat(4_000_000), deadlines)).toBe(deadlines.firstFrameMsMax)
  })

  /** Rounds of 1,100 ms that are waited for, at twice their time; with none the least budget holds. */
  const waits: readonly [string, Runner, number, number][] = [
    ['ten that were seen streaming at once', streamed(runner(), 10), 10, 0],
    ['one more than was seen streaming', streamed(runner(), 10), 11, 1],
    ['twice as many and one more', streamed(runner(), 10), 21, 2],
    ['as many as the configured slots', runner(5, 8), 8, 0],
    ['more than the configured slots', runner(5, 8), 40, 4],
    ['three where no two were seen at once: four slots are only assumed', runner(), 3, 2],
  ]

  test.each(waits)('%s: only what is beyond the slots is waited for', (_, target, inFlight, rounds) => {
    target.inFlight = inFlight
    const budgetMs = firstFrameBudgetMs(target, chat(4), deadlines)
    const atLeastMs = Math.max(deadlines.firstFrameMsMin, 2 * 1_100 * rounds)
    expect(budgetMs).toBeGreaterThanOrEqual(atLeastMs)
    expect(budgetMs).toBeLessThan(atLeastMs + 100)
  })

  test('slots that are no longer believed are no longer shown', () => {
    const target = streamed(runner(), 10)
    expect(target.slotsShown).toBe(10)
    const waited = {
      promptTokens: 100,
      cachedPromptTokens: null,
      outputTokens: 50,
      loadMs: 0,
      promptMs: 100,
      outputMs: 1_000,
      totalMs: 2_200,
    }
    for (let time = 0; time < 9; time += 1) target.stats.observe(waited, { nowMs: 0, inFlightAtDispatch: 5, durationMs: 2_200 })
    expect(target.slots).toBe(4)
    expect(target.slotsShown).toBe(4)
  })

  test('an answer that comes whole gets time for its output', () => {
    const whole = { stream: false, options: { num_predict: 1_000 } }
    const budgetMs = firstFrameBudgetMs(runner(), chat(4, whole), deadlines)
    expect(budgetMs).toBeGreaterThanOrEqual(4 * 20_000)
    expect(budgetMs).toBeLessThan(4 * 20_000 + 1_000)
  })

  test('a whole answer without a limit gets the largest budget', () => {
    expect(firstFrameBudgetMs(runner(), chat(4, { stream: false }), deadlines)).toBe(deadlines.firstFrameMsMax)
  })

  test('what is held against a node whose client left is four times what answers took, where nothing is known of this one', () => {
    const blamed = blamedSilenceMs(runner(), chat(4, { stream: false }), deadlines)
    expect(blamed).toBeGreaterThanOrEqual(4 * 1_100)
    expect(blamed).toBeLessThan(4 * 1_100 + 100)
    expect(blamedSilenceMs(runner(), chat(4), deadlines)).toBe(deadlines.firstFrameMsMin)
    expect(blamedSilenceMs(runner(0), chat(4, { stream: false }), deadlines)).toBe(deadlines.firstFrameMsMax)
  })
})

describe('what a budget is spared', () => {
  test('a tool call that comes as one frame gets time to be made', () => {
    const tools = { tools: [{ type: 'function', function: { name: 'f' } }] }
    const budgetMs = firstFrameBudgetMs(runner(), chat(4, tools), deadlines)
    expect(budgetMs).toBeGreaterThan(4 * 128 * 20)
    expect(budgetMs).toBeLessThan(4 * 128 * 20 + 1_000)
  })

  test('a request that needs no model in memory has a deadline of its own, unknown models have the largest', () => {
    const stats = new ModelStats({ slotsConfigured: null, slotsAssumed: 4, slotsMax: 4_096 })
    const anyNode = new Runner(bareNode('a'), '*', new NodeUse(), stats, false)
    const show = makeRequest('/api/show', { model: 'm' })
    expect(firstFrameBudgetMs(anyNode, show, deadlines)).toBe(deadlines.firstFrameMsMin)
    expect(firstFramePatienceMs(anyNode, show, deadlines)).toBe(deadlines.lookupMsMax)
    expect(firstFrameBudgetMs(anyNode, chat(4), deadlines)).toBe(deadlines.firstFrameMsMax)
    expect(firstFramePatienceMs(runner(), chat(4), deadlines)).toBe(deadlines.firstFrameMsMax)
  })
})

describe('the watch of one try', () => {
  const watch = (target: Runner, silences = 0) => new AttemptWatch(target, chat(4), { deadlines, nowMs: 0, silences })

  test('suspects a silent node after the budget and fails it after the largest only', () => {
    const one = watch(runner())
    expect([one.isSuspect(deadlines.firstFrameMsMin), one.isSuspect(deadlines.firstFrameMsMin + 1)]).toEqual([false, true])
    expect(one.checkOpen(deadlines.firstFrameMsMax, false)).toBeNull()
    expect(one.checkOpen(deadlines.firstFrameMsMax + 1, false)).toMatchObject({ kind: 'hung' })
  })

  test('gives each further node twice the time, up to the largest', () => {
    const { firstFrameMsMin, firstFrameMsMax } = deadlines
    const third = watch(runner(), 2)
    expect([third.isSuspect(4 * firstFrameMsMin), third.isSuspect(4 * firstFrameMsMin + 1)]).toEqual([false, true])
    expect(watch(runner(), 20).isSuspect(firstFrameMsMax)).toBe(false)
  })

  test('takes a runner for silent only while nobody hears of it', () => {
    const target = runner()
    const one = watch(target)
    const other = watch(target)
    other.noteBytes(2_000, true)
    expect([one.isSuspect(4_000), one.isRunnerSilent(4_000)]).toEqual([true, false])
    expect([one.isRunnerSilent(2_000 + deadlines.firstFrameMsMin), one.isRunnerSilent(2_001 + deadlines.firstFrameMsMin)]).toEqual([
      false,
      true,
    ])
  })

  test('suspects a node of which nothing is known by what another one is found to need meanwhile', () => {
    const target = runner(0)
    const one = watch(target)
    expect(one.isSuspect(20_000)).toBe(false)
    target.peers = [target, runner()]
    expect([one.isSuspect(4 * deadlines.firstFrameMsMin), one.isSuspect(4 * deadlines.firstFrameMsMin + 1)]).toEqual([false, true])
  })

  test('does not suspect a node that is loading the model', () => {
    const target = runner()
    const one = watch(target)
    load(target.fleetNode, {}, 2_000)
    expect(one.isSuspect(60_000)).toBe(false)
    load(target.fleetNode, { 'm:latest': 1 }, 4_000)
    expect(one.isSuspect(60_000)).toBe(true)
  })

  test('a stream has proved itself after twenty frames and a second, once, and not while it is silent', () => {
    const one = watch(runner())
    const proven = (nowMs: number, frames: number) => one.hasJustProven(nowMs, { firstFrameAtMs: 100, frames })
    one.noteFrame(1_000)
    expect([proven(1_099, 20), proven(1_100, 19), proven(2_001, 20)]).toEqual([false, false, false])
    one.noteFrame(2_000)
    expect([proven(2_001, 20), proven(2_002, 21)]).toEqual([true, false])
  })
})

describe('between frames', () => {
  test('ten times the longest pause seen, inside the bounds', () => {
    expect(idleBudgetMs(runner(), 20, false, deadlines)).toBe(deadlines.idleMsMin)
    expect(idleBudgetMs(runner(), 800, false, deadlines)).toBe(8_000)
    expect(idleBudgetMs(runner(), 50_000, false, deadlines)).toBe(deadlines.idleMsMax)
  })

  test('a stream that may hold back a whole tool call gets its time', () => {
    expect(idleBudgetMs(runner(), 20, true, deadlines)).toBeGreaterThanOrEqual(deadlines.idleMsMax)
  })
})

test('a stream stands still after a pause far longer than its others, and never while a tool call may be under way', () => {
  const fast = runner()
  fast.stats.prefillMsPerToken = 0.1
  expect([90, 250, 500, 900].map((silentMs) => standstill(fast, silentMs, 20))).toEqual([0, 250 / 600, 500 / 600, 1])
  expect(standstill(fast, 110, 0)).toBeCloseTo(110 / 300)
  const watchOf = (change: Record<string, unknown>): AttemptWatch =>
    new AttemptWatch(fast, chat(4, change), { deadlines, nowMs: 0, silences: 0 })
  expect(watchOf({}).standstill(60_000)).toBe(1)
  expect(watchOf({ tools: [{ type: 'function', function: { name: 'f' } }] }).standstill(60_000)).toBe(0)
})

test('a pause in which the runner may read a batch of another prompt is none', () => {
  const slow = runner()
  slow.stats.prefillMsPerToken = 4
  expect(standstill(slow, 2_000, 50)).toBe(0)
  expect(standstill(slow, 2_500, 50)).toBeGreaterThan(0)
  // As long as nothing is known, a millisecond a token.
  expect([500, 530].map((silentMs) => standstill(runner(0), silentMs, 20) > 0)).toEqual([false, true])
})
