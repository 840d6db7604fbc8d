/**
 * Vectors of texts. The default hashes words into a unit vector: the same text gives the same vector on every node, texts
 * that share words are near each other. A test may hand in a real model (`onnx-embedder.ts`).
 */
import { hashText, randomSequence } from './hash.ts'

/** Unit vectors of `texts`, `dimensions` numbers each. */
export type Embedder = (texts: readonly string[], dimensions: number) => Promise<Float32Array[]> | Float32Array[]

function addWord(vector: Float32Array, word: string, weight: number): void {
  const random = randomSequence(hashText(word))
  for (let index = 0; index < 16; index += 1) {
    const at = Math.floor(random() * vector.length)
    vector[at] = (vector[at] ?? 0) + (random() * 2 - 1) * weight
  }
}

/** Scales a vector to length 1; a zero vector stays. */
export function normalise(vector: Float32Array): Float32Array {
  let sum = 0
  for (const value of vector) sum += value * value
  if (sum === 0) return vector
  const factor = 1 / Math.sqrt(sum)
  for (let index = 0; index < vector.length; index += 1) vector[index] = (vector[index] ?? 0) * factor
  return vector
}

function hashVector(text: string, dimensions: number): Float32Array {
  const vector = new Float32Array(dimensions)
  const random = randomSequence(hashText(text))
  for (let index = 0; index < dimensions; index += 1) vector[index] = (random() - 0.5) * 0.02
  for (const word of text.toLowerCase().split(/[^\p{L}\p{N}]+/u, 2_000)) if (word !== '') addWord(vector, word, 1)
  return normalise(vector)
}

export const hashEmbedder: Embedder = (texts, dimensions) => texts.map((text) => hashVector(text, dimensions))

/** A float32 as Go prints it: the shortest decimal that reads back as the same float32. */
export function printFloat32(value: number): string {
  for (let digits = 6; digits <= 9; digits += 1) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return String(Number(text))
  }
  return String(value)
}
