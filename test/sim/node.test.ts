/**
 * The simulated node by itself: what a gateway's tests and benchmarks rely on.
 */
import { afterEach, describe, expect, it } from 'vitest'
import { listOf, numberOf, objectOf, textOf, type JsonObject } from '../../src/sim/json-value.ts'
import { createSimNode, type SimNode, type SimNodeOptions } from '../../src/sim/node.ts'

const nodes: SimNode[] = []

async function start(options: SimNodeOptions = {}): Promise<SimNode> {
  const node = await createSimNode({ speed: 50, ...options })
  nodes.push(node)
  return node
}

afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.close()))
})

function post(node: SimNode, path: string, body: object): Promise<Response> {
  return fetch(node.url + path, { method: 'POST', body: JSON.stringify(body) })
}

async function json(response: Response | Promise<Response>): Promise<JsonObject> {
  return JSON.parse(await (await response).text()) as JsonObject
}

async function lines(response: Response): Promise<string[]> {
  return (await response.text()).split('\n').filter((line) => line !== '')
}

const chat = { model: 'llama3.2:3b', messages: [{ role: 'user', content: 'Tell me of herds.' }], options: { num_predict: 6 } }

describe('a simulated node', () => {
  it('streams a chat as one line per token and a last line with its times', async () => {
    const node = await start()
    const response = await post(node, '/api/chat', chat)
    expect(response.headers.get('content-type')).toBe('application/x-ndjson')
    const all = await lines(response)
    expect(all).toHaveLength(7)
    expect(JSON.parse(all.at(-1) ?? '')).toMatchObject({ done: true, done_reason: 'length', eval_count: 6 })
  })

  it('gives the same text for the same request on another node', async () => {
    const [one, other] = [await start({ name: 'one' }), await start({ name: 'other' })]
    const texts = await Promise.all(
      [one, other].map(async (node) =>
        textOf(objectOf((await json(post(node, '/api/chat', { ...chat, stream: false })))['message'])['content']),
      ),
    )
    expect(texts[0]).toBe(texts[1])
    expect(texts[0]).not.toBe('')
  })

  it('queues silently behind the only slot and shows the wait as the rest of the durations', async () => {
    const node = await start({ speed: 1, decodeTokensPerSecond: 100, models: [{ ...fastModel, loadMs: 1 }] })
    await post(node, '/api/generate', { model: 'fast:latest' })
    const times = await Promise.all(
      [1, 2, 3].map(async (number) => {
        const response = await post(node, '/api/generate', {
          model: 'fast',
          prompt: `${number}`,
          stream: false,
          options: { num_predict: 5 },
        })
        const answer = await json(response)
        const spent = ['load_duration', 'prompt_eval_duration', 'eval_duration'].reduce((sum, key) => sum + numberOf(answer[key]), 0)
        return (numberOf(answer['total_duration']) - spent) / 1e6
      }),
    )
    const sorted = times.toSorted((one, other) => one - other)
    expect(sorted[0]).toBeLessThan(45)
    expect(sorted[2]).toBeGreaterThan(70)
    expect(node.stats().peakInFlight).toBe(3)
  })

  it('refuses with 503 when the queue for cold models is full', async () => {
    const node = await start({ maxQueue: 1, speed: 1, models: [{ ...fastModel, loadMs: 100 }] })
    const statuses = await Promise.all(
      [1, 2, 3, 4].map(async () => (await post(node, '/api/generate', { model: 'fast', prompt: 'x', options: { num_predict: 1 } })).status),
    )
    expect(statuses.toSorted((one, other) => one - other)).toEqual([200, 200, 503, 503])
  })

  it('evicts the least recently used model when no more may be loaded', async () => {
    const node = await start({ maxLoadedModels: 1 })
    await post(node, '/api/generate', { model: 'llama3.2:3b' })
    await post(node, '/api/embed', { model: 'all-minilm', input: 'x' })
    const loaded = await json(fetch(`${node.url}/api/ps`))
    expect(listOf(loaded['models']).map((model) => textOf(objectOf(model)['name']))).toEqual(['all-minilm:latest'])
    expect(node.stats()).toMatchObject({ loads: 2, unloads: 1 })
  })

  it('reloads when the context length changes', async () => {
    const node = await start()
    for (const length of [1024, 2048, 1024])
      await (await post(node, '/api/chat', { ...chat, options: { num_ctx: length, num_predict: 1 } })).text()
    expect(node.stats().loads).toBe(3)
  })

  it('computes a known prefix at once', async () => {
    const node = await start({ speed: 1, prefillTokensPerSecond: 1000, decodeTokensPerSecond: 1000, models: [{ ...fastModel, loadMs: 1 }] })
    const body = { model: 'fast', prompt: 'word '.repeat(300), stream: false, options: { num_predict: 1 } }
    const first = await json(post(node, '/api/generate', body))
    const second = await json(post(node, '/api/generate', body))
    expect(second['prompt_eval_count']).toBe(first['prompt_eval_count'])
    expect(numberOf(first['prompt_eval_duration']) / 1e6).toBeGreaterThan(300)
    expect(numberOf(second['prompt_eval_duration']) / 1e6).toBeLessThan(20)
  })

  it('frees the slot when a client leaves', async () => {
    const node = await start({ speed: 1, decodeTokensPerSecond: 50 })
    const leaving = new AbortController()
    const response = await fetch(`${node.url}/api/chat`, {
      method: 'POST',
      body: JSON.stringify({ ...chat, options: { num_predict: 5000 } }),
      signal: leaving.signal,
    })
    await response.body?.getReader().read()
    leaving.abort()
    const next = await post(node, '/api/chat', { ...chat, options: { num_predict: 1 } })
    expect((await lines(next)).length).toBe(2)
    expect(node.stats().aborted).toBe(1)
  })

  it('loses no slot and no socket when clients leave at random moments', async () => {
    const node = await start({ speed: 1, prefillTokensPerSecond: 5_000, decodeTokensPerSecond: 500, models: [{ ...fastModel, loadMs: 1 }] })
    await post(node, '/api/generate', { model: 'fast:latest' })
    await Promise.all(
      Array.from({ length: 120 }, async (_, number) => {
        const body = JSON.stringify({ model: 'fast', prompt: `${number} ${'word '.repeat(number)}`, options: { num_predict: 40 } })
        const leave = AbortSignal.timeout(5 + ((number * 37) % 400))
        await fetch(`${node.url}/api/generate`, { method: 'POST', body, signal: leave })
          .then(
            (response) => response.text(),
            () => '',
          )
          .catch(() => '')
      }),
    )
    await expect.poll(() => node.stats()).toMatchObject({ inFlight: 0, leakedSockets: 0 })
    expect((await lines(await post(node, '/api/generate', { model: 'fast', prompt: 'x', options: { num_predict: 2 } }))).length).toBe(3)
  })

  it('gives unit vectors that depend on the text alone', async () => {
    const [one, other] = [await start(), await start({ name: 'other' })]
    const [first, second] = await Promise.all(
      [one, other].map(async (node) =>
        listOf((await json(post(node, '/api/embed', { model: 'all-minilm', input: ['grass', 'sky'] })))['embeddings']),
      ),
    )
    expect(first).toEqual(second)
    const vector = listOf(first?.[0]).map((value) => numberOf(value))
    expect(vector).toHaveLength(384)
    expect(Math.hypot(...vector)).toBeCloseTo(1, 5)
  })

  it('comes back on the same port after a kill with nothing loaded', async () => {
    const node = await start()
    await post(node, '/api/generate', { model: 'llama3.2:3b' })
    await node.kill()
    await expect(fetch(`${node.url}/api/version`)).rejects.toThrow()
    await node.restart()
    expect(await json(fetch(`${node.url}/api/ps`))).toEqual({ models: [] })
  })
})

const fastModel = {
  name: 'fast:latest',
  sizeBytes: 1e9,
  family: 'llama',
  parameterSize: '1B',
  quantization: 'Q4_0',
  contextLength: 8192,
  capabilities: ['completion'] as const,
  loadMs: 100,
}
