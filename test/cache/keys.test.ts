/** caching.md §11 Keys: K1 to K7, and of Isolation I2 and I3. */
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { canonicalText } from '../../src/cache/canonical.ts'
import { CacheKey, cacheScope, frame, tenantWide } from '../../src/cache/key.ts'
import { type Body, newCall, requestOf, take } from './ask.ts'
import { cached, chat, secret } from './cached.ts'
import { chatLines } from './scripted.ts'

const made = { runs: 10_000 }

/** A function from a request to its key; null when it cannot be keyed. */
function keyer(): (body: Body, path?: string) => string | null {
  const { cache } = cached({ options: { mode: 'on' } })
  return (body, path = '/api/chat') => cache.explain(requestOf(path, body), newCall()).entries[0]?.key ?? null
}

const schema = { type: 'object', properties: { city: { type: 'string' }, unit: { type: 'string' } } }
const schemaTurned = { type: 'object', properties: { unit: { type: 'string' }, city: { type: 'string' } } }
const tool = (parameters: unknown): unknown => ({ type: 'function', function: { name: 'weather', description: 'd', parameters } })
const called = (args: unknown): unknown => ({
  role: 'assistant',
  content: '',
  tool_calls: [{ function: { name: 'weather', arguments: args } }],
})

/** Any JSON without integer-like keys and without two spellings of one key. */
const key = fc.stringMatching(/^[a-z_]{1,6}$/)
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.string({ unit: 'grapheme' }),
    fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value)),
    fc.boolean(),
    fc.constant(null),
    tie('list'),
    tie('object'),
  ),
  list: fc.array(tie('value'), { maxLength: 4 }),
  object: fc.dictionary(key, tie('value'), { maxKeys: 5 }),
})).value

/** The same value with the keys of all objects in another order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, field]) => [name, turned(field)]),
  )
}

describe('canonical JSON', () => {
  it('is RFC 8785 where no order is kept', () => {
    fc.assert(
      fc.property(json, (value) => {
        const plain: unknown = JSON.parse(JSON.stringify(value))
        fc.pre(!/"(?:format|input|schema|arguments|parameters)":/.test(JSON.stringify(plain)))
        return canonicalText(plain) === canonicalize(plain)
      }),
      { numRuns: made.runs },
    )
  })

  it('writes numbers as ECMAScript does and refuses what is none', () => {
    expect(canonicalText(JSON.parse('[1.0, -0, 1e21, 333333333.33333329, 1e-7]'))).toBe('[1,0,1e+21,333333333.3333333,1e-7]')
    expect(canonicalText(Infinity)).toBeNull()
    expect(canonicalText(Number.NaN)).toBeNull()
    expect(canonicalText('\ud800')).toBeNull()
  })
})

describe('K1: what does not matter', () => {
  it('K1: order of keys and white space make no other key', () => {
    const keyOf = keyer()
    fc.assert(
      fc.property(fc.dictionary(key, json, { maxKeys: 6 }), fc.integer({ min: 0, max: 3 }), (fields, indent) => {
        const body = {
          ...fields,
          model: 'llama3',
          messages: [{ role: 'user', content: 'x', note: fields }],
          options: { temperature: 0, top_k: 3 },
        }
        fc.pre(!/"(?:format|input|schema|arguments|parameters|images)":/.test(JSON.stringify(body)))
        const one = keyOf(JSON.stringify(body))
        return one !== null && keyOf(JSON.stringify(turned(body), null, indent)) === one
      }),
      { numRuns: made.runs },
    )
  })

  it.each<[string, Body, Body]>([
    ['tool schemas', chat('x', { tools: [tool(schema)] }), chat('x', { tools: [tool(schemaTurned)] })],
    ['an output schema', chat('x', { format: schema }), chat('x', { format: schemaTurned })],
    ['tool-call arguments', chat('x', { messages: [called({ a: 1, b: 2 })] }), chat('x', { messages: [called({ b: 2, a: 1 })] })],
  ])('K1: the order inside %s makes another key', (_, one, other) => {
    const keyOf = keyer()
    expect(keyOf(one)).not.toBe(keyOf(other))
    expect(keyOf(JSON.stringify(one, null, 2))).toBe(keyOf(one))
  })

  it('K1: the order inside schemas of the other dialects makes another key', () => {
    const keyOf = keyer()
    const openAi = (parameters: unknown): Body => ({
      model: 'llama3',
      messages: [{ role: 'user', content: 'x' }],
      response_format: { type: 'json_schema', json_schema: { schema: parameters } },
    })
    const anthropic = (parameters: unknown): Body => ({
      model: 'llama3',
      max_tokens: 9,
      messages: [{ role: 'user', content: 'x' }],
      tools: [{ name: 'w', input_schema: parameters }],
    })
    const responses = (parameters: unknown): Body => ({ model: 'llama3', input: 'x', tools: [{ type: 'function', name: 'w', parameters }] })
    expect(keyOf(openAi(schema), '/v1/chat/completions')).not.toBe(keyOf(openAi(schemaTurned), '/v1/chat/completions'))
    expect(keyOf(anthropic(schema), '/v1/messages')).not.toBe(keyOf(anthropic(schemaTurned), '/v1/messages'))
    expect(keyOf(responses(schema), '/v1/responses')).not.toBe(keyOf(responses(schemaTurned), '/v1/responses'))
  })
})

describe('K2: what matters', () => {
  const base = { model: 'llama3', messages: [{ role: 'user', content: 'x' }], options: { temperature: 0, seed: 1 } }
  it.each<[string, Body]>([
    ['a message', { ...base, messages: [{ role: 'user', content: 'y' }] }],
    ['a role', { ...base, messages: [{ role: 'system', content: 'x' }] }],
    ['one more message', { ...base, messages: [...base.messages, { role: 'user', content: '' }] }],
    ['a seed', { ...base, options: { temperature: 0, seed: 2 } }],
    ['a temperature', { ...base, options: { temperature: 0.1, seed: 1 } }],
    ['a context length', { ...base, options: { ...base.options, num_ctx: 4096 } }],
    ['a token limit', { ...base, options: { ...base.options, num_predict: 5 } }],
    ['thinking', { ...base, think: true }],
    ['thinking switched off', { ...base, think: false }],
    ['tools', { ...base, tools: [tool(schema)] }],
    ['an output format', { ...base, format: 'json' }],
    ['log probabilities', { ...base, logprobs: true }],
    ['an image', { ...base, messages: [{ role: 'user', content: 'x', images: [Buffer.alloc(90, 1).toString('base64')] }] }],
    ['a field nobody knows', { ...base, frobnicate: 1 }],
  ])('K2: %s makes another key', (_, body) => {
    const keyOf = keyer()
    expect(keyOf(body)).not.toBeNull()
    expect(keyOf(body)).not.toBe(keyOf(base))
  })

  it('K2: changing any leaf of a message makes another key', () => {
    const keyOf = keyer()
    fc.assert(
      fc.property(json, json, (one, other) => {
        fc.pre(canonicalText(one) !== canonicalText(other))
        return keyOf(chat('x', { extra: one })) !== keyOf(chat('x', { extra: other }))
      }),
      { numRuns: made.runs },
    )
  })

  it.each([
    ['stream', { stream: false }],
    ['keep_alive', { keep_alive: '5m' }],
    ['user', { user: 'bob' }],
    ['metadata', { metadata: { a: 1 } }],
    ['stream_options', { stream_options: { include_usage: true } }],
  ])('K2: %s makes no other key', (_, more) => {
    const keyOf = keyer()
    expect(keyOf({ ...base, ...more })).toBe(keyOf(base))
  })
})

describe('K3: defaults', () => {
  const open = { model: 'llama3', messages: [{ role: 'user', content: 'x' }] }
  it.each<[string, string, Body, Body]>([
    ['/v1/chat/completions', 'temperature 1', { ...open, temperature: 1 }, open],
    [
      '/v1/chat/completions',
      'temperature 1.0 and top_p 1',
      '{"model":"llama3","messages":[{"role":"user","content":"x"}],"temperature":1.0,"top_p":1}',
      open,
    ],
    ['/v1/chat/completions', 'null', { ...open, seed: null }, open],
    ['/api/chat', 'no options', { ...open, options: {} }, open],
    ['/api/chat', 'no tools', { ...open, tools: [] }, open],
    ['/api/chat', 'truncate', { ...open, truncate: true }, open],
    ['/v1/messages', 'no tools', { ...open, max_tokens: 5, tools: [] }, { ...open, max_tokens: 5 }],
  ])('K3: on %s an explicit %s equals an absent one', (path, _, explicit, absent) => {
    const keyOf = keyer()
    expect(keyOf(explicit, path)).toBe(keyOf(absent, path))
  })

  it('K3: a default of /v1 is none of the native routes, and routes share no keys', () => {
    const keyOf = keyer()
    expect(keyOf({ ...open, options: { temperature: 1 } })).not.toBe(keyOf(open))
    expect(keyOf(open, '/v1/chat/completions')).not.toBe(keyOf(open, '/api/chat'))
  })
})

describe('K4: framing', () => {
  it('K4: no two lists of parts have one frame', () => {
    const part = fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed())
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), fc.array(part, { maxLength: 5 }), (one, other) => {
        return frame(one).equals(frame(other)) === (JSON.stringify(one) === JSON.stringify(other))
      }),
      { numRuns: made.runs },
    )
  })

  it('K4: values that look like other fields make other keys', () => {
    const keyOf = keyer()
    const bodies = [
      chat('x', { a: 'x', b: 'y' }),
      chat('x', { a: 'xb: y' }),
      chat('x', { a: 'x', 'b: y': '' }),
      chat('x', { a: 'x\u0000b\u0000y' }),
      chat('x","b":"y'),
      chat('', { a: ['x', 'y'] }),
      chat('', { a: ['x,y'] }),
    ]
    expect(new Set(bodies.map((body) => keyOf(body))).size).toBe(bodies.length)
  })
})

describe('K5: bodies that two readers could take for different things', () => {
  it.each<[string, string]>([
    ['an integer beyond 2^53', '{"model":"llama3","messages":[],"options":{"temperature":0,"seed":9007199254740993}}'],
    ['a number beyond a double', '{"model":"llama3","messages":[],"options":{"temperature":0,"x":1e999}}'],
    ['a lone surrogate', '{"model":"llama3","messages":[{"role":"user","content":"\\ud800"}],"options":{"temperature":0}}'],
    ['a key twice in a message', '{"model":"llama3","messages":[{"role":"user","content":"a","content":"b"}],"options":{"temperature":0}}'],
    ['a key in two spellings', '{"model":"llama3","messages":[{"role":"user","content":"a","Content":"b"}],"options":{"temperature":0}}'],
    ['integer-like keys where order counts', '{"model":"llama3","messages":[],"format":{"b":1,"1":2},"options":{"temperature":0}}'],
    ['nesting of 10,000', `{"model":"llama3","messages":[],"x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
    ['a comma too many', '{"model":"llama3","messages":[{"role":"user"},],"options":{"temperature":0}}'],
    ['no JSON inside', '{"model":"llama3","messages":[{"role":user}],"options":{"temperature":0}}'],
  ])('K5: %s has no key', (_, body) => {
    expect(keyer()(body)).toBeNull()
  })

  it('K5: bytes that are no UTF-8 have no key', () => {
    const body = Buffer.concat([
      Buffer.from('{"model":"llama3","messages":[{"role":"user","content":"'),
      Buffer.from([0xff]),
      Buffer.from('"}]}'),
    ])
    expect(keyer()(body)).toBeNull()
  })

  it('K5: __proto__ is a key like others', () => {
    const keyOf = keyer()
    const withProto = '{"model":"llama3","messages":[{"role":"user","content":"x","__proto__":{"a":1}}]}'
    expect(keyOf(withProto)).not.toBeNull()
    expect(keyOf(withProto)).not.toBe(keyOf('{"model":"llama3","messages":[{"role":"user","content":"x"}]}'))
  })

  it('K5: what cannot be keyed goes upstream byte for byte', async () => {
    const { ask, upstream } = cached()
    const body = '{"model":"llama3","messages":[],"options":{"temperature":0,"seed":9007199254740993},"messages2":1,"prompt":"x"}'
    const answer = take(ask(body))
    upstream
      .at(0)
      .begin(chatLines(['a']).join(''))
      .end()
    expect((await answer).headers['cache-status']).toBe('corral;fwd=bypass;detail=unkeyable')
    expect(upstream.at(0).request.body.toString()).toBe(body)
  })
})

describe('K6: texts that only look alike', () => {
  it.each([
    ['normal forms', 'é', 'e\u0301'],
    ['a plus', 'C', 'C++'],
    ['case', 'Paris', 'paris'],
    ['a space at the end', 'x', 'x '],
    ['a line break', 'x', 'x\n'],
  ])('K6: %s make other keys', (_, one, other) => {
    const keyOf = keyer()
    expect(keyOf(chat(one))).not.toBe(keyOf(chat(other)))
  })
})

describe('K7: models', () => {
  it('K7: spellings of one model share a key, and each asker reads its own', async () => {
    const { ask, upstream } = cached()
    const first = take(ask({ ...chat('x'), model: 'llama3' }))
    upstream
      .at(0)
      .begin(chatLines(['a', 'b']).join(''))
      .end()
    await first
    for (const model of ['llama3:latest', 'library/LLAMA3', 'llama3']) {
      const { cache, text } = await take(ask({ ...chat('x'), model }))
      expect(cache).toBe('hit')
      expect(text).toBe(chatLines(['a', 'b'], { model }).join(''))
    }
    expect(upstream.calls).toHaveLength(1)
  })

  it('K7: a pull of other weights misses, going back to the old ones hits', async () => {
    const { ask, upstream, digests } = cached()
    const one = take(ask(chat('x')))
    upstream
      .at(0)
      .begin(chatLines(['old']).join(''))
      .end()
    await one
    digests.set('llama3:latest', 'd2')
    const two = take(ask(chat('x')))
    expect(upstream.calls).toHaveLength(2)
    upstream
      .at(1)
      .begin(chatLines(['new']).join(''))
      .end()
    expect((await two).text).toContain('new')
    digests.set('llama3:latest', 'd1')
    expect((await take(ask(chat('x')))).text).toContain('old')
  })

  it('K7: an answer that was under way during a pull is not stored', async () => {
    const { ask, upstream, digests, cache } = cached()
    const one = take(ask(chat('x')))
    digests.set('llama3:latest', 'd2')
    upstream
      .at(0)
      .begin(chatLines(['mixed']).join(''))
      .end()
    await one
    expect(cache.stats()).toMatchObject({ stored: 0, refusals: { purged: 1 } })
  })

  it('K7: a model without a known digest is not cached', async () => {
    const { ask, upstream } = cached()
    const answer = take(ask({ ...chat('x'), model: 'unknown' }))
    upstream
      .at(0)
      .begin(chatLines(['a']).join(''))
      .end()
    expect((await answer).headers['cache-status']).toBe('corral;fwd=bypass;detail=no-digest')
  })
})

describe('images', () => {
  it('stand for their bytes, and lax or literal texts for nothing else', () => {
    const keyOf = keyer()
    const bytes = Buffer.alloc(120, 3)
    const withImage = (image: string): Body => chat('x', { messages: [{ role: 'user', content: 'x', images: [image] }] })
    const keys = [
      withImage(bytes.toString('base64')),
      withImage(`${bytes.toString('base64')}!`),
      withImage(Buffer.alloc(120, 4).toString('base64')),
      withImage('\u0000sha256:0000000000000000000000000000000000000000000000000000000000000000'),
    ].map((body) => keyOf(body))
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys).not.toContain(null)
  })
})

describe('scopes', () => {
  it('I2: a key needs a scope that only cacheScope makes', () => {
    const scope = cacheScope(secret, 'a', tenantWide)
    expect(new CacheKey(secret, scope, { kind: 'inference', parts: ['x'] }).text).toMatch(/^[0-9a-f]{64}$/)
    const forged = { tenant: 'a', id: scope.id, genuine: true }
    // @ts-expect-error -- a look-alike is no scope
    const withForged = (): CacheKey => new CacheKey(secret, forged, { kind: 'inference', parts: ['x'] })
    // @ts-expect-error -- a key without a scope cannot be written down
    const without = (): CacheKey => new CacheKey(secret, { kind: 'inference', parts: ['x'] })
    expect(withForged).toBeTypeOf('function')
    expect(without).toThrow()
    expect(() => cacheScope(secret, '', tenantWide)).toThrow(/tenant/)
    expect(() => cacheScope(Buffer.alloc(3), 'a', tenantWide)).toThrow(/secret/)
  })

  it('I3: no tenant and subject give the scope of another pair', () => {
    const name = fc.string({ minLength: 1, maxLength: 8 })
    fc.assert(
      fc.property(name, name, name, name, (tenant, subject, otherTenant, otherSubject) => {
        fc.pre(tenant !== otherTenant || subject !== otherSubject)
        const of = (one: string, two: string): string => cacheScope(secret, one, { to: 'subject', subject: two }).id
        expect(of(tenant, subject)).not.toBe(of(otherTenant, otherSubject))
        expect(of(tenant, subject)).not.toBe(cacheScope(secret, tenant, tenantWide).id)
      }),
      { numRuns: made.runs },
    )
  })
})
