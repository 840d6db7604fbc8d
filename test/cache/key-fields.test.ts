/** caching.md §11 K2, K3 and K6, field by field on every dialect: what makes another key, and which explicit values are none. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { type Body, newCall, requestOf } from './ask.ts'
import { cached, chat } from './cached.ts'

type Fields = Readonly<Record<string, unknown>>

/** A function from a request to its key; null when it cannot be keyed. */
function keyer(): (body: Body, path?: string) => string | null {
  const { cache } = cached({ options: { mode: 'on' } })
  return (body, path = '/api/chat') => cache.explain(requestOf(path, body), newCall()).entries[0]?.key ?? null
}

const messages = [{ role: 'user', content: 'x' }]
const tool = { type: 'function', function: { name: 'w', description: 'd', parameters: { type: 'object', properties: {} } } }
/** A request of each route, without anything that has a default. */
const plain: Readonly<Record<string, Fields>> = {
  '/api/chat': { model: 'llama3', messages },
  '/api/generate': { model: 'llama3', prompt: 'x' },
  '/v1/chat/completions': { model: 'llama3', messages },
  '/v1/completions': { model: 'llama3', prompt: 'x' },
  '/v1/responses': { model: 'llama3', input: 'x' },
  '/v1/messages': { model: 'llama3', max_tokens: 9, messages },
}
const withFields = (path: string, more: Fields): Fields => ({ ...plain[path], ...more })

describe('K2: every field that a node reads', () => {
  it.each<[string, string, readonly unknown[]]>([
    ['/api/generate', 'prompt', ['x ', 'y']],
    ['/api/generate', 'template', ['{{ .Prompt }}', '{{ .Prompt }} ']],
    ['/api/generate', 'suffix', ['end', 'End']],
    ['/api/generate', 'raw', [true]],
    ['/api/generate', 'context', [[], [1, 2], [2, 1]]],
    ['/api/generate', 'system', ['Be brief.', 'Be brief']],
    ['/api/generate', 'images', [[Buffer.alloc(90, 1).toString('base64')], [Buffer.alloc(90, 2).toString('base64')]]],
    ['/api/generate', 'format', ['json', { type: 'object' }, '', null]],
    ['/api/generate', 'think', [true, false, 'low', 'high']],
    ['/api/generate', 'truncate', [false]],
    ['/api/generate', 'shift', [false]],
    ['/api/generate', 'logprobs', [true]],
    ['/api/generate', 'top_logprobs', [1, 2]],
    ['/api/chat', 'format', ['json', { type: 'object' }, '', null]],
    ['/api/chat', 'tools', [[tool], [tool, tool]]],
    ['/v1/chat/completions', 'n', [1, 2]],
    ['/v1/chat/completions', 'tool_choice', ['none', 'auto', 'required', { type: 'function', function: { name: 'w' } }]],
    ['/v1/chat/completions', 'temperature', [0, 0.5, 1.5]],
    ['/v1/chat/completions', 'top_p', [0.9]],
    ['/v1/chat/completions', 'seed', [0, 1]],
    ['/v1/chat/completions', 'stop', ['a', ['a'], ['a', 'b']]],
    ['/v1/chat/completions', 'max_tokens', [5, 6]],
    ['/v1/chat/completions', 'max_completion_tokens', [5]],
    ['/v1/chat/completions', 'frequency_penalty', [0, 0.5]],
    ['/v1/chat/completions', 'presence_penalty', [0, 0.5]],
    ['/v1/chat/completions', 'response_format', [{ type: 'json_object' }, { type: 'text' }]],
    ['/v1/chat/completions', 'reasoning_effort', ['low', 'high', 'none']],
    ['/v1/chat/completions', 'logprobs', [true]],
    ['/v1/completions', 'suffix', ['end']],
    ['/v1/completions', 'n', [2]],
    ['/v1/completions', 'echo', [true]],
    ['/v1/responses', 'instructions', ['Be brief.']],
    ['/v1/responses', 'top_p', [1, 0.9]],
    ['/v1/responses', 'reasoning', [{ effort: 'low' }, { effort: 'high' }]],
    ['/v1/responses', 'truncation', ['auto']],
    ['/v1/responses', 'text', [{ format: { type: 'json_schema', name: 'n', schema: {} } }]],
    ['/v1/messages', 'system', ['Be brief.', [{ type: 'text', text: 'Be brief.' }]]],
    ['/v1/messages', 'max_tokens', [10, 11]],
    ['/v1/messages', 'temperature', [0, 1]],
    ['/v1/messages', 'top_k', [1, 2]],
    ['/v1/messages', 'top_p', [0.9, 1]],
    ['/v1/messages', 'stop_sequences', [['a'], ['b']]],
    ['/v1/messages', 'tools', [[{ name: 'w', input_schema: {} }]]],
    ['/v1/messages', 'tool_choice', [{ type: 'auto' }, { type: 'any' }]],
    ['/v1/messages', 'thinking', [{ type: 'enabled', budget_tokens: 9 }, { type: 'disabled' }]],
  ])('K2: on %s each value of %s makes a key of its own', (path, name, values) => {
    const keyOf = keyer()
    const keys = [keyOf(withFields(path, {}), path), ...values.map((value) => keyOf(withFields(path, { [name]: value }), path))]
    expect(keys).not.toContain(null)
    expect(new Set(keys).size).toBe(keys.length)
  })
})

describe('K3: values that a node cannot tell from an absent field', () => {
  it.each<[string, Fields]>([
    ['/api/chat', { options: {}, tools: [], truncate: true, shift: true, logprobs: false, top_logprobs: 0 }],
    [
      '/api/generate',
      { options: {}, suffix: '', system: '', template: '', images: [], raw: false, truncate: true, shift: true, logprobs: false },
    ],
    ['/v1/chat/completions', { temperature: 1, top_p: 1, tools: [], logprobs: false, top_logprobs: 0, stop: [] }],
    ['/v1/completions', { temperature: 1, top_p: 1, stop: [] }],
    ['/v1/responses', { temperature: 1, tools: [], truncation: 'disabled' }],
    ['/v1/messages', { tools: [], stop_sequences: [] }],
  ])('K3: on %s each of %o makes no other key', (path, defaults) => {
    const keyOf = keyer()
    const key = keyOf(withFields(path, {}), path)
    expect(key).not.toBeNull()
    for (const [name, value] of Object.entries(defaults))
      expect([name, keyOf(withFields(path, { [name]: value }), path)]).toEqual([name, key])
    expect(keyOf(withFields(path, defaults), path)).toBe(key)
  })

  it.each(Object.keys(plain))('K3: on %s null is an absent field', (path) => {
    const keyOf = keyer()
    for (const name of ['seed', 'tools', 'think', 'options', 'stop', 'temperature', 'context', 'frobnicate'])
      expect(keyOf(withFields(path, { [name]: null }), path)).toBe(keyOf(withFields(path, {}), path))
  })

  it('K3: no default of one dialect is one of another', () => {
    const keyOf = keyer()
    for (const path of ['/api/chat', '/v1/messages'])
      for (const more of [{ temperature: 1 }, { top_p: 1 }])
        expect(keyOf(withFields(path, more), path)).not.toBe(keyOf(withFields(path, {}), path))
  })
})

describe('K6: texts that only look alike', () => {
  const changes: readonly ((text: string) => string)[] = [
    (text) => text.normalize('NFC'),
    (text) => text.normalize('NFD'),
    (text) => text.toUpperCase(),
    (text) => text.toLowerCase(),
    (text) => `${text} `,
    (text) => text.trim(),
    (text) => text.replaceAll(/\p{P}|\p{S}/gu, ''),
    (text) => text.replaceAll('\n', '\r\n'),
  ]

  it('K6: whatever a normaliser would change makes another key', () => {
    const keyOf = keyer()
    const texts = fc.string({ unit: fc.constantFrom('é', 'e\u0301', 'Å', 'ß', 'C', 'c', '+', '#', ' ', '\n', '\t', '1', '½', 'ﬁ', '你') })
    fc.assert(
      fc.property(texts, fc.constantFrom(...changes), (text, change) => {
        const other = change(text)
        return (keyOf(chat(text)) === keyOf(chat(other))) === (text === other)
      }),
      { numRuns: 10_000 },
    )
  })
})
