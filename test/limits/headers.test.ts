// How headers write a time until all is free again.
import { expect, test } from 'vitest'

import { addLimitHeaders } from '../../src/limits/headers.ts'

test.each([
  [0, '0ms'],
  [574, '574ms'],
  [39_967, '39.967s'],
  [60_000, '1m0s'],
  [60_001, '1m1s'],
  [119_000, '1m59s'],
  [119_001, '2m0s'],
  [119_500, '2m0s'],
  [3_600_000, '60m0s'],
])('%i ms until a reset are %s', (resetMs, text) => {
  const headers: Record<string, string | string[]> = {}
  addLimitHeaders(headers, { requests: null, tokens: { limit: 10, remaining: 3, resetMs } })
  expect(headers['x-ratelimit-reset-tokens']).toBe(text)
})
