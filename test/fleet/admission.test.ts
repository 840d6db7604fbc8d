// Who waits, how long, and in which order; what a full line says.

import { describe, expect, test } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'
import { CallSignal } from '../../src/base/abort.ts'
import type { Answer } from '../../src/core/relay.ts'
import { CorralError } from '../../src/core/errors.ts'
import { ask, chatBody, isComplete, start } from './ask.ts'
import { asked, expectIdle, type Gateway, openGateway, until } from './gateway.ts'
import { makeCall, makeRequest } from './requests.ts'

const chat = '/api/chat'

/** One node with one slot, so that the second request waits. */
function oneSlot(fleet: Record<string, unknown> = {}, speed = 4): Promise<Gateway> {
  return openGateway({ nodes: 1, numParallel: 1, speed, fleet: { admission: { slotsAssumed: 1, slotsMax: 1, ...fleet } } })
}

/** A request that takes the slot for about half a second. */
async function occupy(gateway: Gateway) {
  const running = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 120 } }))
  await running.head
  return running
}

function queued(gateway: Gateway): number {
  return [...gateway.app.fleet.pools.all()].reduce((sum, { queue }) => sum + queue.size, 0)
}

describe('the line', () => {
  test('a node never has more requests than slots', async () => {
    const gateway = await oneSlot({}, 20)
    const replies = await Promise.all(Array.from({ length: 10 }, () => ask(`${gateway.url}${chat}`, chatBody())))
    expect(replies.every(isComplete)).toBe(true)
    expect(gateway.sim('node-1').stats().peakInFlight).toBeLessThanOrEqual(3)
    await expectIdle(gateway)
  })

  test('when full, a request is refused at once with its would-be place, the time to wait and Retry-After', async () => {
    const gateway = await oneSlot({ queueMax: 2 })
    const running = await occupy(gateway)
    const waiting = [start(`${gateway.url}${chat}`, chatBody()), start(`${gateway.url}${chat}`, chatBody())]
    await until(() => queued(gateway) === 2, 'two wait')
    const refused = await ask(`${gateway.url}${chat}`, chatBody())
    expect(refused.status).toBe(503)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect(refused.headers['x-corral-queue-position']).toBe('3')
    expect(Number(refused.headers['x-corral-queue-eta-ms'])).toBeGreaterThan(0)
    expect(refused.text).toContain('is full (2 of 2 wait)')
    expect(refused.totalMs).toBeLessThan(100)
    for (const one of [running, ...waiting]) expect(isComplete(await one.reply)).toBe(true)
    await expectIdle(gateway)
  })

  test('a request that waits longer than its deadline is refused, saying for how long it waited', async () => {
    const gateway = await oneSlot({ deadlineMs: 300 }, 1)
    const running = await occupy(gateway)
    const late = await ask(`${gateway.url}${chat}`, chatBody())
    expect(late.status).toBe(503)
    expect(late.text).toMatch(/no node was free for llama3\.2:3b within/)
    expect(Number(late.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect(late.totalMs).toBeLessThan(700)
    running.leave()
    await expectIdle(gateway)
  })

  test('a client that leaves the line gives up its place', async () => {
    const gateway = await oneSlot({ queueMax: 1 })
    const running = await occupy(gateway)
    const gone = start(`${gateway.url}${chat}`, chatBody())
    await until(() => queued(gateway) === 1, 'it waits')
    gone.leave()
    await until(() => queued(gateway) === 0, 'it left')
    const next = start(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(await next.reply)).toBe(true)
    await running.reply
    expect(asked(gateway, 'node-1', chat)).toBe(2)
    await expectIdle(gateway)
  })

  test('a client that leaves while its answer runs gives its slot to the next', async () => {
    const gateway = await oneSlot({}, 1)
    const running = await occupy(gateway)
    const next = start(`${gateway.url}${chat}`, chatBody())
    await until(() => queued(gateway) === 1, 'the next waits')
    running.leave()
    const reply = await next.reply
    expect(isComplete(reply)).toBe(true)
    expect(reply.totalMs).toBeLessThan(1_000)
    await expectIdle(gateway)
  })

  test('interactive requests go before batch ones that came first', async () => {
    const gateway = await oneSlot()
    const running = await occupy(gateway)
    const order: string[] = []
    const send = (name: string, priority: string) =>
      ask(`${gateway.url}${chat}`, chatBody(), { headers: { 'x-corral-priority': priority } }).then(() => order.push(name))
    const batch = [send('batch 1', 'batch'), send('batch 2', 'batch')]
    await until(() => queued(gateway) === 2, 'batch waits')
    const person = [send('person 1', 'interactive'), send('person 2', 'interactive')]
    await until(() => queued(gateway) === 4, 'all wait')
    await Promise.all([running.reply, ...batch, ...person])
    expect(order).toEqual(['person 1', 'person 2', 'batch 1', 'batch 2'])
  })

  test('a retry goes before those that wait', async () => {
    const gateway = await openGateway({ nodes: 2, numParallel: 1, speed: 4, fleet: { admission: { slotsAssumed: 1, slotsMax: 1 } } })
    gateway.app.fleet.setDraining('node-2', true)
    const running = await occupy(gateway)
    gateway.app.fleet.setDraining('node-2', false)
    gateway.sim('node-2').control.set('slow-head', { path: chat, delayMs: 200, count: 1 })
    gateway.sim('node-2').control.set('server-error', { path: chat })
    await running.reply
    const reply = await ask(`${gateway.url}${chat}`, chatBody())
    expect(isComplete(reply)).toBe(true)
    await expectIdle(gateway)
  })
})

describe('tenants', () => {
  test('one with many waiting requests delays another by one place only', async () => {
    const gateway = await oneSlot({}, 20)
    const order: string[] = []
    const send = async (tenant: string): Promise<void> => {
      const answer: Answer = await gateway.app.fleet.relay(
        makeRequest(chat, chatBody({ stream: false })),
        makeCall({ tenant, receivedAtMs: systemClock.nowMs() }),
      )
      expect(answer.status).toBe(200)
      order.push(tenant)
    }
    const all = [...Array.from({ length: 10 }, () => send('greedy')), send('modest'), send('modest')]
    await Promise.all(all)
    expect(order.indexOf('modest')).toBeLessThanOrEqual(2)
    expect(order.lastIndexOf('modest')).toBeLessThanOrEqual(4)
    await expectIdle(gateway)
  })

  test('an aborted call that waits is refused as a client that left', async () => {
    const gateway = await oneSlot()
    const running = await occupy(gateway)
    const signal = new CallSignal()
    const waiting = gateway.app.fleet.relay(makeRequest(chat, chatBody()), makeCall({ signal, receivedAtMs: systemClock.nowMs() }))
    await until(() => queued(gateway) === 1, 'it waits')
    signal.abort('gone')
    const error: unknown = await waiting.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(CorralError)
    expect(error).toMatchObject({ code: 'client_gone' })
    expect(signal.listenerCount).toBe(0)
    await running.reply
    await expectIdle(gateway)
  })
})
