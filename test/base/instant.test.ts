// Times of nodes in several zones, with more digits than a Date holds, are compared as instants.

import { expect, test } from 'vitest'

import { compareInstants } from '../../src/base/instant.ts'

test.each([
  ['another zone', '2026-11-28T05:00:00Z', '2026-11-28T09:00:00+09:00'],
  ['nanoseconds', '2026-11-28T05:00:00.123456790Z', '2026-11-28T05:00:00.123456789Z'],
  ['fewer digits', '2026-11-28T05:00:00.1234568Z', '2026-11-28T05:00:00.123456789Z'],
  ['nanoseconds of another zone', '2026-11-28T14:00:00.000000002+09:00', '2026-11-28T05:00:00.000000001Z'],
  ['a text that is no time', '0001-01-01T00:00:00Z', 'yesterday'],
  ['no text', '1969-12-31T23:00:00Z', ''],
])('%s', (_, later, earlier) => {
  expect(compareInstants(later, earlier)).toBeGreaterThan(0)
  expect(compareInstants(earlier, later)).toBeLessThan(0)
})

test.each([
  ['2026-11-28T14:00:00.5+09:00', '2026-11-28T05:00:00.500000000Z'],
  ['', 'never'],
])('%s is no other instant than %s', (one, other) => {
  expect(compareInstants(one, other)).toBe(0)
})
