// The `num_ctx` policy and the retry budget: what is decided, as plain functions of what came before.

import { describe, expect, test } from 'vitest'

import { createCatalogue } from '../../src/fleet/catalogue.ts'
import { type Build, NumCtxPolicy } from '../../src/fleet/num-ctx.ts'
import { fleetOptions } from '../../src/fleet/options.ts'
import { RetryBudget } from '../../src/fleet/retry-budget.ts'
import { prepareRequest } from '../../src/fleet/wish.ts'
import { bareNode, noWeights } from './bare-node.ts'
import { manualClock } from './manual-clock.ts'
import { makeRequest } from './requests.ts'

function policy(numCtx: Record<string, unknown>): NumCtxPolicy {
  const options = fleetOptions.parse({ numCtx }).numCtx
  return new NumCtxPolicy(() => options)
}

const m: Build = { name: 'm:latest', digest: 'd1' }
const other: Build = { name: 'other:latest', digest: 'd2' }

describe('num_ctx', () => {
  test('pass leaves every request alone', () => {
    expect(policy({}).decide(m, 2_048)).toEqual({ kind: 'keep' })
    expect(policy({}).decide(m, null)).toEqual({ kind: 'keep' })
  })

  test('fixed gives all requests one length', () => {
    const fixed = policy({ policy: 'fixed', value: 8_192 })
    expect(fixed.decide(m, 2_048)).toEqual({ kind: 'set', value: 8_192 })
    expect(fixed.decide(m, null)).toEqual({ kind: 'set', value: 8_192 })
    expect(fixed.decide(m, 8_192)).toEqual({ kind: 'keep' })
  })

  test("fixed without a value takes the option out: the node's own length holds", () => {
    const fixed = policy({ policy: 'fixed' })
    expect(fixed.decide(m, 2_048)).toEqual({ kind: 'remove' })
    expect(fixed.decide(m, null)).toEqual({ kind: 'keep' })
  })

  test('max keeps to the largest length that was answered so far, per model', () => {
    const max = policy({ policy: 'max' })
    expect(max.decide(m, null)).toEqual({ kind: 'keep' })
    expect(max.decide(m, 8_192)).toEqual({ kind: 'keep' })
    expect(max.decide(m, null)).toEqual({ kind: 'keep' })
    expect(max.noteAnswered(m, 8_192)).toBe(true)
    expect(max.noteAnswered(m, 2_048)).toBe(false)
    expect(max.decide(m, 2_048)).toEqual({ kind: 'set', value: 8_192 })
    expect(max.decide(m, null)).toEqual({ kind: 'set', value: 8_192 })
    expect(max.decide(other, 2_048)).toEqual({ kind: 'keep' })
  })

  test('max gives others no more than a node showed that the model can have', () => {
    const max = policy({ policy: 'max' })
    max.noteAnswered(m, 1e9)
    max.noteShown(m, { tokens: 1e9, shown: 131_072 })
    expect(max.largestOf(m)).toBe(131_072)
    expect(max.noteAnswered(m, 1e9)).toBe(false)
    expect(max.decide(m, null)).toEqual({ kind: 'set', value: 131_072 })
  })

  test('max never cuts what a client asks for', () => {
    const max = policy({ policy: 'max' })
    max.noteAnswered(m, 32_768)
    max.noteShown(m, { tokens: 32_768, shown: 8_192 })
    expect(max.decide(m, 131_072)).toEqual({ kind: 'keep' })
    expect(max.decide(m, 4_096)).toEqual({ kind: 'set', value: 8_192 })
  })

  test('what max knows of one build holds for no other of the name, and for every name of that build', () => {
    const max = policy({ policy: 'max' })
    max.noteAnswered(m, 32_768)
    max.noteShown(m, { tokens: 32_768, shown: 8_192 })
    const pulledAnew = { ...m, digest: 'd9' }
    expect(max.decide(pulledAnew, null)).toEqual({ kind: 'keep' })
    expect(max.noteAnswered(pulledAnew, 131_072)).toBe(true)
    expect([max.largestOf(pulledAnew), max.largestOf(m)]).toEqual([131_072, 8_192])
    expect(max.decide({ ...m, name: 'copy:latest' }, null)).toEqual({ kind: 'set', value: 8_192 })
  })

  test('max keeps models without a digest apart by name', () => {
    const max = policy({ policy: 'max' })
    max.noteAnswered({ name: 'a:latest', digest: null }, 8_192)
    expect(max.decide({ name: 'b:latest', digest: '' }, 2_048)).toEqual({ kind: 'keep' })
    expect(max.largestOf({ name: 'a:latest', digest: '' })).toBe(8_192)
  })

  test('max forgets the build that grew least lately beyond 10,000', () => {
    const max = policy({ policy: 'max' })
    const build = (index: number): Build => ({ name: 'm:latest', digest: `build ${index}` })
    for (let index = 0; index < 10_000; index += 1) max.noteAnswered(build(index), 4_096)
    max.noteAnswered(build(0), 8_192)
    max.noteAnswered(m, 4_096)
    expect([0, 1, 2].map((index) => max.largestOf(build(index)))).toEqual([8_192, null, 4_096])
  })

  test.each([Infinity, Number.NaN, 2_048.5, -1, 0])('max takes no length of %d', (tokens) => {
    const max = policy({ policy: 'max' })
    expect(max.noteAnswered(m, tokens)).toBe(false)
    expect(max.decide(m, null)).toEqual({ kind: 'keep' })
  })

  test('bucket rounds up to the next length, whatever the order of the list', () => {
    const bucket = policy({ policy: 'bucket', buckets: [16_384, 4_096] })
    expect(bucket.decide(m, 2_000)).toEqual({ kind: 'set', value: 4_096 })
    expect(bucket.decide(m, 4_096)).toEqual({ kind: 'keep' })
    expect(bucket.decide(m, 4_097)).toEqual({ kind: 'set', value: 16_384 })
  })

  test('bucket leaves lengths beyond the last bucket and requests without one alone', () => {
    const bucket = policy({ policy: 'bucket', buckets: [4_096] })
    expect(bucket.decide(m, 5_000)).toEqual({ kind: 'keep' })
    expect(bucket.decide(m, null)).toEqual({ kind: 'keep' })
  })
})

test('names that clients make up are not remembered', () => {
  const asked: string[] = []
  const numCtx = new NumCtxPolicy(() => fleetOptions.parse({ numCtx: { policy: 'max' } }).numCtx)
  const decide = numCtx.decide.bind(numCtx)
  numCtx.decide = (build, requested) => {
    asked.push(`${build.name} ${build.digest ?? ''}`)
    return decide(build, requested)
  }
  const clock = manualClock()
  const catalogue = createCatalogue({
    nodes: () => [bareNode('a', { 'm:latest': {} })],
    aliases: () => ({}),
    clock,
    onDrift: () => undefined,
  })
  for (const model of ['m', 'made-up']) {
    prepareRequest(
      { catalogue, numCtx, tracksConversations: () => false, weights: noWeights },
      makeRequest('/api/chat', { model, messages: [] }),
    )
  }
  expect(asked).toEqual(['m:latest d1'])
})

describe('retry budget', () => {
  function budget(active: number): RetryBudget {
    const { retry } = fleetOptions.parse({})
    const made = new RetryBudget(() => retry)
    made.active = active
    return made
  }

  /** How many retries are granted when all want one at the same time. */
  function granted(made: RetryBudget): number {
    let count = 0
    while (count < 10_000 && made.tryTake()) count += 1
    return count
  }

  test('three retries are granted however few requests are under way', () => {
    expect(granted(budget(1))).toBe(3)
  })

  test('a fifth of the requests under way and three are granted at once', () => {
    expect(granted(budget(100))).toBe(23)
  })

  test('what is given back can be taken again', () => {
    const made = budget(1)
    granted(made)
    made.release()
    expect(made.taken).toBe(2)
    expect(granted(made)).toBe(1)
  })
})
