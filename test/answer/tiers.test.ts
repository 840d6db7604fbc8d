// The two tiers of caching.md §2.6 over a corpus that changes: W2 and the tests I6, C2–C5 of §11, as far as they are the answer's.
import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { createCache } from '../../src/cache/layer.ts'
import { cacheOptions } from '../../src/cache/options.ts'
import { CorralError } from '../../src/core/errors.ts'
import { answerDefaults } from '../../src/core/assistant.ts'
import { newCall } from '../cache/ask.ts'
import { ask, FakeCorpus, questionOf, setup, type Setup, type Written } from './setup.ts'

const settings = { ...answerDefaults, strengthMin: 0 }

/** Says the first passage that holds the number of the topic, cited. */
function made(...documents: Written[]): Setup {
  return setup(new FakeCorpus(...documents), ({ messages }) => {
    const passages = messages[1]?.content ?? ''
    const found = [...passages.matchAll(/ passage (\d+)>> [^\n]*\n(The .*? is \d+)/g)]
    return found.map(([, number, text]) => `${text} [${number}: "${text}"].`).join(' ')
  })
}

const color = { id: 'a', text: 'The weight of copper is 63 units.' }

test('an answer is kept and found again without search or model', async () => {
  const it = made(color)
  const first = await ask(questionOf('weight of copper'), it)
  const second = await ask(questionOf('weight of copper'), it)
  expect([first.kept, second.kept]).toEqual([false, true])
  expect(second.text).toBe(first.text)
  expect(second.summary).toEqual(first.summary)
  expect(second.outcome.cached).toBe(true)
  expect([it.corpus.searches, it.model.asked.length]).toEqual([1, 1])
})

test('no answer from before an edit is given after it, whatever was edited', async () => {
  const it = made(color, { id: 'b', text: 'The price of tin is 20 units.' })
  await ask(questionOf('weight of copper'), it)
  it.corpus.put({ ...color, text: 'The weight of copper is 64 units.' })
  const edited = await ask(questionOf('weight of copper'), it)
  expect(edited.text).toContain('64')
  expect(edited.kept).toBe(false)
  it.corpus.put({ id: 'b', text: 'The price of tin is 21 units.' })
  expect((await ask(questionOf('weight of copper'), it)).kept).toBe(false)
})

test('C2: an edit during the generation leaves its answer out of reach, and not at rest', async () => {
  const it = made(color)
  const { script } = it.model
  it.model.script = (request) => {
    it.corpus.put({ ...color, text: 'The weight of copper is 64 units.' })
    it.model.script = script
    return script(request)
  }
  expect((await ask(questionOf('weight of copper'), it)).text).toContain('63')
  expect(it.answers.entries.size).toBe(0)
  const next = await ask(questionOf('weight of copper'), it)
  expect(next).toMatchObject({ kept: false })
  expect(next.text).toContain('64')
})

test('C2: an edit between the reading of versions and the end of the search is no hit afterwards', async () => {
  const it = made(color)
  it.corpus.during = () => {
    it.corpus.during = () => undefined
    it.corpus.put({ ...color, text: 'The weight of copper is 64 units.' })
  }
  expect((await ask(questionOf('weight of copper'), it)).text).toContain('63')
  expect((await ask(questionOf('weight of copper'), it)).text).toContain('64')
})

test('C3: a new document that fits better changes the answer', async () => {
  const it = made(color)
  await ask(questionOf('weight of copper today'), it)
  it.corpus.put({ id: 'z', text: 'The weight of copper today is 70 units.' })
  expect((await ask(questionOf('weight of copper today'), it)).text).toContain('70')
})

test('an answer made from a document that is deleted meanwhile is not given again', async () => {
  const it = made(color, { id: 'b', text: 'The price of tin is 20 units.' })
  expect((await ask(questionOf('weight of copper'), it)).text).toContain('63')
  it.corpus.remove('a')
  const { text } = await ask(questionOf('weight of copper'), it)
  expect(text).not.toContain('63')
})

test.each([
  ['the number of passages', { settings: { ...settings, passages: 3 } }],
  ['the filter', { settings: { ...settings, filter: [{ field: 'team', op: 'eq' as const, value: 'x' }] } }],
  ['the reranker', { settings: { ...settings, reranker: 'r' } }],
  ['the mode', { settings: { ...settings, mode: 'keyword' as const } }],
  ['the prompt', { instructions: 'Be brief.' }],
  ['the history', { history: [{ role: 'user' as const, content: 'before' }] }],
  ['the options', { options: { seed: 1 } }],
  ['the model', { model: 'other' }],
  ['what the caller may see', { access: 'group-1' }],
])('C5, I6: another value of %s is a miss', async (_, overrides) => {
  const it = made(color)
  await ask(questionOf('weight of copper'), it)
  expect((await ask(questionOf('weight of copper', overrides), it)).kept).toBe(false)
  expect((await ask(questionOf('weight of copper'), it)).kept).toBe(true)
})

test('I6: a caller that lost its right to a document does not get the answer made from it', async () => {
  const it = made(color, { id: 'b', text: 'The mass of copper is 20 units.' })
  const both = await ask(questionOf('weight of copper', { access: 'a,b' }), it)
  expect(both.text).toContain('63')
  const allowed = new Set(['b'])
  const limited: Setup = {
    ...it,
    deps: {
      ...it.deps,
      search: async (request) => {
        const found = await it.corpus.search(request)
        return { ...found, results: found.results.filter(({ document }) => allowed.has(document.id)) }
      },
    },
  }
  const after = await ask(questionOf('weight of copper', { access: 'b' }), limited)
  expect(after.kept).toBe(false)
  expect(after.text).not.toContain('63')
})

test('tenants, re-pulled models and another digest of a helper never share', async () => {
  const it = made(color)
  await ask(questionOf('weight of copper'), it, newCall({ tenant: 'a' }))
  expect((await ask(questionOf('weight of copper'), it, newCall({ tenant: 'b' }))).kept).toBe(false)
  const repulled = { deps: { ...it.deps, digestOf: () => 'sha256:2' } }
  expect((await ask(questionOf('weight of copper'), repulled, newCall({ tenant: 'a' }))).kept).toBe(false)
  const reembedded = { deps: { ...it.deps, retrievalState: () => 'embedder 2' } }
  expect((await ask(questionOf('weight of copper'), reembedded, newCall({ tenant: 'a' }))).kept).toBe(false)
})

test.each([
  ['the mode', { mode: 'off' }],
  ['the route', { routes: { '/rag/chat': 'off' } }],
  ['the cache', { enabled: false }],
])('%s of the operator keeps nothing', async (_, told) => {
  const it = made(color)
  const off = { deps: { ...it.deps, caching: () => cacheOptions.parse(told) } }
  await ask(questionOf('weight of copper'), off)
  expect((await ask(questionOf('weight of copper'), it)).kept).toBe(false)
  expect((await ask(questionOf('weight of copper'), off)).kept).toBe(false)
})

test.each([
  ['no-store', { headers: ['cache-control', 'no-store'] }, {}],
  ['a mode of off', { headers: ['x-corral-cache', 'off'] }, {}],
  ['a credential without cache', {}, { principal: { cache: 'off' as const } }],
  ['a temperature', { options: { temperature: 0.7 } }, {}],
  ['a temperature with a random seed', { options: { temperature: 0.7, seed: -1 } }, {}],
])('%s keeps nothing and reads nothing', async (_, overrides, call) => {
  const it = made(color)
  await ask(questionOf('weight of copper', overrides), it, newCall(call))
  expect(it.answers.entries.size).toBe(0)
})

test('an answer that ends soon is made anew by the asker who is drawn, and still given when that fails', async () => {
  const it = made(color)
  await ask(questionOf('weight of copper'), it)
  it.answers.isDrawn = true
  expect((await ask(questionOf('weight of copper'), it)).kept).toBe(false)
  expect(it.model.asked).toHaveLength(2)
  const relay = (): Promise<never> => Promise.reject(new CorralError('no_node', 'none'))
  const failing = { deps: { ...it.deps, relay } }
  expect(await ask(questionOf('weight of copper'), failing)).toMatchObject({ kept: true, text: expect.stringContaining('63') })
  expect(it.troubles).toEqual([expect.stringContaining('made anew')])
  const gone = newCall()
  gone.signal.abort('gone')
  await expect(ask(questionOf('weight of copper'), failing, gone)).rejects.toMatchObject({ code: 'client_gone' })
})

test('a kept answer is not replaced by one that rests on less, nor made anew for who wants a kept one', async () => {
  const it = made(color)
  await ask(questionOf('weight of copper'), it)
  it.answers.isDrawn = true
  it.corpus.degraded = { reason: 'no embedder' }
  expect((await ask(questionOf('weight of copper'), it)).kept).toBe(true)
  it.corpus.degraded = null
  expect((await ask(questionOf('weight of copper', { headers: ['cache-control', 'only-if-cached'] }), it)).kept).toBe(true)
  expect(it.model.asked).toHaveLength(1)
})

test('no-cache reads nothing but keeps', async () => {
  const it = made(color)
  await ask(questionOf('weight of copper'), it)
  expect((await ask(questionOf('weight of copper', { headers: ['cache-control', 'no-cache'] }), it)).kept).toBe(false)
})

test('cut, degraded and refused answers are not kept', async () => {
  const it = made(color)
  it.corpus.degraded = { reason: 'no embedder' }
  expect((await ask(questionOf('weight of copper'), it)).summary.degraded).toBe('no embedder')
  it.corpus.degraded = null
  await ask(questionOf('penguins', { settings: answerDefaults }), it)
  expect(it.answers.entries.size).toBe(0)
})

test('trouble with the tier costs a miss and never an answer', async () => {
  const it = made(color)
  const broken = (): Promise<never> => Promise.reject(new Error('broken'))
  expect((await ask(questionOf('weight of copper'), { deps: { ...it.deps, versions: broken } })).text).toContain('63')
  expect(
    (await ask(questionOf('weight of copper'), { deps: { ...it.deps, answers: { keyFor: (key) => key, get: broken, put: broken } } })).text,
  ).toContain('63')
  expect(it.troubles).toEqual([expect.stringContaining('versions'), expect.stringContaining('read'), expect.stringContaining('kept')])
})

test('bytes of another shape are a miss', async () => {
  const it = made(color)
  await ask(questionOf('weight of copper'), it)
  for (const [key, entry] of it.answers.entries) it.answers.entries.set(key, { ...entry, bytes: Buffer.from('{"version":1,"summary":{}}') })
  expect((await ask(questionOf('weight of copper'), it)).kept).toBe(false)
})

test('W2: one edit a minute among frequent questions gives no stale answer, and 98 % of generations are avoided', async () => {
  const topics = 40
  const value = Array.from({ length: topics }, (_, topic) => topic)
  const textOf = (topic: number): string => `The ratio of topic${topic}x is ${value[topic]}.`
  const bare = made(...value.map((_, topic) => ({ id: `t${topic}`, text: textOf(topic) })))
  const cacheSettings = cacheOptions.parse({})
  const cache = createCache({
    options: () => cacheSettings,
    clock: systemClock,
    random: () => 0.5,
    secret: Buffer.alloc(32, 7),
    digestOf: () => 'd1',
    digestsOf: () => ['d1'],
    engineEpoch: () => '0.33',
  })
  onTestFinished(() => cache.close())
  const it = { ...bare, deps: { ...bare.deps, relay: cache.layer(bare.model.relay) } }
  const requests = 6_000
  let seed = 1
  const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
  let stale = 0
  let kept = 0
  for (let index = 0; index < requests; index += 1) {
    // 100 requests a minute, Zipf-like over the topics.
    if (index % 100 === 99) {
      const topic = Math.floor(random() * topics)
      value[topic] = (value[topic] ?? 0) + topics
      it.corpus.put({ id: `t${topic}`, text: textOf(topic) })
    }
    const topic = Math.min(topics - 1, Math.floor(topics ** random()) - 1)
    const one = { ...settings, passages: 1 }
    const asked = await ask(questionOf(`ratio topic${topic}x`, { settings: one }), it)
    if (!asked.text.startsWith(`The ratio of topic${topic}x is ${value[topic]}`)) stale += 1
    if (asked.kept) kept += 1
  }
  expect(stale).toBe(0)
  expect(1 - it.model.asked.length / requests).toBeGreaterThanOrEqual(0.98)
  expect(kept / requests).toBeGreaterThan(0.4)
})
