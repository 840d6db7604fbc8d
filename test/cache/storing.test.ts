/** caching.md §11: what is stored (S10), how it comes back (S9, S11), whose it is (I1, I5), how it goes (C7). */
import { describe, expect, it } from 'vitest'

import { CorralError } from '../../src/core/errors.ts'
import { type Body, newCall, readAll, take, type Taken } from './ask.ts'
import { cached, type Cached, chat, settle } from './cached.ts'
import { setup } from './embedding-setup.ts'
import { chatLines, okOutcome } from './scripted.ts'

const text = chatLines(['One', ' two']).join('')

/** Sends a request and lets the upstream answer it with `frames`. */
async function fill(
  { ask, upstream }: Cached,
  body: Body,
  { path = '/api/chat', frames = text, type = 'application/x-ndjson' } = {},
): Promise<Taken> {
  const answer = take(ask(body, { path }))
  upstream.at(-1).begin(frames, { 'content-type': type }).end()
  return answer
}

const sse = 'text/event-stream'

function openAiFrames({ id = 'chatcmpl-123', usage = true, finish = 'stop' } = {}): string {
  const head = `{"id":"${id}","object":"chat.completion.chunk","created":1,"model":"llama3","system_fingerprint":"fp_ollama"`
  const delta = (content: string): string =>
    `data: ${head},"choices":[{"index":0,"delta":{"role":"assistant","content":"${content}"},"finish_reason":null}]}\n\n`
  const last = `data: ${head},"choices":[{"index":0,"delta":{},"finish_reason":"${finish}"}]}\n\n`
  const counted = `data: ${head},"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n`
  return `${delta('One')}${delta(' two')}${last}${usage ? counted : ''}data: [DONE]\n\n`
}

const openAi = { model: 'llama3', messages: [{ role: 'user', content: 'hi' }], temperature: 0, stream: true }
const openAiPath = { path: '/v1/chat/completions' }

describe('what comes back', () => {
  it('S9: a native replay is the live stream, byte for byte, with usage, age and status', async () => {
    const built = cached()
    const live = await fill(built, chat('hi'))
    built.clock.advance(5_400)
    const hit = await take(built.ask(chat('hi')))
    expect(live.headers).toMatchObject({
      'x-corral-cache': 'miss',
      'cache-status': 'corral;fwd=uri-miss',
      'cache-control': 'private, no-store',
    })
    expect(hit.text).toBe(live.text)
    expect(hit.status).toBe(200)
    expect(hit.headers).toEqual({
      'content-type': 'application/x-ndjson',
      'cache-control': 'private, no-store',
      age: '5',
      'cache-status': 'corral;hit;ttl=604794;detail=memory',
      'x-corral-cache': 'hit',
    })
    expect(hit.outcome).toMatchObject({ kind: 'ok', cached: true, frames: 4, usage: { promptTokens: 7, outputTokens: 3, totalMs: 6 } })
  })

  it('S9: an OpenAI replay differs in its ids only, the same one in all frames', async () => {
    const built = cached({ random: seededBy(0.3, 0.7, 0.9, 0.1), options: { replay: { fresh: true } } })
    const body = { ...openAi, stream_options: { include_usage: true } }
    const live = await fill(built, body, { ...openAiPath, frames: openAiFrames(), type: sse })
    const hit = await take(built.ask(body, openAiPath))
    const ids = new Set([...hit.text.matchAll(/"id":"([^"]+)"/g)].map(([, id]) => id))
    expect(ids.size).toBe(1)
    const [id = ''] = ids
    expect(id).toMatch(/^chatcmpl-\d{3}$/)
    expect(id).not.toBe('chatcmpl-123')
    expect(hit.text.replaceAll(id, 'chatcmpl-123')).toBe(live.text)
  })

  it('S9: usage is always asked for upstream and comes to those who asked', async () => {
    const built = cached()
    const without = take(built.ask(openAi, openAiPath))
    const withIt = take(built.ask({ ...openAi, stream_options: { include_usage: true } }, openAiPath))
    expect(built.upstream.calls).toHaveLength(1)
    expect(JSON.parse(built.upstream.at(0).request.body.toString())).toMatchObject({ stream_options: { include_usage: true } })
    built.upstream.at(0).begin(openAiFrames(), { 'content-type': sse }).end()
    expect((await without).text).toBe(openAiFrames({ usage: false }))
    expect((await withIt).text).toBe(openAiFrames())
    const hit = await take(built.ask(openAi, openAiPath))
    expect(hit.cache).toBe('hit')
    expect(hit.text).not.toContain('"usage"')
    expect((await take(built.ask({ ...openAi, stream_options: { include_usage: true } }, openAiPath))).text).toContain('"usage"')
  })

  it('S9: usage on a completions stream changes every frame, so those are two entries', async () => {
    const built = cached()
    const body = { model: 'llama3', prompt: 'hi', temperature: 0, stream: true }
    const at = { path: '/v1/completions' }
    const frames = `data: {"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"a","index":0,"finish_reason":"stop"}],"model":"llama3"}\n\ndata: [DONE]\n\n`
    await fill(built, body, { ...at, frames, type: sse })
    const other = take(built.ask({ ...body, stream_options: { include_usage: true } }, at))
    expect(built.upstream.calls).toHaveLength(2)
    built.upstream.at(1).begin(frames).end()
    await other
    expect((await take(built.ask(body, at))).cache).toBe('hit')
  })

  it('S9: one stored stream answers the request without a stream too', async () => {
    const built = cached()
    await fill(built, chat('hi'))
    const whole = await take(built.ask(chat('hi', { stream: false })))
    expect(whole.cache).toBe('hit')
    expect(whole.headers['content-type']).toBe('application/json; charset=utf-8')
    expect(JSON.parse(whole.text)).toMatchObject({
      message: { role: 'assistant', content: 'One two' },
      done: true,
      done_reason: 'stop',
      eval_count: 3,
    })
    expect((await take(built.ask(chat('hi', { stream: false })))).text).toBe(whole.text)
    expect(built.upstream.calls).toHaveLength(1)
  })

  it('S9: a stored whole answer does not pretend to be a stream', async () => {
    const built = cached()
    const whole = take(built.ask(chat('hi', { stream: false })))
    built.upstream
      .at(0)
      .whole('{"model":"llama3","message":{"role":"assistant","content":"One"},"done":true,"done_reason":"stop","total_duration":1}')
    expect((await whole).cache).toBe('miss')
    const stream = take(built.ask(chat('hi')))
    expect(built.upstream.calls).toHaveLength(2)
    built.upstream.at(1).begin(text).end()
    await stream
    expect((await take(built.ask(chat('hi', { stream: false })))).text).toContain('"content":"One"}')
  })

  it.each([
    [0, 544_320],
    [0.25, 574_560],
    [0.5, 604_800],
    [0.999_999, 665_279],
  ])('an entry stands for its time give or take a tenth: by %d it is %d s of 7 d', async (drawn, ttl) => {
    const built = cached({ random: () => drawn })
    await fill(built, chat('hi'))
    expect((await take(built.ask(chat('hi')))).headers['cache-status']).toBe(`corral;hit;ttl=${ttl};detail=memory`)
    const embeddings = setup([], {}, { random: () => drawn })
    await embeddings.ask({ input: ['a', 'b'] })
    expect((await embeddings.ask({ input: ['a', 'b'] })).headers['cache-status']).toBe(`corral;hit;ttl=${ttl};detail=memory`)
  })

  it('a paced replay keeps the rhythm, no gap over 5 ms', async () => {
    const built = cached({ options: { replay: { paced: true, fresh: false } } })
    const all = chatLines(['One', ' two', ' three'])
    const live = take(built.ask(chat('hi')))
    const call = built.upstream.at(0).begin(all[0] ?? '')
    await settle()
    for (const [index, line] of all.slice(1).entries()) {
      built.clock.advance(index === 0 ? 2 : 400)
      call.send(line)
    }
    call.end()
    await live
    const hit = await built.ask(chat('hi'))
    if (hit.kind !== 'stream') throw new Error('no stream')
    let got = ''
    hit.frames.attach({ take: (chunk) => ((got += chunk.toString()), true), end: () => undefined })
    expect(got).toBe(all[0])
    built.clock.advance(2)
    expect(got).toBe(all.slice(0, 2).join(''))
    built.clock.advance(5)
    expect(got).toBe(all.slice(0, 3).join(''))
    built.clock.advance(5)
    expect(got).toBe(all.join(''))
    expect((await hit.outcome).kind).toBe('ok')
  })

  it('S11: no framing header is stored or replayed', async () => {
    const built = cached()
    const live = take(built.ask(chat('hi')))
    const headers = {
      'content-type': 'application/x-ndjson',
      'transfer-encoding': 'chunked',
      connection: 'keep-alive',
      'content-encoding': 'x',
      'x-node': '1',
    }
    built.upstream.at(0).begin(text, headers).end()
    await live
    const hit = await take(built.ask(chat('hi')))
    expect(Object.keys(hit.headers).toSorted()).toEqual(['age', 'cache-control', 'cache-status', 'content-type', 'x-corral-cache'])
  })
})

function seededBy(...values: readonly number[]): () => number {
  let index = 0
  return () => values[index++ % values.length] ?? 0
}

describe('what is not stored', () => {
  const refused: readonly [string, (built: Cached) => Promise<unknown>, string][] = [
    ['cut short by its limit', (built) => fill(built, chat('hi'), { frames: chatLines(['One'], { reason: 'length' }).join('') }), 'finish'],
    ['empty', (built) => fill(built, chat('hi'), { frames: chatLines(['', '']).join('') }), 'empty'],
    ['a load', (built) => fill(built, chat('hi'), { frames: chatLines(['x'], { reason: 'load' }).join('') }), 'finish'],
    ['without its terminator', (built) => fill(built, chat('hi'), { frames: chatLines(['One']).slice(0, 1).join('') }), 'finish'],
    ['at the client’s own limit', (built) => fill(built, chat('hi', { options: { temperature: 0, num_predict: 3 } })), 'limit'],
    [
      'filtered',
      (built) => fill(built, openAi, { ...openAiPath, frames: openAiFrames({ finish: 'content_filter' }), type: sse }),
      'finish',
    ],
    ['over the size of an entry', (built) => fill(built, chat('hi'), { frames: chatLines(['x'.repeat(70_000)]).join('') }), 'too-large'],
    [
      'a client’s error',
      (built) => {
        const answer = take(built.ask(chat('hi')))
        built.upstream.at(0).whole('{"error":"no"}', { status: 400, outcome: { ...okOutcome, kind: 'client_error' } })
        return answer
      },
      'status',
    ],
    [
      'a node’s error',
      (built) => {
        const answer = take(built.ask(chat('hi', { stream: false })))
        const error = new CorralError('node_failed', 'no', { node: 'n1' })
        built.upstream.at(0).whole('{"error":"no"}', { status: 500, outcome: { ...okOutcome, kind: 'node_error', error } })
        return answer
      },
      'status',
    ],
  ]
  it.each(refused)('S10: an answer that is %s', async (_, run, reason) => {
    const built = cached({ options: { entryBytesMax: 65_536 } })
    await run(built)
    expect(built.cache.stats()).toMatchObject({ stored: 0, refusals: { [reason]: 1 } })
  })

  it('S10: an answer whose client left before its end', async () => {
    const built = cached()
    const call = newCall()
    const answering = built.ask(chat('hi'), { call })
    built.upstream.at(0).begin(text.slice(0, text.indexOf('\n') + 1))
    const answer = await answering
    call.signal.abort('client gone')
    built.clock.advance(1_000)
    expect(answer.kind === 'stream' && (await answer.outcome).kind).toBe('client_gone')
    await settle()
    expect(built.cache.stats()).toMatchObject({ stored: 0, abandoned: 1 })
  })

  it.each<[string, Body]>([
    ['loads a model', { model: 'llama3', messages: [], options: { temperature: 0 } }],
    ['names a cloud model', { ...chat('hi'), model: 'gpt-oss:120b-cloud' }],
    ['names no model', { messages: [{ role: 'user', content: 'hi' }], options: { temperature: 0 } }],
  ])('S10: nothing for a request that %s', async (_, body) => {
    const built = cached()
    built.digests.set('gpt-oss:120b-cloud', 'x')
    expect((await fill(built, body)).cache).toBe('bypass')
    expect((await fill(built, body)).cache).toBe('bypass')
    expect(built.upstream.calls).toHaveLength(2)
  })

  it('off means that requests and answers pass by untouched', async () => {
    const built = cached({ options: { enabled: false } })
    const live = await fill(built, chat('hi'))
    expect(live.cache).toBeUndefined()
    expect(live.headers).toEqual({ 'content-type': 'application/x-ndjson' })
    await fill(built, chat('hi'))
    expect(built.upstream.calls).toHaveLength(2)
  })
})

describe('whose it is', () => {
  it('I1: another tenant neither hits nor joins', async () => {
    const built = cached()
    await fill(built, chat('hi'))
    const other = take(built.ask(chat('hi'), { tenant: 'b' }))
    expect(built.upstream.calls).toHaveLength(2)
    const third = take(built.ask(chat('hi'), { tenant: 'c' }))
    expect(built.upstream.calls).toHaveLength(3)
    for (const call of [built.upstream.at(1), built.upstream.at(2)]) call.begin(text).end()
    expect([(await other).cache, (await third).cache]).toEqual(['miss', 'miss'])
    expect((await take(built.ask(chat('hi')))).cache).toBe('hit')
  })

  it('I5: no header tells a key', async () => {
    const built = cached()
    const { headers } = await fill(built, chat('hi'))
    const hit = await take(built.ask(chat('hi')))
    const all = JSON.stringify([headers, hit.headers])
    expect(all).not.toMatch(/key=|[0-9a-f]{32}/)
  })
})

describe('how it goes', () => {
  it('C7: a dry run changes nothing and tells how many are meant', async () => {
    const built = cached()
    await fill(built, chat('hi'))
    await fill(built, chat('ho'))
    expect(await built.cache.purge({ tenant: 'a' }, { dryRun: true })).toMatchObject({ dryRun: true, memory: 2 })
    expect((await take(built.ask(chat('hi')))).cache).toBe('hit')
  })

  it.each([
    ['tenant', { tenant: 'a' }],
    ['kind', { kind: 'inference' as const }],
    ['model', { model: 'llama3:latest' }],
    ['digest', { model: 'd1' }],
    ['everything', {}],
    ['tenant and model', { tenant: 'a', model: 'd1' }],
  ])('C7: a purge by %s takes the entries out and lets new ones in', async (_, selector) => {
    const built = cached()
    await fill(built, chat('hi'))
    expect((await built.cache.purge(selector, { dryRun: false })).memory).toBe(1)
    expect((await fill(built, chat('hi'))).cache).toBe('miss')
    expect((await take(built.ask(chat('hi')))).cache).toBe('hit')
  })

  it.each([
    ['tenant', { tenant: 'b' }],
    ['kind', { kind: 'embedding' as const }],
    ['model', { model: 'd9' }],
  ])('C7: a purge of another %s leaves them', async (_, selector) => {
    const built = cached()
    await fill(built, chat('hi'))
    expect((await built.cache.purge(selector, { dryRun: false })).memory).toBe(0)
    expect((await take(built.ask(chat('hi')))).cache).toBe('hit')
  })

  it('C7: a purge by key takes one entry', async () => {
    const built = cached()
    await fill(built, chat('hi'))
    await fill(built, chat('ho'))
    const key = built.cache.explain(built.upstream.at(0).request, newCall()).entries[0]?.key
    await built.cache.purge({ key: key ?? '' }, { dryRun: false })
    expect((await take(built.ask(chat('ho')))).cache).toBe('hit')
    expect((await fill(built, chat('hi'))).cache).toBe('miss')
  })

  it.each([['tenant'], ['key']])('C7: a purge by %s during a flight reaches who waits and stores nothing', async (by) => {
    const built = cached()
    const live = take(built.ask(chat('hi')))
    const key = built.cache.explain(built.upstream.at(0).request, newCall()).entries[0]?.key
    const selector = by === 'key' ? { key: key ?? '' } : { tenant: 'a' }
    expect((await built.cache.purge(selector, { dryRun: false })).flights).toBe(1)
    const after = take(built.ask(chat('hi')))
    expect(built.upstream.calls).toHaveLength(2)
    built.upstream.at(0).begin(text).end()
    expect((await live).text).toBe(text)
    expect(built.cache.stats()).toMatchObject({ stored: 0, refusals: { purged: 1 } })
    built.upstream
      .at(1)
      .begin(chatLines(['after']).join(''))
      .end()
    await after
    expect((await take(built.ask(chat('hi')))).text).toContain('after')
  })

  it('explains what is in a key without telling texts', async () => {
    const built = cached()
    await fill(built, chat('secret words'))
    const told = built.cache.explain(built.upstream.at(0).request, newCall())
    expect(told).toMatchObject({ bypass: null, entries: [{ inMemory: true }] })
    expect(told.parts.map(({ name }) => name)).toEqual(['messages', 'options'])
    expect(JSON.stringify(told)).not.toContain('secret words')
  })
})

describe('a client that leaves a replay', () => {
  it('disturbs nobody', async () => {
    const built = cached()
    await fill(built, chat('hi'))
    const hit = await built.ask(chat('hi'))
    if (hit.kind !== 'stream') throw new Error('no stream')
    hit.frames.cancel('left')
    const other = await built.ask(chat('hi'))
    expect(other.kind === 'stream' && (await readAll(other.frames)).toString()).toBe(text)
  })
})
