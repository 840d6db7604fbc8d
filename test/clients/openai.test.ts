/** The published `openai` package drives the gateway: models, chat, completions, responses, embeddings. */
import OpenAI from 'openai'
import { expect, it } from 'vitest'

import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway.ts'
import { chatModel, collect, embedModel, thinkingModel, unknownModel, userMessage, weatherParameters } from './prompts.ts'
import { openAi } from './streams.ts'

async function connect(options?: GatewayOptions): Promise<{ gateway: Gateway; client: OpenAI }> {
  const gateway = await startGateway(options)
  return { gateway, client: openAi(gateway.url) }
}

const tools = [{ type: 'function' as const, function: { name: 'get_weather', parameters: weatherParameters } }]

it('lists and retrieves models', async () => {
  const { client } = await connect()
  const ids = (await collect(client.models.list())).map(({ id }) => id)
  expect(ids.toSorted()).toEqual(['all-minilm:latest', 'llama3.2:3b', 'nomic-embed-text:latest', 'qwen3:8b'])
  expect(await client.models.retrieve(chatModel)).toMatchObject({ id: chatModel, object: 'model' })
})

it('chats in one piece', async () => {
  const { client } = await connect()
  const answer = await client.chat.completions.create({ model: chatModel, messages: [userMessage], max_tokens: 8 })
  expect(answer.choices[0]?.message.content).not.toBe('')
  expect(answer.usage?.completion_tokens).toBe(8)
  expect(answer.choices[0]?.finish_reason).toBe('length')
})

it('chats as a stream with usage, and says the same', async () => {
  const { client } = await connect()
  const request = { model: chatModel, messages: [userMessage], max_tokens: 8, seed: 1 }
  const whole = await client.chat.completions.create(request)
  const chunks = await collect(await client.chat.completions.create({ ...request, stream: true, stream_options: { include_usage: true } }))
  expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(whole.choices[0]?.message.content)
  expect(chunks.at(-1)?.usage?.completion_tokens).toBe(8)
})

it('calls a tool through the helper that runs it', async () => {
  const { client } = await connect()
  const asked: string[] = []
  const run = client.chat.completions.runTools({
    model: chatModel,
    messages: [userMessage],
    tools: [
      {
        type: 'function',
        function: {
          name: 'get_weather',
          description: 'The weather of a city',
          parameters: weatherParameters,
          function: (text: string) => {
            asked.push(text)
            return 'rain'
          },
        },
      },
    ],
  })
  expect(await run.finalContent()).not.toBe('')
  expect(asked.map((text) => Object.keys(JSON.parse(text)))).toEqual([['city']])
})

it('streams a tool call', async () => {
  const { client } = await connect()
  const stream = await client.chat.completions.create({ model: chatModel, messages: [userMessage], tools, stream: true })
  const calls = (await collect(stream)).flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? [])
  expect(calls.map((call) => call.function?.name)).toEqual(['get_weather'])
})

it('gets an answer in the schema it asked for', async () => {
  const { client } = await connect()
  const schema = { type: 'object', properties: { age: { type: 'integer' } }, required: ['age'] }
  const answer = await client.chat.completions.create({
    model: chatModel,
    messages: [userMessage],
    response_format: { type: 'json_schema', json_schema: { name: 'person', schema } },
  })
  expect(JSON.parse(answer.choices[0]?.message.content ?? '')).toEqual({ age: expect.any(Number) })
})

it.each([false, true])('completes a prompt (stream: %s)', async (stream) => {
  const { client } = await connect()
  const request = { model: chatModel, prompt: 'The herd', max_tokens: 8 }
  const parts = stream
    ? await collect(await client.completions.create({ ...request, stream: true }))
    : [await client.completions.create(request)]
  expect(parts.map(({ choices }) => choices[0]?.text ?? '').join('')).not.toBe('')
})

it.each([false, true])('asks for a response (stream: %s)', async (stream) => {
  const { client } = await connect()
  const request = { model: chatModel, input: userMessage.content }
  if (!stream) {
    expect(await client.responses.create(request)).toMatchObject({ status: 'completed', output_text: expect.stringMatching(/./) })
    return
  }
  const final = await client.responses.stream(request).finalResponse()
  expect(final.status).toBe('completed')
  expect(final.output_text).not.toBe('')
})

it('gets reasoning in events of their own', async () => {
  const { client } = await connect()
  const stream = await client.responses.create({ model: thinkingModel, input: userMessage.content, stream: true })
  const types = (await collect(stream)).map(({ type }) => type)
  expect(types).toContain('response.reasoning_summary_text.delta')
  expect(types.at(-1)).toBe('response.completed')
})

it.each(['float', 'base64'] as const)('embeds a batch over several nodes as one node would (%s)', async (encoding_format) => {
  const { client, gateway } = await connect({ nodes: 3 })
  const input = Array.from({ length: 30 }, (_, index) => `text ${index}`)
  const split = await client.embeddings.create({ model: embedModel, input, encoding_format })
  const direct = await openAi(gateway.sims[0]?.url ?? '').embeddings.create({ model: embedModel, input, encoding_format })
  expect(split).toEqual(direct)
  expect(split.data.map(({ index }) => index)).toEqual(input.map((_, index) => index))
})

it('embeds with the encoding that the client chooses by itself', async () => {
  const { client } = await connect()
  const { data } = await client.embeddings.create({ model: embedModel, input: 'grass' })
  expect(data[0]?.embedding).toHaveLength(384)
})

it('gets NotFoundError for an unknown model from every call', async () => {
  const { client } = await connect()
  const calls = [
    client.chat.completions.create({ model: unknownModel, messages: [userMessage] }),
    client.chat.completions.create({ model: unknownModel, messages: [userMessage], stream: true }),
    client.completions.create({ model: unknownModel, prompt: 'x' }),
    client.responses.create({ model: unknownModel, input: 'x' }),
    client.embeddings.create({ model: embedModel + unknownModel, input: 'x' }),
    client.models.retrieve(unknownModel),
  ]
  for (const result of await Promise.allSettled(calls)) {
    expect(result.status === 'rejected' ? result.reason : result).toBeInstanceOf(OpenAI.NotFoundError)
  }
})

it('gets BadRequestError for what the node refuses, and the node stays in use', async () => {
  const { client } = await connect()
  const refused = client.chat.completions.create({ model: embedModel, messages: [userMessage] })
  await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError)
  expect((await client.embeddings.create({ model: embedModel, input: 'x' })).data).toHaveLength(1)
})

it('tries again by itself on a 503 and respects Retry-After', async () => {
  const { gateway } = await connect({ nodes: 1 })
  const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'unused', maxRetries: 3 })
  gateway.sims[0]?.control.set('instant-503', { path: '/v1/chat/completions', count: 1 })
  const answer = await client.chat.completions.create({ model: chatModel, messages: [userMessage], max_tokens: 2 })
  expect(answer.choices).toHaveLength(1)
})
