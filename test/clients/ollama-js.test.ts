/** The published `ollama` package drives the gateway: every call it has, streamed and not. */
import { Ollama } from 'ollama'
import { expect, it } from 'vitest'

import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway.ts'
import { chatModel, collect, embedModel, thinkingModel, userMessage } from './prompts.ts'

interface Connected {
  readonly gateway: Gateway
  readonly client: Ollama
}

async function connect(options?: GatewayOptions): Promise<Connected> {
  const gateway = await startGateway(options)
  return { gateway, client: new Ollama({ host: gateway.url }) }
}

const short = { num_predict: 8, seed: 1 }

it('lists the models of all nodes once each', async () => {
  const { client } = await connect()
  const names = (await client.list()).models.map(({ name }) => name)
  expect(names.toSorted()).toEqual(['all-minilm:latest', 'llama3.2:3b', 'nomic-embed-text:latest', 'qwen3:8b'])
})

it('shows a model', async () => {
  const { client } = await connect()
  const shown = await client.show({ model: thinkingModel })
  expect(shown.details.family).toBe('qwen3')
  expect(shown.capabilities).toContain('thinking')
})

it('tells the version', async () => {
  const { client } = await connect()
  expect((await client.version()).version).toBe('0.33.0')
})

it('chats in one piece', async () => {
  const { client } = await connect()
  const answer = await client.chat({ model: chatModel, messages: [userMessage], options: short })
  expect(answer).toMatchObject({ done: true, eval_count: 8, message: { role: 'assistant' } })
  expect(answer.message.content).not.toBe('')
})

it('chats as a stream that ends with the figures and says the same', async () => {
  const { client } = await connect()
  const whole = await client.chat({ model: chatModel, messages: [userMessage], options: short })
  const parts = await collect(await client.chat({ model: chatModel, messages: [userMessage], options: short, stream: true }))
  expect(parts).toHaveLength(9)
  expect(parts.at(-1)).toMatchObject({ done: true, done_reason: 'length', eval_count: 8 })
  expect(parts.map((part) => part.message.content).join('')).toBe(whole.message.content)
})

it('generates in one piece', async () => {
  const { client } = await connect()
  const answer = await client.generate({ model: chatModel, prompt: 'Say grass', options: short })
  expect(answer).toMatchObject({ done: true, eval_count: 8 })
  expect(answer.response).not.toBe('')
})

it('generates as a stream', async () => {
  const { client } = await connect()
  const parts = await collect(await client.generate({ model: chatModel, prompt: 'Say grass', options: short, stream: true }))
  expect(parts).toHaveLength(9)
  expect(parts.at(-1)).toMatchObject({ done: true, eval_count: 8 })
})

it('gets thinking apart from the answer', async () => {
  const { client } = await connect()
  const parts = await collect(await client.chat({ model: thinkingModel, messages: [userMessage], think: true, stream: true }))
  expect(parts.map((part) => part.message.thinking ?? '').join('')).not.toBe('')
  expect(parts.map((part) => part.message.content).join('')).not.toBe('')
})

it.each([false, true])('gets a tool call and goes on with its result (stream: %s)', async (stream) => {
  const { client } = await connect()
  const request = { model: chatModel, messages: [userMessage], tools: [tool()] }
  const parts = stream ? await collect(await client.chat({ ...request, stream: true })) : [await client.chat(request)]
  const calls = parts.flatMap((part) => part.message.tool_calls ?? [])
  expect(calls.map((call) => call.function.name)).toEqual(['get_weather'])
  expect(typeof calls[0]?.function.arguments['city']).toBe('string')
  const said = { role: 'assistant', content: '', tool_calls: calls }
  const result = { role: 'tool', content: 'rain', tool_name: 'get_weather' }
  const next = await client.chat({ model: chatModel, messages: [userMessage, said, result], tools: [tool()] })
  expect(next.message.content).not.toBe('')
})

/** The client's own type wants lists that can be changed. */
function tool(): { type: string; function: { name: string; parameters: { type: string; properties: Record<string, { type: string }> } } } {
  return { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }
}

it('gets an answer in the format it asked for', async () => {
  const { client } = await connect()
  const format = { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } }, required: ['name', 'age'] }
  const answer = await client.chat({ model: chatModel, messages: [userMessage], format })
  expect(JSON.parse(answer.message.content)).toEqual({ name: expect.any(String), age: expect.any(Number) })
})

it('embeds one text', async () => {
  const { client } = await connect()
  const { embeddings, model } = await client.embed({ model: embedModel, input: 'grass' })
  expect(embeddings[0]).toHaveLength(384)
  expect(model).toBe(embedModel)
})

it('embeds a batch over several nodes with the vectors in order', async () => {
  const { client, gateway } = await connect({ nodes: 3 })
  const input = Array.from({ length: 48 }, (_, index) => `text ${index}`)
  await Promise.all(gateway.sims.map((sim) => new Ollama({ host: sim.url }).embed({ model: embedModel, input: 'warm' })))
  const batch = await client.embed({ model: embedModel, input })
  const direct = await new Ollama({ host: gateway.sims[0]?.url ?? '' }).embed({ model: embedModel, input })
  expect(batch.embeddings).toEqual(direct.embeddings)
  expect(batch.prompt_eval_count).toBe(direct.prompt_eval_count)
  expect(gateway.sims.filter((sim) => (sim.stats().perModel['all-minilm:latest'] ?? 0) > 1).length).toBeGreaterThan(1)
})

it('embeds by the old call, too', async () => {
  const { client } = await connect()
  expect((await client.embeddings({ model: embedModel, prompt: 'grass' })).embedding).toHaveLength(384)
})

it('sees what it loaded and no longer what it unloaded', async () => {
  const { client } = await connect()
  for (const model of [chatModel, thinkingModel]) await client.generate({ model, prompt: '' })
  expect((await client.ps()).models.map(({ name }) => name).toSorted()).toEqual([chatModel, thinkingModel])
  await client.generate({ model: chatModel, prompt: '', keep_alive: 0 })
  expect((await client.ps()).models.map(({ name }) => name)).toEqual([thinkingModel])
})

it('takes a host with a slash at its end', async () => {
  const { gateway } = await connect()
  expect((await new Ollama({ host: `${gateway.url}/` }).list()).models).toHaveLength(4)
})
