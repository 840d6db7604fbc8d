// The list of jobs as events, by itself: who leaves while it is read, who does not read, and how many may follow.
import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'

import { JobFeed, type JobsRead } from '../../src/http/rag/job-feed.ts'
import type { RagContext } from '../../src/http/rag/rag-route.ts'
import { HandClock } from '../identity/fixture.ts'

class Outgoing extends EventEmitter {
  destroyed = false

  end(): void {
    this.destroyed = true
    this.emit('close')
  }
}

function contextOf(outgoing: Outgoing): RagContext {
  return { env: { outgoing } } as unknown as RagContext
}

const page = (mark: number): JobsRead => ({ page: { mark }, isMoving: true })

test('who leaves while the list is read breaks nothing, and is looked after no more', async () => {
  const clock = new HandClock()
  const outgoing = new Outgoing()
  const second = Promise.withResolvers<JobsRead>()
  const reads = [Promise.resolve(page(0)), second.promise]
  let asked = 0
  const { body } = await new JobFeed({ clock }).follow(contextOf(outgoing), 'acme', () => {
    asked += 1
    return reads.shift() ?? second.promise
  })
  const reader = body?.getReader()
  await reader?.read()
  clock.pass(1_000)
  expect(asked).toBe(2)
  await reader?.cancel()
  outgoing.end()
  // An enqueue now would throw where nobody catches it, and end the process.
  second.resolve(page(1))
  await new Promise((resolve) => setImmediate(resolve))
  expect(clock.timers).toBe(0)
})

test('who does not read gets the present list when there is room again, not all of those between', async () => {
  const clock = new HandClock()
  let mark = 0
  const big = 'x'.repeat(700_000)
  const { body } = await new JobFeed({ clock }).follow(contextOf(new Outgoing()), 'acme', async () => {
    mark += 1
    return { page: { mark, big }, isMoving: true }
  })
  for (let second = 0; second < 20; second += 1) {
    const seen = mark
    clock.pass(1_000)
    await expect.poll(() => mark).toBe(seen + 1)
    await expect.poll(() => clock.timers).toBe(1)
  }
  const reader = body?.getReader()
  const markOf = async (): Promise<string | undefined> => /"mark":(\d+)/.exec(new TextDecoder().decode((await reader?.read())?.value))?.[1]
  expect([await markOf(), await markOf()]).toEqual(['1', '2'])
  const present = mark + 1
  clock.pass(1_000)
  expect(await markOf()).toBe(String(present))
  await reader?.cancel()
})

test('a list that stays as it is keeps the connection with a comment every 15 seconds', async () => {
  const clock = new HandClock()
  const { body } = await new JobFeed({ clock }).follow(contextOf(new Outgoing()), 'acme', () =>
    Promise.resolve({ page: { mark: 0 }, isMoving: false }),
  )
  for (let look = 0; look < 20; look += 1) {
    clock.pass(3_000)
    await expect.poll(() => clock.timers).toBe(look === 19 ? 0 : 1)
  }
  const told = await new Response(body).text()
  expect(told.split('\n\n')).toEqual([
    'event: jobs\ndata: {"mark":0}',
    ': keep-alive',
    ': keep-alive',
    ': keep-alive',
    'event: renew\ndata: {}',
    '',
  ])
})

test('a tenant has so many streams, and one that ends makes room', async () => {
  const feed = new JobFeed({ clock: new HandClock() })
  const follow = (tenant: string, outgoing = new Outgoing()) => feed.follow(contextOf(outgoing), tenant, () => Promise.resolve(page(0)))
  const first = new Outgoing()
  await follow('acme', first)
  for (let more = 1; more < 32; more += 1) await follow('acme')
  await expect(follow('acme')).rejects.toMatchObject({ code: 'overloaded' })
  expect((await follow('rival')).status).toBe(200)
  first.end()
  expect((await follow('acme')).status).toBe(200)
})

test('many that come at once do not all find room, and a first look that fails gives its place back', async () => {
  const feed = new JobFeed({ clock: new HandClock() })
  const first = Promise.withResolvers<JobsRead>()
  const asking = Array.from({ length: 40 }, () => feed.follow(contextOf(new Outgoing()), 'acme', () => first.promise))
  first.reject(new Error('the store is away'))
  const ends = await Promise.allSettled(asking)
  const reasons = ends.map((end) => (end.status === 'rejected' && end.reason instanceof Error ? end.reason.message : end.status))
  expect(reasons.filter((reason) => reason === 'the store is away')).toHaveLength(32)
  expect(reasons.filter((reason) => reason.startsWith('32 streams'))).toHaveLength(8)
  expect((await feed.follow(contextOf(new Outgoing()), 'acme', () => Promise.resolve(page(0)))).status).toBe(200)
})
