// Hundreds of requests with random faults and clients that leave: whatever happens, everything taken is given back.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import type { FaultKind } from '../../src/sim/faults.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { ask, chatBody, isComplete, type Reply, start } from './ask.ts'
import { expectIdle, type Gateway, openGateway, until } from './gateway.ts'

const kinds: readonly FaultKind[] = [
  'rst-before-head',
  'rst-at-frame',
  'instant-503',
  'missing-model',
  'hang-before-head',
  'hang-mid-stream',
  'truncate',
  'error-line',
  'malformed-json',
  'half-closed',
  'slow-head',
  'server-error',
  'runner-death',
]

const doors: readonly [string, Record<string, unknown>][] = [
  ['/api/chat', chatBody()],
  ['/api/chat', chatBody({ stream: false })],
  ['/api/chat', chatBody({ options: { num_predict: 5, num_ctx: 2_048 } })],
  ['/api/generate', { model: 'qwen3:8b', prompt: 'hello', options: { num_predict: 5 } }],
  ['/v1/chat/completions', { model: 'llama3.2:3b', stream: true, max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] }],
  ['/v1/messages', { model: 'llama3.2:3b', max_tokens: 5, messages: [{ role: 'user', content: 'hi' }] }],
  ['/api/embed', { model: 'all-minilm', input: Array.from({ length: 24 }, (_, index) => `text ${index}`) }],
  ['/api/embed', { model: 'all-minilm', input: 'one' }],
  ['/api/show', { model: 'llama3.2:3b' }],
]

interface Tally {
  replies: Reply[]
  left: number
  broken: number
}

/** One request with chance deciding its door, a fault set just before, and when its client leaves. */
async function one(gateway: Gateway, random: () => number, tally: Tally): Promise<void> {
  const pick = <T>(list: readonly T[]): T => {
    const chosen = list[Math.floor(random() * list.length)]
    if (chosen === undefined) throw new Error('nothing to pick')
    return chosen
  }
  if (random() < 0.3) strike(gateway, pick(kinds), random)
  const [path, body] = pick(doors)
  const asking = start(`${gateway.url}${path}`, body)
  const leaveAfterMs = random() < 0.3 ? random() * 60 : null
  if (leaveAfterMs !== null) systemClock.after(leaveAfterMs, () => asking.leave())
  try {
    tally.replies.push(await asking.reply)
  } catch {
    if (leaveAfterMs === null) tally.broken += 1
    else tally.left += 1
  }
}

/** Sets a fault on some node. Only the first one loses models: a model that all nodes deny is really gone. */
function strike(gateway: Gateway, kind: FaultKind, random: () => number): void {
  const sim = gateway.sims[kind === 'missing-model' ? 0 : Math.floor(random() * gateway.sims.length)]
  sim?.control.set(kind, { count: 1, atFrame: Math.floor(random() * 4), delayMs: 100, forMs: 2_000 })
}

async function storm(gateway: Gateway, count: number, seed: number): Promise<Tally> {
  const random = randomSequence(seed)
  const tally: Tally = { replies: [], left: 0, broken: 0 }
  let sent = 0
  const worker = async (): Promise<void> => {
    while (sent < count) {
      sent += 1
      await one(gateway, random, tally)
    }
  }
  await Promise.all(Array.from({ length: 24 }, worker))
  return tally
}

const stormy = {
  nodes: 3,
  numParallel: 2,
  fleet: {
    deadlines: { firstFrameMsMin: 300, firstFrameMsMax: 1_000, idleMsMin: 200, idleMsMax: 400, loadMsMax: 1_500 },
    probe: { intervalMs: 200, timeoutMs: 200, missesUntilDown: 5, modelsIntervalMs: 200 },
    breaker: { ejectMs: 200, ejectMsMax: 400 },
    admission: { deadlineMs: 8_000 },
  },
} as const

describe.each([1, 2, 3])('a storm of 500 requests, seed %i', (seed) => {
  test('gives back every slot, ticket and retry, and ends every answer in its dialect', async () => {
    const gateway = await openGateway(stormy)
    const { replies, left, broken } = await storm(gateway, 500, seed)
    expect(replies.length + left + broken).toBe(500)
    expect(broken).toBe(0)
    await expectIdle(gateway)
    for (const sim of gateway.sims) sim.control.clear()
    await until(() => gateway.sims.every((sim) => sim.stats().inFlight === 0), 'the nodes are idle')
    // A runner that died is known only from the first answer that says so: who was sent there before may leave during its reload.
    const leaked = gateway.sims.map((sim) => sim.stats().leakedSockets)
    expect(Math.max(...leaked)).toBeLessThan(8)
    const { nodes } = gateway.app.fleet
    await until(
      () => nodes.every((node) => node.up === true && node.breaker.state(systemClock.nowMs()) !== 'open'),
      'the fleet is well again',
    )
    const after = await Promise.all(Array.from({ length: 30 }, () => ask(`${gateway.url}/api/chat`, chatBody())))
    expect(after.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
    expect(nodes.map((node) => node.breaker.state(systemClock.nowMs()))).not.toContain('open')
    await expectIdle(gateway)
    const ok = replies.filter(({ status, text }) => status === 200 && !text.includes('"error"'))
    expect(ok.length).toBeGreaterThan(replies.length * 0.7)
    await gateway.app.fleet.close()
    await until(() => gateway.sims.every((sim, index) => sim.stats().openSockets <= (leaked[index] ?? 0)), 'the sockets are closed')
  })
})
