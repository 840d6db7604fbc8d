/** The published `ollama` package changes what the nodes hold: each change reaches every node. */
import { Ollama } from 'ollama'
import { expect, it } from 'vitest'

import { defaultModels } from '../../src/sim/model.ts'
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway.ts'
import { chatModel, collect, thinkingModel, unknownModel } from './prompts.ts'

interface Connected {
  readonly gateway: Gateway
  readonly client: Ollama
}

async function connect(options?: GatewayOptions): Promise<Connected> {
  const gateway = await startGateway(options)
  return { gateway, client: new Ollama({ host: gateway.url }) }
}

/** What each node holds, asked from the nodes themselves. */
async function heldBy({ sims }: Gateway): Promise<string[][]> {
  const names = async (url: string): Promise<string[]> => (await new Ollama({ host: url }).list()).models.map(({ name }) => name)
  return Promise.all(sims.map(({ url }) => names(url)))
}

const absent = { models: defaultModels.map((model) => (model.name === thinkingModel ? { ...model, pulled: false } : model)) }

it('pulls a model onto every node with progress that never runs backwards', async () => {
  const { client, gateway } = await connect(absent)
  const lines = await collect(await client.pull({ model: thinkingModel, stream: true }))
  expect(lines.map(({ status }) => status)).toContain('pulling manifest')
  expect(lines.at(-1)?.status).toBe('success')
  const weights = lines.filter(({ total }) => total > 1e9).map(({ completed }) => completed ?? 0)
  expect(weights.length).toBeGreaterThan(2)
  expect(weights).toEqual(weights.toSorted((a, b) => a - b))
  for (const names of await heldBy(gateway)) expect(names).toContain(thinkingModel)
  const answer = await client.chat({ model: thinkingModel, messages: [{ role: 'user', content: 'hi' }], options: { num_predict: 2 } })
  expect(answer.done).toBe(true)
})

it('pulls a model in one answer', async () => {
  const { client, gateway } = await connect(absent)
  expect(await client.pull({ model: thinkingModel })).toMatchObject({ status: 'success' })
  for (const names of await heldBy(gateway)) expect(names).toContain(thinkingModel)
})

it('pulls onto the nodes it names only', async () => {
  const { gateway } = await connect(absent)
  const named = new Ollama({ host: gateway.url, headers: { 'X-Corral-Nodes': 'node-2' } })
  expect(await named.pull({ model: thinkingModel })).toMatchObject({ status: 'success' })
  const held = (await heldBy(gateway)).map((names) => names.includes(thinkingModel))
  expect(held).toEqual([false, true])
  const nobody = new Ollama({ host: gateway.url, headers: { 'X-Corral-Nodes': 'node-9' } })
  await expect(nobody.pull({ model: thinkingModel })).rejects.toMatchObject({
    status_code: 404,
    message: expect.stringContaining('node-9'),
  })
})

it.each([false, true])('raises when the registry does not know the model (stream: %s)', async (stream) => {
  const { client } = await connect({ registry: { [unknownModel]: { kind: 'absent' } } })
  const pulled = stream ? client.pull({ model: unknownModel, stream: true }).then(collect) : client.pull({ model: unknownModel })
  await expect(pulled).rejects.toThrow('file does not exist')
})

it('stops the pull on every node when the client leaves', async () => {
  const { client, gateway } = await connect({ ...absent, speed: 0.1 })
  const stream = await client.pull({ model: thinkingModel, stream: true })
  for await (const line of stream) if (line.total > 0) break
  stream.abort()
  await expect.poll(() => gateway.sims.map((sim) => sim.stats().aborted), { interval: 5, timeout: 1_000 }).toEqual([1, 1])
  for (const names of await heldBy(gateway)) expect(names).not.toContain(thinkingModel)
})

it('copies and deletes on every node, and sees both at once', async () => {
  const { client, gateway } = await connect()
  expect(await client.copy({ source: chatModel, destination: 'mine' })).toMatchObject({ status: 'success' })
  for (const names of await heldBy(gateway)) expect(names).toContain('mine:latest')
  expect((await client.list()).models.map(({ name }) => name)).toContain('mine:latest')
  expect((await client.chat({ model: 'mine', messages: [{ role: 'user', content: 'hi' }] })).model).toBe('mine')
  expect(await client.delete({ model: 'mine' })).toMatchObject({ status: 'success' })
  for (const names of await heldBy(gateway)) expect(names).not.toContain('mine:latest')
  expect((await client.list()).models.map(({ name }) => name)).not.toContain('mine:latest')
})

it('creates a model from another one on every node', async () => {
  const { client, gateway } = await connect()
  const request = { model: 'shepherd', from: chatModel, system: 'You guard sheep.', parameters: { temperature: 0.1 } }
  const lines = await collect(await client.create({ ...request, stream: true }))
  expect(lines.at(-1)?.status).toBe('success')
  for (const names of await heldBy(gateway)) expect(names).toContain('shepherd:latest')
  expect((await client.show({ model: 'shepherd' })).system).toBe('You guard sheep.')
})

it('pushes from one node that has the model', async () => {
  const { client, gateway } = await connect({ registry: { 'me/mine:latest': { kind: 'push-target', bytesPerMs: 1e9 } } })
  await client.copy({ source: chatModel, destination: 'me/mine' })
  const lines = await collect(await client.push({ model: 'me/mine', stream: true }))
  expect(lines.at(-1)?.status).toBe('success')
  expect(gateway.sims.map((sim) => sim.stats().byPath['/api/push'] ?? 0).toSorted((a, b) => a - b)).toEqual([0, 1])
})

it.each(['show', 'delete', 'chat', 'generate', 'embed', 'copy'] as const)(
  'gets 404 with the name of an unknown model from %s',
  async (call) => {
    const { client } = await connect()
    const calls = {
      show: () => client.show({ model: unknownModel }),
      delete: () => client.delete({ model: unknownModel }),
      chat: () => client.chat({ model: unknownModel, messages: [] }),
      generate: () => client.generate({ model: unknownModel, prompt: 'x' }),
      embed: () => client.embed({ model: unknownModel, input: 'x' }),
      copy: () => client.copy({ source: unknownModel, destination: 'y' }),
    }
    await expect(calls[call]()).rejects.toMatchObject({
      name: 'ResponseError',
      status_code: 404,
      message: expect.stringContaining(unknownModel),
    })
  },
)

it('refuses changes, but not reading, when they are switched off', async () => {
  const { client } = await connect({ config: { features: { modelOperations: false } } })
  await expect(client.delete({ model: chatModel })).rejects.toMatchObject({ status_code: 403 })
  await expect(client.pull({ model: chatModel })).rejects.toMatchObject({ status_code: 403 })
  expect((await client.list()).models).toHaveLength(4)
})
