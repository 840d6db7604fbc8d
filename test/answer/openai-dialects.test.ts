// `/v1/completions` and `/v1/responses` of an assistant: events, fields and citations, held to the recorded server.
import { expect, test } from 'vitest'
import { z } from 'zod'

import { SseEvents } from '../../src/wire/sse-events.ts'
import { answerOf, transcript } from '../wire/transcripts.ts'
import { layer, said, sources, visible } from './assistant-layer.ts'
import { FakeCorpus, nativeLines, streamOf } from './setup.ts'

test('/v1/completions streams chunks with annotations and usage, and answers whole', async () => {
  const question = { model: 'handbook', prompt: 'How large may uploads be?' }
  const { text } = await layer().ask('/v1/completions', { ...question, stream: true, stream_options: { include_usage: true } })
  const frames = text.split('\n\n').filter((frame) => frame !== '')
  expect(frames.at(-1)).toBe('data: [DONE]')
  const chunkSchema = z.looseObject({
    id: z.string().startsWith('cmpl-'),
    object: z.literal('text_completion'),
    choices: z.array(z.looseObject({ text: z.string(), index: z.literal(0), annotations: z.array(z.unknown()).optional() })),
    usage: z.looseObject({ total_tokens: z.number() }).optional(),
  })
  const chunks = frames.slice(0, -1).map((frame) => chunkSchema.parse(JSON.parse(frame.slice('data: '.length))))
  expect(chunks.map(({ choices }) => choices[0]?.text ?? '').join('')).toBe(visible + sources)
  expect(chunks.flatMap(({ choices }) => choices[0]?.annotations ?? [])).toMatchObject([
    { type: 'url_citation', url_citation: { url: 'https://example.org/limits' }, corral: { quote: 'may be up to 32 MB' } },
  ])
  expect(chunks.at(-2)?.choices[0]).toMatchObject({ text: '', finish_reason: 'stop' })
  expect(chunks.at(-1)?.usage?.total_tokens).toBe(420)
  const whole = await layer().ask('/v1/completions', question)
  expect(JSON.parse(whole.text)).toMatchObject({
    object: 'text_completion',
    model: 'handbook',
    choices: [{ text: visible + sources, annotations: [{ type: 'url_citation' }], finish_reason: 'stop' }],
    usage: { prompt_tokens: 400, completion_tokens: 20 },
  })
})

const responsesEvent = z.looseObject({ type: z.string(), sequence_number: z.number() })

/** Names and data of a stream of `/v1/responses`; each event says its name twice. */
function responsesEvents(text: string): z.infer<typeof responsesEvent>[] {
  const judge = new SseEvents('responses')
  return text
    .split('\n\n')
    .filter((frame) => frame !== '')
    .map((frame, index, all) => {
      const bytes = Buffer.from(`${frame}\n\n`)
      expect(judge.judge(bytes, 0, bytes.length)).toBe(index === all.length - 1 ? 'done' : 'data')
      const event = responsesEvent.parse(JSON.parse(frame.slice(frame.indexOf('data: ') + 6)))
      expect(frame.slice('event: '.length, frame.indexOf('\n'))).toBe(event.type)
      return event
    })
}

test('/v1/responses streams the events of the real server in their order, with annotations', async () => {
  const { text } = await layer().ask('/v1/responses', {
    model: 'handbook',
    stream: true,
    instructions: 'Be kind.',
    max_output_tokens: 50,
    input: [
      { role: 'user', content: 'What of uploads?' },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'They are limited [1].' }] },
      { type: 'function_call_output', call_id: 'c', output: 'x' },
      { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'How large may uploads be?' }] },
    ],
  })
  const events = responsesEvents(text)
  expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, index) => index))
  const types = events.map(({ type }) => type)
  expect(types.filter((type, index) => type !== types[index - 1] && type !== 'response.output_text.annotation.added')).toEqual([
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    'response.completed',
  ])
  const deltas = events.filter(({ type }) => type === 'response.output_text.delta')
  expect(deltas.map(({ delta }) => String(delta)).join('')).toBe(visible + sources)
  const annotation = { type: 'url_citation', start_index: 0, end_index: 22, url: 'https://example.org/limits', title: 'Upload limits' }
  const added = events.find(({ type }) => type === 'response.output_text.annotation.added')
  expect(added).toMatchObject({ output_index: 0, content_index: 0, annotation_index: 0, annotation })
  const itemId = added?.item_id
  expect(new Set(events.flatMap(({ item_id: id }) => id ?? []))).toEqual(new Set([itemId]))
  expect(events.at(-1)?.response).toMatchObject({
    status: 'completed',
    model: 'handbook',
    instructions: 'Be kind.',
    temperature: 0,
    max_output_tokens: 50,
    output: [{ id: itemId, status: 'completed', content: [{ type: 'output_text', text: visible + sources, annotations: [annotation] }] }],
    usage: { input_tokens: 400, output_tokens: 20, total_tokens: 420 },
  })
})

/** The names of all fields, by depth; of annotations, which the real server has none of, nothing. */
function fieldsOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fieldsOf)
  if (typeof value !== 'object' || value === null) return null
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, name === 'annotations' ? [] : fieldsOf(inner)]))
}

test('/v1/responses has the fields of the real server, streamed and whole', async () => {
  const question = { model: 'handbook', input: 'How large may uploads be?' }
  const whole: unknown = JSON.parse((await layer().ask('/v1/responses', question)).text)
  expect(fieldsOf(whole)).toEqual(fieldsOf(JSON.parse(answerOf(transcript('260')).toString())))
  expect(whole).toMatchObject({ object: 'response', status: 'completed', output: [{ content: [{ text: visible + sources }] }] })
  const recorded = new Map(responsesEvents(answerOf(transcript('261')).toString()).map((event) => [event.type, fieldsOf(event)]))
  for (const event of responsesEvents((await layer().ask('/v1/responses', { ...question, stream: true })).text)) {
    if (event.type !== 'response.output_text.annotation.added') expect(fieldsOf(event), event.type).toEqual(recorded.get(event.type))
  }
})

test('/v1/responses repeats no instructions that were not given as such, and refuses to go on from a response that nobody kept', async () => {
  const input = [
    { role: 'developer', content: 'Be kind.' },
    { role: 'user', content: 'How large may uploads be?' },
  ]
  const { text } = await layer().ask('/v1/responses', { model: 'handbook', input, previous_response_id: null })
  expect(JSON.parse(text)).toMatchObject({ instructions: null })
  const refused = layer().ask('/v1/responses', { model: 'handbook', input, previous_response_id: 'resp_1' })
  await expect(refused).rejects.toMatchObject({ code: 'invalid_request', message: expect.stringContaining('previous_response_id') })
})

test('/v1/responses counts the places of citations in their own message, when the model thinks again in between', async () => {
  const [first = '', ...rest] = nativeLines(said)
  const thought = `${JSON.stringify({ message: { content: '', thinking: 'Let me see.' }, done: false })}\n`
  const early = `${JSON.stringify({ message: { content: 'Well then. ' }, done: false })}\n`
  const { text } = await layer({ next: () => Promise.resolve(streamOf([early, thought, first, ...rest])) }).ask('/v1/responses', {
    model: 'handbook',
    input: 'How large may uploads be?',
    stream: true,
  })
  // The end of the first is held back, for it might go on as something that is not to be said.
  const second = { text: `then. ${visible}${sources}`, annotations: [{ start_index: 6, end_index: 28 }] }
  expect(responsesEvents(text).at(-1)?.response).toMatchObject({
    output: [{ type: 'message', content: [{ text: 'Well ' }] }, { type: 'reasoning' }, { type: 'message', content: [second] }],
  })
})

test('/v1/responses tells what the model thinks as an item of its own, and names documents without an address as files', async () => {
  const bare = new FakeCorpus({ id: 'limits', title: 'Upload limits', text: 'Uploads may be up to 32 MB.' })
  const thought = `${JSON.stringify({ message: { content: '', thinking: 'Let me see.' }, done: false })}\n`
  const made = layer({ search: bare.search, next: () => Promise.resolve(streamOf([thought, ...nativeLines(said)])) })
  const { text } = await made.ask('/v1/responses', { model: 'handbook', input: 'How large may uploads be?', stream: true })
  const events = responsesEvents(text)
  const types = events.map(({ type }) => type)
  expect(types.filter((type, index) => type !== types[index - 1]).slice(2, 8)).toEqual([
    'response.output_item.added',
    'response.reasoning_summary_text.delta',
    'response.reasoning_summary_text.done',
    'response.output_item.done',
    'response.output_item.added',
    'response.content_part.added',
  ])
  const file = { type: 'file_citation', file_id: 'limits', filename: 'Upload limits', index: 23 }
  expect(events.at(-1)?.response).toMatchObject({
    output: [
      { type: 'reasoning', summary: [{ type: 'summary_text', text: 'Let me see.' }] },
      { type: 'message', content: [{ annotations: [file] }] },
    ],
  })
})
