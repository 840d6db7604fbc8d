/** The published Python package `ollama` drives the gateway. Not run, with a line that says why, where Python or the package cannot be had. */
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
if ('missing' in environment) console.log(`the Python client was not run because ${environment.missing}`)
const python = 'python' in environment ? environment.python : ''
const it = test.runIf(python !== '')

const run = promisify(execFile)

/** What the calls of these names give. */
async function call({ url }: Gateway, ...names: string[]): Promise<Record<string, unknown>> {
  const { stdout } = await run(python, [join(import.meta.dirname, 'python-calls.py'), url, ...names], { timeout: 15_000 })
  return JSON.parse(stdout)
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

it('reads its answer behind keep-alive bytes', async () => {
  const gateway = await startGateway({ nodes: 1, speed: 5, config: { http: { keepAliveBytesAfterMs: 20, keepAliveBytesEveryMs: 20 } } })
  expect(await call(gateway, 'stream_to_end')).toEqual({ stream_to_end: 13 })
})

const faults: readonly FaultKind[] = ['runner-death', 'truncate', 'rst-at-frame', 'malformed-json', 'error-line']

it.each(faults)('raises ResponseError on %s after frames were sent', async (fault) => {
  const gateway = await startGateway()
  for (const sim of gateway.sims) sim.control.set(fault, { atFrame: 5 })
  const text = expect.stringMatching(/node-\d/)
  expect(await call(gateway, 'stream_to_end')).toEqual({ stream_to_end: { raised: 'ResponseError', status: -1, text } })
})
