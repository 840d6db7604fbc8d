// While half of a pool is healthy no client sees a failure before the first frame, however the other half fails.

import { describe, expect, test } from 'vitest'

import { type Clock, systemClock } from '../../src/base/clock.ts'
import type { FaultKind } from '../../src/sim/faults.ts'
import { ask, type Asking, chatBody, isComplete, start } from './ask.ts'
import { asked, chatInTurn, expectIdle, type Gateway, openGateway, until } from './gateway.ts'
import { manualClock } from './manual-clock.ts'

const chat = '/api/chat'

/** A hang is suspected after 150 ms, and a failure after three seconds. */
const hasty = { deadlines: { firstFrameMsMin: 150, firstFrameMsMax: 3_000 } }

/** Eight nodes of which the gateway knows how fast they are. */
async function openKnown({
  fleet = hasty,
  clock = systemClock,
}: { fleet?: Readonly<Record<string, unknown>>; clock?: Clock } = {}): Promise<Gateway> {
  const gateway = await openGateway({ nodes: 8, numParallel: 16, fleet, gatewayClock: clock })
  await chatInTurn(gateway, 24)
  return gateway
}

async function expectBurst({ url }: Gateway): Promise<void> {
  const replies = await Promise.all(Array.from({ length: 64 }, () => ask(`${url}${chat}`, chatBody())))
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
}

describe('a burst of 64 requests', () => {
  const faults: readonly FaultKind[] = [
    'rst-before-head',
    'half-closed',
    'instant-503',
    'missing-model',
    'server-error',
    'error-line',
    'truncate',
    'malformed-json',
  ]

  test.each(faults)('is answered whole although four of eight nodes answer %s', async (kind) => {
    const gateway = await openGateway({ nodes: 8, numParallel: 16 })
    for (const sim of gateway.sims.slice(0, 4)) sim.control.set(kind, { path: chat, atFrame: 0 })
    await expectBurst(gateway)
    expect(gateway.sims.slice(0, 4).some(({ name }) => asked(gateway, name, chat) > 0)).toBe(true)
    await expectIdle(gateway)
  })

  test.each(['hang-before-head', 'frozen-runner'] as const)('is answered whole although four of eight nodes hang: %s', async (kind) => {
    const gateway = await openKnown()
    const bad = gateway.sims.slice(0, 4)
    const before = bad.map(({ name }) => asked(gateway, name, chat))
    for (const sim of bad) sim.control.set(kind, kind === 'frozen-runner' ? {} : { path: chat })
    await expectBurst(gateway)
    expect(bad.some(({ name }, index) => asked(gateway, name, chat) > (before[index] ?? 0))).toBe(true)
    await expectIdle(gateway)
  })
})

describe('a lone request', () => {
  test.each(['hang-before-head', 'frozen-runner'] as const)('finds the half that is well behind four nodes that hang: %s', async (kind) => {
    const gateway = await openKnown()
    // Nodes take turns: the four that are next hang.
    const turns: (string | null)[] = []
    for (let time = 0; time < 8; time += 1) turns.push((await ask(`${gateway.url}${chat}`, chatBody())).node)
    const bad = turns.slice(0, 4)
    for (const node of bad) gateway.sim(node).control.set(kind, kind === 'frozen-runner' ? {} : { path: chat })
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(reply), reply.text).toBe(true)
    expect(reply.headers['x-corral-route']).toMatch(/^retry; attempts=[3-5]$/)
    await expectIdle(gateway)
  })

  test.each(['hang-before-head', 'frozen-runner'] as const)(
    'is answered though half of the nodes hang since the start: %s',
    async (kind) => {
      const patient = { deadlines: { firstFrameMsMin: 50, firstFrameMsMax: 5_000 }, admission: { deadlineMs: 5_000 } }
      const gateway = await openGateway({ nodes: 4, numParallel: 16, fleet: patient })
      for (const sim of gateway.sims.slice(0, 2)) sim.control.set(kind, kind === 'frozen-runner' ? {} : { path: chat })
      const early = Array.from({ length: 4 }, () => ask(`${gateway.url}${chat}`, chatBody()))
      await Promise.race(early)
      await Promise.all(Array.from({ length: 12 }, () => ask(`${gateway.url}${chat}`, chatBody())))
      const replies = await Promise.all(early)
      expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
      expect(Math.max(...replies.map(({ totalMs }) => totalMs))).toBeLessThan(4_000)
      await expectIdle(gateway)
    },
  )

  test('that must leave a hung node goes to the one that answered somebody last', async () => {
    const clock = manualClock()
    const gateway = await openKnown({ fleet: { deadlines: { firstFrameMsMin: 800, firstFrameMsMax: 8_000 } }, clock })
    const turns: string[] = []
    for (let time = 0; time < 8; time += 1) turns.push((await ask(`${gateway.url}${chat}`, chatBody())).node ?? '')
    const [first = '', froze = '', heard = ''] = turns
    const hang = (node: string) => gateway.sim(node).control.set('hang-before-head', { path: chat })
    const askOf = async (node: string): Promise<void> => {
      for (const other of turns) gateway.app.fleet.setDraining(other, other !== node)
      expect((await ask(`${gateway.url}${chat}`, chatBody())).node).toBe(node)
    }
    hang(first)
    const before = asked(gateway, first, chat)
    const lone = ask(`${gateway.url}${chat}`, chatBody())
    await until(() => asked(gateway, first, chat) > before, 'the node has the request')
    // It answers once more, and then hangs like the first.
    await askOf(froze)
    hang(froze)
    clock.advance(400)
    await askOf(heard)
    for (const node of turns) gateway.app.fleet.setDraining(node, false)
    const askedBefore = asked(gateway, heard, chat)
    // Past the 800 ms, after which the first node is suspect.
    clock.advance(500)
    await until(() => asked(gateway, heard, chat) > askedBefore, 'the request goes to the node that was heard last')
    const reply = await lone
    expect([isComplete(reply), reply.node, reply.headers['x-corral-route']]).toEqual([true, heard, 'retry; attempts=2'])
    await expectIdle(gateway)
  })
})

test('streams that all stand still on the only node with the model are left to it, long before their deadline', async () => {
  const gateway = await openGateway({
    nodes: 4,
    numParallel: 16,
    warm: false,
    fleet: { probe: { intervalMs: 200 }, deadlines: { idleMsMin: 30_000 } },
  })
  await chatInTurn(gateway, 4)
  const [holder = '', ...others] = gateway.sims.filter(({ name }) => asked(gateway, name, chat) > 0).map(({ name }) => name)
  expect(others).toEqual([])
  gateway.sim(holder).control.set('hang-mid-stream', { path: chat })
  const streams: Asking[] = []
  for (let turn = 0; turn < 30; turn += 1) {
    streams.push(start(`${gateway.url}${chat}`, chatBody()))
    // Answers that come whole do not hang, and tell of as many slots as one likes.
    if (turn % 2 === 0) await ask(`${gateway.url}${chat}`, chatBody({ stream: false }))
    await systemClock.sleep(100)
  }
  const heads = await Promise.all(streams.map(({ head }) => head))
  expect(heads.filter(({ node }) => node === holder).length).toBeLessThan(8)
  for (const stream of streams) stream.leave()
  await expectIdle(gateway)
})
