// What `/admin/usage` sums up is, to the token, what the nodes report in the answers that were used: on every dialect, streamed and whole, shared and
// cached. What the gateway sends to a second node on its own account is counted once, whichever of the two answers comes first.
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import { PassThrough } from 'node:stream'

import { expect, onTestFinished, test } from 'vitest'

import { scopes } from '../../src/core/principal.ts'
import type { SimNode, SimNodeOptions } from '../../src/sim/node.ts'
import { start } from '../fleet/ask.ts'
import { type KeyedGateway, startKeyedHerd } from '../identity/keyed-herd.ts'
import { until } from '../support/gateway.ts'

const chatModel = 'llama3.2:3b'
const embedModel = 'nomic-embed-text'
const prompt = (text: string) => [{ role: 'user', content: text }]
const told = { stream_options: { include_usage: true } }

interface Heard {
  readonly path: string
  /** What was asked. */
  readonly asked: string
  text: string
}

/** Reads what passes between the gateway and its nodes, and keeps each answer with what it answers. */
class Listener {
  readonly answers: Heard[] = []
  /** The next embedding of such a text is answered by its node at once; the gateway gets the answer when `until` resolves. */
  holdsNext: { readonly text: string; readonly until: Promise<void> } | null = null

  /** Where the gateway finds the node of `url`. */
  readonly before = async (url: string): Promise<string> => {
    const server = createServer((incoming, outgoing) => {
      const path = incoming.url ?? ''
      const sent: Buffer[] = []
      incoming.on('data', (data: Buffer) => sent.push(data))
      const asked = httpRequest(url + path, { method: incoming.method, headers: incoming.headers }, (answer) => {
        const kept = { path, asked: Buffer.concat(sent).toString(), text: '' }
        this.answers.push(kept)
        answer.on('data', (data: Buffer) => (kept.text += data.toString('latin1')))
        answer.on('error', () => outgoing.destroy())
        // Room for a whole answer, so that a held one is heard to its end.
        const passed = answer.pipe(new PassThrough({ highWaterMark: 10_000_000 }))
        const pass = (): void => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
          passed.pipe(outgoing)
        }
        const held = this.#takeHold(kept)
        if (held === null) pass()
        else void held.then(pass)
      })
      // Embeddings are computed to their end.
      outgoing.on('close', () => void (path === '/api/embed' || asked.destroy()))
      asked.on('error', () => outgoing.destroy())
      incoming.pipe(asked)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return `http://127.0.0.1:${address.port}`
  }

  #takeHold({ asked }: Heard): Promise<void> | null {
    const held = this.holdsNext
    if (held === null || !asked.includes(held.text)) return null
    this.holdsNext = null
    return held.until
  }

  /** What was reported, once for each request: a late part of a batch is asked of two nodes, and both may answer. */
  get reported(): Counted {
    return sum([...new Map(this.answers.map(({ path, asked, text }) => [path + asked, countsIn(text)])).values()])
  }
}

interface Counted {
  readonly prompt: number
  readonly output: number
}

function sum(counted: readonly Counted[]): Counted {
  return counted.reduce((one, other) => ({ prompt: one.prompt + other.prompt, output: one.output + other.output }), {
    prompt: 0,
    output: 0,
  })
}

/** What an answer reports, in any dialect: the last number of each name, for a stream tells its counts more than once. */
function countsIn(text: string): Counted {
  const last = (pattern: RegExp): number => Number([...text.matchAll(pattern)].at(-1)?.[1] ?? 0)
  return {
    prompt: last(/"(?:prompt_eval_count|prompt_tokens|input_tokens)":(\d+)/g),
    output: last(/"(?:eval_count|completion_tokens|output_tokens)":(\d+)/g),
  }
}

/** Requests on each route that works for somebody, whole and streamed, each of its own. */
const asked: readonly (readonly [string, object])[] = [
  ['/api/chat', { model: chatModel, messages: prompt('one') }],
  ['/api/chat', { model: chatModel, messages: prompt('two'), stream: false }],
  ['/api/generate', { model: chatModel, prompt: 'three' }],
  ['/api/generate', { model: chatModel, prompt: 'four', stream: false }],
  ['/api/embed', { model: embedModel, input: 'five' }],
  ['/api/embed', { model: embedModel, input: Array.from({ length: 60 }, (_, index) => `text ${index} of many`) }],
  ['/v1/chat/completions', { model: chatModel, messages: prompt('six'), max_tokens: 500 }],
  ['/v1/chat/completions', { model: chatModel, messages: prompt('seven'), max_tokens: 500, stream: true, ...told }],
  ['/v1/completions', { model: chatModel, prompt: 'eight', max_tokens: 500 }],
  ['/v1/completions', { model: chatModel, prompt: 'nine', max_tokens: 500, stream: true, ...told }],
  ['/v1/embeddings', { model: embedModel, input: ['ten', 'eleven'] }],
  ['/v1/responses', { model: chatModel, input: 'twelve' }],
  ['/v1/responses', { model: chatModel, input: 'thirteen', stream: true }],
  ['/v1/messages', { model: chatModel, messages: prompt('fourteen'), max_tokens: 500 }],
  ['/v1/messages', { model: chatModel, messages: prompt('fifteen'), max_tokens: 500, stream: true }],
]

async function listened(
  node: SimNodeOptions = { answerTokens: [10, 30] },
): Promise<{ gateway: KeyedGateway; listener: Listener; key: string; sims: readonly SimNode[] }> {
  const listener = new Listener()
  const { gateways, sims } = await startKeyedHerd({
    nodes: [node, node],
    beforeNode: listener.before,
    sections: { cache: { enabled: true } },
  })
  const [gateway] = gateways
  if (gateway === undefined) throw new Error('no gateway')
  return { gateway, listener, key: await gateway.key({ scopes }), sims }
}

async function usageOf(
  gateway: KeyedGateway,
  key: string,
): Promise<Counted & { readonly cachedRequests: number; readonly requests: number }> {
  const { usage } = JSON.parse((await gateway.ask('/admin/usage', key)).text)
  const [{ promptTokens, outputTokens, cachedRequests, requests }] = usage
  return { prompt: promptTokens, output: outputTokens, cachedRequests, requests }
}

test('usage is what the nodes reported, on every dialect, and again when answers come from the cache', async () => {
  const { gateway, listener, key } = await listened()
  const send = async (path: string, body: object): Promise<void> => {
    expect([path, (await gateway.ask(path, key, body)).status]).toEqual([path, 200])
  }
  await Promise.all(asked.map(([path, body]) => send(path, body)))
  const first = await usageOf(gateway, key)
  expect({ prompt: first.prompt, output: first.output }).toEqual(listener.reported)
  expect(first.requests).toBe(asked.length)
  expect(first.output).toBeGreaterThan(100)

  // Embeddings are cached as they are; all else is asked for with pinned sampling, twice.
  const pinned = asked.map(([path, body]): [string, object] => [path, { ...body, temperature: 0, options: { temperature: 0 } }])
  for (const [path, body] of pinned) await send(path, body)
  for (const [path, body] of pinned) await send(path, body)
  const then = await usageOf(gateway, key)
  expect({ prompt: then.prompt, output: then.output }).toEqual(listener.reported)
  expect(then.cachedRequests).toBeGreaterThanOrEqual(10)
})

test('one generation that many share is counted once', async () => {
  const { gateway, listener, key } = await listened()
  const same = { model: chatModel, messages: prompt('the same'), options: { seed: 1 } }
  const replies = await Promise.all(Array.from({ length: 12 }, () => gateway.ask('/api/chat', key, same)))
  expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 200))
  const used = await usageOf(gateway, key)
  expect({ prompt: used.prompt, output: used.output }).toEqual(listener.reported)
  expect(used.cachedRequests).toBe(11)
})

test('a part of a batch that two nodes answer, for the first one was late, is counted once', async () => {
  const { gateway, listener, key } = await listened()
  const { promise, resolve: release } = Promise.withResolvers<void>()
  listener.holdsNext = { text: 'line ', until: promise }
  const batch = { model: embedModel, input: Array.from({ length: 60 }, (_, index) => `line ${index} of many`) }
  expect((await gateway.ask('/api/embed', key, batch)).status).toBe(200)
  release()
  // One part was asked of both nodes, and both told what they had counted.
  await expect.poll(() => sum(listener.answers.map(({ text }) => countsIn(text))).prompt).toBeGreaterThan(listener.reported.prompt)
  const used = await usageOf(gateway, key)
  expect({ prompt: used.prompt, output: used.output }).toEqual(listener.reported)
  expect(used.requests).toBe(1)
})

test('a stream that its client cuts counts the frames that the node sent, and says that this is an estimate', async () => {
  const { gateway, listener, key, sims } = await listened({})
  for (const [path, body] of asked.slice(0, 4)) await gateway.ask(path, key, body)
  const whole = listener.reported
  // However late it is that the client leaves, the answer has not ended.
  for (const { control } of sims) control.set('hang-mid-stream', { path: '/api/chat', atFrame: 30 })
  const long = { model: chatModel, messages: prompt('a long one'), options: { num_predict: 5_000 } }
  const going = start(`${gateway.url}/api/chat`, long, { headers: { authorization: `Bearer ${key}` } })
  await going.head
  const framesSent = (): number =>
    listener.answers
      .findLast(({ path }) => path === '/api/chat')
      ?.text.split('\n')
      .filter((line) => line.includes('"done":false')).length ?? 0
  await until(() => framesSent() > 20, 'some frames were sent')
  going.leave()
  const cutRows = async () => {
    const { requests } = JSON.parse((await gateway.ask('/admin/requests/history?outcome=client_gone', key)).text)
    return requests
  }
  await expect.poll(async () => (await cutRows()).length).toBe(1)
  const [row] = await cutRows()
  expect(row).toMatchObject({ estimated: true, outcome: 'client_gone' })
  expect(row.outputTokens).toBeGreaterThan(0)
  expect(row.outputTokens).toBeLessThanOrEqual(framesSent())
  const used = await usageOf(gateway, key)
  expect({ prompt: used.prompt - row.promptTokens, output: used.output - row.outputTokens }).toEqual(whole)
})
