// Holds the size and shape limits of the house style as a ratchet: test/tidy-baseline.json lists how many exceptions a file may still have per
// rule, and may only shrink. `npm run tidy-baseline` writes a smaller one; it refuses to write a larger one.

import { expect, test } from 'vitest'
import { countExceptions, forbiddenNames, machinePaths, missingOpenings, promises, readBaseline } from './tidy-rules.ts'

const counted = countExceptions()
const allowed = readBaseline()

test('no file has more exceptions than the baseline lists', () => {
  const grown = Object.entries(counted).filter(([place, { count }]) => count > (allowed[place] ?? 0))
  expect(
    grown.map(([place, { count, lines }]) => `${place}: ${count}, allowed ${allowed[place] ?? 0} (lines ${lines.join(', ')})`),
  ).toEqual([])
})

test('the baseline lists nothing that is already mended', () => {
  const stale = Object.entries(allowed).filter(([place, count]) => (counted[place]?.count ?? 0) < count)
  expect(stale.map(([place, count]) => `${place}: ${counted[place]?.count ?? 0}, baseline ${count}`)).toEqual([])
})

test('every source module opens with a comment that says what it owns', () => {
  expect(missingOpenings()).toEqual([])
})

test('no file has a name without an owner', () => {
  expect(forbiddenNames()).toEqual([])
})

test('no text promises later work', () => {
  expect(promises()).toEqual([])
})

test('no file of the project names a path of one machine', () => {
  expect(machinePaths()).toEqual([])
})
