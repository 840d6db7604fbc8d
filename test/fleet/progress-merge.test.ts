// The progress of several nodes as one: never backwards, complete only when all are.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { decodeProgress, type Progress, ProgressMerge } from '../../src/fleet/operations/progress-merge.ts'

function step(status: string): Progress {
  return { status, error: null, digest: null, totalBytes: 0, completedBytes: 0 }
}

function layer(digest: string, completedBytes: number, totalBytes = 100): Progress {
  return { status: `pulling ${digest}`, error: null, digest, totalBytes, completedBytes }
}

describe('one line', () => {
  test('numbers and texts are read, other fields are left aside', () => {
    expect(decodeProgress('{"status":"pulling x","digest":"x","total":9,"completed":3,"extra":1}')).toEqual({
      status: 'pulling x',
      error: null,
      digest: 'x',
      totalBytes: 9,
      completedBytes: 3,
    })
    expect(decodeProgress('{"error":"no space"}')).toMatchObject({ error: 'no space' })
  })

  test.each(['', 'nonsense', '[]', '{"status":4}'])('%j is no progress', (text) => {
    expect(decodeProgress(text)).toBeNull()
  })
})

describe('merging', () => {
  test('a step is told when the last node has reached it', () => {
    const merge = new ProgressMerge(['a', 'b'])
    expect(merge.note('a', step('pulling manifest'))).toEqual([])
    expect(merge.note('b', step('pulling manifest'))).toEqual(['{"status":"pulling manifest"}'])
    expect(merge.note('b', step('pulling manifest'))).toEqual([])
  })

  test('a layer is as far as its slowest node', () => {
    const merge = new ProgressMerge(['a', 'b'])
    merge.note('a', layer('x', 80))
    const lines = [...merge.note('b', layer('x', 30)), ...merge.note('b', layer('x', 60)), ...merge.note('a', layer('x', 100))]
    expect(lines.map((line) => decodeProgress(line)?.completedBytes)).toEqual([30, 60])
  })

  test('a layer is told after the steps before it, however far ahead one node is', () => {
    const merge = new ProgressMerge(['a', 'b'])
    const lines = [
      ...merge.note('a', step('pulling manifest')),
      ...merge.note('a', layer('x', 50)),
      ...merge.note('b', step('pulling manifest')),
      ...merge.note('b', layer('x', 10)),
    ]
    expect(lines.map((line) => decodeProgress(line)?.status)).toEqual(['pulling manifest', 'pulling x'])
  })

  test('a node that went on to the next step is done with its layers', () => {
    const merge = new ProgressMerge(['a', 'b'])
    merge.note('a', layer('x', 100))
    merge.note('b', layer('x', 40))
    const lines = merge.note('b', step('verifying sha256 digest'))
    expect(lines.map((line) => decodeProgress(line)?.completedBytes)).toEqual([100])
  })

  test('nobody waits for a node that failed', () => {
    const merge = new ProgressMerge(['a', 'b'])
    merge.note('a', layer('x', 100))
    merge.note('a', step('writing manifest'))
    expect(merge.end('b').map((line) => decodeProgress(line)?.status)).toEqual(['pulling x', 'writing manifest'])
  })
})

test('for any order of the nodes merged numbers never run backwards, pass the total or the slowest node', () => {
  const event = fc.record({
    node: fc.constantFrom('a', 'b', 'c'),
    digest: fc.constantFrom('x', 'y'),
    bytes: fc.integer({ min: 1, max: 100 }),
  })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const merge = new ProgressMerge(['a', 'b', 'c'])
      const at = new Map<string, number>()
      const shown = new Map<string, number>()
      for (const { node, digest, bytes } of events) {
        const key = `${node} ${digest}`
        const reached = Math.max(bytes, at.get(key) ?? 0)
        at.set(key, reached)
        for (const line of merge.note(node, layer(digest, reached))) {
          const { digest: told, completedBytes = 0 } = decodeProgress(line) ?? {}
          const slowest = Math.min(...['a', 'b', 'c'].map((each) => at.get(`${each} ${told ?? ''}`) ?? 0))
          expect(completedBytes).toBe(slowest)
          expect(completedBytes).toBeGreaterThanOrEqual(shown.get(told ?? '') ?? 0)
          shown.set(told ?? '', completedBytes)
        }
      }
    }),
  )
})

test('for any order of the nodes every step and every whole layer is told exactly once', () => {
  const script = [step('pulling manifest'), layer('x', 50), layer('x', 100), layer('y', 100), step('writing manifest')]
  const order = fc.shuffledSubarray([...script.map(() => 'a'), ...script.map(() => 'b')], { minLength: 10 })
  fc.assert(
    fc.property(order, (nodes) => {
      const merge = new ProgressMerge(['a', 'b'])
      const next: Record<string, number> = { a: 0, b: 0 }
      const lines = nodes.flatMap((node) => {
        const index = next[node] ?? 0
        next[node] = index + 1
        const progress = script[index]
        return progress === undefined ? [] : merge.note(node, progress)
      })
      const told = lines.map((line) => decodeProgress(line))
      expect(told.filter((one) => one?.digest === null).map((one) => one?.status)).toEqual(['pulling manifest', 'writing manifest'])
      for (const digest of ['x', 'y']) expect(told.filter((one) => one?.digest === digest && one.completedBytes === 100)).toHaveLength(1)
    }),
  )
})
