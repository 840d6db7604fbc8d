// Assistants before simulated nodes over real sockets: the frames a node sends, the counts it reports, and what is given back when a client leaves.
import { expect, test } from 'vitest'
import { z } from 'zod'

import { grounded } from '../../src/answer/grounded.ts'
import { answerDefaults, type Assistant } from '../../src/core/assistant.ts'
import type { Relay } from '../../src/core/relay.ts'
import { newCall, requestOf, take } from '../cache/ask.ts'
import { expectIdle, type Gateway, openGateway } from '../fleet/gateway.ts'
import { FakeCorpus, setup } from './setup.ts'

const handbook: Assistant = {
  tenant: 'a',
  name: 'handbook',
  title: '',
  collections: ['docs'],
  model: 'llama3.2:3b',
  prompt: '',
  settings: { ...answerDefaults, strengthMin: 0 },
  revision: 1,
  createdAtMs: 0,
  updatedAtMs: 0,
}

const question = { model: 'handbook', messages: [{ role: 'user', content: 'How large may uploads be?' }] }

function assistantOf({ app }: Gateway, assistant = handbook): { relay: Relay; made: ReturnType<typeof setup> } {
  const made = setup(new FakeCorpus({ id: 'limits', text: 'Uploads may be up to 32 MB.' }), () => 'never')
  const assistants = { find: (_: string, name: string) => (name === 'handbook:latest' ? assistant : undefined), of: () => [assistant] }
  return { relay: grounded({ ...made.deps, assistants })((request, call) => app.fleet.relay(request, call)), made }
}

const line = z.looseObject({
  model: z.string(),
  message: z.looseObject({ content: z.string() }),
  done: z.boolean(),
  prompt_eval_count: z.number().optional(),
})

test('a node’s stream becomes the assistant’s, and its count of tokens is learned', async () => {
  const gateway = await openGateway()
  const { relay, made } = assistantOf(gateway)
  const { text, outcome } = await take(relay(requestOf('/api/chat', question), newCall()))
  const lines = text
    .trimEnd()
    .split('\n')
    .map((one) => line.parse(JSON.parse(one)))
  expect(lines.map(({ message }) => message.content).join('').length).toBeGreaterThan(0)
  expect(lines.every(({ model }) => model === 'handbook')).toBe(true)
  expect(lines.at(-1)).toMatchObject({ done: true, done_reason: 'stop' })
  expect(lines.at(-1)?.prompt_eval_count).toBe(outcome.usage?.promptTokens)
  expect(made.deps.budgets.ratioOf('llama3.2:3b')).toBeGreaterThan(0)
  await expectIdle(gateway)
})

test('a model that no node has is the node’s own 404', async () => {
  const gateway = await openGateway()
  const { relay } = assistantOf(gateway, { ...handbook, model: 'absent' })
  await expect(relay(requestOf('/api/chat', question), newCall())).rejects.toMatchObject({
    status: 404,
    message: expect.stringContaining('absent'),
  })
  await expectIdle(gateway)
})

test('a client that leaves gives everything back', async () => {
  const gateway = await openGateway()
  const { relay } = assistantOf(gateway)
  const call = newCall()
  const answer = await relay(requestOf('/v1/chat/completions', { ...question, stream: true }), call)
  if (answer.kind !== 'stream') expect.fail('no stream')
  answer.frames.cancel('gone')
  call.signal.abort('gone')
  await answer.outcome
  expect(call.signal.listenerCount).toBe(0)
  await expectIdle(gateway)
})
