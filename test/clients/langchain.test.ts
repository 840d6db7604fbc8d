/** The published `@langchain/ollama` package drives the gateway: chat, stream, tools, structured output, embeddings, plain generation. */
import { HumanMessage } from '@langchain/core/messages'
import { ChatOllama, Ollama, OllamaEmbeddings } from '@langchain/ollama'
import { expect, it } from 'vitest'

import { startGateway } from '../support/gateway.ts'
import { chatModel, collect, embedModel, unknownModel, userMessage, weatherTool } from './prompts.ts'

const prompt = userMessage.content

it('chats in one piece and as a stream', async () => {
  const { url } = await startGateway()
  const chat = new ChatOllama({ baseUrl: url, model: chatModel, numPredict: 8, seed: 1 })
  const whole = await chat.invoke([new HumanMessage(prompt)])
  const parts = await collect(await chat.stream(prompt))
  expect(parts.map((part) => part.text).join('')).toBe(whole.text)
  expect(whole.usage_metadata).toMatchObject({ output_tokens: 8 })
})

it('calls a tool', async () => {
  const { url } = await startGateway()
  const chat = new ChatOllama({ baseUrl: url, model: chatModel }).bindTools([weatherTool])
  expect((await chat.invoke(prompt)).tool_calls?.map(({ name }) => name)).toEqual(['get_weather'])
})

it('gets structured output', async () => {
  const { url } = await startGateway()
  const schema = { title: 'person', type: 'object', properties: { age: { type: 'integer' } }, required: ['age'] }
  const chat = new ChatOllama({ baseUrl: url, model: chatModel }).withStructuredOutput(schema, { method: 'jsonSchema' })
  expect(await chat.invoke(prompt)).toEqual({ age: expect.any(Number) })
})

it('embeds documents and a query alike', async () => {
  const { url } = await startGateway({ nodes: 3 })
  const embeddings = new OllamaEmbeddings({ baseUrl: url, model: embedModel })
  const documents = await embeddings.embedDocuments(Array.from({ length: 20 }, (_, index) => `text ${index}`))
  expect(documents).toHaveLength(20)
  expect(documents[7]).toEqual(await embeddings.embedQuery('text 7'))
})

it('generates from a plain prompt', async () => {
  const { url } = await startGateway()
  expect(await new Ollama({ baseUrl: url, model: chatModel, numPredict: 8 }).invoke(prompt)).not.toBe('')
})

it('pulls a model that is not there yet when asked to', async () => {
  const { url } = await startGateway()
  const chat = new ChatOllama({ baseUrl: url, model: chatModel, checkOrPullModel: true, numPredict: 2 })
  expect((await chat.invoke(prompt)).text).not.toBe('')
})

it('raises 404 for an unknown model', async () => {
  const { url } = await startGateway()
  const chat = new ChatOllama({ baseUrl: url, model: unknownModel, maxRetries: 0 })
  await expect(chat.invoke(prompt)).rejects.toMatchObject({ message: expect.stringContaining(unknownModel) })
})
