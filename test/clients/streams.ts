/**
 * One streamed answer through each published client, in one shape: `pieces` yields the texts as the client hands them out
 * and throws what the client throws. None of the clients retries by itself here, so that a test sees what the gateway does.
 */
import Anthropic from '@anthropic-ai/sdk'
import { ChatOllama } from '@langchain/ollama'
import { Ollama } from 'ollama'
import OpenAI from 'openai'

import { chatModel, userMessage } from './prompts.ts'

export interface StreamCall {
  /** Tokens to generate; default 12. */
  readonly tokens?: number
  readonly model?: string
  readonly signal?: AbortSignal
}

export interface ClientStream {
  readonly title: string
  /** Path that the client asks. */
  readonly path: string
  pieces(url: string, call?: StreamCall): AsyncIterable<string>
}

const prompt = userMessage.content

export const openAi = (url: string): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey: 'unused', maxRetries: 0 })
export const anthropic = (url: string): Anthropic => new Anthropic({ baseURL: url, apiKey: 'unused', maxRetries: 0 })

const within = (signal: AbortSignal | undefined): { signal?: AbortSignal } => (signal === undefined ? {} : { signal })

/** Their `abort` reaches a stream only once it has begun. */
export const deafBeforeStream: ReadonlySet<string> = new Set(['ollama chat', 'ollama generate', 'langchain chat'])

/** The client's own way to break off is its `abort`. */
function ollama(url: string, signal: AbortSignal | undefined): Ollama {
  const client = new Ollama({ host: url })
  signal?.addEventListener('abort', () => client.abort())
  return client
}

async function* ollamaChat(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const request = { model, messages: [userMessage], options: { num_predict: tokens } }
  for await (const part of await ollama(url, signal).chat({ ...request, stream: true })) yield part.message.content
}

async function* ollamaGenerate(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const request = { model, prompt, options: { num_predict: tokens } }
  for await (const part of await ollama(url, signal).generate({ ...request, stream: true })) yield part.response ?? ''
}

async function* openAiChat(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const request = { model, messages: [userMessage], max_tokens: tokens, stream: true as const }
  for await (const part of await openAi(url).chat.completions.create(request, within(signal))) {
    yield part.choices[0]?.delta.content ?? ''
  }
}

async function* openAiCompletions(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const request = { model, prompt, max_tokens: tokens, stream: true as const }
  for await (const part of await openAi(url).completions.create(request, within(signal))) yield part.choices[0]?.text ?? ''
}

async function* openAiResponses(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const request = { model, input: prompt, max_output_tokens: tokens, stream: true as const }
  for await (const event of await openAi(url).responses.create(request, within(signal))) {
    if (event.type === 'response.output_text.delta') yield event.delta
  }
}

async function* anthropicMessages(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const request = { model, messages: [userMessage], max_tokens: tokens, stream: true as const }
  for await (const event of await anthropic(url).messages.create(request, within(signal))) {
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') yield event.delta.text
  }
}

async function* langChain(url: string, { tokens = 12, model = chatModel, signal }: StreamCall = {}): AsyncIterable<string> {
  const chat = new ChatOllama({ baseUrl: url, model, numPredict: tokens, maxRetries: 0 })
  for await (const part of await chat.stream(prompt, within(signal))) yield part.text
}

export const clientStreams: readonly ClientStream[] = [
  { title: 'ollama chat', path: '/api/chat', pieces: ollamaChat },
  { title: 'ollama generate', path: '/api/generate', pieces: ollamaGenerate },
  { title: 'openai chat', path: '/v1/chat/completions', pieces: openAiChat },
  { title: 'openai completions', path: '/v1/completions', pieces: openAiCompletions },
  { title: 'openai responses', path: '/v1/responses', pieces: openAiResponses },
  { title: 'anthropic messages', path: '/v1/messages', pieces: anthropicMessages },
  { title: 'langchain chat', path: '/api/chat', pieces: langChain },
]

export interface Outcome {
  readonly text: string
  readonly count: number
  /** What the client threw; null when it took the answer for complete. */
  readonly error: Error | null
}

/** Reads a stream to its end, good or bad. */
export async function outcomeOf(pieces: AsyncIterable<string>): Promise<Outcome> {
  let text = ''
  let count = 0
  try {
    for await (const piece of pieces) {
      text += piece
      count += 1
    }
    return { text, count, error: null }
  } catch (error) {
    return { text, count, error: error instanceof Error ? error : new Error(String(error)) }
  }
}
