/** S9: a replay has the frames of the live stream, with times and ids of its own where its dialect has them, or not by configuration. */
import { describe, expect, it } from 'vitest'

import { manualClock } from '../fleet/manual-clock.ts'
import { take, type Taken } from './ask.ts'
import { cached, type Cached } from './cached.ts'

const madeAtMs = Date.UTC(2026, 10, 27, 9, 59, 58, 765)
const oldSeconds = 1_764_000_000
const oldTimes = ['2026-11-25T10:00:00.123456789Z', '2026-11-25T10:00:00.5Z', '2026-11-25T10:00:01Z'] as const
const stop = '"total_duration":6,"eval_count":3'

interface Dialect {
  readonly path: string
  readonly body: object
  readonly type: string
  readonly frames: string
  /** The times of a replay 2 s after `madeAtMs`, in their order. */
  readonly times: readonly string[]
  /** The first letters of its id; null: it has none. */
  readonly id: string | null
}

const messages = [{ role: 'user', content: 'hi' }]
const sse = 'text/event-stream'
const [nanos, tenths, whole] = ['2026-11-27T10:00:00.765000000Z', '2026-11-27T10:00:00.7Z', '2026-11-27T10:00:00Z']
const seconds = String(Math.floor((madeAtMs + 2_000) / 1_000))
/** A tool's argument and a text that look like a time of the answer. */
const call = `"tool_calls":[{"function":{"name":"w","arguments":{"created_at":"${oldTimes[0]}","created":${oldSeconds}}}}]`
const saying = `\\"created\\":${oldSeconds},\\"created_at\\":\\"${oldTimes[0]}\\""`

function native(piece: (text: string) => string): string {
  const line = (index: 0 | 1 | 2, rest: string): string => `{"model":"llama3","created_at":"${oldTimes[index]}",${rest}}\n`
  return (
    line(0, `${piece(`"${saying}`)},"done":false`) +
    line(1, `${piece('"x"')},"done":false`) +
    line(2, `${piece('""')},"done":true,"done_reason":"stop",${stop}`)
  )
}

function openAi(object: string, id: string, choice: (text: string) => string): string {
  const frame = (rest: string): string => `data: {"id":"${id}","object":"${object}","created":${oldSeconds},${rest},"model":"llama3"}\n\n`
  const ends = '"finish_reason":"stop"'
  return `${frame(`"choices":[{"index":0,${choice(`"${saying}`)},"finish_reason":null}]`)}${frame(`"choices":[{"index":0,${choice('""')},${ends}}]`)}data: [DONE]\n\n`
}

const responses = (id: string): string => {
  const head = (status: string, completed: string): string =>
    `{"response":{"completed_at":${completed},"created_at":${oldSeconds},"id":"${id}","status":"${status}","tools":[{"parameters":{"default":{"created_at":${oldSeconds}}}}]},"type":"x"}`
  const delta = `{"delta":"${saying},"type":"response.output_text.delta"}`
  return `event: response.created\ndata: ${head('in_progress', 'null')}\n\nevent: response.output_text.delta\ndata: ${delta}\n\nevent: response.completed\ndata: ${head('completed', String(oldSeconds + 1))}\n\n`
}

const anthropic = (id: string): string =>
  [
    `event: message_start\ndata: {"type":"message_start","message":{"id":"${id}","role":"assistant","model":"llama3"}}\n\n`,
    `event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"${saying}}}\n\n`,
    'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}\n\n',
    'event: message_stop\ndata: {"type":"message_stop"}\n\n',
  ].join('')

const dialects: readonly Dialect[] = [
  {
    path: '/api/chat',
    body: { model: 'llama3', messages, options: { temperature: 0 } },
    type: 'application/x-ndjson',
    frames: native((text) => `"message":{"role":"assistant","content":${text},${call}}`),
    times: [nanos, tenths, whole],
    id: null,
  },
  {
    path: '/api/generate',
    body: { model: 'llama3', prompt: 'hi', options: { temperature: 0 } },
    type: 'application/x-ndjson',
    frames: native((text) => `"response":${text}`),
    times: [nanos, tenths, whole],
    id: null,
  },
  {
    path: '/v1/chat/completions',
    body: { model: 'llama3', messages, temperature: 0, stream: true, stream_options: { include_usage: true } },
    type: sse,
    frames: openAi('chat.completion.chunk', 'chatcmpl-123', (text) => `"delta":{"content":${text}}`),
    times: [seconds, seconds],
    id: 'chatcmpl-',
  },
  {
    path: '/v1/completions',
    body: { model: 'llama3', prompt: 'hi', temperature: 0, stream: true },
    type: sse,
    frames: openAi('text_completion', 'cmpl-123', (text) => `"text":${text}`),
    times: [seconds, seconds],
    id: 'cmpl-',
  },
  {
    path: '/v1/responses',
    body: { model: 'llama3', input: 'hi', temperature: 0, stream: true },
    type: sse,
    frames: responses('resp_123456'),
    times: [seconds, seconds, seconds],
    id: 'resp_',
  },
  {
    path: '/v1/messages',
    body: { model: 'llama3', max_tokens: 50, messages, temperature: 0, stream: true },
    type: sse,
    frames: anthropic('msg_0123456789abcdef'),
    times: [],
    id: 'msg_',
  },
]

function first([one]: readonly Dialect[]): Dialect {
  if (one === undefined) throw new Error('no dialect')
  return one
}

async function twice(built: Cached, { path, body, frames, type }: Dialect): Promise<[Taken, Taken]> {
  const live = take(built.ask({ ...body }, { path }))
  built.upstream.at(0).begin(frames, { 'content-type': type }).end()
  const answered = await live
  built.clock.advance(2_000)
  return [answered, await take(built.ask({ ...body }, { path }))]
}

function stand(replay: object): Cached {
  let at = 0
  const random = (): number => (at += 0.37) % 1
  return cached({ clock: manualClock(madeAtMs), random, options: { replay } })
}

/** Where two texts of one length differ, as the later one has it. */
function changed(before: string, after: string): string[] {
  expect(after).toHaveLength(before.length)
  const found: string[] = []
  for (const { 0: text, index } of after.matchAll(/\d[\d:.TZ-]{9,}|(?:chatcmpl-|cmpl-|resp_|msg_)\w+/g))
    if (before.slice(index, index + text.length) !== text) found.push(text)
  return found
}

describe('a replay', () => {
  it.each(dialects)('on $path has ids and times of its own and is else the live stream', async (dialect) => {
    const [live, hit] = await twice(stand({}), dialect)
    expect(hit.cache).toBe('hit')
    const differ = changed(live.text, hit.text)
    expect(differ.filter((text) => /^\d/.test(text))).toEqual(dialect.times)
    const ids = differ.filter((text) => !/^\d/.test(text))
    expect(new Set(ids).size).toBe(dialect.id === null ? 0 : 1)
    expect(ids.every((id) => id.startsWith(dialect.id ?? ''))).toBe(true)
    const restored = dialect.frames.split('\n').length
    expect(hit.text.split('\n')).toHaveLength(restored)
  })

  it.each(dialects)('on $path is the live stream byte for byte where that is configured', async (dialect) => {
    const [live, hit] = await twice(stand({ fresh: false }), dialect)
    expect([hit.cache, hit.text]).toEqual(['hit', live.text])
  })

  it('in the rhythm of the live stream has times of its own, too', async () => {
    const built = stand({ paced: true })
    const { path, body, frames, times } = first(dialects)
    const live = take(built.ask({ ...body }, { path }))
    built.upstream.at(0).begin(frames, { 'content-type': 'application/x-ndjson' }).end()
    await live
    built.clock.advance(2_000)
    const replayed = take(built.ask({ ...body }, { path }))
    for (let step = 0; step < 10; step += 1) built.clock.advance(5)
    expect(changed(frames, (await replayed).text)).toEqual(times)
  })

  it('leaves the stored answer as it was: each hit has the time of that hit', async () => {
    const built = stand({})
    const dialect = first(dialects)
    await twice(built, dialect)
    built.clock.advance(60_000)
    expect((await take(built.ask({ ...dialect.body }))).text).toContain('2026-11-27T10:01:00.765000000Z')
  })
})
