// What the playground gives to copy is run as it stands, by curl, Python, Node and a shell, and sends what the playground itself sends.
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'

import { beforeEach, expect, test } from 'vitest'

import { assistantWish } from '../../src/answer/assistant-wish.ts'
import { type ChatWish, requestFor } from '../../src/console/chat-request.ts'
import { snippetsFor } from '../../src/console/snippets.ts'
import { listen } from '../cli/ollama.ts'

interface Arrived {
  readonly method: string
  readonly path: string
  readonly key: string | undefined
  readonly body: Readonly<Record<string, unknown>>
}

const plain: ChatWish = {
  model: 'llama3.2:3b',
  collections: [],
  system: '',
  temperature: null,
  outputTokens: null,
  turns: [{ role: 'user', content: `What's "the" \\ $HOME?\nSay \`it\`.` }],
}
const full: ChatWish = { ...plain, system: "You're terse.", temperature: 0, outputTokens: 64 }
const cited: ChatWish = { ...full, collections: ['handbook', 'rules'] }

let origin: string
let arrived: Arrived[]
beforeEach(async () => {
  arrived = []
  const gateway = createServer((incoming, outgoing) => {
    let text = ''
    incoming.on('data', (chunk: Buffer) => (text += chunk.toString()))
    incoming.on('end', () => {
      const { method = '', url: path = '', headers } = incoming
      arrived.push({ method, path, key: headers.authorization, body: JSON.parse(text) })
      outgoing.end('{}\n')
    })
  })
  origin = await listen(gateway)
})

/** Runs a program that gets `text` on its input; what it prints. */
function run(program: string, args: readonly string[], text: string): Promise<string> {
  const child = spawn(program, args, { env: { PATH: process.env['PATH'] ?? '', CORRAL_API_KEY: 'the-key', HOME: '/nowhere' } })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  child.stdin.end(text)
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(err))))
  })
}

function textOf(name: string, wish: ChatWish, needsKey = true): string {
  return snippetsFor(wish, { origin, needsKey }).find((snippet) => snippet.name === name)?.text ?? ''
}

const wishes = [
  ['a question alone', plain],
  ['prompt, temperature and limit', full],
  ['documents too', cited],
] as const

const ways = [
  ['curl', 'bash', ['-e']],
  ['Python', 'python3', ['-']],
  ['JavaScript', process.execPath, ['--input-type=module', '-']],
] as const

test.each(ways.flatMap(([name, program, args]) => wishes.map(([what, wish]) => ({ name, program, args, what, wish }))))(
  '$name sends the request of the playground: $what',
  async ({ name, program, args, wish }) => {
    const { path, body } = requestFor(wish)
    await run(program, args, textOf(name, wish))
    await run(program, args, textOf(name, wish, false))
    const sent = { method: 'POST', path, body }
    expect(arrived).toEqual([
      { ...sent, key: 'Bearer the-key' },
      { ...sent, key: undefined },
    ])
  },
)

/** A shell in which `ollama` says how it was called. */
const inShell = (text: string): Promise<string> => run('bash', ['-e'], `ollama() { printf '%s\\0' "$OLLAMA_HOST" "$@"; }\n${text}`)

test("ollama: a question alone is what Ollama's client takes", async () => {
  expect(await inShell(textOf('ollama', plain))).toBe([`${origin}/k/the-key`, 'run', plain.model, plain.turns[0]?.content, ''].join('\0'))
  expect(arrived).toEqual([])
})

test("ollama: what its client has no flags for goes to Ollama's own API", async () => {
  await inShell(textOf('ollama', full))
  const { body } = requestFor(full)
  const messages = 'messages' in body ? body.messages : []
  const options = { temperature: 0, num_predict: 64 }
  const sent = { model: full.model, messages, options }
  expect(arrived).toEqual([{ method: 'POST', path: '/api/chat', key: 'Bearer the-key', body: sent }])
  await inShell(textOf('ollama', { ...plain, temperature: 1 }))
  expect(arrived[1]?.body).toMatchObject({ options: { temperature: 1 } })
})

test('ollama: with documents an assistant has the model, the prompt and the settings', async () => {
  const called = await inShell(textOf('ollama', cited))
  const [host, ...args] = called.split('\0')
  expect(host?.endsWith(`${origin}/k/the-key`)).toBe(true)
  expect(args).toEqual(['run', 'playground', cited.turns[0]?.content, ''])
  expect(arrived.map(({ method, path }) => `${method} ${path}`)).toEqual(['PUT /rag/assistants/playground'])
  const assistant = assistantWish.parse(arrived[0]?.body)
  const { collections, model, system, temperature, outputTokens } = cited
  expect(assistant).toMatchObject({ collections, model, prompt: system, settings: { temperature, outputTokens } })
})
