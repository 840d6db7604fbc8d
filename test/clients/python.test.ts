/** The published Python packages drive the gateway. Not run, with a line that says why, where Python or a package cannot be had. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { expect, test } from 'vitest'

import type { FaultKind } from '../../src/sim/faults.ts'
import { defaultModels } from '../../src/sim/model.ts'
import { type Gateway, startGateway } from '../support/gateway.ts'
import { thinkingModel } from './prompts.ts'
import { findPython } from './python-environment.ts'

const environment = await findPython()
if ('missing' in environment) console.log(`the Python clients were not run because ${environment.missing}`)
const python = 'python' in environment ? environment.python : ''
const it = test.runIf(python !== '')

const run = promisify(execFile)

/** What the calls of these names give on each gateway. */
async function callAll(gateways: readonly Gateway[], names: readonly string[]): Promise<unknown[]> {
  const script = join(import.meta.dirname, 'python-calls.py')
  const { stdout } = await run(python, [script, names.join(','), ...gateways.map(({ url }) => url)], { timeout: 60_000 })
  return JSON.parse(stdout)
}

async function call(gateway: Gateway, ...names: string[]): Promise<unknown> {
  return (await callAll([gateway], names))[0]
}

it('chats, calls a tool, answers in a format, generates, embeds', async () => {
  const gateway = await startGateway({ nodes: 3 })
  expect(await call(gateway, 'chat_stream', 'chat_tools', 'chat_format', 'generate', 'embed')).toEqual({
    chat_stream: { parts: 9, done: true, same: true },
    chat_tools: { name: 'weather', next: true },
    chat_format: ['age'],
    generate: { parts: 5, whole: 4 },
    embed: { rows: 20, same: true },
  })
})

it('pulls, copies, creates, shows, lists and deletes', async () => {
  const models = defaultModels.map((model) => (model.name === thinkingModel ? { ...model, pulled: false } : model))
  const gateway = await startGateway({ models })
  expect(await call(gateway, 'generate', 'models')).toMatchObject({
    models: {
      before: ['all-minilm:latest', 'llama3.2:3b', 'nomic-embed-text:latest'],
      pulled: 'success',
      created: 'success',
      family: 'llama',
      after: 4,
      loaded: true,
    },
  })
})

it('raises ResponseError with 404 for an unknown model', async () => {
  const gateway = await startGateway()
  const raised = { raised: 'ResponseError', status: 404, text: expect.stringContaining("model 'no-such-model:1b' not found") }
  expect(await call(gateway, 'unknown_chat', 'unknown_show')).toEqual({ unknown_chat: raised, unknown_show: raised })
})

it('frees its slot when it leaves mid-stream', async () => {
  const gateway = await startGateway({ speed: 10, decodeTokensPerSecond: 10, answerTokens: [2_000, 2_000] })
  expect(await call(gateway, 'leave')).toHaveProperty('leave.left')
  await expect.poll(() => gateway.sims.reduce((sum, sim) => sum + sim.stats().aborted, 0), { interval: 5, timeout: 1_000 }).toBe(1)
})

const streams = ['stream_to_end', 'openai_chat', 'openai_completions', 'openai_responses', 'anthropic_messages'] as const

it('reads whole answers behind keep-alive bytes in every client', async () => {
  const gateway = await startGateway({ nodes: 1, speed: 5, config: { http: { keepAliveBytesAfterMs: 20, keepAliveBytesEveryMs: 20 } } })
  const least = expect.toSatisfy((count: number) => count >= 12, 'at least one piece per token')
  expect(await call(gateway, ...streams)).toEqual(Object.fromEntries(streams.map((name) => [name, least])))
})

const faults: readonly FaultKind[] = ['runner-death', 'truncate', 'rst-at-frame', 'malformed-json', 'error-line']
const raised = (name: string): unknown => expect.objectContaining({ raised: name, text: expect.stringMatching(/node-\d/) })

it(`raises in every client when a stream breaks off: ${faults.join(', ')}`, async () => {
  const gateways = await Promise.all(faults.map(() => startGateway()))
  for (const [index, { sims }] of gateways.entries()) {
    for (const sim of sims) sim.control.set(faults[index] ?? 'truncate', { atFrame: 5 })
  }
  const expected = {
    stream_to_end: raised('ResponseError'),
    openai_chat: raised('APIError'),
    openai_completions: raised('APIError'),
    openai_responses: raised('APIError'),
    anthropic_messages: raised('APIStatusError'),
  }
  expect(await callAll(gateways, streams)).toEqual(faults.map(() => expected))
})
