/**
 * An Ollama on a real socket for tests of answers over documents: vectors by the words of a text, and a chat model that says what a script
 * makes of the passages it was given. The script of itself quotes each passage, so that an answer tells which text it was made from.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { z } from 'zod'

import { hashEmbedder } from '../../src/sim/embedder.ts'

/** What a model was asked, as far as a script looks at it. */
export interface Prompted {
  readonly model: string
  readonly system: string
  readonly passages: readonly { readonly number: number; readonly text: string }[]
  readonly question: string
  readonly messages: readonly { readonly role: string; readonly content: string }[]
  readonly body: Readonly<Record<string, unknown>>
}

export interface ScriptedFleet {
  readonly url: string
  /** Every chat that reached the model. */
  readonly prompted: Prompted[]
  /** Texts that were embedded. */
  readonly embedded: string[]
  script: (prompted: Prompted) => string
  /** Awaited when half of an answer is out. */
  atHalf: () => Promise<void> | void
  /** Awaited before an answer in one piece. */
  atWhole: () => Promise<void> | void
  /** Awaited before an embedding is answered. */
  atEmbedding: () => Promise<void> | void
  /** Changed: the embedder was pulled anew, in another build. */
  embedBuild: string
  /** False: embedding fails. */
  embeds: boolean
  /** The text by whose words another one is embedded. */
  means: (text: string) => string
  /** Whether the connection ends in the middle of each chat. */
  breaksAtHalf: boolean
  /** Chats whose client left before their end. */
  readonly cut: number
  close(): Promise<void>
}

export const chatModel = 'talker:latest'
export const otherModel = 'thinker:latest'
export const embedModel = 'nomic-embed-text:latest'
const dimensions = 256
const contextTokens = 8_192

const chat = z.looseObject({
  model: z.string(),
  stream: z.boolean().default(true),
  messages: z.array(z.object({ role: z.string(), content: z.string() })),
})
const embed = z.object({ input: z.union([z.string().transform((text) => [text]), z.array(z.string())]) })

/** Says the first sentence of every passage, each with its citation. */
export function quoteAll({ passages }: Prompted): string {
  return passages.map(({ number, text }) => `${firstSentence(text)} [${number}: "${firstSentence(text)}"]`).join(' ')
}

export function firstSentence(text: string): string {
  return /^[\s\S]*?[.!?](?=\s|$)/.exec(text.trim())?.[0] ?? text.trim()
}

function readPrompt(body: z.infer<typeof chat>): Prompted {
  const { model, messages } = body
  const fenced = messages.find(({ role, content }) => role === 'user' && content.includes('<<'))?.content ?? ''
  const found = fenced.matchAll(/<<([0-9a-f]{16}) passage (\d+)>>[^\n]*\n([\s\S]*?)(?=\n*<<\1 )/g)
  return {
    model,
    body,
    messages,
    system: messages.find(({ role }) => role === 'system')?.content ?? '',
    question: messages.at(-1)?.content ?? '',
    passages: [...found].map(([, , number, text]) => ({ number: Number(number), text: text ?? '' })),
  }
}

export async function startScriptedFleet(): Promise<ScriptedFleet> {
  let cut = 0
  const fleet = {
    url: '',
    prompted: [] as Prompted[],
    embedded: [] as string[],
    script: quoteAll,
    atHalf: (): Promise<void> | void => undefined,
    atWhole: (): Promise<void> | void => undefined,
    atEmbedding: (): Promise<void> | void => undefined,
    embedBuild: '',
    embeds: true,
    means: (text: string): string => text,
    breaksAtHalf: false,
    get cut() {
      return cut
    },
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
  const answerChat = async (outgoing: ServerResponse, body: unknown): Promise<void> => {
    const request = chat.parse(body)
    const { model } = request
    if (!names.has(model)) return sendJson(outgoing, 404, { error: `model "${model}" not found, try pulling it first` })
    const prompted = readPrompt(request)
    fleet.prompted.push(prompted)
    outgoing.on('close', () => (cut += outgoing.writableFinished ? 0 : 1))
    const text = fleet.script(prompted)
    const [first, second] = [text.slice(0, text.length / 2), text.slice(text.length / 2)]
    if (!request.stream) {
      await fleet.atWhole()
      return sendJson(outgoing, 200, { ...said(model, text), ...ended })
    }
    outgoing.writeHead(200, { 'content-type': 'application/x-ndjson' })
    outgoing.write(`${JSON.stringify({ ...said(model, first), done: false })}\n`)
    await fleet.atHalf()
    if (fleet.breaksAtHalf) return void outgoing.socket?.end()
    if (second !== '') outgoing.write(`${JSON.stringify({ ...said(model, second), done: false })}\n`)
    outgoing.end(`${JSON.stringify({ ...said(model, ''), ...ended })}\n`)
  }
  const answerEmbed = async (outgoing: ServerResponse, body: unknown): Promise<void> => {
    const { input } = embed.parse(body)
    await fleet.atEmbedding()
    if (!fleet.embeds) return sendJson(outgoing, 500, { error: 'the embedder is down' })
    fleet.embedded.push(...input)
    const embeddings = (await hashEmbedder(input.map(fleet.means), dimensions)).map((vector) => [...vector])
    sendJson(outgoing, 200, { model: embedModel, embeddings, prompt_eval_count: input.length })
  }
  const server = createServer((incoming, outgoing) => void answer(incoming, outgoing))
  const answer = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const path = incoming.url ?? ''
    const body: unknown = chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString())
    if (path === '/api/chat') await answerChat(outgoing, body)
    else if (path === '/v1/chat/completions') await answerCompletion(outgoing, chat.parse(body), fleet)
    else if (path === '/api/generate') answerLoad(outgoing, body)
    else if (path === '/api/embed') await answerEmbed(outgoing, body)
    else if (path === '/api/show') sendJson(outgoing, 200, shown(z.object({ model: z.string() }).parse(body).model))
    else {
      const list = listed(path, fleet)
      sendJson(outgoing, list === null ? 404 : 200, list ?? { error: 'not here' })
    }
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return Object.assign(fleet, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` })
}

/** Of `/api/generate` loading alone is known here. */
function answerLoad(outgoing: ServerResponse, body: unknown): void {
  const { data } = z.object({ model: z.string(), prompt: z.literal('').optional() }).safeParse(body)
  if (data === undefined) sendJson(outgoing, 404, { error: 'not here' })
  else sendJson(outgoing, 200, loaded(data.model))
}

/** OpenAI's stream of the same script; the second half of an answer waits for `atHalf`, as that of Ollama's own. */
async function answerCompletion(outgoing: ServerResponse, request: z.infer<typeof chat>, fleet: ScriptedFleet): Promise<void> {
  if (!names.has(request.model))
    return sendJson(outgoing, 404, { error: { message: `model "${request.model}" not found`, code: 'model_not_found' } })
  const prompted = readPrompt(request)
  fleet.prompted.push(prompted)
  const text = fleet.script(prompted)
  const frame = (part: object): string =>
    `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: request.model, ...part })}\n\n`
  const delta = (content: string): string => frame({ choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }] })
  outgoing.writeHead(200, { 'content-type': 'text/event-stream' })
  outgoing.write(delta(text.slice(0, text.length / 2)))
  await fleet.atHalf()
  outgoing.write(delta(text.slice(text.length / 2)))
  outgoing.write(frame({ choices: [{ index: 0, delta: { content: '' }, finish_reason: 'stop' }] }))
  outgoing.write(frame({ choices: [], usage: { prompt_tokens: 300, completion_tokens: 20, total_tokens: 320 } }))
  outgoing.end('data: [DONE]\n\n')
}

/** Of a request that only loads. */
function loaded(model: string): object {
  return { model, created_at: '2026-11-01T00:00:00Z', response: '', done: true, done_reason: 'load' }
}

function sendJson(outgoing: ServerResponse, status: number, value: object): void {
  const body = Buffer.from(JSON.stringify(value))
  outgoing.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'content-length': String(body.length) }).end(body)
}

function said(model: string, content: string): object {
  return { model, created_at: '2026-11-22T16:56:09Z', message: { role: 'assistant', content } }
}

const ended = {
  done: true,
  done_reason: 'stop',
  // So long that every layer of the cache keeps it.
  total_duration: 5_000_000_000,
  load_duration: 1_000_000,
  prompt_eval_count: 300,
  prompt_eval_duration: 20_000_000,
  eval_count: 20,
  eval_duration: 4_000_000_000,
}

function shown(model: string): object {
  const isEmbedder = model.startsWith('nomic')
  return {
    details: { family: 'test' },
    model_info: { 'general.architecture': 'test', 'test.context_length': contextTokens },
    capabilities: isEmbedder ? ['embedding'] : ['completion'],
  }
}

/** As clients write them. */
const names: ReadonlySet<string> = new Set([chatModel, otherModel].flatMap((name) => [name, name.replace(':latest', '')]))

/** What GET of `path` is answered; null: there is no such path. */
function listed(path: string, { embedBuild }: Pick<ScriptedFleet, 'embedBuild'>): object | null {
  if (path === '/api/version') return { version: '0.33.0' }
  if (path !== '/api/tags' && path !== '/api/ps') return null
  const models = [chatModel, otherModel, embedModel].map((name) => ({
    name,
    model: name,
    modified_at: '2026-11-01T00:00:00Z',
    size: 1_000,
    size_vram: 1_000,
    expires_at: '2099-01-01T00:00:00Z',
    digest: digestOf(name === embedModel ? `${embedBuild}${name}` : name),
    details: { family: 'test' },
  }))
  return { models }
}

function digestOf(build: string): string {
  return Buffer.from(build).toString('hex').padEnd(64, '0').slice(0, 64)
}
