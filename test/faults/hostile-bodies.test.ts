// F25, F27: bodies made to exhaust: answers without an end, and compressed ones, stacked a thousand times or blown up.

import { gzipSync } from 'node:zlib'

import { expect, onTestFinished, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { ask, chatBody, isComplete } from '../fleet/ask.ts'
import { expectIdle, openGateway } from '../fleet/gateway.ts'
import { chatEnd, chatLine, startFakeNode } from '../http/fake-node.ts'
import { crowd, openFront } from './front.ts'

const endings: readonly [string, RegExp, string][] = [
  ['/api/chat', /\n\{"error":"node-\d streamed for [^\n]*\}\n$/, '"done":true'],
  ['/v1/chat/completions', /\ndata: \{"error":\{"message":"node-\d streamed for [^\n]*\}\n\n$/, '[DONE]'],
  ['/v1/messages', /\nevent: error\ndata: \{"type":"error","error":\{[^\n]*node-\d streamed for [^\n]*\}\n\n$/, 'message_stop'],
]

test.each(endings)(
  'F25: an answer without an end is ended on %s at streamMsMax, told as incomplete, and stops its node',
  async (path, error, end) => {
    const gateway = await openGateway({ nodes: 2, answerTokens: [20_000, 20_000], fleet: { deadlines: { streamMsMax: 300 } } })
    const change = { stream: true, max_tokens: 20_000, options: { num_predict: -1 } }
    const replies = await Promise.all(Array.from({ length: 2 }, () => ask(`${gateway.url}${path}`, chatBody(change))))
    for (const { status, text, totalMs } of replies) {
      expect(status).toBe(200)
      expect(text).toMatch(error)
      expect(text).not.toContain(end)
      expect(totalMs).toBeLessThan(1_500)
    }
    await expectIdle(gateway)
    expect(gateway.app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs()))).toEqual(['closed', 'closed'])
    gateway.sims.forEach((sim) => expect(sim.stats().openSockets).toBeLessThan(10))
  },
)

test('F25: an answer of more bytes than streamBytesMax is ended as incomplete, and its node keeps its good name', async () => {
  const gateway = await openGateway({ nodes: 2, answerTokens: [20_000, 20_000], fleet: { deadlines: { streamBytesMax: 4_096 } } })
  const { text, totalMs } = await ask(`${gateway.url}/api/chat`, chatBody({ stream: true, options: { num_predict: -1 } }))
  expect(text).toMatch(/\n\{"error":"node-\d streamed \d+ bytes, more than is allowed"\}\n$/)
  expect(text).not.toContain('"done":true')
  expect(totalMs).toBeLessThan(5_000)
  await expectIdle(gateway)
  expect(gateway.app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs()))).toEqual(['closed', 'closed'])
})

/** 64 MiB of zeros behind 64 KiB. */
const bomb = gzipSync(Buffer.alloc(64 * 1_048_576))

test.each<[string, string]>([
  ['once', 'gzip'],
  ['a thousand times', Array(1_000).fill('gzip').join(', ')],
  ['in a way nobody knows', 'x-squeeze'],
])('F27: a body compressed %s is refused unread, the other node answers and memory stays flat', async (_, encoding) => {
  const [bad, good] = [await startFakeNode(), await startFakeNode()]
  for (const node of [bad, good]) onTestFinished(() => node.close())
  bad.script = (__, outgoing) =>
    void outgoing.writeHead(200, { 'content-type': 'application/x-ndjson', 'content-encoding': encoding }).end(bomb)
  good.script = (__, outgoing) => void outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' }).end(chatLine('hello') + chatEnd)
  const nodes = [
    { url: bad.url, name: 'bad' },
    { url: good.url, name: 'good' },
  ]
  const gateway = await openFront(nodes, { breaker: { enabled: false } })
  const memory = (): number => process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed
  const before = memory()
  const replies = await crowd(gateway.url, { requests: 40, atOnce: 4, change: { model: 'small' } })
  expect(replies.filter((reply) => !isComplete(reply) || reply.node !== 'good').map(({ text }) => text)).toEqual([])
  expect(memory() - before).toBeLessThan(48 * 1_048_576)
  expect(bad.received.length).toBeGreaterThan(0)
  const wanted = [...bad.received, ...good.received].map(({ headers }) => headers['accept-encoding'])
  expect(new Set(wanted)).toEqual(new Set(['identity']))
  await expectIdle(gateway)
})
