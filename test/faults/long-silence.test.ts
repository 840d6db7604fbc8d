// F4, F5: a node that says nothing for long. A load may take as long as it takes; a hang is left within its budget.

import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'

import { expect, onTestFinished, test } from 'vitest'
import { Pool } from 'undici'

import { systemClock } from '../../src/base/clock.ts'
import { ask, chatBody, isComplete, start } from '../fleet/ask.ts'
import { asked, expectIdle, openGateway, until } from '../fleet/gateway.ts'

const chat = '/api/chat'

/** undici's own time, which its timers of 300 s run by; `tick` moves it on. */
const undiciTime: { tick(ms: number): void } = createRequire(import.meta.url)('undici/lib/util/timers.js')

/** As if nothing had come from any node for ten minutes, by undici's time only. */
async function passTenMinutes(): Promise<void> {
  for (let time = 0; time < 4; time += 1) {
    undiciTime.tick(150_000)
    await systemClock.sleep(5)
  }
}

/** How a request through undici's defaults to a silent server ends once its time moves. */
async function endByDefaults(): Promise<string | undefined> {
  const server = createServer(() => undefined)
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const pool = new Pool(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(async () => {
    await pool.destroy()
    server.closeAllConnections()
    server.close()
  })
  const arrived = new Promise((resolve) => server.once('request', resolve))
  const ended = pool.request({ method: 'GET', path: '/' }).then(
    () => 'answered',
    (error: NodeJS.ErrnoException) => error.code,
  )
  await arrived
  await passTenMinutes()
  return ended
}

test('F5: no timer of undici ends a load, a whole answer or a pause in a stream, where its defaults would', async () => {
  expect(await endByDefaults()).toBe('UND_ERR_HEADERS_TIMEOUT')
  const gateway = await openGateway({ nodes: 2, warm: false, speed: 2 })
  const loading = start(`${gateway.url}${chat}`, chatBody())
  await until(() => gateway.sims.some((sim) => sim.stats().byPath['/api/generate'] === 1), 'a node loads')
  await passTenMinutes()
  expect(isComplete(await loading.reply)).toBe(true)

  const streaming = start(`${gateway.url}${chat}`, chatBody({ options: { num_predict: 60 } }))
  const whole = start(`${gateway.url}${chat}`, chatBody({ stream: false, options: { num_predict: 60 } }))
  await streaming.head
  await passTenMinutes()
  expect(isComplete(await streaming.reply)).toBe(true)
  expect(isComplete(await whole.reply)).toBe(true)
  expect(gateway.sims.reduce((sum, sim) => sum + sim.stats().loads, 0)).toBe(1)
  await expectIdle(gateway)
})

test('F5: a load three times as long as the longest first-frame budget is no hang and ejects nobody', async () => {
  const deadlines = { firstFrameMsMin: 100, firstFrameMsMax: 500, idleMsMin: 100, idleMsMax: 300 }
  const fleet = { deadlines, breaker: { consecutiveFailures: 1 } }
  const gateway = await openGateway({ nodes: 2, warm: false, speed: 1, fleet })
  const replies = await Promise.all(Array.from({ length: 3 }, () => ask(`${gateway.url}${chat}`, chatBody())))
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(Math.min(...replies.map(({ headMs }) => headMs))).toBeGreaterThan(1_400)
  expect(gateway.app.fleet.nodes.map(({ breaker }) => breaker.state(systemClock.nowMs()))).toEqual(['closed', 'closed'])
  await expectIdle(gateway)
})

test('F5: a node that has the model in memory is preferred to a load on an idle one', async () => {
  const gateway = await openGateway({ nodes: 2, warm: false, speed: 2 })
  const warm = gateway.sim('node-2')
  await ask(`${warm.url}/api/generate`, { model: 'llama3.2:3b', stream: false })
  await Promise.all(gateway.app.fleet.nodes.map((node) => gateway.app.fleet.prober.refreshLoaded(node)))
  const reply = await ask(`${gateway.url}${chat}`, chatBody())
  expect([reply.node, isComplete(reply)]).toEqual(['node-2', true])
  expect(gateway.sim('node-1').stats().loads).toBe(0)
  await expectIdle(gateway)
})

test('F4: a hang before the head, with good probes, is left at its budget: nobody fails, nobody waits much longer', async () => {
  const budgetMs = 300
  const gateway = await openGateway({ nodes: 2, fleet: { deadlines: { firstFrameMsMin: budgetMs, firstFrameMsMax: 60_000 } } })
  const greet = () => ask(`${gateway.url}${chat}`, chatBody())
  for (let time = 0; time < 4; time += 1) await Promise.all(Array.from({ length: 4 }, greet))
  gateway.sim('node-1').control.set('hang-before-head', { path: chat })
  const before = asked(gateway, 'node-1', chat)
  const replies = await Promise.all(Array.from({ length: 6 }, greet))
  expect(replies.filter((reply) => !isComplete(reply)).map(({ text }) => text)).toEqual([])
  expect(asked(gateway, 'node-1', chat)).toBeGreaterThan(before)
  const slowest = Math.max(...replies.map(({ headMs }) => headMs))
  expect(slowest).toBeGreaterThanOrEqual(budgetMs)
  expect(slowest).toBeLessThan(budgetMs + 300)
  expect(gateway.app.fleet.nodes.map(({ up }) => up)).toEqual([true, true])
  await expectIdle(gateway)
})
