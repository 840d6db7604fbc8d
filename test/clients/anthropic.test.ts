/** The published `@anthropic-ai/sdk` package drives the gateway: messages, streamed and not, tools, thinking and errors. */
import Anthropic from '@anthropic-ai/sdk'
import { expect, it } from 'vitest'

import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway.ts'
import { chatModel, embedModel, thinkingModel, unknownModel, userMessage, weatherParameters } from './prompts.ts'
import { anthropic } from './streams.ts'

async function connect(options?: GatewayOptions): Promise<{ gateway: Gateway; client: Anthropic }> {
  const gateway = await startGateway(options)
  return { gateway, client: anthropic(gateway.url) }
}

const tools = [{ name: 'get_weather', input_schema: weatherParameters }]
const request = { model: chatModel, max_tokens: 8, messages: [userMessage] }

it('gets a message in one piece', async () => {
  const { client } = await connect()
  const message = await client.messages.create(request)
  expect(message).toMatchObject({ role: 'assistant', stop_reason: 'max_tokens', usage: { output_tokens: 8 } })
  expect(message.content[0]?.type).toBe('text')
})

it('gets the same message as a stream through the helper', async () => {
  const { client } = await connect()
  const whole = await client.messages.create(request)
  const streamed = await client.messages.stream(request).finalMessage()
  expect(streamed.content).toEqual(whole.content)
  expect(streamed.usage.output_tokens).toBe(8)
})

it('uses a tool and goes on with its result', async () => {
  const { client } = await connect()
  const asked = await client.messages.stream({ ...request, max_tokens: 400, tools }).finalMessage()
  const use = asked.content.find((block) => block.type === 'tool_use')
  expect(asked.stop_reason).toBe('tool_use')
  expect(use).toMatchObject({ name: 'get_weather', input: { city: expect.any(String) } })
  const result = { type: 'tool_result' as const, tool_use_id: use?.id ?? '', content: 'rain' }
  const messages = [userMessage, { role: 'assistant' as const, content: asked.content }, { role: 'user' as const, content: [result] }]
  const next = await client.messages.create({ ...request, messages, tools })
  expect(next.content[0]?.type).toBe('text')
})

it('gets thinking apart from the answer', async () => {
  const { client } = await connect()
  const thinking = { type: 'enabled' as const, budget_tokens: 1_024 }
  const message = await client.messages.stream({ ...request, model: thinkingModel, max_tokens: 2_000, thinking }).finalMessage()
  expect(message.content.map(({ type }) => type)).toEqual(['thinking', 'text'])
})

it('gets NotFoundError for an unknown model, streamed or not', async () => {
  const { client } = await connect()
  await expect(client.messages.create({ ...request, model: unknownModel })).rejects.toBeInstanceOf(Anthropic.NotFoundError)
  await expect(client.messages.create({ ...request, model: unknownModel, stream: true })).rejects.toBeInstanceOf(Anthropic.NotFoundError)
})

it('gets BadRequestError for a model that cannot chat', async () => {
  const { client } = await connect()
  await expect(client.messages.create({ ...request, model: embedModel })).rejects.toBeInstanceOf(Anthropic.BadRequestError)
})

it('reads the error type and the request id of a failure', async () => {
  const { client } = await connect()
  const error = await client.messages.create({ ...request, model: unknownModel }).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ status: 404, error: { type: 'error', error: { type: 'not_found_error' } } })
})

it('gets an API error inside the stream when the runner dies', async () => {
  const { client, gateway } = await connect({ nodes: 1 })
  gateway.sims[0]?.control.set('runner-death', { atFrame: 4 })
  await expect(client.messages.stream({ ...request, max_tokens: 50 }).finalMessage()).rejects.toBeInstanceOf(Anthropic.APIError)
})
