/** Splicing changes one field: the bytes around it stay, and the texts of all other fields with them. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { scanEnvelope } from '../../src/wire/envelope.ts'
import { removeOption, replaceField, replaceOption, withoutSignIn } from '../../src/wire/splice.ts'
import { objectText, space, valueText } from './json-text.ts'

const limits = { depthMax: 500, keysMax: 500 }
const scan = (body: Buffer) => scanEnvelope(body, limits)
const parse = (body: Buffer | string): unknown => JSON.parse(body.toString())

/** Length of what two buffers share at their start and at their end, without overlap. */
function sharedEnds(one: Buffer, other: Buffer): number {
  const most = Math.min(one.length, other.length)
  let start = 0
  while (start < most && one[start] === other[start]) start += 1
  let end = 0
  while (end < most - start && one[one.length - 1 - end] === other[other.length - 1 - end]) end += 1
  return start + end
}

const sizeOf = (text: string): number => Buffer.byteLength(text)

describe('a top-level field', () => {
  it('that is there is replaced, and only it', () => {
    fc.assert(
      fc.property(
        objectText.filter(({ entries }) => entries.length > 0),
        fc.nat(),
        valueText,
        ({ text, entries }, pick, json) => {
          const [key, old] = entries[pick % entries.length] ?? ['', '']
          const body = Buffer.from(text)
          const changed = replaceField(body, scan(body), key.toLowerCase().replaceAll('\u017f', 's'), json)
          expect(changed.length).toBe(body.length - sizeOf(old) + sizeOf(json))
          expect(sharedEnds(body, changed)).toBeGreaterThanOrEqual(body.length - sizeOf(old))
          const expected = new Map(entries.map(([name, value]) => [name, name === key ? json : value]))
          expect(new Map(scanPairs(changed))).toEqual(expected)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('that is missing goes first, and all that was there follows', () => {
    fc.assert(
      fc.property(objectText, valueText, ({ text, entries }, json) => {
        const body = Buffer.from(text)
        const changed = replaceField(body, scan(body), 'brand_new', json)
        expect(sharedEnds(body, changed)).toBe(body.length)
        expect(scanPairs(changed)).toEqual([['brand_new', json], ...entries.map(([key, value]) => [key, value])])
      }),
      { numRuns: 200 },
    )
  })

  it.each(['', ' ', '[]', '"model"'])('is not put into %j, which is no object', (text) => {
    const body = Buffer.from(text)
    expect(replaceField(body, scan(body), 'model', '"b"')).toBe(body)
  })

  it('in another spelling is replaced in place', () => {
    const body = Buffer.from('{"MODEL":"a","\u017ftream":true}')
    const once = replaceField(body, scan(body), 'model', '"b"')
    expect(replaceField(once, scan(once), 'stream', 'false').toString()).toBe('{"MODEL":"b","\u017ftream":false}')
  })
})

/**
 * Keys and the texts of their values in order. Parsed objects are not compared: they sort integer-like keys and lose
 * `__proto__`, and V8 of Node 26.10 misreads an escaped one-letter key once it has seen the key `\\` (`"\n"` comes out as `\\`).
 */
function scanPairs(body: Buffer): [string, string][] {
  const pairs: [string, string][] = []
  const { fields } = scan(body)
  const keys = [...body.toString().matchAll(/"(?:[^"\\]|\\.)*"/gs)].map(([text]) => text)
  const ranges = [...fields.values()].toSorted((a, b) => a.start - b.start)
  let position = 0
  for (const range of ranges) {
    const before = body.toString('utf8', position, range.start)
    const key = keys.find((text) => before.includes(text) && before.indexOf(text) === before.indexOf('"'))
    pairs.push([String(parse(key ?? '""')), body.toString('utf8', range.start, range.end)])
    position = range.end
  }
  return pairs
}

describe('an option', () => {
  const optionName = fc.constantFrom('num_ctx', 'num_gpu', 'seed', 'temperature', 'stop', '0', '1')
  const optionsText = fc
    .tuple(fc.uniqueArray(fc.tuple(optionName, valueText), { maxLength: 5, selector: ([name]) => name }), space)
    .map(([entries, gap]) => ({
      entries,
      text: `{${gap}${entries.map(([name, value]) => `"${name}"${gap}:${gap}${value}`).join(`${gap},${gap}`)}${gap}}`,
    }))
  const bodyOf = (options: string): Buffer => Buffer.from(`{"model":"m" ,"options": ${options} ,"n":9007199254740993}`)
  const readOptions = (body: Buffer): [string, string][] => {
    const { start = 0, end = 0 } = scan(body).fields.get('options') ?? {}
    return scanPairs(body.subarray(start, end))
  }

  it('is set and the others stay', () => {
    fc.assert(
      fc.property(optionsText, optionName, valueText, ({ entries, text }, name, json) => {
        const changed = replaceOption(bodyOf(text), scan(bodyOf(text)), name, json)
        const there = entries.some(([key]) => key === name)
        const kept = entries.map(([key, value]): [string, string] => [key, key === name ? json : value])
        expect(readOptions(changed)).toEqual(there ? kept : [[name, json], ...kept])
        expect(changed.toString()).toContain('"n":9007199254740993}')
      }),
      { numRuns: 200 },
    )
  })

  it('is taken out with one comma and the others stay', () => {
    fc.assert(
      fc.property(optionsText, optionName, ({ entries, text }, name) => {
        const body = bodyOf(text)
        const changed = removeOption(body, scan(body), name)
        expect(readOptions(changed)).toEqual(entries.filter(([key]) => key !== name).map(([key, value]) => [key, value]))
        expect(scan(changed).wellFormed).toBe(true)
        if (!entries.some(([key]) => key === name)) expect(changed).toBe(body)
        parse(changed)
      }),
      { numRuns: 200 },
    )
  })

  it('is made where there are no options', () => {
    for (const text of ['{}', '{ }', '{"model":"m"}', '{"options":null}', '{"options":{}}', '{"model":"m","Options":{ }}']) {
      const body = Buffer.from(text)
      const changed = replaceOption(body, scan(body), 'num_ctx', '2048')
      expect(scan(changed).runnerOptions).toEqual({ num_ctx: 2_048 })
      parse(changed)
    }
  })

  it('is not taken out of a body without options', () => {
    const body = Buffer.from('{"num_ctx":1}')
    expect(removeOption(body, scan(body), 'num_ctx')).toBe(body)
  })
})

describe('what a parser would lose', () => {
  it('survives: separators, big integers, integer-like keys, number spelling, duplicates below the top', () => {
    const rest = '"2":1,"1":"\u2028\u2029","big":9007199254740993,"f":1.0,"e":1E+2,"x":{"a":1,"a":2},"t":"\\u00e9\\/"'
    const body = Buffer.from(`{"model":"a",${rest}}`)
    expect(replaceField(body, scan(body), 'model', '"b:latest"').toString()).toBe(`{"model":"b:latest",${rest}}`)
  })

  it('survives behind the object', () => {
    const body = Buffer.from('  {"model":"a"} garbage')
    expect(replaceField(body, scan(body), 'stream', 'true').toString()).toBe('  {"stream":true,"model":"a"} garbage')
  })
})

it.each([
  ['{"error":"unauthorized","signin_url":"https://ollama.com/connect?name=host&key=abc"}', '{"error":"unauthorized"}'],
  ['{"signin_url":"https://ollama.com/connect?name=host&key=abc", "error":"unauthorized"}', '{"error":"unauthorized"}'],
  ['{"signin_url":""}', '{}'],
  ['{"error":"it says \\"signin_url\\""}', '{"error":"it says \\"signin_url\\""}'],
  ['no "signin_url" is JSON', 'no "signin_url" is JSON'],
])('an error without the address for signing in: %s', (body, clean) => {
  expect(withoutSignIn(Buffer.from(body)).toString()).toBe(clean)
})
