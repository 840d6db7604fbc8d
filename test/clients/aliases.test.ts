/** Names of the operator's own for models: clients ask by them, find them in the lists, and are answered under them. */
import { Ollama } from 'ollama'
import { describe, expect, it } from 'vitest'

import { ask, start } from '../fleet/ask.ts'
import { openGateway } from '../fleet/gateway.ts'
import { type Gateway, until } from '../support/gateway.ts'
import { chatModel, collect, embedModel, userMessage } from './prompts.ts'
import { anthropic, openAi } from './streams.ts'

const alias = 'gpt-4o'
const aliases = { [alias]: chatModel, 'text-embedding-3-small': embedModel, orphan: 'nowhere:1b' }
const open = (options: Parameters<typeof openGateway>[0] = {}): Promise<Gateway> => openGateway({ ...options, fleet: { aliases } })

describe('the openai client', () => {
  it('retrieves an alias, finds it in the list, and is answered under it', async () => {
    const client = openAi((await open()).url)
    const listed = await collect(client.models.list())
    expect(listed.map(({ id }) => id)).toEqual(expect.arrayContaining([alias, chatModel]))
    expect(listed.find(({ id }) => id === alias)).toEqual({ ...listed.find(({ id }) => id === chatModel), id: alias })
    expect(listed.map(({ id }) => id)).not.toContain('orphan')
    expect(await client.models.retrieve(alias)).toMatchObject({ id: alias, object: 'model' })
    const request = { model: alias, messages: [userMessage], max_tokens: 4 }
    expect((await client.chat.completions.create(request)).model).toBe(alias)
    const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }))
    expect(new Set(chunks.map(({ model }) => model))).toEqual(new Set([alias]))
    expect((await client.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] })).model).toBe('text-embedding-3-small')
  })

  it('is told that an alias leads nowhere', async () => {
    const client = openAi((await open()).url)
    await expect(client.models.retrieve('orphan')).rejects.toMatchObject({ status: 404 })
  })
})

describe('the ollama client', () => {
  it('shows an alias, finds it in the list, and is answered under it', async () => {
    const client = new Ollama({ host: (await open()).url })
    const { models } = await client.list()
    const behind = models.find(({ name }) => name === chatModel)
    expect(models.filter(({ name }) => name === alias)).toEqual([{ ...behind, name: alias, model: alias }])
    expect((await client.show({ model: alias })).details).toEqual((await client.show({ model: chatModel })).details)
    const request = { model: alias, messages: [userMessage], options: { num_predict: 4 } }
    expect((await client.chat(request)).model).toBe(alias)
    const parts = await collect(await client.chat({ ...request, stream: true }))
    expect(new Set(parts.map(({ model }) => model))).toEqual(new Set([alias]))
  })

  it('unloads the model behind an alias', async () => {
    const gateway = await open()
    const { done_reason: reason, model } = await new Ollama({ host: gateway.url }).generate({ model: alias, prompt: '', keep_alive: 0 })
    expect({ reason, model }).toEqual({ reason: 'unload', model: alias })
    await until(() => gateway.app.fleet.nodes.every((node) => !node.loaded.has(chatModel)), 'both nodes let go of the model')
  })

  it('deletes no model by an alias', async () => {
    const gateway = await open()
    const client = new Ollama({ host: gateway.url })
    await expect(client.delete({ model: alias })).rejects.toMatchObject({ status_code: 404 })
    expect((await client.list()).models.map(({ name }) => name)).toContain(chatModel)
  })
})

it('an alias hides a model of its own name', async () => {
  const gateway = await openGateway({ fleet: { aliases: { 'qwen3:8b': chatModel } } })
  const { models } = await new Ollama({ host: gateway.url }).list()
  const digests = new Map(models.map(({ name, digest }) => [name, digest]))
  expect(models.filter(({ name }) => name === 'qwen3:8b')).toHaveLength(1)
  expect(digests.get('qwen3:8b')).toBe(digests.get(chatModel))
})

it('the name that VS Code shows of a model is the one it asked for', async () => {
  const gateway = await open({ nodes: 1 })
  const headers = { 'user-agent': 'GitHubCopilotChat/0.30.0' }
  const shown = async (model: string): Promise<string> => (await ask(`${gateway.url}/api/show`, { model }, { headers })).text
  const basename = (model: string): string => `"general.basename":"${model}"`
  expect(await shown(alias)).toContain(basename(alias))
  expect(await shown(alias)).toBe((await shown(chatModel)).replace(basename(chatModel), basename(alias)))
})

it('the Anthropic client is answered under an alias', async () => {
  const client = anthropic((await open()).url)
  const message = await client.messages.stream({ model: alias, messages: [userMessage], max_tokens: 4 }).finalMessage()
  expect(message.model).toBe(alias)
})

type Case = readonly [path: string, body: object]
const pinned: readonly Case[] = [
  ['/api/chat', { messages: [userMessage], options: { temperature: 0, num_predict: 40 } }],
  ['/api/generate', { prompt: 'Hello', options: { temperature: 0, num_predict: 40 } }],
  ['/v1/chat/completions', { messages: [userMessage], temperature: 0, max_tokens: 40 }],
  ['/v1/completions', { prompt: 'Hello', temperature: 0, max_tokens: 40 }],
  ['/v1/messages', { messages: [userMessage], temperature: 0, max_tokens: 40 }],
  ['/v1/responses', { input: 'Hello', temperature: 0, max_output_tokens: 40 }],
]
const cases = pinned.flatMap(([path, body]) => [true, false].map((stream): Case => [path, { ...body, stream }]))

/** What two answers to one question may differ in. */
const withoutStamps = (text: string): string =>
  text
    .replaceAll(/"(chatcmpl-|cmpl-|msg_|resp_|rs_)[\w-]+"/g, '"$1"')
    .replace(/"context":\[[^\]]*\]/, '"context":[]')
    .replaceAll(/"(created|created_at|completed_at|\w+_duration)":("[^"]*"|\d+)/g, '"$1":0')

describe('an answer under an alias', () => {
  it.each(cases)('%s %o: differs in the name alone', async (path, body) => {
    const gateway = await open()
    const named = async (model: string): Promise<string> => withoutStamps((await ask(gateway.url + path, { model, ...body })).text)
    const own = await named(chatModel)
    expect(own).toContain(`"model":"${chatModel}"`)
    expect(await named(alias)).toBe(own.replaceAll(`"model":"${chatModel}"`, `"model":"${alias}"`))
  })

  it.each(cases)('%s %o: a kept answer goes to each under the name it asked for', async (path, body) => {
    const gateway = await open({ cache: {} })
    for (const model of [alias, chatModel, alias]) {
      const { text, status } = await ask(gateway.url + path, { model, ...body })
      expect(status).toBe(200)
      const names = new Set([...text.matchAll(/"model":"([^"]*)"/g)].map(([, name]) => name))
      expect(names).toEqual(new Set([model]))
    }
  })

  it.each([true, false])('one answer under way goes to each under the name it asked for (stream: %s)', async (stream) => {
    const gateway = await open({ cache: {}, speed: 2 })
    const body = { messages: [userMessage], options: { temperature: 0, num_predict: 40 }, stream }
    const first = start(`${gateway.url}/api/chat`, { model: alias, ...body })
    await until(() => gateway.app.fleet.activeAttempts > 0, 'the first is under way')
    const second = start(`${gateway.url}/api/chat`, { model: chatModel, ...body })
    const [own, joined] = await Promise.all([first.reply, second.reply])
    expect(joined.headers['x-corral-cache']).toBe('joined')
    expect(own.text).not.toContain(chatModel)
    expect(joined.text).toBe(own.text.replaceAll(`"model":"${alias}"`, `"model":"${chatModel}"`))
  })
})
