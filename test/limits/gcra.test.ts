// The bucket's arithmetic against its definition: whatever the order of requests, no window holds more than its bound.
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { perMinuteMax } from '../../src/core/limit-set.ts'
import { drained, partsPerUnit, standing, waitUs } from '../../src/limits/gcra.ts'

interface Step {
  readonly afterUs: number
  readonly cost: number
}

const steps = (costMax: number): fc.Arbitrary<Step[]> =>
  fc.array(fc.record({ afterUs: fc.nat({ max: 20_000_000 }), cost: fc.integer({ min: 1, max: costMax }) }), { maxLength: 200 })

/** Admitted costs with their times. */
function run(limit: number, sequence: readonly Step[]): { readonly atUs: number; readonly cost: number }[] {
  const admitted: { atUs: number; cost: number }[] = []
  let parts = 0
  let nowUs = 0
  for (const { afterUs, cost } of sequence) {
    parts = drained(parts, limit, afterUs)
    nowUs += afterUs
    if (waitUs(parts, limit, cost) > 0) continue
    parts += cost * partsPerUnit
    admitted.push({ atUs: nowUs, cost })
  }
  return admitted
}

test('no window holds more than the limit and what drained during it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000 }), steps(50), (limit, sequence) => {
      const admitted = run(limit, sequence)
      for (let first = 0; first < admitted.length; first += 1) {
        let sum = 0
        for (let last = first; last < admitted.length; last += 1) {
          sum += admitted[last]?.cost ?? 0
          const windowUs = (admitted[last]?.atUs ?? 0) - (admitted[first]?.atUs ?? 0)
          expect(sum * partsPerUnit).toBeLessThanOrEqual(limit * partsPerUnit + limit * windowUs)
        }
      }
    }),
    { numRuns: 300 },
  )
})

test('a full limit is admitted at once, and not one more', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5_000 }), (limit) => {
      expect(
        run(
          limit,
          Array.from({ length: limit + 5 }, () => ({ afterUs: 0, cost: 1 })),
        ),
      ).toHaveLength(limit)
    }),
    { numRuns: 50 },
  )
})

test('what is told to wait is admitted after exactly that wait, and not a microsecond sooner', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), fc.nat({ max: 100_000 }), fc.nat({ max: 100_000 }), (limit, used, cost) => {
      const parts = Math.min(used, limit) * partsPerUnit
      const wait = waitUs(parts, limit, Math.min(cost, limit))
      expect(waitUs(drained(parts, limit, wait), limit, Math.min(cost, limit))).toBe(0)
      if (wait > 0) expect(waitUs(drained(parts, limit, wait - 1), limit, Math.min(cost, limit))).toBeGreaterThan(0)
    }),
  )
})

test('more than the limit at once never fits', () => {
  expect(waitUs(0, 10, 11)).toBe(Number.POSITIVE_INFINITY)
})

test('a clock that goes back drains nothing, and what is owed beyond the limit drains like the rest', () => {
  expect(drained(5 * partsPerUnit, 10, -3_600_000_000)).toBe(5 * partsPerUnit)
  expect(drained(30 * partsPerUnit, 10, 120_000_000)).toBe(10 * partsPerUnit)
  expect(drained(30 * partsPerUnit, 10, 3_600_000_000)).toBe(0)
})

test('the highest limit stays exact', () => {
  const parts = perMinuteMax * partsPerUnit
  expect(Number.isSafeInteger(parts)).toBe(true)
  expect(standing(parts, perMinuteMax).remaining).toBe(0)
  expect(standing(drained(parts, perMinuteMax, 1), perMinuteMax).remaining).toBe(1)
})
