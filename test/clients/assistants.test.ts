/** An assistant as every published client asks it, whole and streamed: a grounded answer with its sources, from a client that knows of no documents. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { ChatOllama, Ollama as LangChainOllama } from '@langchain/ollama'
import { Ollama } from 'ollama'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'

import { mustBe, type RagGateway, startRagGateway } from '../rag/rag-gateway.ts'
import { chatModel } from '../rag/scripted-fleet.ts'
import { collect } from './prompts.ts'
import { findPython } from './python-environment.ts'
import { anthropic, openAi } from './streams.ts'

const model = 'handbook'
const question = 'How many days of leave are there?'
const user = { role: 'user', content: question } as const
const text = 'There are 30 days of leave.'
/** What any client shows: the claim with its marker, and the list of sources. */
const shown = `${text} [1]\n\nSources:\n[1] leave`
const quote = 'There are 30 days of leave'

let gateway: RagGateway

beforeAll(async () => {
  gateway = await startRagGateway()
  await gateway.collection('docs', { leave: text })
  const assistant = {
    name: model,
    collections: ['docs'],
    model: chatModel,
    prompt: 'You are the handbook.',
    settings: { mode: 'keyword', strengthMin: 0 },
  }
  mustBe(201, await gateway.ask('POST', '/rag/assistants', { body: assistant }))
})
afterAll(() => gateway.close())

describe('ollama', () => {
  const client = (): Ollama => new Ollama({ host: gateway.url })
  const cited = { citations: [{ document: 'leave', quote }], sources: [{ document: 'leave' }], grounding: { refused: false } }

  it('lists and shows it', async () => {
    expect((await client().list()).models.map(({ name }) => name)).toContain('handbook:latest')
    expect((await client().show({ model })).capabilities).toContain('completion')
  })

  it('chats with it', async () => {
    const whole = await client().chat({ model, messages: [user] })
    expect(whole).toMatchObject({ model, done: true, message: { role: 'assistant', content: shown }, ...cited })
    const parts = await collect(await client().chat({ model, messages: [user], stream: true }))
    expect(parts.map(({ message }) => message.content).join('')).toBe(shown)
    expect(parts.at(-1)).toMatchObject({ done: true, ...cited })
  })

  it('generates with it', async () => {
    expect(await client().generate({ model, prompt: question })).toMatchObject({ model, done: true, response: shown, ...cited })
    const parts = await collect(await client().generate({ model, prompt: question, stream: true }))
    expect(parts.map(({ response }) => response).join('')).toBe(shown)
    expect(parts.at(-1)).toMatchObject({ done: true, ...cited })
  })
})

describe('openai', () => {
  const url = `urn:corral:document:leave`
  const cited = [{ type: 'url_citation', url_citation: { url, title: 'leave' }, corral: { quote } }]

  it('lists and retrieves it', async () => {
    expect((await collect(openAi(gateway.url).models.list())).map(({ id }) => id)).toContain('handbook:latest')
    expect(await openAi(gateway.url).models.retrieve(model)).toMatchObject({ id: 'handbook:latest' })
  })

  it('chats with it', async () => {
    const { completions } = openAi(gateway.url).chat
    const { choices } = await completions.create({ model, messages: [user] })
    expect(choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: shown, annotations: cited } })
    const final = await completions.stream({ model, messages: [user] }).finalChatCompletion()
    expect(final.choices[0]).toMatchObject({ finish_reason: 'stop', message: { content: shown } })
    const chunks = await collect(await completions.create({ model, messages: [user], stream: true }))
    expect(
      chunks.flatMap(({ choices: [choice] }) => (choice !== undefined && 'annotations' in choice.delta ? choice.delta.annotations : [])),
    ).toMatchObject(cited)
  })

  it('completes with it', async () => {
    const { completions } = openAi(gateway.url)
    const { choices } = await completions.create({ model, prompt: question })
    expect(choices).toMatchObject([{ text: shown, finish_reason: 'stop', annotations: cited }])
    const chunks = await collect(await completions.create({ model, prompt: question, stream: true }))
    expect(chunks.map(({ choices: [choice] }) => choice?.text ?? '').join('')).toBe(shown)
  })

  it('asks it for a response', async () => {
    const { responses } = openAi(gateway.url)
    const output = [
      { type: 'message', content: [{ text: shown, annotations: [{ type: 'file_citation', file_id: 'leave', corral: { quote } }] }] },
    ]
    expect(await responses.create({ model, input: question })).toMatchObject({ status: 'completed', output_text: shown, output })
    const stream = responses.stream({ model, input: question, instructions: 'Be kind.' })
    const types: string[] = []
    for await (const { type } of stream) types.push(type)
    expect(types).toContain('response.output_text.annotation.added')
    expect(types.at(-1)).toBe('response.completed')
    expect(await stream.finalResponse()).toMatchObject({ status: 'completed', output_text: shown, output })
  })
})

it('@anthropic-ai/sdk asks it for a message', async () => {
  const request = { model, max_tokens: 100, messages: [user] }
  const content = [{ type: 'text', text: shown, citations: [{ type: 'char_location', cited_text: quote, document_title: 'leave' }] }]
  expect(await anthropic(gateway.url).messages.create(request)).toMatchObject({ stop_reason: 'end_turn', content })
  expect(await anthropic(gateway.url).messages.stream(request).finalMessage()).toMatchObject({ stop_reason: 'end_turn', content })
})

it('@langchain/ollama chats and generates with it', async () => {
  const chat = new ChatOllama({ baseUrl: gateway.url, model })
  expect((await chat.invoke(question)).text).toBe(shown)
  expect((await collect(await chat.stream(question))).map((part) => part.text).join('')).toBe(shown)
  expect(await new LangChainOllama({ baseUrl: gateway.url, model }).invoke(question)).toBe(shown)
})

describe('ollama run handbook', () => {
  const send = async (path: string, body: object): Promise<Record<string, unknown>[]> => {
    const { text: lines } = mustBe(200, await gateway.ask('POST', path, { body }))
    return lines
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  }
  const shows = { system: '', template: '', verbose: false, options: null }

  it('on a terminal: shows it twice, loads it, then chats turn by turn', async () => {
    gateway.fleet.prompted.length = 0
    mustBe(200, await gateway.ask('HEAD', '/'))
    for (const _ of [1, 2])
      expect((await send('/api/show', { model, name: '', ...shows }))[0]).toMatchObject({ capabilities: ['completion'] })
    const loaded = await send('/api/generate', { model, prompt: '', suffix: '', system: '', template: '', options: null })
    expect(loaded.at(-1)).toMatchObject({ done: true, done_reason: 'load' })
    expect(gateway.fleet.prompted).toEqual([])
    const first = await send('/api/chat', { model, messages: [user], options: {} })
    expect(first.map(({ message }) => (message as { content: string }).content).join('')).toBe(shown)
    const messages = [user, { role: 'assistant', content: shown }, { role: 'user', content: `${question} Again?` }]
    const second = await send('/api/chat', { model, messages, options: {} })
    expect(second.at(-1)).toMatchObject({ done: true, citations: [{ quote }] })
    expect(
      gateway.fleet.prompted
        .at(-1)
        ?.messages.slice(3)
        .map(({ content }) => content),
    ).toEqual([question, text, `${question} Again?`])
  })

  it('with a prompt: shows it by its old field, then generates', async () => {
    expect((await send('/api/show', { model: '', name: model, ...shows }))[0]).toMatchObject({ capabilities: ['completion'] })
    const lines = await send('/api/generate', {
      model,
      prompt: question,
      suffix: '',
      system: '',
      template: '',
      options: {},
      keep_alive: '1m0s',
    })
    expect(lines.map(({ response }) => response).join('')).toBe(shown)
  })
})

const environment = await findPython()
if ('missing' in environment) console.log(`the Python clients were not run because ${environment.missing}`)

test.runIf('python' in environment)('the Python packages ask it, whole and streamed', async () => {
  const script = join(import.meta.dirname, 'python-assistant.py')
  const python = 'python' in environment ? environment.python : ''
  const { stdout } = await promisify(execFile)(python, [script, gateway.url, model, question], { timeout: 60_000 })
  const names = ['ollama_chat', 'ollama_generate', 'openai_chat', 'openai_completions', 'openai_responses', 'anthropic_messages']
  expect(JSON.parse(stdout)).toEqual(Object.fromEntries(names.map((name) => [name, { whole: shown, streamed: shown }])))
})
