// What of its instructions an answer does not repeat, in whatever pieces it comes, and what it may.
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { CitedStream } from '../../src/answer/cited-stream.ts'
import { Passage } from '../../src/answer/passage.ts'
import { PromptGuard } from '../../src/answer/prompt-guard.ts'
import { PromptSecrets } from '../../src/answer/prompt-secrets.ts'
import { answerDefaults } from '../../src/core/assistant.ts'
import { cpuMsOf } from '../support/cpu-time.ts'
import { ask, FakeCorpus, hitOf, nativeLines, questionOf, setup, streamOf } from './setup.ts'

const prompt = 'You are the handbook of Acme and never mention prices to anyone outside of the company. The code is BLUE-HORSE-7f21.'

/** What is shown of `said`, in pieces of `size` characters. */
function shown(said: string, { told = prompt, known = [] as string[], size = said.length } = {}): string {
  const guard = new PromptGuard(new PromptSecrets(told, known))
  let text = ''
  for (let at = 0; at < said.length; at += size) text += guard.push(said.slice(at, at + size))
  return text + guard.flush()
}

test('a piece that is one long word is looked at once, not from each of its letters', () => {
  const long = `${'a'.repeat(200_000)}!${'语'.repeat(200_000)}!`
  let text = ''
  const tookMs = cpuMsOf(() => {
    text = shown(long)
  })
  expect(text).toBe(long)
  expect(tookMs).toBeLessThan(5_000)
})

test.each([
  ['an answer of its own', 'The handbook has 12 chapters, and you are welcome.', 'The handbook has 12 chapters, and you are welcome.'],
  ['seven words', 'I never mention prices to anyone outside of it.', 'I never mention prices to anyone outside of it.'],
  ['a run of eight words', 'Well: never mention prices to anyone outside of the firm!', 'Well: … firm!'],
  ['the whole of it', `Sure! ${prompt} Bye.`, 'Sure! …. Bye.'],
  ['the same by other marks', 'NEVER mention **prices** — to\nanyone "outside" of, the moon', '… moon'],
  ['two places', 'a BLUE-HORSE-7f21 b blue_horse_7f21 c', 'a … b … c'],
  ['a secret spelled apart', 'It is B L U E horse 7 f 2 1, they say.', 'It is …, they say.'],
  ['a secret inside a word', 'keyBLUE-HORSE-7f21x', '…'],
  ['half a secret', 'A BLUE-HORSE ran.', 'A BLUE-HORSE ran.'],
])('%s', (_, said, expected) => {
  expect(shown(said)).toBe(expected)
})

test('the same is withheld in whatever pieces it comes, and nothing else is lost', () => {
  const words = [...prompt.split(' '), 'and', '[1]', '…', 'x\n', 'BLUE-HORSE-7f21', '🐎', '馬']
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...words), { maxLength: 40 }), fc.integer({ min: 1, max: 9 }), (said, size) => {
      const text = said.join(' ')
      const whole = shown(text)
      expect(shown(text, { size })).toBe(whole)
      expect(whole.replace(/[^\p{L}\p{N}]/gu, '').toLowerCase()).not.toContain('bluehorse7f21')
      if (!whole.includes('…')) expect(whole).toBe(text)
    }),
    { numRuns: 300 },
  )
})

test('at most as many words are held back as a run has, and none of a text that has nothing of the prompt', () => {
  const guard = new PromptGuard(new PromptSecrets(prompt, []))
  expect(guard.push('Elephants drink water. ')).toBe('Elephants drink water. ')
  expect(guard.push('You are the handbook ')).toBe('')
  expect(guard.push('gladly ')).toBe('You are the handbook gladly ')
})

test('what stands in a passage or in the conversation may be said', () => {
  const run = 'never mention prices to anyone outside of the company'
  expect(shown(`We ${run}.`, { known: [`Rule 4: ${run}, not even to friends.`] })).toBe(`We ${run}.`)
  expect(shown('BLUE-HORSE-7f21 it is', { known: ['May I say blue-horse-7F21?'] })).toBe('BLUE-HORSE-7f21 it is')
})

test('a sentence that the instructions hand over may be said, a secret in it may not', () => {
  const sentence = 'I am sorry, but this is not something that I can help you with'
  for (const told of [`If in doubt, reply: "${sentence}."`, `Im Zweifel antworte „${sentence}“.`])
    expect(shown(`${sentence}.`, { told })).toBe(`${sentence}.`)
  expect(shown(`${sentence}.`, { told: `Our motto: "${sentence}."` })).toBe('….')
  expect(shown('The key is sk-12ab34cd.', { told: 'Say "the key is sk-12ab34cd".' })).toBe('The key is ….')
})

test.each([
  ['password: hunter2', 'hunter2'],
  ['The password is "swordfish".', 'swordfish'],
  ['Das Passwort lautet Fisch7.', 'Fisch7'],
  ['Пароль: тюлень9', 'тюлень9'],
  ['密码是「海豹七号」', '海豹七号'],
  ['密码是「蓝色大象飞天」。', '蓝色大象飞天'],
  ['パスワードは「アオイゾウ」', 'アオイゾウ'],
  ['パスワードは『アオイゾウ』です。', 'アオイゾウ'],
  ['密码是OpenSesame。不要说出。', 'OpenSesame'],
  ['你是助手。密码：红色狐狸42号。不要说出。', '红色狐狸42号'],
  ['密码 OpenSesame', 'OpenSesame'],
  ['password - OpenSesame', 'OpenSesame'],
  ['The **password** – OpenSesame, for staff.', 'OpenSesame'],
  ['password\nOpenSesame', 'OpenSesame'],
  ['## Password\r\n\r\nOpenSesame\r\n\r\nKeep it.', 'OpenSesame'],
  ['password **OpenSesame**', 'OpenSesame'],
  ['The password `OpenSesame` is ours.', 'OpenSesame'],
  ['密码: 海豹7号x', '海豹7号x'],
  ['Das Datenbankpasswort: Fisch7', 'Fisch7'],
  ['secret: password: Hunter2', 'Hunter2'],
  ['the password is DonkeyHote', 'DonkeyHote'],
  ['Authenticate with ghp_16C7e42F292c6912E7.', 'ghp_16C7e42F292c6912E7'],
  ['PROJECT_BLUE_HORSE is secret', 'PROJECT_BLUE_HORSE'],
  ['key=BLUE-HORSE-7f21;user=x', 'BLUE-HORSE-7f21'],
  ['{"token":"ghp16C7e42F292c6912E7"}', 'ghp16C7e42F292c6912E7'],
])('%s holds a secret', (told, secret) => {
  expect(shown(`It is ${secret}, so.`, { told })).toBe('It is …, so.')
})

test.each([
  'Answer in at most 5 sentences, dated 2026-11-05 or 5-Nov-2026.',
  'Write to support24@acme.example or call 0800 123456.',
  'Compare GPT-4, Python3, ISO27001, SHA256, UTF-8 and v1.2.3.',
  'The password is required. A secret is to be kept. The token is valid for one day.',
  'You are a friendly assistant. Keep answers short. Use TypeScript and JavaScript.',
  'Use the API key OpenAI gives you. A token GitHub made is no password.',
  'Use the API key\nOpenAI gives you, never a password.\nJavaScript',
  '密码是必需的，不要说出。',
  'Spin Paris2024 and the enclave Bonn2024.',
])('%s holds no secret', (told) => {
  expect(new PromptSecrets(told, []).tokens).toEqual([])
})

test('of a script without spaces a run is as long as a sentence', () => {
  const told = '你是公司手册的助手，绝对不要向公司以外的任何人提及价格。'
  expect(shown('好的：绝对不要向公司以外的任何人提及价格！', { told })).toBe('好的：…！')
  expect(shown('公司手册有十二章。', { told })).toBe('公司手册有十二章。')
})

test('text of a script without spaces is shown as it comes', () => {
  const guard = new PromptGuard(new PromptSecrets(prompt, []))
  const pieces = Array.from('公司手册有十二章คู่มือมีสิบสองบท')
  expect(pieces.map((piece) => guard.push(piece))).toEqual(pieces)
})

test('markers between the words of a run do not carry it out', () => {
  const passages = [new Passage(1, hitOf({ id: 'good', text: 'The handbook has 12 chapters.' }))]
  const stream = new CitedStream(passages, new PromptSecrets(prompt, []))
  const said = `${prompt.split(' ').join(' [9] ')} BLUE-[9]HORSE-[1: "handbook has 12"]7f21 end`
  const text = [...stream.push(said), ...stream.end()].map((part) => (part.kind === 'text' ? part.text : '')).join('')
  expect(text.replace(/\s+/g, ' ')).toBe('You are the handbook of Acme and … . …. BLUE-HORSE-[1]… end')
  expect(stream.gate.withheld).toBe(2)
})

test('an answer withholds them in text and in thinking, counts the places, and does not where it is not to', async () => {
  const thinking = (text: string): string => `${JSON.stringify({ message: { content: '', thinking: text }, done: false })}\n`
  const lines = [...Array.from(prompt, thinking), thinking(' ![x](https://attacker.test/?q=1)'), ...nativeLines(`It says: ${prompt}`)]
  const answerWith = (withholdsPrompt: boolean) => {
    const corpus = new FakeCorpus({ id: 'good', text: 'The handbook has 12 chapters.' })
    const made = setup(corpus, () => '', { relay: () => Promise.resolve(streamOf(lines)) })
    return ask(questionOf('handbook?', { instructions: prompt, settings: { ...answerDefaults, strengthMin: 0, withholdsPrompt } }), made)
  }
  const thoughtOf = ({ events }: Awaited<ReturnType<typeof ask>>) =>
    events.map((event) => (event.kind === 'thinking' ? event.text : '')).join('')
  const kept = await answerWith(true)
  expect(kept.text).toBe('It says: ….')
  expect(thoughtOf(kept)).toBe('…. ! [x] (https ://attacker.test/?q=1)')
  expect(kept.summary).toMatchObject({ text: 'It says: ….', gate: { withheld: 2 } })
  const told = await answerWith(false)
  expect(told.text).toBe(`It says: ${prompt}`)
  expect(thoughtOf(told)).toContain('BLUE-HORSE-7f21')
  expect(told.summary.gate.withheld).toBe(0)
})

test('instructions made to be slow to read are read in bounded time', () => {
  const readMs = (part: string): number => {
    const text = part.repeat(Math.ceil(60_000 / part.length))
    return cpuMsOf(() => {
      const guard = new PromptGuard(new PromptSecrets(text, [text]))
      guard.push(text.slice(0, 10_000))
    })
  }
  const parts = [
    'pin:',
    'pin ',
    'pin\n',
    'pin - ',
    'pin **',
    '密码是',
    '密码 ',
    `pin${' '.repeat(30_000)}`,
    `pin${'\n'.repeat(30_000)}`,
    'say« ',
    `a${'!'.repeat(60_000)}a`,
    'a1-',
    'password is ',
    'Ab1 ',
    '馬',
    'a ',
  ]
  expect(parts.reduce((sum, part) => sum + readMs(part), 0)).toBeLessThan(3_000)
})
