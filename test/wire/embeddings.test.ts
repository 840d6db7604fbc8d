/** Embedding answers taken apart and put together again: the digits of every vector are the bytes the node sent. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { joinEmbeddings, readEmbeddingPart } from '../../src/wire/embeddings.ts'
import { answerOf, postRoute, routeOf, transcript, transcripts } from './transcripts.ts'

const native = postRoute('/api/embed')
const openai = postRoute('/v1/embeddings')

const answered = transcripts.filter(
  ({ response, request }) => response.status === 200 && response.cut !== true && /^(?:\/api\/embed|\/v1\/embeddings)$/.test(request.path),
)

describe('recorded answers', () => {
  it('are there in both shapes', () => {
    expect(new Set(answered.map(({ request }) => request.path))).toEqual(new Set(['/api/embed', '/v1/embeddings']))
  })

  for (const exchange of answered) {
    it(`${exchange.name} is put together as it was sent`, () => {
      const route = routeOf(exchange)
      const body = answerOf(exchange)
      const part = readEmbeddingPart(route, body)
      if (part === null) throw new Error('it was not read')
      const totalNs = /"total_duration":(\d+)/.exec(body.toString())?.[1]
      const joined = joinEmbeddings(route, part.vectors, { ...part, totalNs: Number(totalNs ?? 0) })
      // An answer without vectors carries no numbers; ours then carries zeros, which every client reads alike.
      if (part.vectors.length > 0) expect(joined.equals(body)).toBe(true)
      else expect(JSON.parse(joined.toString())).toMatchObject(JSON.parse(body.toString()) as object)
    })
  }

  it('of one and of two items carry the same vector', () => {
    const one = readEmbeddingPart(native, answerOf(transcript('207')))
    const two = readEmbeddingPart(native, answerOf(transcript('208')))
    expect(two?.vectors).toHaveLength(2)
    expect(two?.vectors[0]).toBe(one?.vectors[0])
    expect(one).toMatchObject({ promptTokens: 7, loadNs: 263_724_403, model: '"all-minilm:l6"' })
  })

  it('in base64 hold one text per item', () => {
    const part = readEmbeddingPart(openai, answerOf(transcript('254')))
    const item = part?.vectors[0] ?? '""'
    const bytes = Buffer.from(item.slice(1, -1), 'base64')
    const floats: unknown = JSON.parse(readEmbeddingPart(native, answerOf(transcript('208')))?.vectors[0] ?? '[]')
    expect(bytes.length).toBe(384 * 4)
    expect(Array.isArray(floats) && Math.fround(Number(floats[0]))).toBe(bytes.readFloatLE(0))
  })

  it('of errors and other routes are no parts', () => {
    for (const number of ['218', '259', '222', '073', '001']) expect(readEmbeddingPart(native, answerOf(transcript(number)))).toBeNull()
    for (const number of ['259', '207', '228', '001']) expect(readEmbeddingPart(openai, answerOf(transcript(number)))).toBeNull()
  })
})

const digits = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.constantFrom('0.10', '-0', '1e-10', '0.017878472805023193', '1E5', '9007199254740993'),
)
const vector = fc.array(digits, { minLength: 1, maxLength: 5 }).map((numbers) => `[${numbers.join(',')}]`)
const base64 = fc.uint8Array({ minLength: 4, maxLength: 12 }).map((bytes) => `"${Buffer.from(bytes).toString('base64')}"`)
const totals = fc.record({
  model: fc.string({ unit: 'grapheme', maxLength: 10 }).map((name) => JSON.stringify(name)),
  promptTokens: fc.nat(9_999),
  loadNs: fc.nat(),
  totalNs: fc.nat(),
})

describe('any split of a batch', () => {
  it('joins into the same bytes as the whole, natively', () => {
    fc.assert(
      fc.property(fc.array(vector, { maxLength: 6 }), totals, fc.nat(6), (vectors, sums, cut) => {
        const whole = joinEmbeddings(native, vectors, sums)
        const halves = [vectors.slice(0, cut), vectors.slice(cut)].flatMap(
          (half) => readEmbeddingPart(native, joinEmbeddings(native, half, sums))?.vectors ?? ['lost'],
        )
        expect(halves).toEqual(vectors)
        expect(readEmbeddingPart(native, whole)).toMatchObject({
          vectors,
          promptTokens: sums.promptTokens,
          model: JSON.stringify(JSON.parse(sums.model)),
        })
        expect(joinEmbeddings(native, halves, sums).equals(whole)).toBe(true)
      }),
    )
  })

  it('joins into the same bytes as the whole on /v1, as numbers and in base64', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(vector, base64), { maxLength: 6 }), totals, (vectors, sums) => {
        const whole = joinEmbeddings(openai, vectors, sums)
        expect(readEmbeddingPart(openai, whole)).toMatchObject({ vectors, promptTokens: sums.promptTokens, model: sums.model })
        const parsed = JSON.parse(whole.toString()) as { data: { index: number; object: string }[]; usage: { total_tokens: number } }
        expect(parsed.data.map(({ index }) => index)).toEqual(vectors.map((_, index) => index))
        expect(parsed.usage.total_tokens).toBe(sums.promptTokens)
      }),
    )
  })
})

describe('other bodies', () => {
  const bad = [
    '',
    '{}',
    '[]',
    'null',
    '{"embeddings":null}',
    '{"embeddings":[[1,2]',
    '{"embeddings":[[1,2',
    '{"embeddings":[1,2]}',
    '{"embeddings":["a"]}',
    '{"embeddings":[[1]],"model":',
    '{"data":null}',
    '{"data":[{}]}',
    '{"data":[{"embedding":[1}]}',
    '<html>',
  ]
  for (const body of bad) {
    it(`${body === '' ? 'nothing' : body} is no part`, () => {
      expect(readEmbeddingPart(native, Buffer.from(body))).toBeNull()
      expect(readEmbeddingPart(openai, Buffer.from(body))).toBeNull()
    })
  }

  it('cut anywhere are no parts', () => {
    for (const [route, number] of [
      [native, '208'],
      [openai, '253'],
      [openai, '254'],
    ] as const) {
      const body = answerOf(transcript(number))
      for (let length = 0; length < body.length - 1; length += 37) expect(readEmbeddingPart(route, body.subarray(0, length))).toBeNull()
    }
  })
})
