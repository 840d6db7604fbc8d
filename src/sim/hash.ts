/**
 * Hashes and random numbers that are a function of their seed, so that a simulated answer depends on the request alone.
 */

/** A 32-bit hash of a text, continued from `seed`. */
export function hashText(text: string, seed = 0x811c9dc5): number {
  let hash = seed
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Numbers in [0, 1), the same sequence for the same seed. */
export function randomSequence(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), state | 1)
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61)
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296
  }
}

const idLetters = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** An id of `length` lower-case letters and digits. */
export function randomId(random: () => number, length: number, letters = idLetters): string {
  let id = ''
  for (let index = 0; index < length; index += 1) id += letters.charAt(Math.floor(random() * letters.length))
  return id
}
