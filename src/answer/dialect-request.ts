/**
 * What a client of any dialect asks of an assistant: the last message of the user is the question, what stands before it the conversation.
 * Only text is taken; tools, images and formats have no meaning for a grounded answer and are left behind.
 */
import { z } from 'zod'

import { CorralError } from '../core/errors.ts'
import type { InferenceRequest } from '../core/relay.ts'
import type { SamplingValue } from './chat-request.ts'
import { MarkerReader } from './markers.ts'
import type { Turn } from './prompt.ts'

export interface AskedQuestion {
  readonly question: string
  readonly history: readonly Turn[]
  /** The client's own system messages. */
  readonly system: string
  /** What a request for a response has as such, and its answer repeats; null: nothing. */
  readonly instructions: string | null
  readonly options: Readonly<Record<string, SamplingValue>>
  /** OpenAI: usage as a chunk of its own at the end. */
  readonly wantsUsage: boolean
}

const part = z.looseObject({ type: z.string().optional(), text: z.string().optional() })
const content = z.union([z.string(), z.array(part)]).nullish()
const message = z.looseObject({ role: z.string(), content })

const usageWish = z.looseObject({ include_usage: z.boolean().nullish() }).nullish()

const chatBody = z.looseObject({
  messages: z.array(message).max(10_000),
  system: content,
  options: z.record(z.string(), z.unknown()).nullish(),
  stream_options: usageWish,
})
const generateBody = z.looseObject({
  prompt: z.string(),
  system: z.string().nullish(),
  options: z.record(z.string(), z.unknown()).nullish(),
  stream_options: usageWish,
})
/** Of a response: items of other kinds, such as calls of tools, are passed over. */
const responsesBody = z.looseObject({
  input: z.union([z.string(), z.array(z.looseObject({ role: z.string().optional(), content })).max(10_000)]),
  instructions: z.string().nullish(),
  previous_response_id: z.unknown().optional(),
})

const sampling = z.union([z.number(), z.array(z.string()).max(16)])

/** Sampling options of Ollama that shape an answer; those that load a runner differently are the assistant's. */
const nativeOptions = new Set(
  'temperature top_k top_p min_p typical_p seed stop num_predict repeat_last_n repeat_penalty presence_penalty frequency_penalty'.split(
    ' ',
  ),
)
/** The same in the other dialects, by their names. */
const foreignOptions: ReadonlyMap<string, string> = new Map([
  ['temperature', 'temperature'],
  ['top_p', 'top_p'],
  ['top_k', 'top_k'],
  ['seed', 'seed'],
  ['max_tokens', 'num_predict'],
  ['max_completion_tokens', 'num_predict'],
  ['max_output_tokens', 'num_predict'],
  ['stop', 'stop'],
  ['stop_sequences', 'stop'],
  ['presence_penalty', 'presence_penalty'],
  ['frequency_penalty', 'frequency_penalty'],
])

/** Reads the body of a chat, generate or responses request. Throws `invalid_request`. */
export function readQuestion({ route, body }: Pick<InferenceRequest, 'route' | 'body'>): AskedQuestion {
  const json = parseJson(body)
  const isNative = route.dialect === 'ollama'
  if (route.operation === 'generate') return readGenerate(json, isNative)
  if (route.terminator === 'responses') return readResponses(json)
  const parsed = chatBody.safeParse(json)
  if (!parsed.success) throw new CorralError('invalid_request', 'the body holds no list of messages')
  const { messages, system, options, stream_options: streaming } = parsed.data
  return {
    ...conversationOf(messages, textOf(system)),
    instructions: null,
    options: isNative ? pickNative(options ?? {}) : pickForeign(parsed.data),
    wantsUsage: streaming?.include_usage === true,
  }
}

function readGenerate(json: unknown, isNative: boolean): AskedQuestion {
  const parsed = generateBody.safeParse(json)
  if (!parsed.success) throw new CorralError('invalid_request', 'the body holds no prompt')
  const { prompt, system, options, stream_options: streaming } = parsed.data
  return {
    question: prompt,
    history: [],
    system: system ?? '',
    instructions: null,
    options: isNative ? pickNative(options ?? {}) : pickForeign(parsed.data),
    wantsUsage: streaming?.include_usage === true,
  }
}

function readResponses(json: unknown): AskedQuestion {
  const parsed = responsesBody.safeParse(json)
  if (!parsed.success) throw new CorralError('invalid_request', 'the body holds no input')
  const { input, instructions = null, previous_response_id: previous = null } = parsed.data
  if (previous !== null)
    throw new CorralError('invalid_request', 'previous_response_id: responses are not kept here; send what was said before as input')
  const messages =
    typeof input === 'string'
      ? [{ role: 'user', content: input }]
      : input.flatMap(({ role, content: said }) => (role === undefined ? [] : { role, content: said }))
  return { ...conversationOf(messages, instructions ?? ''), instructions, options: pickForeign(parsed.data), wantsUsage: true }
}

/** The last message of the user, what stands before it, and the client's own system text. */
function conversationOf(
  messages: readonly z.infer<typeof message>[],
  system: string,
): Pick<AskedQuestion, 'question' | 'history' | 'system'> {
  const turns = messages.map(({ role, content: said }) => ({ role, content: textOf(said) }))
  const last = turns.findLastIndex(({ role, content: said }) => role === 'user' && said.trim() !== '')
  const question = turns[last]?.content
  if (question === undefined) throw new CorralError('invalid_request', 'no message of the user holds a question')
  return {
    question,
    history: turns.slice(0, last).flatMap(toTurn),
    system: [system, ...turns.filter(({ role }) => role === 'system' || role === 'developer').map((turn) => turn.content)]
      .filter((text) => text.trim() !== '')
      .join('\n\n'),
  }
}

const textTypes: ReadonlySet<string | undefined> = new Set([undefined, 'text', 'input_text', 'output_text'])

function textOf(said: z.infer<typeof content>): string {
  if (typeof said === 'string') return said
  return (said ?? []).flatMap(({ type, text }) => (textTypes.has(type) ? (text ?? []) : [])).join('\n')
}

function toTurn({ role, content: said }: { role: string; content: string }): Turn[] {
  if (said.trim() === '') return []
  if (role === 'user') return [{ role, content: said }]
  return role === 'assistant' ? [{ role, content: withoutSources(said) }] : []
}

/** Markers of earlier answers have at most three digits. */
const markedPassagesMax = 999

/**
 * An earlier answer without its list of sources and the markers of its prose: passages are numbered anew in each answer, and what the client
 * sends back must not claim otherwise.
 */
function withoutSources(said: string): string {
  const reader = new MarkerReader(markedPassagesMax)
  const pieces = reader.push(said.replace(/\n\n[^\n]{1,40}:\n(?:\[\d{1,3}\] [^\n]*(?:\n|$))+\s*$/u, ''))
  const texts: string[] = []
  for (const piece of [...pieces, ...reader.end()]) {
    if (piece.kind === 'text') texts.push(piece.text)
    else texts.push(withoutLastBlank(texts.pop() ?? ''))
  }
  return texts.join('').trim()
}

function withoutLastBlank(text: string): string {
  return text.endsWith(' ') ? text.slice(0, -1) : text
}

function pickNative(options: Readonly<Record<string, unknown>>): Record<string, SamplingValue> {
  const picked: Record<string, SamplingValue> = {}
  for (const [name, value] of Object.entries(options)) {
    const read = nativeOptions.has(name) ? sampling.safeParse(value) : null
    if (read?.success === true) picked[name] = read.data
  }
  return picked
}

function pickForeign(body: Readonly<Record<string, unknown>>): Record<string, SamplingValue> {
  const picked: Record<string, SamplingValue> = {}
  for (const [theirs, ours] of foreignOptions) {
    const value = body[theirs]
    const read = sampling.safeParse(theirs === 'stop' && typeof value === 'string' ? [value] : value)
    if (read.success) picked[ours] = read.data
  }
  return picked
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    throw new CorralError('invalid_request', 'the body is no JSON')
  }
}
