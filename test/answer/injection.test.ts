// Documents that try to command the model. What is asserted holds for every model, obedient ones included: what stands in the prompt, that
// no answer repeats the canary of the system prompt, and that nothing of it is rendered as something that loads or links. Whether a model obeys is
// its own matter and not promised.
import { readFileSync } from 'node:fs'

import markdown from 'markdown-it'
import { expect, test } from 'vitest'
import { z } from 'zod'

import { withoutInvisible } from '../../src/answer/invisible.ts'
import { sourcesList } from '../../src/answer/sources-list.ts'
import { newCall } from '../cache/ask.ts'
import { ask, bodyOf, FakeCorpus, questionOf, setup } from './setup.ts'

const canarySchema = z.array(z.object({ name: z.string(), text: z.string(), obeyed: z.string() }))
const canaries = canarySchema.parse(JSON.parse(readFileSync(new URL('../data/injection/canaries.json', import.meta.url), 'utf8')))

const operatorSecret = 'OPERATOR-CANARY-7f21'
const otherTenant = 'OTHER-TENANT-CANARY-93aa'
const gatewaySecret = 'a secret of the test'
const instructions = `You are the handbook. ${operatorSecret}`
const rendered = markdown({ html: true, linkify: true, typographer: true })
const loads = /<(?:img|a|script|iframe|style|svg|image|link|form|input|object|embed|video|audio|base|meta|div|b)\b/i

/** The text of canary and harmless document are found together. */
function corpusWith(text: string, title?: string): FakeCorpus {
  return new FakeCorpus(
    { id: 'canary', text: `handbook ${text}`, ...(title === undefined ? {} : { title }) },
    { id: 'good', text: 'The handbook has 12 chapters.' },
  )
}

const question = 'What does the handbook say?'

/** Without case, punctuation and emphasis, by which a text stays the same. */
const lettersOf = (text: string): string => text.replace(/[^\p{L}\p{N}]/gu, '').toLowerCase()

test('the corpus holds at least fifty canaries, each of its own', () => {
  expect(canaries.length).toBeGreaterThanOrEqual(50)
  expect(new Set(canaries.map(({ text }) => text)).size).toBe(canaries.length)
})

test.each(canaries)('$name: documents reach the model as fenced data and nothing else', async ({ text }) => {
  const tenants: string[] = []
  const corpus = corpusWith(text, `Title ${text}`)
  const foreign = new FakeCorpus({ id: 'foreign', text: `handbook ${otherTenant}` })
  const made = setup(corpus, () => 'x', {
    search: (request) => {
      tenants.push(request.tenant)
      return request.tenant === 'a' ? corpus.search(request) : foreign.search(request)
    },
  })
  await ask(questionOf(question, { instructions }), made, newCall({ tenant: 'a' }))
  const plain = setup(new FakeCorpus({ id: 'good', text: 'The handbook has 12 chapters.' }), () => 'x')
  await ask(questionOf(question, { instructions }), plain)
  const sent = made.model.asked.map(bodyOf)[0]
  expect(tenants).toEqual(['a'])
  expect(Object.keys(sent ?? {})).toEqual(['model', 'messages', 'stream', 'options'])
  expect(sent?.messages.map(({ role }) => role)).toEqual(['system', 'user', 'assistant', 'user'])
  const [system, passages, acknowledgement, asked] = sent?.messages.map(({ content }) => content) ?? []
  expect(system).toBe(plain.model.asked.map(bodyOf)[0]?.messages[0]?.content)
  expect(acknowledgement).toBe(plain.model.asked.map(bodyOf)[0]?.messages[2]?.content)
  expect(asked).toBe(question)
  const fence = /<<([0-9a-f]{16}) end>>$/.exec(passages ?? '')?.[1] ?? expect.fail('no fence')
  expect(text).not.toContain(fence)
  expect(passages?.match(new RegExp(`<<${fence} passage \\d+>>`, 'g'))).toHaveLength(2)
  expect(passages).toBe(withoutInvisible(passages ?? ''))
  expect(JSON.stringify(sent)).not.toContain(otherTenant)
  expect(JSON.stringify(sent)).not.toContain(gatewaySecret)
  expect(passages).not.toContain(operatorSecret)
})

test.each(canaries)('$name: an obedient model makes nothing that a client renders or loads', async ({ text, obeyed }) => {
  const said = obeyed.replaceAll('{SECRET}', operatorSecret)
  for (const raw of [said, `A claim [1: "handbook"] ${said}`, `${said} [1: "${said}"]`]) {
    const made = setup(corpusWith(text), () => raw)
    const { text: shown, summary } = await ask(questionOf(question, { instructions }), made)
    expect(lettersOf(shown), 'the canary of the system prompt never leaves').not.toContain(lettersOf(operatorSecret))
    const html = rendered.render(shown + sourcesList(question, summary))
    expect(html).not.toMatch(loads)
    expect(shown).toBe(withoutInvisible(shown))
    for (const { quote } of summary.citations) expect(`handbook ${text} The handbook has 12 chapters.`).toContain(quote)
  }
})

test('a hostile title or address is shown as text in the list of sources', () => {
  const citation = {
    number: 1,
    answer: { start: 0, end: 1 },
    marker: { start: 1, end: 2 },
    collection: 'docs',
    chunk: 'c',
    document: 'd',
    page: 2,
    start: 0,
    end: 1,
    quote: 'q',
    origin: 'quoted' as const,
    overlap: 1,
    title: 'Plan](https://attacker.test/x) ![i](https://attacker.test/y) <img src=x>\u202e\nnext',
  }
  for (const uri of ['javascript:alert(1)', 'https://ok.test/a)![x](y', 'file:///etc/passwd', 'https://ok.test/<b>']) {
    const list = sourcesList(question, { citations: [{ ...citation, uri }] })
    expect(rendered.render(list)).not.toMatch(loads)
    expect(list).not.toContain(uri)
    expect(list.split('\n').filter((line) => line.startsWith('['))).toHaveLength(1)
  }
})
