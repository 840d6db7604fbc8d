// Keys as text: what one looks like, and that nothing but a whole one is taken for one.
import { randomFillSync } from 'node:crypto'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { keyPrefix, makeKey, parseKey } from '../../src/identity/key.ts'
import { Peppers } from '../../src/identity/pepper.ts'

const fill = (bytes: Uint8Array): void => void randomFillSync(bytes)

describe('a key', () => {
  test('is corral_, an id of 12, a secret of at least 192 bits and a checksum of 6', () => {
    const { text, id, secret } = makeKey(fill)
    expect(text).toMatch(/^corral_[0-9A-Za-z]{12}_[0-9A-Za-z]{39}$/)
    expect(text.startsWith(`${keyPrefix}${id}_${secret}`)).toBe(true)
    expect(secret.length * Math.log2(62)).toBeGreaterThanOrEqual(192)
  })

  test('is read back', () => {
    const { text, id, secret } = makeKey(fill)
    expect(parseKey(text)).toEqual({ id, secret })
  })

  test('with one character changed is none, wherever it is', () => {
    const { text } = makeKey(fill)
    for (let index = 0; index < text.length; index += 1) {
      const other = text[index] === 'x' ? 'y' : 'x'
      expect(parseKey(text.slice(0, index) + other + text.slice(index + 1)), `at ${index}`).toBeNull()
    }
  })

  test.each([
    ['nothing', ''],
    ['the prefix', 'corral_'],
    ['another prefix', makeKey(fill).text.replace('corral_', 'coral__')],
    ['a quote', `corral_abc'--efghijk_${'a'.repeat(39)}`],
    ['a NUL', `corral_abc\0efghijkl_${'a'.repeat(39)}`],
    ['a letter beyond ASCII', `corral_äbcdefghijkl_${'a'.repeat(39)}`],
    ['a key and a newline', `${makeKey(fill).text}\n`],
    ['a key and a space', ` ${makeKey(fill).text}`],
    ['twenty thousand characters', 'corral_'.padEnd(20_000, 'a')],
  ])('is not %s', (_, text) => {
    expect(parseKey(text)).toBeNull()
  })

  test('is not any text', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string({ minLength: 59, maxLength: 59 }).map((rest) => keyPrefix + rest),
        ),
        (text) => parseKey(text) === null,
      ),
    )
  })

  test('is drawn evenly over the alphabet', () => {
    const counts = new Map<string, number>()
    for (let index = 0; index < 3_000; index += 1)
      for (const letter of makeKey(fill).secret) counts.set(letter, (counts.get(letter) ?? 0) + 1)
    const expected = (3_000 * 33) / 62
    expect(counts.size).toBe(62)
    // Six standard deviations: a fault in the code is far beyond, chance is not.
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(6 * Math.sqrt(expected))
  })
})

describe('a pepper', () => {
  const first = 'the first secret of an installation'
  const second = 'the second secret of an installation'

  test('makes the digest worth nothing under another secret', () => {
    const stored = new Peppers(first).digest('s')
    expect(new Peppers(first).matches('s', stored)).toBe(true)
    expect(new Peppers(second).matches('s', stored)).toBe(false)
  })

  test('of a former secret goes on checking, and new digests get the newest', () => {
    const old = new Peppers(first).digest('s')
    const both = new Peppers(second, [first])
    expect(both.matches('s', old)).toBe(true)
    expect(both.matches('t', old)).toBe(false)
    expect(both.digest('s').version).toBe(both.current)
    expect(both.current).not.toBe(old.version)
  })

  test('of fewer than 32 characters is refused', () => {
    expect(() => new Peppers('short')).toThrow('at least 32')
  })

  test('matches no digest that is not there, not even one of zeros', () => {
    const peppers = new Peppers(first)
    expect(peppers.matches('s', null)).toBe(false)
    expect(peppers.matches('s', { version: 'unknown', bytes: Buffer.alloc(32) })).toBe(false)
  })
})
