/** Paths as text, there and back. */
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { parsePath, pathText, type Step } from '../../src/config/path.ts'
import { nearest } from '../../src/config/problem.ts'

test('a path that starts with a name reads back from its text', () => {
  const step: fc.Arbitrary<Step> = fc.oneof(fc.string(), fc.nat(10_000))
  const path = fc
    .tuple(fc.stringMatching(/^[A-Za-z_][\w-]{0,8}$/), fc.array(step, { maxLength: 4 }))
    .map(([first, rest]) => [first, ...rest])
  fc.assert(
    fc.property(path, (steps) => {
      expect(parsePath(pathText(steps))).toEqual(steps)
    }),
  )
})

test.each(['', '.', 'a..b', 'a[', 'a[x]', '[0', 'a b'])('%j is no path', (text) => {
  expect(parsePath(text)).toBeNull()
})

test('the nearest word is found despite case, separators and small slips, and none is made up', () => {
  const words = ['port', 'host', 'drainMs', 'routeHeaders']
  expect(['prot', 'PORT', 'drain_ms', 'drain', 'routeHeader', 'zebra', 'x'].map((word) => nearest(word, words))).toEqual([
    'port',
    'port',
    'drainMs',
    'drainMs',
    'routeHeaders',
    null,
    null,
  ])
})
