/** Who pays for a shared answer when some of its clients leave before the end: always exactly one. */
import { describe, expect, it } from 'vitest'

import type { Call } from '../../src/core/call.ts'
import type { Answer, Outcome } from '../../src/core/relay.ts'
import { newCall, take } from './ask.ts'
import { cached, chat, settle } from './cached.ts'
import { setup } from './embedding-setup.ts'
import { chatLines } from './scripted.ts'

const lines = chatLines(['One', ' two', ' three'])

async function outcomeOf(answering: Promise<Answer>): Promise<Outcome> {
  return (await answering).outcome
}

function gone(call: Call): void {
  call.signal.abort('client gone')
}

describe('a shared stream', () => {
  it('books nothing on who leaves while others stay, and all of it on one of those', async () => {
    const { ask, upstream } = cached()
    const calls = [newCall(), newCall(), newCall()]
    const [first, second, third] = calls.map((call) => outcomeOf(ask(chat('hi'), { call })))
    upstream.at(0).begin(lines[0] ?? '')
    await settle()
    for (const call of calls.slice(0, 2)) gone(call)
    expect(await first).toMatchObject({ kind: 'client_gone', usage: null, cached: true })
    expect(await second).toMatchObject({ kind: 'client_gone', cached: true })
    upstream.at(0).send(lines.slice(1).join('')).end()
    expect(await third).toMatchObject({ kind: 'ok', cached: false })
  })

  it('books what came on the last one leaving, once nobody came back', async () => {
    const { ask, upstream, clock } = cached()
    const calls = [newCall(), newCall()]
    const [first, last] = calls.map((call) => outcomeOf(ask(chat('hi'), { call })))
    upstream.at(0).begin(lines[0] ?? '')
    upstream.at(0).call.progress.frames = 1
    await settle()
    for (const call of calls) gone(call)
    expect(await first).toMatchObject({ cached: true })
    clock.advance(250)
    expect(await last).toMatchObject({ kind: 'client_gone', frames: 1, cached: false })
    expect(upstream.at(0).aborts).toBe(1)
  })

  it('books it on who comes within the grace, and nothing on who had left', async () => {
    const { ask, upstream, clock } = cached()
    const call = newCall()
    const left = outcomeOf(ask(chat('hi'), { call }))
    upstream.at(0).begin(lines[0] ?? '')
    await settle()
    gone(call)
    clock.advance(200)
    const again = take(ask(chat('hi')))
    expect(await left).toMatchObject({ kind: 'client_gone', cached: true })
    upstream.at(0).send(lines.slice(1).join('')).end()
    expect((await again).outcome).toMatchObject({ kind: 'ok', cached: false })
  })

  it('books it on the last who left when it ends within the grace', async () => {
    const { ask, upstream } = cached()
    const call = newCall()
    const left = outcomeOf(ask(chat('hi'), { call }))
    upstream.at(0).begin(lines[0] ?? '')
    await settle()
    gone(call)
    upstream.at(0).send(lines.slice(1).join('')).end()
    expect(await left).toMatchObject({ kind: 'client_gone', cached: false })
  })

  it('leaves no time on a node with who left before the first frame while others stayed', async () => {
    const { ask, upstream } = cached()
    const calls = [newCall(), newCall()]
    const [first, second] = calls.map((call) => ask(chat('hi'), { call }))
    upstream.at(0).call.progress.dispatchedAtMs = 5
    expect(calls.map(({ progress }) => progress.dispatchedAtMs)).toEqual([5, 5])
    for (const call of calls) gone(call)
    await expect(first).rejects.toMatchObject({ code: 'client_gone' })
    await expect(second).rejects.toMatchObject({ code: 'client_gone' })
    expect(calls.map(({ progress }) => progress.dispatchedAtMs)).toEqual([null, 5])
  })
})

describe('a shared batch of embeddings', () => {
  it('is booked on one who stayed when its first one leaves', async () => {
    const { ask, node } = setup()
    const held = Promise.withResolvers<void>()
    node.hold = held.promise
    const calls = [newCall(), newCall(), newCall()]
    const [first, second, third] = calls.map((call) => ask({ input: ['one', 'two'] }, { call }))
    await settle()
    const [upstream] = node.given
    if (upstream === undefined) throw new Error('no upstream call')
    upstream.progress.dispatchedAtMs = 5
    const [leader] = calls
    if (leader !== undefined) gone(leader)
    await expect(first).rejects.toMatchObject({ code: 'client_gone' })
    expect(leader?.progress.dispatchedAtMs).toBeNull()
    held.resolve()
    expect((await second)?.outcome).toMatchObject({ kind: 'ok', usage: { promptTokens: 6 } })
    expect((await second)?.outcome.cached).toBeUndefined()
    expect((await second)?.cache).toBe('joined')
    expect((await third)?.outcome).toMatchObject({ kind: 'ok', cached: true })
    expect(node.calls).toHaveLength(1)
  })

  it('is booked on the last one leaving when nobody stays', async () => {
    const { ask, node } = setup()
    const held = Promise.withResolvers<void>()
    node.hold = held.promise
    const calls = [newCall(), newCall()]
    const answers = calls.map((call) => ask({ input: ['one'] }, { call }))
    await settle()
    const [upstream] = node.given
    if (upstream === undefined) throw new Error('no upstream call')
    upstream.progress.dispatchedAtMs = 5
    for (const call of calls) gone(call)
    for (const answer of answers) await expect(answer).rejects.toMatchObject({ code: 'client_gone' })
    expect(calls.map(({ progress }) => progress.dispatchedAtMs)).toEqual([null, 5])
    expect(upstream.signal.aborted).toBe(true)
    held.resolve()
  })
})
