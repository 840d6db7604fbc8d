/** Every recorded stream, in every chunking: the same bytes go on, the same event, count and usage come out. */
import { describe, expect, it } from 'vitest'

import { readAnyhow, readStream } from './stream-driver.ts'
import { expectationOf } from './stream-reference.ts'
import { answerOf, headerOf, routeOf, transcript, transcripts } from './transcripts.ts'

const streams = transcripts.filter((exchange) => /ndjson|event-stream/.test(headerOf(exchange, 'content-type')))

describe('recorded streams', () => {
  it('are there in every dialect', () => {
    const terminators = new Set(streams.map((exchange) => routeOf(exchange).terminator))
    expect([...terminators].toSorted()).toEqual(['anthropic', 'done', 'openai', 'responses', 'success'])
    expect(streams.length).toBeGreaterThan(50)
  })

  for (const exchange of streams) {
    it(`${exchange.name} reads the same however it is cut`, () => {
      const route = routeOf(exchange)
      const bytes = answerOf(exchange)
      const expected = expectationOf(route, bytes.toString())
      const reading = readAnyhow(route, bytes)
      expect(reading.forwarded).toBe(expected.forwarded)
      expect(reading.frames).toBe(expected.frames)
      expect(['truncated', 'silent'].includes(reading.event ?? '') ? null : reading.event).toBe(expected.event)
      expect(reading.usage?.promptTokens ?? null).toBe(expected.promptTokens)
      expect(reading.usage?.outputTokens ?? null).toBe(expected.outputTokens)
    })
  }
})

// F21.
describe('the shortest stream of each dialect', () => {
  const terminators = new Set(streams.map((exchange) => routeOf(exchange).terminator))
  it.each([...terminators])('reads the same in 10,000 slicings: %s', (terminator) => {
    const [shortest] = streams
      .map((exchange) => ({ route: routeOf(exchange), bytes: answerOf(exchange) }))
      .filter(
        ({ route, bytes }) => route.terminator === terminator && ['done', 'complete'].includes(readStream(route, [bytes]).event ?? ''),
      )
      .toSorted((a, b) => a.bytes.length - b.bytes.length)
    if (shortest === undefined) throw new Error('no whole stream of this dialect')
    const reading = readAnyhow(shortest.route, shortest.bytes, { runs: 10_000 })
    expect(reading.forwarded).toBe(shortest.bytes.toString('latin1'))
  })
})

describe('a runner or server that dies', () => {
  const endings: Readonly<Record<string, string>> = {
    '401': 'error',
    '402': 'error',
    '403': 'died',
    '404': 'died',
    '405': 'died',
    '406': 'truncated',
    '407': 'truncated',
    '417': 'truncated',
    '418': 'truncated',
    '419': 'truncated',
    '421': 'truncated',
    '422': 'truncated',
  }
  for (const [number, event] of Object.entries(endings)) {
    it(`${number} ends as ${event}, and the empty chunk of a dead runner is held back`, () => {
      const exchange = transcript(number)
      const reading = readAnyhow(routeOf(exchange), answerOf(exchange))
      expect(reading.event).toBe(event)
      expect(reading.forwarded).not.toContain('"model":""')
      expect(reading.forwarded).not.toContain('{"error":"')
      expect(reading.forwarded).not.toContain('[DONE]')
    })
  }

  it('a stream that stopped at a repeated token is whole, though it says nothing', () => {
    const exchange = transcript('083')
    const reading = readAnyhow(routeOf(exchange), answerOf(exchange))
    expect(reading.event).toBe('silent')
    expect(reading.frames).toBe(31)
  })

  it('names the error of an error line', () => {
    const exchange = transcript('401')
    expect(readAnyhow(routeOf(exchange), answerOf(exchange)).message).toBe(
      'an error was encountered while running the model: unexpected EOF',
    )
  })
})

describe('a stream that is cut short', () => {
  for (const number of ['073', '228', '261', '274', '294']) {
    it(`${number} is never taken for whole`, () => {
      const exchange = transcript(number)
      const route = routeOf(exchange)
      const bytes = answerOf(exchange)
      const { forwarded } = readAnyhow(route, bytes)
      for (let length = 1; length < forwarded.length; length += 7) {
        const reading = readAnyhow(route, bytes.subarray(0, length), { runs: 2 })
        expect(['truncated', 'silent']).toContain(reading.event)
        expect(forwarded.startsWith(reading.forwarded)).toBe(true)
      }
    })
  }
})
