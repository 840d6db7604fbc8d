// The body of an answer is read piece by piece, however it was cut, and let go when its reader leaves.
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { type BodyPiece, bodyPieces } from '../../src/console/api/body-text.ts'

function cut(bytes: Uint8Array<ArrayBuffer>, places: readonly number[]): Uint8Array<ArrayBuffer>[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length]
  return edges.slice(1).map((end, index) => bytes.slice(edges[index], end))
}

async function read(response: Response): Promise<BodyPiece[]> {
  const pieces: BodyPiece[] = []
  for await (const piece of bodyPieces(response)) pieces.push(piece)
  return pieces
}

test('every cutting of the bytes gives the same text and the same number of bytes', async () => {
  const text = fc.string({ unit: 'grapheme' }).filter((each) => !each.startsWith('\uFEFF'))
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(500), { maxLength: 8 }), async (whole, places) => {
      const bytes = new TextEncoder().encode(whole)
      const pieces = await read(new Response(ReadableStream.from(cut(bytes, places))))
      expect(pieces.map((piece) => piece.text).join('')).toBe(whole)
      expect(pieces.reduce((sum, piece) => sum + piece.bytes, 0)).toBe(bytes.length)
    }),
  )
})

test('who stops reading early ends the body', async () => {
  const ended = Promise.withResolvers<undefined>()
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(Buffer.from('one more ')),
    cancel: () => ended.resolve(undefined),
  })
  for await (const { text } of bodyPieces(new Response(body))) if (text !== '') break
  await ended.promise
})

test('an answer without a body has no pieces', async () => {
  expect(await read(new Response(null))).toEqual([])
})
