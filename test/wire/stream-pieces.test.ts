// Frames that come in many pieces, counted in bytes looked at and copied, and lines of nothing between frames.

import * as fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { createStreamReader } from '../../src/wire/stream-reader.ts'
import { cutAt, readAnyhow, readStream } from './stream-driver.ts'
import { postRoute } from './transcripts.ts'

const chat = postRoute('/api/chat')
const openai = postRoute('/v1/chat/completions')

const token = (content: string): string => `{"model":"m","message":{"role":"assistant","content":"${content}"},"done":false}\n`
const lastLine = '{"model":"m","message":{"role":"assistant","content":""},"done":true}\n'

afterEach(() => {
  vi.restoreAllMocks()
})

interface Work {
  scannedBytes: number
  copiedBytes: number
}

/** Counts what is searched and copied in buffers from now on. */
function countWork(): Work {
  const work: Work = { scannedBytes: 0, copiedBytes: 0 }
  const { indexOf, copy } = Buffer.prototype
  const { concat } = Buffer
  vi.spyOn(Buffer.prototype, 'indexOf').mockImplementation(function count(this: Buffer, value, from, encoding) {
    const at = indexOf.call(this, value, from, encoding)
    work.scannedBytes += (at < 0 ? this.length : at + 1) - (typeof from === 'number' ? from : 0)
    return at
  })
  vi.spyOn(Buffer.prototype, 'copy').mockImplementation(function count(this: Buffer, ...args) {
    const copied = copy.apply(this, args)
    work.copiedBytes += copied
    return copied
  })
  vi.spyOn(Buffer, 'concat').mockImplementation((list, length) => {
    const all = concat(list, length)
    work.copiedBytes += all.length
    return all
  })
  return work
}

/** `bytes` in pieces of `size`. */
function pieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => bytes.subarray(index * size, (index + 1) * size))
}

const dialects = [
  ['a line', chat, (length: number) => `${token('x'.repeat(length))}${lastLine}`],
  [
    'an event',
    openai,
    (length: number) => `data: {"model":"m","choices":[{"delta":{"content":"${'x'.repeat(length)}"}}]}\n\ndata: [DONE]\n\n`,
  ],
] as const

describe('a frame in many small pieces', () => {
  it.each(dialects)('%s costs work in proportion to its length', (_, route, bodyOf) => {
    const body = Buffer.from(bodyOf(1_000_000))
    const chunks = pieces(body, 100)
    const work = countWork()
    const reading = readStream(route, chunks, 2_000_000)
    vi.restoreAllMocks()
    expect(reading).toMatchObject({ event: 'done', frames: 2, forwarded: body.toString('latin1') })
    // The driver copies what is handed on twice; the reader's own memory doubles as it fills up.
    expect(work.copiedBytes).toBeLessThan(6 * body.length)
    expect(work.scannedBytes).toBeLessThan(4 * body.length)
  })

  it.each(dialects)('%s is read alike whatever the pieces, and so is what follows in the same piece', (_, route, bodyOf) => {
    fc.assert(
      fc.property(fc.array(fc.nat(3_000), { maxLength: 40 }), fc.integer({ min: 1, max: 2_000 }), (points, length) => {
        const body = Buffer.from(bodyOf(length))
        expect(readStream(route, cutAt(body, points))).toMatchObject({
          event: 'done',
          frames: 2,
          forwarded: body.toString('latin1'),
        })
      }),
    )
  })

  it('what was handed on is not written to again', () => {
    const body = Buffer.from(`${token('a'.repeat(50))}${token('b'.repeat(50))}${token('c'.repeat(50))}${lastLine}`)
    for (let size = 1; size < 120; size += 1) {
      const reader = createStreamReader(chat, { frameBytesMax: 1_000 })
      // The buffers themselves, looked at when all has been read.
      const forwarded = pieces(body, size).flatMap((chunk) => reader.push(chunk).forward ?? [])
      expect(Buffer.concat(forwarded).toString('latin1')).toBe(body.toString('latin1'))
    }
  })

  it('one that never ends is an event as soon as it is over the limit', () => {
    const chunks = pieces(Buffer.from(`{"a":"${'x'.repeat(5_000)}`), 10)
    expect(readStream(chat, chunks.slice(0, 100), 1_000)).toMatchObject({ event: 'truncated' })
    expect(readStream(chat, chunks.slice(0, 101), 1_000)).toMatchObject({ event: 'oversize' })
  })
})

describe('lines of nothing', () => {
  const nothing = fc.constantFrom('\n', '\r\n', '  \n', ' \t \r\n')
  const piece = fc.oneof(nothing, fc.constant(token('a')), fc.constant(token('b')))

  it('between the lines of an answer are left out, in every chunking', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const lines = parts.filter((part) => part.trim() !== '')
        const reading = readAnyhow(chat, Buffer.from([...parts, lastLine].join('')), { runs: 5 })
        expect(reading).toMatchObject({ event: 'done', frames: lines.length + 1, forwarded: [...lines, lastLine].join('') })
      }),
    )
  })

  it('at the end of a body that breaks off are no frame either', () => {
    expect(readAnyhow(chat, Buffer.from(`${token('a')}\n\n \n\n`))).toMatchObject({ frames: 1, forwarded: token('a') })
  })

  it('before an error are left out, too, and what came before them is handed on', () => {
    const reading = readAnyhow(chat, Buffer.from(`${token('a')}\n${token('b')}\n\n{"error":"broken"}\n`))
    expect(reading).toMatchObject({ event: 'error', message: 'broken', forwarded: token('a') + token('b') })
  })
})
