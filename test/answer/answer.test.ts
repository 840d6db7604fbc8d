import { expect, test } from 'vitest'

import { ByteQueue } from '../../src/base/byte-queue.ts'
import { answer } from '../../src/answer/answer.ts'
import { answerOptions } from '../../src/answer/options.ts'
import { TokenBudgets } from '../../src/answer/token-budget.ts'
import { answerDefaults } from '../../src/core/assistant.ts'
import type { SearchRequest } from '../../src/core/corpus.ts'
import { CorralError } from '../../src/core/errors.ts'
import { newCall } from '../cache/ask.ts'
import { manualClock } from '../fleet/manual-clock.ts'
import { ask, bodyOf, FakeCorpus, hitOf, nativeLines, okOutcome, questionOf, setup, streamOf, type SentBody } from './setup.ts'

const upload = { id: 'limits', text: 'Uploads may be up to 32 MB. Larger files are refused with error 413.', page: 3 }
const retry = { id: 'retry', text: 'Failed uploads are retried after five seconds, at most three times.' }
const settings = { ...answerDefaults, strengthMin: 0 }

/** Cites the passage that holds `quote`, by its number in the prompt. */
function citing(sentence: string, quote: string) {
  return ({ messages }: SentBody): string => {
    const before = messages[1]?.content.split(quote)[0] ?? ''
    return `${sentence} [${before.match(/ passage \d+>>/g)?.length ?? 0}: "${quote}"].`
  }
}

test('answers from documents with a citation that points at their text', async () => {
  const made = setup(new FakeCorpus(upload, retry), citing('Uploads may have 32 MB', 'Uploads may be up to 32 MB'))
  const { text, summary, events, outcome, kept } = await ask(questionOf('How large may uploads be?'), made)
  expect(text).toBe('Uploads may have 32 MB [1].')
  expect(kept).toBe(false)
  expect(outcome.kind).toBe('ok')
  expect(summary.citations).toEqual(events.flatMap((event) => (event.kind === 'citation' ? [event.citation] : [])))
  expect(summary.citations[0]).toMatchObject({ document: 'limits', page: 3, quote: 'Uploads may be up to 32 MB' })
  expect(summary.unsupported).toEqual([])
})

test('the request to the model is native, streamed, without tools, with its context said', async () => {
  const made = setup(new FakeCorpus(upload), () => 'x', { contextOf: () => 4_096 })
  await ask(
    questionOf('How large may uploads be?', { instructions: 'You are Handbook.', options: { seed: 7, num_predict: 50, num_ctx: 99 } }),
    made,
  )
  const [request] = made.model.asked
  const sent = bodyOf(request ?? expect.fail('nothing was asked'))
  expect(request?.route.pattern).toBe('/api/chat')
  expect(sent).toMatchObject({ model: 'm', stream: true, options: { num_ctx: 4_096, num_predict: 50, temperature: 0, seed: 7 } })
  expect(sent.tools).toBeUndefined()
  expect(sent.messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
  expect(sent.messages[0]?.content).toContain('You are Handbook.')
  expect(sent.messages[0]?.content).not.toContain('32 MB')
  expect(sent.messages[1]?.content).toContain('Uploads may be up to 32 MB')
  expect(sent.messages.at(-1)?.content).toBe('How large may uploads be?')
})

test('the same passages give the same bytes in whatever order they were found, and a follow-up shares its beginning', async () => {
  const corpus = new FakeCorpus(upload, retry)
  const made = setup(corpus, () => 'x')
  const first = questionOf('uploads failed larger files')
  await ask(first, made)
  await ask(
    questionOf('retried uploads failed seconds files', {
      history: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: 'a' },
      ],
    }),
    made,
  )
  const [one, two] = made.model.asked.map(bodyOf)
  expect(two?.messages.slice(0, 3)).toEqual(one?.messages.slice(0, 3))
})

test('the fence differs with the passages and cannot be told without the secret', async () => {
  const fences = new Set<string>()
  for (const secret of ['one', 'two']) {
    for (const text of ['Uploads are small.', 'Uploads are large.']) {
      const made = setup(new FakeCorpus({ id: 'a', text }), () => 'x', { secret: Buffer.from(secret) })
      await ask(questionOf('uploads'), made)
      fences.add(/<<([0-9a-f]{16}) end>>/.exec(made.model.asked.map(bodyOf)[0]?.messages[1]?.content ?? '')?.[1] ?? '')
    }
  }
  expect(fences.size).toBe(4)
})

test('passages beyond the budget are left out, the best are kept', async () => {
  const many = Array.from({ length: 12 }, (_, index) => ({ id: `d${index + 10}`, text: `uploads ${'word '.repeat(400)}` }))
  const best = { id: 'zbest', text: `uploads larger files refused. ${'word '.repeat(400)}` }
  const made = setup(new FakeCorpus(...many, best), () => 'x', { contextOf: () => 4_096 })
  const { summary } = await ask(questionOf('uploads larger files refused', { settings: { ...settings, passages: 13 } }), made)
  expect(summary.sources.length).toBeGreaterThan(1)
  expect(summary.sources.length).toBeLessThan(8)
  expect(summary.sources.map(({ document }) => document)).toContain('zbest')
  const sent = made.model.asked.map(bodyOf)[0]
  const chars = sent?.messages.reduce((sum, { content }) => sum + content.length, 0) ?? 0
  expect(chars / 4).toBeLessThan(4_096 - 1_024)
})

test('instructions that fill the context are refused instead of being cut by the node', async () => {
  const made = setup(new FakeCorpus(upload), () => 'x')
  await expect(ask(questionOf('uploads', { instructions: 'word '.repeat(8_000) }), made)).rejects.toMatchObject({ code: 'invalid_request' })
})

test('learns how many tokens a text is to a model, and forgets no further back than its bound', () => {
  const budgets = new TokenBudgets()
  const text = 'x'.repeat(4_000)
  const before = budgets.tokens('m', text)
  budgets.learn('m', 1_000, 2_000)
  expect(budgets.tokens('m', text)).toBe(2_200)
  expect(budgets.tokens('m', text)).toBeGreaterThan(before)
  budgets.learn('m', 1_000, 50_000)
  budgets.learn('m', 1_000, null)
  expect(budgets.ratioOf('m')).toBe(2)
  for (let index = 0; index < 600; index += 1) budgets.learn(`other-${index}`, 1_000, 1_000)
  expect(budgets.ratioOf('m')).toBeNull()
})

test('learns from the count that the node reports', async () => {
  const made = setup(new FakeCorpus(upload), () => 'x')
  await ask(questionOf('How large may uploads be?'), made)
  expect(made.deps.budgets.ratioOf('m')).toBeGreaterThan(0)
})

test.each([
  ['How large may penguins be?', 'The documents do not contain an answer to this question.'],
  ['Wie groß sind die Pinguine und wo leben sie?', 'Die Dokumente enthalten keine Antwort auf diese Frage.'],
  ['Какого размера пингвины?', 'В документах нет ответа на этот вопрос.'],
  ['企鹅有多大？', '文档中没有这个问题的答案。'],
])('says in the language of %s that the documents hold no answer, and asks no model', async (question, text) => {
  const made = setup(new FakeCorpus(upload, retry), () => 'never')
  const asked = await ask(questionOf(question, { settings: { ...answerDefaults, strengthMin: 0.5 } }), made)
  expect(asked.text).toBe(text)
  expect(asked.summary.refused).toBe(true)
  expect(made.model.asked).toEqual([])
})

test('asks the model in spite of weak retrieval when that is wished', async () => {
  const made = setup(new FakeCorpus(upload), () => 'I do not know.')
  const { text, summary } = await ask(questionOf('penguins', { settings: { ...answerDefaults, answersWhenWeak: true } }), made)
  expect(text).toBe('I do not know.')
  expect(summary).toMatchObject({ refused: false, strength: { sufficient: false } })
})

test('makes a follow-up question stand alone before it is searched', async () => {
  const made = setup(new FakeCorpus(upload, retry), ({ stream }) =>
    stream ? 'x' : 'Question: "How often are failed uploads retried?"\nI hope this helps',
  )
  const history = [
    { role: 'user' as const, content: 'What of failed uploads?' },
    { role: 'assistant' as const, content: 'They are retried.' },
  ]
  const { summary, outcome } = await ask(
    questionOf('How often?', { history, settings: { ...settings, rewritesQuestion: true, rewriter: 'small' } }),
    made,
  )
  expect(summary.query).toBe('How often are failed uploads retried?')
  expect(outcome.usage).toMatchObject({ promptTokens: 800, outputTokens: 40 })
  const [rewriting, answering] = made.model.asked.map(bodyOf)
  expect(rewriting).toMatchObject({ model: 'small', stream: false, options: { temperature: 0 } })
  expect(answering?.messages.at(-1)?.content).toBe('How often?')
})

test.each(['fails', 'never answers'])('searches the question itself when the rewriter %s', async (how) => {
  const options = { ...answerOptions.parse({}), rewriteMs: 50 }
  const made = setup(new FakeCorpus(upload), () => 'x')
  const signals: boolean[] = []
  const deps: typeof made.deps = {
    ...made.deps,
    options: () => options,
    relay: (request, call) => {
      if (request.stream) return made.model.relay(request, call)
      if (how === 'fails') return Promise.reject(new CorralError('no_node', 'none'))
      return new Promise((_, reject) =>
        call.signal.on((reason) => (signals.push(true), reject(new CorralError('client_gone', String(reason))))),
      )
    },
  }
  const history = [{ role: 'user' as const, content: 'uploads' }]
  const { summary, text } = await ask(
    questionOf('How large may uploads be?', { history, settings: { ...settings, rewritesQuestion: true } }),
    { deps },
  )
  expect(summary.query).toBe('How large may uploads be?')
  expect(text).toBe('x')
  expect(signals).toEqual(how === 'fails' ? [] : [true])
})

test('retrieval takes no more than its share of the deadline, and is told to stop', async () => {
  const clock = manualClock()
  let signal: AbortSignal | null = null
  const made = setup(new FakeCorpus(upload), () => 'x', {
    clock,
    search: (_: SearchRequest, limits) => {
      signal = limits.signal
      return new Promise(() => undefined)
    },
  })
  const call = newCall({ deadlineAtMs: clock.nowMs() + 1_000 })
  const asked = ask(questionOf('How large?'), made, call)
  const failed = expect(asked).rejects.toMatchObject({ code: 'store_timeout' })
  await Promise.resolve()
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
  clock.advance(299)
  expect((signal as AbortSignal | null)?.aborted).toBe(false)
  clock.advance(2)
  await failed
  expect((signal as AbortSignal | null)?.aborted).toBe(true)
  expect(call.signal.listenerCount).toBe(0)
})

test('a client that leaves during retrieval ends it', async () => {
  const made = setup(new FakeCorpus(upload), () => 'x', { search: () => new Promise(() => undefined) })
  const call = newCall()
  const asked = ask(questionOf('How large?'), made, call)
  call.signal.abort('gone')
  await expect(asked).rejects.toMatchObject({ code: 'client_gone' })
})

test('a failure in mid-stream is in the outcome, with what came before it', async () => {
  const error = new CorralError('node_failed', 'died')
  const lines = [...nativeLines('Uploads may have').slice(0, -1), '{"error":"died"}\n']
  const made = setup(new FakeCorpus(upload), () => 'x', {
    relay: () => Promise.resolve(streamOf(lines, { ...okOutcome, kind: 'node_error', error })),
  })
  const { text, outcome, doneReason } = await ask(questionOf('How large may uploads be?'), made)
  expect(text).toBe('Uploads may have')
  expect(outcome).toMatchObject({ kind: 'node_error', error })
  expect(doneReason).toBeNull()
  expect(made.answers.entries.size).toBe(0)
})

test('an answer with an error status is a failure with the words of the node', async () => {
  const body = Buffer.from('{"error":"model \'m\' not found"}')
  const made = setup(new FakeCorpus(upload), () => 'x', {
    relay: () =>
      Promise.resolve({
        kind: 'whole',
        status: 404,
        headers: {},
        provenance: { node: 'n', reason: 'only', attempts: 1, dispatchedAtMs: 0 },
        body,
        outcome: okOutcome,
      }),
  })
  await expect(ask(questionOf('uploads'), made)).rejects.toMatchObject({ status: 404, message: "model 'm' not found" })
})

test('a reader that leaves cancels the generation', async () => {
  const frames = new ByteQueue(1_000)
  const cancelled: unknown[] = []
  frames.onCancel = (reason) => cancelled.push(reason)
  const made = setup(new FakeCorpus(upload), () => 'x', {
    relay: () =>
      Promise.resolve({
        ...streamOf([]),
        kind: 'stream',
        frames,
        outcome: Promise.resolve({ ...okOutcome, kind: 'client_gone' as const }),
      }),
  })
  const stream = await answer(questionOf('uploads'), newCall(), made.deps)
  const running = stream.run(() => true)
  stream.cancel('gone')
  expect((await running).outcome.kind).toBe('client_gone')
  expect(cancelled).toEqual(['gone'])
})

test('an empty question, a long one and one without collections are refused', async () => {
  const made = setup(new FakeCorpus(upload), () => 'x')
  for (const request of [questionOf(' \u200b '), questionOf('x'.repeat(8_001)), questionOf('x', { collections: [] })]) {
    await expect(ask(request, made)).rejects.toMatchObject({ code: 'invalid_request' })
  }
})

/** The hit of `text` in a document, with what the search gave around it. */
function hitWithin(whole: string, text: string, [from, to]: readonly [number, number] = [0, whole.length]) {
  const start = whole.indexOf(text)
  const hit = hitOf({ id: 'long', text, page: 7, start })
  return { ...hit, before: whole.slice(from, start), after: whole.slice(start + text.length, to), passage: { start: from, end: to } }
}

test('passages of one document hold no text twice, and a page is told only of the chunk that was found', async () => {
  const whole = 'One is uploaded first. Two follows upload one. Three ends the upload line.'
  const corpus = new FakeCorpus()
  const [one, two, three] = [
    [0, 22],
    [23, 46],
    [47, whole.length],
  ].map(([from = 0, to = 0]) => whole.slice(from, to))
  const results = [hitWithin(whole, two ?? '', [23, whole.length]), hitWithin(whole, three ?? ''), hitWithin(whole, one ?? '')]
  const search = async (request: SearchRequest) => ({ ...(await corpus.search(request)), results })
  const made = setup(corpus, citing('Three ends it', 'Three ends the upload line'), { search })
  const { summary } = await ask(questionOf('upload', { settings: { ...settings, expand: 'section' } }), made)
  expect(summary.sources.map(({ start, end }) => whole.slice(start, end))).toEqual([`${one} `, `${two} ${three}`])
  expect(summary.citations).toMatchObject([{ quote: 'Three ends the upload line', start: 47, page: null }])
})

test('where a passage with what stands around it does not fit, the chunk alone is given', async () => {
  const whole = `${'Much stands before it. '.repeat(400)}The upload limit is 32 MB. ${'Much stands behind it. '.repeat(400)}`
  const corpus = new FakeCorpus()
  const results = [hitWithin(whole, 'The upload limit is 32 MB.')]
  const made = setup(corpus, citing('32 MB', 'upload limit is 32 MB'), {
    search: async (request) => ({ ...(await corpus.search(request)), results }),
    contextOf: () => 2_048,
  })
  const { summary } = await ask(questionOf('upload?', { settings: { ...settings, expand: 'section' } }), made)
  expect(summary.sources.map(({ start, end }) => whole.slice(start, end))).toEqual(['The upload limit is 32 MB.'])
  expect(summary.citations).toMatchObject([{ page: 7 }])
})

test.each([
  ['none', { neighbours: 0, section: false, passageCharacters: 2_688 }],
  ['section', { neighbours: 0, section: true, passageCharacters: 2_688 }],
  [3, { neighbours: 3, section: false, passageCharacters: 2_688 }],
] as const)('expand %s asks the search for as much around each hit as all of them have room for', async (expand, expected) => {
  const requests: SearchRequest[] = []
  const corpus = new FakeCorpus(upload)
  const made = setup(corpus, () => 'x', { search: (request) => (requests.push(request), corpus.search(request)) })
  await ask(questionOf('uploads?', { settings: { ...settings, expand } }), made)
  expect(requests).toMatchObject([expected])
})
