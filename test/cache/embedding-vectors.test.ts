// Vectors as they lie in a cache: what a node printed comes out again, byte for byte, as the recorded exchanges with Ollama show.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { dimensionsOf, encodeVector, isIntactVector, tokensOf, type VectorForm, vectorText } from '../../src/cache/embedding-entry.ts'
import { printFloat32, printFloat64 } from '../../src/cache/float-text.ts'
import { printFloat32 as printLikeOllama } from '../../src/sim/embedder.ts'
import { randomSequence } from '../../src/sim/hash.ts'

const folder = join(import.meta.dirname, '../data/ollama-transcripts')
const tokens = { count: 7, exact: true }

interface Recorded {
  readonly name: string
  readonly form: VectorForm
  readonly text: string
}

/** All vectors that Ollama printed in the recorded exchanges. */
function recordedVectors(): Recorded[] {
  const found: Recorded[] = []
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
    const text = readFileSync(join(folder, file), 'utf8')
    const path = /"path": ?"([^"]*)"/.exec(text)?.[1] ?? ''
    if (!['/api/embed', '/api/embeddings', '/v1/embeddings'].includes(path)) continue
    const exchange: unknown = JSON.parse(text)
    const answer = framesOf(exchange)
    const legacy = path === '/api/embeddings'
    for (const [vector] of answer.matchAll(/\[-?\d[-+\d.e,]*\]|"[A-Za-z0-9+/]{100,}={0,2}"/g)) {
      found.push({ name: file, form: vector.startsWith('"') ? 'base64' : legacy ? 'float64' : 'float32', text: vector })
    }
  }
  return found
}

function framesOf(exchange: unknown): string {
  if (typeof exchange !== 'object' || exchange === null || !('response' in exchange)) return ''
  const { response } = exchange
  if (typeof response !== 'object' || response === null || !('frames' in response) || !Array.isArray(response.frames)) return ''
  return response.frames.map((frame: unknown) => (isText(frame) ? frame.text : '')).join('')
}

function isText(frame: unknown): frame is { readonly text: string } {
  return typeof frame === 'object' && frame !== null && 'text' in frame && typeof frame.text === 'string'
}

const recorded = recordedVectors()

test('there are recorded vectors of every form', () => {
  for (const form of ['float32', 'float64', 'base64'])
    expect(
      recorded.some((vector) => vector.form === form),
      form,
    ).toBe(true)
  expect(recorded.length).toBeGreaterThanOrEqual(11)
})

test.each(recorded)('gives the recorded text again out of float32: $name, $form', ({ form, text }) => {
  const entry = encodeVector(text, form, tokens)
  if (entry === null) throw new Error('not kept')
  expect(entry.length).toBe(20 + 4 * dimensionsOf(entry))
  expect(vectorText(entry, form)).toBe(text)
})

test('the recorded base64 and the recorded numbers of the same texts are one entry', () => {
  const native = recorded.filter(({ name }) => name.startsWith('208-'))
  const base64 = recorded.filter(({ name }) => name.startsWith('254-'))
  const v1 = recorded.filter(({ name }) => name.startsWith('253-'))
  expect([native.length, base64.length, v1.length]).toEqual([2, 2, 1])
  for (const [index, { text }] of native.entries()) {
    const fromText = encodeVector(text, 'float32', tokens)
    const fromBase64 = encodeVector(base64[index]?.text ?? '', 'base64', tokens)
    expect(fromBase64).toEqual(fromText)
    expect(fromBase64 && vectorText(fromBase64, 'float32')).toBe(text)
    expect(fromText && vectorText(fromText, 'base64')).toBe(base64[index]?.text)
  }
  expect(v1[0]?.text).toBe(native[0]?.text)
})

test('the legacy route tells other numbers for the same text: nothing is shared with it', () => {
  const native = recorded.find(({ name }) => name.startsWith('207-'))
  const legacy = recorded.find(({ name }) => name.startsWith('222-'))
  expect(encodeVector(legacy?.text ?? '', 'float64', tokens)).not.toEqual(encodeVector(native?.text ?? '', 'float32', tokens))
})

test('prints float32 as the shortest decimal that reads back, over all exponents', () => {
  const random = randomSequence(7)
  const floats = new Float32Array(1)
  const bits = new Uint32Array(floats.buffer)
  let compared = 0
  for (let index = 0; index < 100_000; index += 1) {
    bits[0] = Math.floor(random() * 2 ** 32)
    if (index % 2 === 1) floats[0] = (random() - 0.5) * 0.3
    const value = floats[0] ?? 0
    if (!Number.isFinite(value) || value === 0) continue
    const text = printFloat32(value)
    // The same by another way: digits are tried one after the other.
    const digits = [1, 2, 3, 4, 5].find((count) => Math.fround(Number(value.toPrecision(count))) === value)
    const expected = digits === undefined ? printLikeOllama(value) : String(Number(value.toPrecision(digits)))
    if (text !== expected) expect(text, `${value}`).toBe(expected)
    compared += 1
  }
  expect(compared).toBeGreaterThan(90_000)
})

test.each([
  [0, '0'],
  [-0, '-0'],
  [1, '1'],
  [-0.5, '-0.5'],
  [1e-6, '0.000001'],
  [Math.fround(9.5e-7), '9.5e-7'],
  [2 ** -149, '1e-45'],
  [Math.fround(3.4028234663852886e38), '3.4028235e+38'],
  [16_777_216, '16777216'],
  [Math.fround(1e21), '1e+21'],
  [0.1 + 2 ** -27 - 0.1 + 0.25, '0.25'],
])('prints the float32 %s as %s', (value, text) => {
  expect(printFloat32(Math.fround(value))).toBe(text)
})

test('prints float64 as Go does, the sign of zero included', () => {
  expect([-0, 0.017878472805023193, 1e-7, 1e21].map(printFloat64)).toEqual(['-0', '0.017878472805023193', '1e-7', '1e+21'])
})

test('keeps a text that float32 would print otherwise as a text, and tells it in no other form', () => {
  const text = '[0.10,0.5]'
  const entry = encodeVector(text, 'float32', tokens)
  if (entry === null) throw new Error('not kept')
  expect(vectorText(entry, 'float32')).toBe(text)
  expect(vectorText(entry, 'base64')).toBeNull()
  expect(isIntactVector(entry)).toBe(true)
})

test('finds every changed byte of an entry', () => {
  const entry = encodeVector('[0.25,-0.5,0.125]', 'float32', { count: 300, exact: false })
  if (entry === null) throw new Error('not kept')
  expect(isIntactVector(entry)).toBe(true)
  expect(tokensOf(entry)).toEqual({ count: 300, exact: false })
  for (let at = 0; at < entry.length; at += 1) {
    const changed = Buffer.from(entry)
    changed[at] = (changed[at] ?? 0) ^ 0x10
    expect(isIntactVector(changed), `byte ${at}`).toBe(false)
    expect(isIntactVector(entry.subarray(0, at))).toBe(false)
  }
})

test.each(['[]', '[0,0]', '[1,1e999]', '["a"]', '{', '[null]', '[1e39]'])('does not keep %s', (text) => {
  expect(encodeVector(text, 'float32', tokens)).toBeNull()
})

test.each(['""', '"AAA="', '"AADAfwAAgD8="', '"AAAAAAAAAAA="'])('does not keep the base64 %s', (text) => {
  expect(encodeVector(text, 'base64', tokens)).toBeNull()
})
