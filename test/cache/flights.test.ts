/** caching.md §11 Coalescing and streams: S1 to S8, S12, F5, with an upstream that the test leads by the hand. */
import { describe, expect, it } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { randomSequence } from '../../src/sim/hash.ts'
import { newCall, readAll, take } from './ask.ts'
import { cached, chat, settle } from './cached.ts'
import { chatLines, okOutcome } from './scripted.ts'

const lines = chatLines(['One', ' two', ' three'])
const text = lines.join('')

describe('one upstream call for equal requests', () => {
  it('S1: 200 at once make one call and get identical bytes', async () => {
    const { ask, upstream } = cached()
    const all = Array.from({ length: 200 }, () => take(ask(chat('hi'))))
    expect(upstream.calls).toHaveLength(1)
    const call = upstream.at(0).begin(lines[0] ?? '')
    await settle()
    for (const line of lines.slice(1)) call.send(line)
    call.end()
    const taken = await Promise.all(all)
    expect(new Set(taken.map((one) => one.text))).toEqual(new Set([text]))
    expect(taken.filter((one) => one.cache === 'miss')).toHaveLength(1)
    expect(taken.filter((one) => one.cache === 'joined')).toHaveLength(199)
  })

  it('S1: a joiner at any moment of the stream, its last tick included, gets the same bytes from one call', async () => {
    const { ask, upstream } = cached()
    for (let seed = 0; seed < 1_000; seed += 1) {
      const random = randomSequence(seed)
      const body = chat(`question ${seed}`)
      const all = [take(ask(body))]
      const join = (): void => void (random() < 0.5 && all.push(take(ask(body))))
      join()
      const call = upstream.at(-1)
      call.begin(lines[0] ?? '')
      for (const line of lines.slice(1)) {
        join()
        if (random() < 0.5) await Promise.resolve()
        join()
        call.send(line)
        join()
      }
      call.end()
      join()
      for (let turn = 0; turn < 8; turn += 1) {
        await Promise.resolve()
        join()
      }
      const taken = await Promise.all(all)
      expect(upstream.calls).toHaveLength(seed + 1)
      expect(new Set(taken.map((one) => one.text))).toEqual(new Set([text]))
    }
  })

  it('S2: the first one leaving affects nobody else, and its usage is booked on another', async () => {
    const { ask, upstream, clock } = cached()
    const leader = newCall()
    const first = ask(chat('hi'), { call: leader })
    const second = take(ask(chat('hi')))
    const third = take(ask(chat('hi')))
    const gone = expect(first).rejects.toMatchObject({ code: 'client_gone' })
    leader.signal.abort('client gone')
    clock.advance(10_000)
    upstream.at(0).begin(text).end()
    await gone
    expect([(await second).text, (await third).text]).toEqual([text, text])
    expect([(await second).outcome.cached, (await third).outcome.cached]).toEqual([false, true])
    expect(upstream.at(0).aborts).toBe(0)
  })

  it('an interactive request does not wait in line with a batch one; once a node has that one, it joins', async () => {
    const { ask, upstream, cache } = cached()
    const batch = take(ask(chat('hi'), { priority: 'batch' }))
    const interactive = take(ask(chat('hi')))
    const later = take(ask(chat('hi'), { priority: 'batch' }))
    expect(upstream.calls.map(({ call }) => call.priority)).toEqual(['batch', 'interactive'])
    upstream.at(1).begin(text).end()
    expect([(await interactive).text, (await later).text]).toEqual([text, text])
    upstream.at(0).begin(text).end()
    expect((await batch).text).toBe(text)
    const other = take(ask(chat('ho'), { priority: 'batch' }))
    upstream.at(2).call.progress.phase = 'waiting'
    const joined = take(ask(chat('ho')))
    upstream.at(2).begin(text).end()
    expect([(await other).text, (await joined).text]).toEqual([text, text])
    expect(upstream.calls).toHaveLength(3)
    expect(cache.stats()).toMatchObject({ flightsUnderWay: 0 })
  })

  it('S3: the last one leaving aborts the upstream once, after the grace', async () => {
    const { ask, upstream, clock, cache } = cached()
    const calls = [newCall(), newCall(), newCall()]
    const answers = calls.map((call) => ask(chat('hi'), { call }))
    upstream.at(0).begin(lines[0] ?? '')
    const streams = await Promise.all(answers)
    for (const answer of streams) if (answer.kind === 'stream') answer.frames.cancel('left')
    clock.advance(249)
    expect(upstream.at(0).aborts).toBe(0)
    clock.advance(1)
    expect(upstream.at(0).aborts).toBe(1)
    await settle()
    expect(cache.stats()).toMatchObject({ flightsUnderWay: 0, abandoned: 1, stored: 0 })
  })

  it('S3: coming back inside the grace finds the stream still there', async () => {
    const { ask, upstream, clock } = cached()
    const first = newCall()
    const answering = ask(chat('hi'), { call: first })
    upstream.at(0).begin(lines[0] ?? '')
    expect((await answering).kind).toBe('stream')
    first.signal.abort('client gone')
    clock.advance(200)
    const again = take(ask(chat('hi')))
    clock.advance(1_000)
    upstream.at(0).send(lines.slice(1).join('')).end()
    expect((await again).text).toBe(text)
    expect(upstream.at(0).aborts).toBe(0)
    expect(upstream.calls).toHaveLength(1)
  })

  it('S4: a client that takes nothing is dropped alone, at its limit', async () => {
    const { ask, upstream } = cached({ options: { flight: { lagBytesMax: 4_096 } } })
    const slow = newCall()
    const slowAnswer = ask(chat('hi'), { call: slow })
    const quick = take(ask(chat('hi')))
    const words = Array.from({ length: 200 }, (_, index) => `word ${index} `)
    const all = chatLines(words)
    upstream.at(0).begin(all[0] ?? '')
    await slowAnswer
    await settle()
    for (const line of all.slice(1)) upstream.at(0).send(line)
    upstream.at(0).end()
    expect((await quick).text).toBe(all.join(''))
    expect(slow.signal.reason).toMatchObject({ code: 'client_too_slow' })
    const answer = await slowAnswer
    expect(answer.kind === 'stream' && (await answer.outcome).kind).toBe('client_gone')
  })

  it('S5: no chunk is lost whatever the order of chunks, pauses and reads', async () => {
    const { ask, upstream } = cached()
    for (let seed = 0; seed < 300; seed += 1) {
      const random = randomSequence(seed)
      const body = chat(`question ${seed}`)
      const words = Array.from({ length: 30 }, (_, index) => `w${index} `)
      const all = chatLines(words)
      const readers = [ask(body), ask(body), ask(body)].map((answer) => readHaltingly(answer, random))
      upstream.at(-1).begin(all[0] ?? '')
      for (const line of all.slice(1)) {
        if (random() < 0.5) await Promise.resolve()
        upstream.at(-1).send(line)
      }
      upstream.at(-1).end()
      expect(new Set(await Promise.all(readers))).toEqual(new Set([all.join('')]))
    }
  })

  it('S6: an upstream that dies in the middle gives all the same error, stores nothing, and is asked once again later', async () => {
    const { ask, upstream, clock, cache } = cached()
    const all = [take(ask(chat('hi'))), take(ask(chat('hi')))]
    const error = new CorralError('stream_truncated', 'the node broke off', { node: 'n1' })
    upstream.at(0).begin(lines[0] ?? '')
    all.push(take(ask(chat('hi'))))
    upstream.at(0).end({ ...okOutcome, kind: 'truncated', usage: null, error })
    const taken = await Promise.all(all)
    const inBand = `${JSON.stringify({ error: 'the node broke off' })}\n`
    expect(new Set(taken.map((one) => one.text))).toEqual(new Set([(lines[0] ?? '') + inBand]))
    expect(cache.stats().stored).toBe(0)
    await expect(ask(chat('hi'))).rejects.toMatchObject({ code: 'stream_truncated', message: 'the node broke off' })
    clock.advance(251)
    const again = [take(ask(chat('hi'))), take(ask(chat('hi')))]
    expect(upstream.calls).toHaveLength(2)
    upstream.at(1).begin(text).end()
    expect((await Promise.all(again)).map((one) => one.text)).toEqual([text, text])
  })

  it('S7: requests that leave the sampling open are asked each', async () => {
    const { ask, upstream } = cached()
    const open = { ...chat('hi'), options: { temperature: 0.8 } }
    const all = [take(ask(open)), take(ask(open)), take(ask(open))]
    expect(upstream.calls).toHaveLength(3)
    for (const call of upstream.calls) call.begin(text).end()
    for (const { headers, cache } of await Promise.all(all)) {
      expect(cache).toBe('bypass')
      expect(headers).toMatchObject({ 'x-corral-cache': 'bypass', 'cache-status': 'corral;fwd=bypass;detail=sampling' })
    }
  })

  it('S7: a seed pins the sampling too', async () => {
    const { ask, upstream } = cached()
    const pinned = { ...chat('hi'), options: { temperature: 0.8, seed: 5 } }
    const all = [take(ask(pinned)), take(ask(pinned))]
    expect(upstream.calls).toHaveLength(1)
    upstream.at(0).begin(text).end()
    await Promise.all(all)
  })

  it('S8: only-if-cached neither starts nor joins', async () => {
    const { ask, upstream } = cached()
    const headers = ['cache-control', 'only-if-cached']
    await expect(ask(chat('hi'), { headers })).rejects.toMatchObject({ code: 'cache_miss', status: 504 })
    expect(upstream.calls).toHaveLength(0)
    const live = take(ask(chat('hi')))
    await expect(ask(chat('hi'), { headers })).rejects.toMatchObject({ code: 'cache_miss' })
    upstream.at(0).begin(text).end()
    await live
    expect((await take(ask(chat('hi'), { headers }))).text).toBe(text)
    expect(upstream.calls).toHaveLength(1)
  })

  it('S12: of N sharers one books what was generated; a hit books nothing', async () => {
    const { ask, upstream, cache } = cached()
    const all = Array.from({ length: 5 }, () => take(ask(chat('hi'))))
    upstream.at(0).begin(text).end()
    const outcomes = (await Promise.all(all)).map(({ outcome }) => outcome)
    expect(outcomes.filter(({ cached: shared }) => shared !== true)).toHaveLength(1)
    const hit = await take(ask(chat('hi')))
    expect(hit.cache).toBe('hit')
    expect(hit.outcome).toMatchObject({ cached: true, usage: { outputTokens: 3 } })
    expect(cache.stats().tokensSaved).toBe(3)
  })

  it('F5: 50 waiters on a failing upstream make one call and get 50 errors', async () => {
    const { ask, upstream } = cached()
    const all = Array.from({ length: 50 }, () => ask(chat('hi')))
    upstream.at(0).fail(new CorralError('node_failed', 'broken', { node: 'n1' }))
    const results = await Promise.allSettled(all)
    expect(results.every((result) => result.status === 'rejected')).toBe(true)
    await expect(ask(chat('hi'))).rejects.toMatchObject({ code: 'node_failed' })
    expect(upstream.calls).toHaveLength(1)
  })

  it('a deadline detaches only the one whose it is', async () => {
    const { ask, upstream, clock } = cached()
    const start = clock.nowMs()
    const patient = take(ask(chat('hi'), { deadlineAtMs: start + 60_000 }))
    const hasty = expect(ask(chat('hi'), { deadlineAtMs: start + 1_000 })).rejects.toMatchObject({ code: 'queue_timeout' })
    expect(upstream.at(0).call.deadlineAtMs).toBe(start + 60_000)
    clock.advance(1_001)
    await hasty
    upstream.at(0).begin(text).end()
    expect((await patient).text).toBe(text)
  })

  it('those with time left are asked for again when the first one’s deadline ended the upstream', async () => {
    const { ask, upstream, clock } = cached()
    const start = clock.nowMs()
    const hasty = expect(ask(chat('hi'), { deadlineAtMs: start + 1_000 })).rejects.toMatchObject({ code: 'queue_timeout' })
    const patient = take(ask(chat('hi'), { deadlineAtMs: start + 60_000 }))
    clock.advance(1_001)
    upstream.at(0).fail(new CorralError('queue_timeout', 'waited too long'))
    await hasty
    expect(upstream.calls).toHaveLength(2)
    upstream.at(1).begin(text).end()
    expect((await patient).text).toBe(text)
  })

  it('progress of the upstream shows in every call that shares it', async () => {
    const { ask, upstream } = cached()
    const calls = [newCall(), newCall()]
    const all = calls.map((call) => take(ask(chat('hi'), { call })))
    const { progress } = upstream.at(0).call
    progress.phase = 'queued'
    progress.queuePosition = 3
    progress.etaMs = 900
    const late = newCall()
    all.push(take(ask(chat('hi'), { call: late })))
    for (const call of [...calls, late]) expect(call.progress).toMatchObject({ phase: 'queued', queuePosition: 3, etaMs: 900 })
    upstream.at(0).begin(text).end()
    await Promise.all(all)
  })

  it('a stream longer than the limit is neither joined nor stored', async () => {
    const { ask, upstream, cache } = cached({ options: { flight: { bytesMax: 1_024 } } })
    const long = chatLines(Array.from({ length: 20 }, (_, index) => `word ${index} `))
    const first = take(ask(chat('hi')))
    upstream.at(0).begin(long.slice(0, 15).join(''))
    await settle()
    const second = take(ask(chat('hi')))
    expect(upstream.calls).toHaveLength(2)
    for (const call of [upstream.at(0).send(long.slice(15).join('')), upstream.at(1).begin(long.join(''))]) call.end()
    expect([(await first).text, (await second).text]).toEqual([long.join(''), long.join('')])
    expect(cache.stats()).toMatchObject({ stored: 0, refusals: { 'too-large': 2 } })
  })

  it('without flights each request is asked, and answers are still stored', async () => {
    const { ask, upstream } = cached({ options: { layers: { flight: false } } })
    const all = [take(ask(chat('hi'))), take(ask(chat('hi')))]
    expect(upstream.calls).toHaveLength(2)
    for (const call of upstream.calls) call.begin(text).end()
    await Promise.all(all)
    expect((await take(ask(chat('hi')))).cache).toBe('hit')
  })
})

/** Reads a stream with pauses between its chunks. */
async function readHaltingly(answering: ReturnType<ReturnType<typeof cached>['ask']>, random: () => number): Promise<string> {
  const answer = await answering
  if (answer.kind !== 'stream') throw new Error('no stream')
  const { frames } = answer
  if (random() < 0.3) return (await readAll(frames)).toString()
  let got = ''
  return new Promise((resolve) => {
    frames.attach({
      take(chunk) {
        got += chunk.toString()
        if (random() < 0.5) return true
        void Promise.resolve().then(() => frames.resume())
        return false
      },
      end: () => resolve(got),
    })
  })
}
