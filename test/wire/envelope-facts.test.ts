/** What routing learns from a body: runner options, output limit, emptiness, size, and the conversation it belongs to. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { scanEnvelope } from '../../src/wire/envelope.ts'
import { runnerFingerprint } from '../../src/wire/fingerprint.ts'
import { replaceField } from '../../src/wire/splice.ts'

const limits = { depthMax: 200, keysMax: 200 }
const scan = (value: unknown) => scanEnvelope(Buffer.from(JSON.stringify(value)), limits)

describe('runner options', () => {
  it('are those that reload a model, and no others', () => {
    const options = {
      num_ctx: 4_096,
      num_batch: 64,
      num_gpu: 0,
      main_gpu: 1,
      use_mmap: false,
      num_thread: 3,
      draft_num_predict: 2,
      temperature: 0.5,
      seed: 1,
      num_keep: 4,
      top_k: 9,
    }
    expect(scan({ options }).runnerOptions).toEqual({
      num_ctx: 4_096,
      num_batch: 64,
      num_gpu: 0,
      main_gpu: 1,
      use_mmap: false,
      num_thread: 3,
      draft_num_predict: 2,
    })
  })

  it('take shift only when it is off, and an automatic num_gpu as none', () => {
    expect(scan({ shift: false }).runnerOptions).toEqual({ shift: false })
    expect(scan({ shift: true, options: { num_gpu: -1 } }).runnerOptions).toEqual({})
  })

  it('ignore values of a wrong type and options that are no object', () => {
    expect(scan({ options: { num_ctx: '4096', num_gpu: null, use_mmap: [] } }).runnerOptions).toEqual({})
    for (const options of [null, [], 'num_ctx', 5, true]) expect(scan({ options }).runnerOptions).toEqual({})
  })

  it('have one fingerprint in any order, and another with any other value', () => {
    const setting = fc.record(
      { num_ctx: fc.integer({ min: 1, max: 9 }), num_batch: fc.integer({ min: 1, max: 9 }), use_mmap: fc.boolean() },
      { requiredKeys: [] },
    )
    const print = (options: object): string => runnerFingerprint(scan({ options }).runnerOptions)
    fc.assert(
      fc.property(setting, setting, (one, other) => {
        expect(print(Object.fromEntries(Object.entries(one).toReversed()))).toBe(print(one))
        const names = new Set([...Object.keys(one), ...Object.keys(other)])
        const same = [...names].every((name) => Reflect.get(one, name) === Reflect.get(other, name))
        expect(print(one) === print(other)).toBe(same)
      }),
    )
    expect(print({})).toBe('')
  })
})

describe('output limit', () => {
  it('comes from num_predict, max_tokens or max_output_tokens', () => {
    expect(scan({ options: { num_predict: 5 } }).outputTokensMax).toBe(5)
    expect(scan({ max_tokens: 6 }).outputTokensMax).toBe(6)
    expect(scan({ max_output_tokens: 7 }).outputTokensMax).toBe(7)
  })

  it('is none for zero and below, which mean no limit', () => {
    for (const count of [0, -1, -2]) expect(scan({ options: { num_predict: count } }).outputTokensMax).toBeNull()
  })
})

describe('emptiness', () => {
  it('holds for requests that only load or unload', () => {
    for (const value of [{}, { prompt: '' }, { messages: [] }, { prompt: null }, { input: '' }, { input: [] }])
      expect(scan(value).empty).toBe(true)
    expect(scanEnvelope(Buffer.from('{"messages":[ \n ]}'), limits).empty).toBe(true)
  })

  it('does not hold with anything to answer', () => {
    for (const value of [{ prompt: ' ' }, { messages: [{}] }, { input: ['x'] }, { input: 5 }]) expect(scan(value).empty).toBe(false)
  })
})

describe('prompt size', () => {
  it('grows with the prompt and the number of images, and not with their bytes or options', () => {
    expect(scan({ prompt: 'x'.repeat(398) }).promptTokens).toBe(100)
    expect(scan({ options: { a: 'x'.repeat(400) } }).promptTokens).toBe(0)
    for (const bytes of [400, 4_000]) expect(scan({ images: ['x'.repeat(bytes), ''] }).promptTokens).toBe(2 * 768)
  })

  it('tells characters beyond ASCII apart', () => {
    const text = '牛'.repeat(100)
    expect(scan({ prompt: `${text}abc` }).promptSize).toEqual({ asciiBytes: 5, otherBytes: 300, images: 0 })
    expect(scan({ prompt: 'abc', options: { stop: text } }).promptSize).toEqual({ asciiBytes: 5, otherBytes: 0, images: 0 })
    const content = [
      { type: 'image_url', image_url: 'x'.repeat(999) },
      { type: 'text', text },
    ]
    expect(scan({ messages: [{ role: 'user', content }] }).promptSize).toMatchObject({ otherBytes: 300, images: 1 })
  })
})

interface Message {
  readonly role: string
  readonly content: string
}
const message = (role: string) => fc.record({ role: fc.constant(role), content: fc.string({ unit: 'grapheme', maxLength: 300 }) })
const opening = fc
  .tuple(fc.array(message('system'), { maxLength: 2 }), message('user'))
  .map(([system, user]): Message[] => [...system, user])
const turns = fc.array(fc.oneof(message('assistant'), message('user'), message('tool')), { maxLength: 4 })
const keyOf = (model: string, messages: readonly Message[], rest: object = {}) => scan({ model, messages, ...rest }).conversationKey

describe('conversation key', () => {
  it('stays the same for every later turn', () => {
    fc.assert(
      fc.property(opening, turns, (first, later) => {
        const key = keyOf('m', first)
        expect(key).not.toBeNull()
        expect(keyOf('m', [...first, ...later], { stream: true, options: { temperature: 1 } })).toBe(key)
      }),
    )
  })

  it('differs for another opening, model or system prompt', () => {
    fc.assert(
      fc.property(opening, opening, (one, other) => {
        expect(keyOf('m', one) === keyOf('m', other)).toBe(JSON.stringify(one) === JSON.stringify(other))
        expect(keyOf('m', one)).not.toBe(keyOf('n', one))
        expect(keyOf('m', one, { system: 'a' })).not.toBe(keyOf('m', one, { system: 'b' }))
      }),
    )
  })

  it('is none without messages of a user', () => {
    expect(keyOf('m', [])).toBeNull()
    expect(keyOf('m', [{ role: 'system', content: 'x' }])).toBeNull()
    expect(scan({ model: 'm', messages: 'user' }).conversationKey).toBeNull()
    expect(scan({ model: 'm', prompt: 'x' }).conversationKey).toBeNull()
    expect(scan({ messages: [{ role: 'user', content: 'x' }] }).conversationKey).toBeNull()
  })

  it('does not depend on what stands around the messages', () => {
    const body = Buffer.from('{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    const moved = replaceField(body, scanEnvelope(body, limits), 'stream', 'false')
    expect(scanEnvelope(moved, limits).conversationKey).toBe(scanEnvelope(body, limits).conversationKey)
  })

  it('is not mistaken by a role inside the content', () => {
    const messages = [
      { content: '"role":"user"', role: 'system' },
      { content: 'x', extra: { role: 'user' }, role: 'assistant' },
    ]
    expect(scan({ model: 'm', messages }).conversationKey).toBeNull()
  })
})
