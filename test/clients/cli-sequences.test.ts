/**
 * What the `ollama` command line tool (0.33.0) sends for each of its commands, replayed as it sends it: one connection, its
 * headers on every request, empty fields and the name in `name` where it puts it there.
 */
import { createHash } from 'node:crypto'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import { expect, it, onTestFinished } from 'vitest'

import { defaultModels } from '../../src/sim/model.ts'
import { type Gateway, type GatewayOptions, startGateway } from '../support/gateway.ts'
import { chatModel, embedModel, thinkingModel, unknownModel } from './prompts.ts'

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

interface Sent {
  readonly body?: object | string
  readonly chunked?: boolean
  readonly headers?: Readonly<Record<string, string>>
}

type Cli = (method: string, path: string, sent?: Sent) => Promise<Reply>

const cliHeaders = {
  'User-Agent': 'ollama/0.33.0 (amd64 linux) Go/go1.26.0',
  Accept: 'application/json',
  'Content-Type': 'application/json',
  'Accept-Encoding': 'gzip',
}

/** A command line tool at work: all of its requests go over one connection. */
async function startCli(options?: GatewayOptions): Promise<{ gateway: Gateway; cli: Cli }> {
  const gateway = await startGateway(options)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  onTestFinished(() => agent.destroy())
  const cli: Cli = (method, path, { body, chunked = false, headers = {} } = {}) => {
    const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const length = text === undefined || chunked ? {} : { 'Content-Length': String(Buffer.byteLength(text)) }
    return new Promise<Reply>((resolve, reject) => {
      const outgoing = request(gateway.url + path, { method, agent, headers: { ...cliHeaders, ...length, ...headers } }, (incoming) => {
        let received = ''
        incoming.setEncoding('utf8').on('data', (part: string) => (received += part))
        incoming.on('error', reject)
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text: received }))
      })
      outgoing.on('error', reject)
      outgoing.end(text)
    })
  }
  return { gateway, cli }
}

const show = (name: string): Sent => ({ body: { model: '', system: '', template: '', verbose: false, options: null, name } })
const linesOf = ({ text }: Reply): Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

it('ollama --version', async () => {
  const { cli } = await startCli()
  expect(await cli('GET', '/api/version')).toMatchObject({ status: 200, text: '{"version":"0.33.0"}' })
})

it('ollama list, ollama ps', async () => {
  const { cli } = await startCli()
  expect(await cli('HEAD', '/')).toMatchObject({ status: 200, text: '' })
  expect(linesOf(await cli('GET', '/api/tags'))[0]).toMatchObject({ models: { length: 4 } })
  expect(linesOf(await cli('GET', '/api/ps'))[0]).toEqual({ models: [] })
})

it('ollama show', async () => {
  const { cli } = await startCli()
  await cli('HEAD', '/')
  const shown = await cli('POST', '/api/show', show(chatModel))
  expect(shown.status).toBe(200)
  expect(linesOf(shown)[0]).toMatchObject({ details: { family: 'llama' } })
})

it('ollama run with a prompt', async () => {
  const { cli } = await startCli()
  await cli('HEAD', '/')
  const shown = await cli('POST', '/api/show', {
    body: { model: chatModel, system: '', template: '', verbose: false, options: null, name: '' },
  })
  expect(shown.status).toBe(200)
  const body = { model: chatModel, prompt: 'Say grass', suffix: '', system: '', template: '', options: {}, keep_alive: '1m0s' }
  const answer = await cli('POST', '/api/generate', { body, headers: { Accept: 'application/x-ndjson' } })
  expect(answer.headers['content-type']).toBe('application/x-ndjson')
  expect(linesOf(answer).at(-1)).toMatchObject({ done: true })
  expect(linesOf(answer).length).toBeGreaterThan(3)
})

it('ollama run with an embedding model', async () => {
  const { cli } = await startCli()
  await cli('POST', '/api/show', show(embedModel))
  const answer = await cli('POST', '/api/embed', { body: { model: embedModel, input: 'grass', options: null } })
  expect(linesOf(answer)[0]).toMatchObject({ embeddings: [{ length: 384 }] })
})

it('ollama run on a terminal: load, two turns, save, load the saved one, leave', async () => {
  const { cli } = await startCli()
  await cli('HEAD', '/')
  for (const _ of [1, 2]) expect((await cli('POST', '/api/show', show(chatModel))).status).toBe(200)
  const loaded = await cli('POST', '/api/generate', {
    body: { model: chatModel, prompt: '', suffix: '', system: '', template: '', options: null },
  })
  expect(linesOf(loaded)[0]).toMatchObject({ done: true, done_reason: 'load' })
  const messages = [{ role: 'user', content: 'Name a plant' }]
  const first = await cli('POST', '/api/chat', { body: { model: chatModel, messages, format: '', options: {} } })
  expect(linesOf(first).at(-1)).toMatchObject({ done: true })
  messages.push({ role: 'assistant', content: 'Clover' }, { role: 'user', content: 'Another' })
  const options = { num_ctx: 2048 }
  const second = await cli('POST', '/api/chat', { body: { model: chatModel, messages, format: '', options } })
  expect(linesOf(second).at(-1)).toMatchObject({ done: true })
  const saved = await cli('POST', '/api/create', {
    body: { model: 'saved', from: chatModel, system: '', parameters: options, messages, name: '' },
  })
  expect(linesOf(saved).at(-1)).toEqual({ status: 'success' })
  for (const _ of [1, 2]) expect((await cli('POST', '/api/show', show('saved'))).status).toBe(200)
  expect((await cli('POST', '/api/generate', { body: { model: 'saved', prompt: '' } })).status).toBe(200)
})

it('ollama run of a model that is nowhere pulls it first', async () => {
  const models = defaultModels.map((model) => (model.name === thinkingModel ? { ...model, pulled: false } : model))
  const { cli } = await startCli({ models })
  await cli('HEAD', '/')
  expect((await cli('POST', '/api/show', show(thinkingModel))).status).toBe(404)
  const pulled = await cli('POST', '/api/pull', { body: { model: '', username: '', password: '', name: thinkingModel } })
  expect(linesOf(pulled).at(-1)).toEqual({ status: 'success' })
  expect((await cli('POST', '/api/show', show(thinkingModel))).status).toBe(200)
})

it('ollama stop unloads on every node', async () => {
  const { cli, gateway } = await startCli()
  for (const { url } of gateway.sims) await fetch(`${url}/api/generate`, { method: 'POST', body: JSON.stringify({ model: chatModel }) })
  await cli('HEAD', '/')
  await cli('POST', '/api/show', show(chatModel))
  const stopped = await cli('POST', '/api/generate', { body: { model: chatModel, prompt: '', keep_alive: '0s', options: null } })
  expect(linesOf(stopped).at(-1)).toMatchObject({ done: true, done_reason: 'unload' })
  expect(gateway.sims.map((sim) => sim.stats().unloads)).toEqual([1, 1])
  expect((await cli('POST', '/api/show', show(unknownModel))).status).toBe(404)
})

it('ollama rm of two models, and of one that is not there', async () => {
  const { cli } = await startCli()
  await cli('HEAD', '/')
  for (const name of [chatModel, thinkingModel]) {
    expect((await cli('POST', '/api/show', show(name))).status).toBe(200)
    expect((await cli('POST', '/api/generate', { body: { model: name, prompt: '', keep_alive: '0s' } })).status).toBe(200)
    expect((await cli('DELETE', '/api/delete', { body: { model: '', name } })).status).toBe(200)
  }
  expect((await cli('POST', '/api/show', show(thinkingModel))).status).toBe(404)
  const again = await cli('DELETE', '/api/delete', { body: { model: '', name: thinkingModel } })
  expect(again).toMatchObject({ status: 404, text: `{"error":"model '${thinkingModel}' not found"}` })
  expect(linesOf(await cli('GET', '/api/tags'))[0]).toMatchObject({ models: { length: 2 } })
})

it('ollama cp', async () => {
  const { cli } = await startCli()
  await cli('HEAD', '/')
  expect((await cli('POST', '/api/copy', { body: { source: chatModel, destination: 'mine' } })).status).toBe(200)
  expect((await cli('POST', '/api/show', show('mine'))).status).toBe(200)
})

it('ollama create uploads a file in chunks to every node, twice without harm', async () => {
  const { cli, gateway } = await startCli()
  const file = `GGUF${'x'.repeat(300_000)}`
  const digest = `sha256:${createHash('sha256').update(file).digest('hex')}`
  await cli('HEAD', '/')
  const first = await cli('POST', `/api/blobs/${digest}`, { body: file, chunked: true, headers: { 'Transfer-Encoding': 'chunked' } })
  const second = await cli('POST', `/api/blobs/${digest}`, { body: file, chunked: true, headers: { 'Transfer-Encoding': 'chunked' } })
  expect([first.status, second.status]).toEqual([201, 200])
  expect((await cli('HEAD', `/api/blobs/${digest}`)).status).toBe(200)
  for (const { url } of gateway.sims) expect((await fetch(`${url}/api/blobs/${digest}`, { method: 'HEAD' })).status).toBe(200)
  const created = await cli('POST', '/api/create', { body: { model: 'mine', name: '', from: chatModel, system: 'Be short.' } })
  expect(linesOf(created).at(-1)).toEqual({ status: 'success' })
})

it('ollama pull with the name in its old field', async () => {
  const { cli } = await startCli()
  await cli('HEAD', '/')
  const pulled = await cli('POST', '/api/pull', {
    body: { model: '', username: '', password: '', name: chatModel },
    headers: { Accept: 'application/x-ndjson' },
  })
  expect(linesOf(pulled).at(-1)).toEqual({ status: 'success' })
})

it('ollama push', async () => {
  const { cli } = await startCli({ registry: { 'me/mine:latest': { kind: 'push-target', bytesPerMs: 1e9 } } })
  await cli('POST', '/api/copy', { body: { source: chatModel, destination: 'me/mine' } })
  const pushed = await cli('POST', '/api/push', { body: { model: '', username: '', password: '', name: 'me/mine' } })
  expect(linesOf(pushed).at(-1)).toEqual({ status: 'success' })
})

it('ollama signin, ollama signout: one node, always the same', async () => {
  const { cli, gateway } = await startCli()
  const statuses = [await cli('POST', '/api/me', { body: '' }), await cli('POST', '/api/me', { body: '' })].map(({ status }) => status)
  expect(new Set(statuses).size).toBe(1)
  expect(gateway.sims.map((sim) => sim.stats().byPath['/api/me'] ?? 0).toSorted((a, b) => a - b)).toEqual([0, 2])
})

it('bare ollama: looks twice, lists, asks for the status of the cloud', async () => {
  const { cli } = await startCli()
  for (const _ of [1, 2]) expect((await cli('HEAD', '/')).status).toBe(200)
  expect((await cli('GET', '/api/tags')).status).toBe(200)
  expect(linesOf(await cli('GET', '/api/status'))[0]).toMatchObject({ cloud: { disabled: true } })
})

it('OLLAMA_AUTH=1: a time stamp in the query and a signature pass on every call', async () => {
  const { cli } = await startCli()
  const headers = { Authorization: 'AAAAC3Nza:c2lnbmF0dXJl' }
  expect((await cli('HEAD', '/?ts=1795600000', { headers })).status).toBe(200)
  expect((await cli('GET', '/api/tags?ts=1795600000', { headers })).status).toBe(200)
  expect((await cli('POST', '/api/show?ts=1795600000', { ...show(chatModel), headers })).status).toBe(200)
})

it('OLLAMA_HOST with a path is told that there is nothing', async () => {
  const { cli } = await startCli()
  expect((await cli('HEAD', '/prefix/')).status).toBe(404)
})
