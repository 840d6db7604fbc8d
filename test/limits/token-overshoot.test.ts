// What a prompt reserves covers what the node will say it had: in any script, with pictures, and with a SYSTEM that no client sees.
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { PromptLearning } from '../../src/limits/prompt-learning.ts'
import { makeRequest } from '../fleet/requests.ts'
import { type Counted, limitedNode, type Prompt } from './limited-node.ts'

const limit = 1_000
const words = 'The herd stands in the north pasture tonight, and nobody counts the fence posts before dawn. '
const source = 'for (let i=0;i<n;i++){const x=a[i]??0;if(x>0x1f&&(x^y)!==0){out.push(`${i}:${x}`)}}\n'

/** Tokens of a text as vocabularies have them: 4.3 bytes of English, 2.6 of dense code, one a Chinese character, three an emoji. */
const scripts: readonly (readonly [name: string, text: string, tokens: number])[] = [
  ['English', words.repeat(15), Math.ceil((words.length * 15) / 4.3)],
  ['Chinese', '牛群今晚在北边的牧场里'.repeat(55).slice(0, 600), 600],
  ['code', source.repeat(15), Math.ceil((source.length * 15) / 2.6)],
  ['emoji', '🦙🐄'.repeat(80), 480],
]

const counted = (text: string, tokens: number): Counted => ({ prompt: { messages: [{ role: 'user', content: text }] }, tokens })

test.each(scripts)('five prompts of %s at once, each with its maximum, never take more than the limit', async (_, text, tokens) => {
  const node = limitedNode(limit)
  const burst = Array.from({ length: 5 }, () => counted(text, tokens))
  const first = await node.atOnce(burst)
  expect(first.admitted).toBeGreaterThan(0)
  expect(first.tokens).toBeLessThanOrEqual(limit)
  for (let minute = 0; minute < 20; minute += 1) {
    node.clock.advance(60_000)
    const { admitted, tokens: used } = await node.atOnce(burst)
    expect(admitted).toBeGreaterThan(0)
    expect(used).toBeLessThanOrEqual(limit)
  }
})

test('a SYSTEM of the model is reserved for once an answer told of it', async () => {
  const node = limitedNode(limit)
  const short = counted('hi', 420)
  await node.atOnce([short])
  node.clock.advance(60_000)
  const { admitted, tokens } = await node.atOnce([short, short, short, short, short])
  expect([admitted, tokens]).toEqual([2, 860])
})

test('what one tenant reports, or brings in a context or a template of its own, costs no other prompt', async () => {
  const short = counted('hi', 10)
  const four = [short, short, short, short]
  const fresh = await limitedNode(limit).atOnce(four)
  expect(fresh.admitted).toBe(4)
  const heavy: readonly Counted[] = [
    { ...counted('hi', 600), tenant: 'other' },
    { prompt: { prompt: 'hi', context: Array.from({ length: 600 }, () => 1) }, tokens: 600, path: '/api/generate' },
    { prompt: { prompt: 'hi', template: '{{ .Prompt }}'.repeat(100) }, tokens: 600, path: '/api/generate' },
  ]
  for (const one of heavy) {
    const node = limitedNode(limit)
    await node.atOnce([one])
    node.clock.advance(60_000)
    expect(await node.atOnce(four)).toEqual(fresh)
  }
  const node = limitedNode(limit)
  await node.atOnce([{ prompt: { prompt: 'hi', template: '' }, tokens: 600, path: '/api/generate' }])
  node.clock.advance(60_000)
  expect((await node.atOnce(four)).admitted, 'an empty template is none').toBeLessThan(4)
})

test('where the whole limit is less than a guess, one request is let in and the next waits', async () => {
  const node = limitedNode(limit)
  const text = words.repeat(30)
  const tokens = 900
  const long = counted(text, tokens)
  expect(await node.atOnce([long, long])).toMatchObject({ admitted: 1, refusals: [{ retryAfterMs: expect.any(Number) }] })
})

const base64 = 'iVBORw0K'.repeat(50_000)
const pictures: readonly (readonly [path: string, prompt: Prompt])[] = [
  ['/api/chat', { messages: [{ role: 'user', content: 'What is it?', images: [base64] }] }],
  ['/api/generate', { prompt: 'What is it?', images: [base64] }],
  [
    '/v1/chat/completions',
    {
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'What is it?' },
            { type: 'image_url', image_url: { url: `data:image/png;base64,${base64}` } },
          ],
        },
      ],
    },
  ],
  [
    '/v1/messages',
    { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: base64 } }] }] },
  ],
  [
    '/v1/messages',
    {
      messages: [
        { role: 'user', content: [{ type: 'tool_result', content: [{ type: 'image', source: { type: 'base64', data: base64 } }] }] },
      ],
    },
  ],
  ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_image', image_url: `data:image/png;base64,${base64}` }] }] }],
]

test.each(pictures)('a picture of 400 KB on %s is counted as a picture, not as text', async (path, prompt) => {
  const { promptTokens, promptSize } = makeRequest(path, { model: 'm', ...prompt }).envelope
  expect(promptSize.images).toBe(1)
  expect(promptTokens).toBeGreaterThan(768)
  expect(promptTokens).toBeLessThan(768 + 60)
  const node = limitedNode(60_000)
  expect(await node.atOnce([{ prompt, tokens: 1_300, path }])).toMatchObject({ admitted: 1, tokens: 1_310 })
})

test('what only looks like a picture counts as text', () => {
  const text = 'x'.repeat(4_000)
  const said = { messages: [{ role: 'user', content: `"images":["${text}"]` }] }
  const called = {
    messages: [{ role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: { source: { data: text }, images: [text] } } }] }],
  }
  for (const body of [said, called]) {
    const { promptTokens, promptSize } = makeRequest('/api/chat', { model: 'm', ...body }).envelope
    expect(promptSize.images).toBe(0)
    expect(promptTokens).toBeGreaterThanOrEqual(1_000)
  }
})

test('tokens of an image are learned apart from those of text', () => {
  const learning = new PromptLearning()
  const image = { asciiBytes: 40, otherBytes: 0, images: 1 }
  const text = { ...image, asciiBytes: 4_000, images: 0 }
  expect(learning.tokensMax('m', image)).toBeGreaterThan(3_000)
  const before = learning.tokensMax('m', text)
  for (let index = 0; index < 100; index += 1) learning.observe('m', image, 290)
  expect(learning.tokensMax('m', text)).toBeLessThanOrEqual(before)
  expect(learning.tokensMax('m', image)).toBeGreaterThanOrEqual(290)
  expect(learning.tokensMax('m', image)).toBeLessThan(500)
})

test('a prompt that was once reported is covered from then on, and others of its kind with it', () => {
  const density = fc.double({ min: 0.05, max: 1, noNaN: true })
  const bytes = fc.integer({ min: 1, max: 20_000 })
  fc.assert(
    fc.property(
      density,
      fc.integer({ min: 0, max: 4_000 }),
      fc.array(bytes, { minLength: 1, maxLength: 20 }),
      (tokensPerByte, system, sizes) => {
        const learning = new PromptLearning()
        const tokensOf = (size: number): number => Math.ceil(system + size * tokensPerByte)
        for (const size of sizes) {
          const sized = { asciiBytes: size, otherBytes: 0, images: 0 }
          learning.observe('m', sized, tokensOf(size))
          expect(learning.tokensMax('m', sized)).toBeGreaterThanOrEqual(tokensOf(size))
        }
      },
    ),
  )
})
