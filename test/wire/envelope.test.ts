/** The envelope scanner against `JSON.parse`, and against what Go's decoder makes of the same bytes. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { Envelope } from '../../src/core/envelope.ts'
import { CorralError, type ErrorCode } from '../../src/core/errors.ts'
import { scanEnvelope } from '../../src/wire/envelope.ts'
import { escapeAll, objectText, valueText } from './json-text.ts'
import { transcript, transcripts } from './transcripts.ts'

const limits = { depthMax: 200, keysMax: 200 }
const scan = (text: string): Envelope => scanEnvelope(Buffer.from(text), limits)

function refusalOf(run: () => unknown): ErrorCode | null {
  try {
    run()
    return null
  } catch (thrown) {
    if (thrown instanceof CorralError) return thrown.code
    throw thrown
  }
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== ''

describe('any JSON object', () => {
  it('has each field where JSON.parse finds its value', () => {
    fc.assert(
      fc.property(objectText, ({ text, entries }) => {
        const body = Buffer.from(text)
        const { fields, wellFormed } = scanEnvelope(body, limits)
        expect(wellFormed).toBe(true)
        expect(fields.size).toBe(entries.length)
        for (const [key, value] of entries) {
          const field = fields.get(key.toLowerCase().replaceAll('\u017f', 's'))
          expect(body.toString('utf8', field?.start, field?.end)).toBe(value)
        }
      }),
      { numRuns: 400 },
    )
  })

  it('has the model and the stream flag that JSON.parse reads', () => {
    fc.assert(
      fc.property(objectText, ({ text, entries }) => {
        const values = new Map(entries.map(([key, value]): [string, unknown] => [key.toLowerCase(), JSON.parse(value)]))
        const [model, name, stream] = ['model', 'name', 'stream'].map((key) => values.get(key))
        const envelope = scan(text)
        expect(envelope.model).toBe(isText(model) ? model : isText(name) ? name : null)
        expect(envelope.stream).toBe(typeof stream === 'boolean' ? stream : null)
      }),
      { numRuns: 400 },
    )
  })

  it('is damaged without any error but our own, and a readable one keeps its model', () => {
    const damage = fc.tuple(fc.nat(400), fc.nat(3), fc.constantFrom('', '"', '{', '}', '\\', ',', ':', '[', 'x', '\u0000'))
    fc.assert(
      fc.property(objectText, fc.array(damage, { minLength: 1, maxLength: 3 }), ({ text }, edits) => {
        let damaged = text
        for (const [at, removed, added] of edits)
          damaged = damaged.slice(0, at % damaged.length) + added + damaged.slice((at % damaged.length) + removed)
        let envelope: Envelope | null = null
        refusalOf(() => (envelope = scan(damaged)))
        const read = parseObject(damaged)
        if (read === null || envelope === null) return
        const { model } = envelope as Envelope
        expect(model).toBe(isText(read.model) ? read.model : isText(read.name) ? read.name : model === null ? null : undefined)
      }),
      { numRuns: 600 },
    )
  })

  it('is never left with a wrong error by bytes that are no JSON', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => refusalOf(() => scanEnvelope(Buffer.from(bytes), limits)) !== 'internal'),
    )
    fc.assert(
      fc.property(valueText, (text) => scan(text).wellFormed === text.startsWith('{') || refusalOf(() => scan(text)) === null),
      { numRuns: 100 },
    )
  })
})

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value)) : null
  } catch {
    return null
  }
}

describe('recorded requests', () => {
  it('are read as JSON.parse reads them, or refused for a key in two spellings', () => {
    const refused: string[] = []
    for (const { name, request } of transcripts) {
      const read = request.bodyText === undefined ? null : parseObject(request.bodyText)
      if (read === null || request.bodyText === undefined) continue
      const body = request.bodyText
      let envelope: Envelope | null = null
      if (refusalOf(() => (envelope = scan(body))) !== null) refused.push(name.slice(0, 3))
      const lower = Object.fromEntries(Object.entries(read).map(([key, value]) => [key.toLowerCase(), value]))
      if (envelope !== null)
        expect((envelope as Envelope).model, name).toBe(isText(lower.model) ? lower.model : isText(lower.name) ? lower.name : null)
    }
    expect(refused).toEqual(['123', '124', '134'])
  })
})

describe('a model is claimed only when Go reads it', () => {
  const cases: readonly (readonly [string, string, string | null])[] = [
    ['a plain model', '{"model":"a"}', 'a'],
    ['upper case', '{"MODEL":"a"}', 'a'],
    ['an escaped key', '{"mod\\u0065l":"a"}', 'a'],
    ['an escaped value', `{"model":${escapeAll('a:é')}}`, 'a:é'],
    ['name without model', '{"name":"b"}', 'b'],
    ['name beside an empty model', '{"model":"","name":"b"}', 'b'],
    ['model beside an empty name', '{"name":"","model":"a"}', 'a'],
    ['model beside a name', '{"name":"b","model":"a"}', 'a'],
    ['null', '{"model":null}', null],
    ['a number', '{"model":1}', null],
    ['a list', '{"model":["a"]}', null],
    ['a model inside another field', '{"options":{"model":"a"},"x":[{"model":"b"}]}', null],
    ['a model inside a text', '{"prompt":"\\",\\"model\\":\\"a"}', null],
    ['a key that ends like it', '{"xmodel":"a","model ":"b"}', null],
    ['a list as the body', '[{"model":"a"}]', null],
    ['null as the body', 'null', null],
    ['no body', '', null],
    ['a byte order mark', '\ufeff{"model":"a"}', null],
    ['a body that breaks off', '{"model":"a"', null],
    ['a comma too many', '{"model":"a",}', null],
    ['a comma missing', '{"model":"a" "x":1}', null],
    ['a colon missing', '{"model" "a"}', null],
    ['single quotes', "{'model':'a'}", null],
    ['no quotes', '{model:"a"}', null],
    ['a comment', '{/**/"model":"a"}', null],
    ['a bad escape in the value', '{"model":"\\x"}', null],
    ['a bad escape in a key', '{"\\x":1,"model":"a"}', null],
    ['a second object behind it', '{"model":"a"} {"model":"b"}', 'a'],
    ['garbage behind it', '{"model":"a"}}}', 'a'],
  ]
  for (const [title, text, model] of cases) {
    it(`${title}: ${model ?? 'none'}`, () => {
      expect(scan(text).model).toBe(model)
    })
  }

  const twice: readonly (readonly [string, string])[] = [
    ['twice', '{"model":"a","model":"b"}'],
    ['twice with the same value', '{"model":"a","model":"a"}'],
    ['in two cases', '{"model":"a","Model":"b"}'],
    ['escaped', '{"model":"a","mod\\u0065l":"b"}'],
    ['with a long s', '{"messages":[],"me\u017f\u017fages":[]}'],
    ['with a long s, escaped', '{"stream":true,"\\u017ftream":false}'],
    ['with the Kelvin sign', '{"keep_alive":1,"\u212aeep_alive":2}'],
    ['with the Kelvin sign, escaped', '{"keep_alive":1,"\\u212Aeep_alive":2}'],
    ['as another field', '{"x":1,"X":2}'],
    ['inside options', '{"options":{"num_ctx":1,"num_ctx":2}}'],
    ['inside options, escaped', '{"options":{"num_ctx":1,"num_\\u0063tx":2}}'],
  ]
  for (const [title, text] of twice) {
    it(`a key ${title} is refused`, () => {
      expect(refusalOf(() => scan(text))).toBe('duplicate_key')
    })
  }

  it('a single odd spelling is the field it is for Go', () => {
    expect(scan('{"\u017ftream":false}').stream).toBe(false)
    expect(scan('{"\u212aeep_alive":7}').keepAliveSeconds).toBe(7)
    expect(scan('{"me\u017f\u017fages":[1]}').empty).toBe(false)
    expect(scan(transcript('127').request.bodyText ?? '').fields.has('keep_alive')).toBe(true)
    expect(
      scan(transcript('126').request.bodyText ?? '').fields.has('messages') ||
        scan(transcript('126').request.bodyText ?? '').fields.has('system'),
    ).toBe(true)
  })

  it('a dotless or dotted i is another letter, as in Go', () => {
    expect(scan('{"\u0130nput":"x","\u0131nput":"y"}').empty).toBe(true)
  })
})

describe('limits', () => {
  it('refuses nesting beyond the limit and takes nesting at it', () => {
    const nested = (depth: number): string => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
    expect(refusalOf(() => scan(nested(200)))).toBe(null)
    expect(refusalOf(() => scan(nested(201)))).toBe('too_deep')
    expect(refusalOf(() => scan(`{"a":${'['.repeat(5_000)}`))).toBe('too_deep')
  })

  it('refuses more keys than the limit at the top and in options, and leaves nested values to the node', () => {
    const many = (count: number): string => `{${Array.from({ length: count }, (_, index) => `"k${index}":0`).join(',')}}`
    expect(refusalOf(() => scan(many(200)))).toBe(null)
    expect(refusalOf(() => scan(many(201)))).toBe('invalid_request')
    expect(refusalOf(() => scan(`{"options":${many(201)}}`))).toBe('invalid_request')
    expect(refusalOf(() => scan(`{"model":"m","messages":[${many(201)}]}`).conversationKey)).toBe(null)
  })
})

describe('keep_alive', () => {
  const cases: readonly (readonly [string, number | null])[] = [
    ['0', 0],
    ['300', 300],
    ['300.0', 300],
    ['-1', Infinity],
    ['-0.5', Infinity],
    ['"5m"', 300],
    ['"1h2m3s"', 3_723],
    ['"1.5h"', 5_400],
    ['".5s"', 0.5],
    ['"1.s"', 1],
    ['"100ms"', 0.1],
    ['"250\\u00b5s"', 0.00025],
    ['"250\u00b5s"', 0.00025],
    ['"250\u03bcs"', 0.00025],
    ['"250us"', 0.00025],
    ['"0"', 0],
    ['"0s"', 0],
    ['"-0"', 0],
    ['"+5m"', 300],
    ['"-1s"', Infinity],
    ['"-1m"', Infinity],
    ['"24h"', 86_400],
    ['"300"', null],
    ['""', null],
    ['"."', null],
    ['".s"', null],
    ['"5 m"', null],
    ['"5m "', null],
    ['"forever"', null],
    ['"5d"', null],
    ['null', null],
    ['true', null],
    ['{}', null],
  ]
  for (const [value, seconds] of cases) {
    it(`${value} is ${seconds ?? 'unreadable'}`, () => {
      const { keepAliveSeconds } = scan(`{"keep_alive":${value}}`)
      if (seconds === null) expect(keepAliveSeconds).toBeNull()
      else expect(keepAliveSeconds).toBeCloseTo(seconds, 9)
    })
  }

  it('of a megabyte is unreadable at once', () => {
    for (const text of ['1'.repeat(1_000_000), '1h'.repeat(500_000), `${'1h'.repeat(500_000)}x`]) {
      expect(scan(`{"keep_alive":"${text}"}`).keepAliveSeconds).toBeNull()
    }
  })
})
