/** Clients that wait for a load get bytes that keep the connection alive, and none of them minds; those that leave free the node. */
import { setTimeout as delay } from 'node:timers/promises'

import { expect, it } from 'vitest'

import { type Gateway, startGateway } from '../support/gateway.ts'
import { busyNode, chatModel, expectCancel, thinkingModel, userMessage } from './prompts.ts'
import { clientStreams, deafBeforeStream, outcomeOf } from './streams.ts'

/** A load of `llama3.2:3b` takes 300 ms at this speed. */
const slowLoad = { nodes: 1, speed: 5, config: { http: { keepAliveBytesAfterMs: 20, keepAliveBytesEveryMs: 20 } } } as const

it.each(clientStreams)('$title reads its answer behind keep-alive bytes', async ({ pieces }) => {
  const { url, sims } = await startGateway(slowLoad)
  const waited = await outcomeOf(pieces(url))
  const direct = await outcomeOf(pieces(sims[0]?.url ?? ''))
  expect(waited.error).toBeNull()
  expect(waited.text.length).toBeGreaterThan(10)
  expect(direct.error).toBeNull()
})

it.each(clientStreams)('$title raises when the node fails behind keep-alive bytes', async ({ pieces, path }) => {
  const { url, sims } = await startGateway(slowLoad)
  sims[0]?.control.set('server-error', { path })
  const { error, text } = await outcomeOf(pieces(url))
  expect(error).toBeInstanceOf(Error)
  expect(text).toBe('')
})

it('waits long enough in the tests above that keep-alive bytes are sent', async () => {
  const { url } = await startGateway(slowLoad)
  const ask = async (path: string, model: string): Promise<string> => {
    const body = { model, messages: [userMessage], stream: true, max_tokens: 2, options: { num_predict: 2 } }
    return (await fetch(url + path, { method: 'POST', body: JSON.stringify(body) })).text()
  }
  expect(/^ +/.exec(await ask('/api/chat', chatModel))?.[0].length).toBeGreaterThan(2)
  expect((await ask('/v1/chat/completions', thinkingModel)).match(/^: keep-alive$/gm)?.length).toBeGreaterThan(2)
})

/** Long answers at 50 tokens per second, so that a stream is under way when the client leaves. */
function startSlow(): Promise<Gateway> {
  return startGateway({ speed: 10, decodeTokensPerSecond: 5 })
}

it.each(clientStreams)('$title frees its slot within 100 ms of leaving mid-stream', async ({ pieces, path }) => {
  const { url, sims } = await startSlow()
  const leaving = new AbortController()
  const reading = outcomeOf(untilSecond(pieces(url, { tokens: 2_000, signal: leaving.signal }), leaving))
  const node = await busyNode(sims, path)
  const cancelled = expectCancel(node, leaving.signal)
  const { count } = await reading
  expect(count).toBeLessThan(50)
  await cancelled
})

/** Leaves at the second piece. */
async function* untilSecond(pieces: AsyncIterable<string>, leaving: AbortController): AsyncIterable<string> {
  let count = 0
  for await (const piece of pieces) {
    yield piece
    count += 1
    if (count === 2) leaving.abort()
  }
}

const canLeaveEarly = clientStreams.filter(({ title }) => !deafBeforeStream.has(title))

it.each(canLeaveEarly)('$title leaves no request behind when it leaves before the first frame', async ({ pieces, path }) => {
  const { url, sims, app } = await startGateway({ nodes: 1, speed: 20 })
  await outcomeOf(pieces(url, { tokens: 1 }))
  sims[0]?.control.set('slow-head', { path, delayMs: 3_000 })
  const leaving = new AbortController()
  const reading = outcomeOf(pieces(url, { signal: leaving.signal }))
  const node = await busyNode(sims, path)
  await delay(20)
  const cancelled = expectCancel(node, leaving.signal)
  leaving.abort()
  await cancelled
  await reading
  expect(app.calls.size).toBe(0)
})
