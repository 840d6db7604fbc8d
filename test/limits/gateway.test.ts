// Limits through the whole gateway: what is refused never reaches a node, and each dialect hears it in its own words with the same headers.
import { expect, onTestFinished, test } from 'vitest'

import { createApp } from '../../src/app.ts'
import { systemClock } from '../../src/base/clock.ts'
import { configSchema } from '../../src/config/schema.ts'
import { createHerd } from '../../src/sim/herd.ts'
import type { SimNode } from '../../src/sim/node.ts'
import { until } from '../support/gateway.ts'

interface Running {
  readonly sim: SimNode
  post(path: string, body: Readonly<Record<string, unknown>>, signal?: AbortSignal): Promise<Response>
}

async function start(limits: Readonly<Record<string, unknown>>, speed = 50): Promise<Running> {
  const herd = await createHerd({ speed, nodes: 1 })
  const [sim] = herd.nodes
  if (sim === undefined) throw new Error('no node')
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    fleet: { nodes: [{ url: sim.url, name: sim.name }] },
    observe: { log: { level: 'silent', access: false } },
    cache: { enabled: false },
    limits,
  })
  const app = await createApp({ config, clock: systemClock, version: '0.0.0-test' })
  const { port } = await app.listen()
  onTestFinished(async () => {
    await app.close(0)
    await herd.close()
  })
  await until(() => app.fleet.nodes.every((node) => node.modelsKnown), 'the node was probed')
  const post = (path: string, body: Readonly<Record<string, unknown>>, signal: AbortSignal | null = null): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'llama3.2:3b', ...body }),
      signal,
    })
  return { sim, post }
}

const messages = [{ role: 'user', content: 'Say hello.' }]
/** Requests to inference routes as the node counted them. */
function answersBy(sim: SimNode): Readonly<Record<string, number>> {
  const { byPath } = sim.stats()
  return Object.fromEntries(Object.entries(byPath).filter(([path]) => inference.has(path)))
}

const inference = new Set(['/api/chat', '/api/generate', '/v1/chat/completions', '/v1/messages'])

// The node also gets one empty /api/generate: the fleet loads a cold model before its first request.
test.each([
  ['/api/chat', { messages }],
  ['/api/generate', { prompt: 'Say hello.', stream: false }],
  ['/v1/chat/completions', { messages, stream: true }],
  ['/v1/messages', { messages, max_tokens: 20 }],
])('a request over the limit never reaches a node: %s', async (path, body) => {
  const { sim, post } = await start({ tenant: { requestsPerMinute: 2 } })
  for (const remaining of ['1', '0']) {
    const passed = await post(path, body)
    expect(passed.status).toBe(200)
    expect(passed.headers.get('x-ratelimit-remaining-requests')).toBe(remaining)
    expect(passed.headers.get('ratelimit-policy')).toBe('"requests";q=2;w=60')
    await passed.text()
  }
  const before = answersBy(sim)
  expect(before[path]).toBe(path === '/api/generate' ? 3 : 2)
  const refused = await Promise.all(Array.from({ length: 20 }, () => post(path, body)))
  for (const response of refused) {
    expect(response.status).toBe(429)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(20)
    expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(await response.text()).toContain("the tenant's limit of 2 requests per minute is reached")
  }
  expect(answersBy(sim)).toEqual(before)
})

test('a stream is charged with what the node reports at its end', async () => {
  const { post } = await start({ tenant: { tokensPerMinute: 600 } })
  const response = await post('/api/chat', { messages, options: { num_predict: 30 } })
  const lines = (await response.text()).trim().split('\n')
  const last: unknown = JSON.parse(lines.at(-1) ?? '')
  const used = tokenCount(last, 'prompt_eval_count') + tokenCount(last, 'eval_count')
  expect(used).toBeGreaterThan(25)
  const next = await post('/api/generate', { keep_alive: '5m' })
  const missing = 600 - Number(next.headers.get('x-ratelimit-remaining-tokens'))
  expect(missing).toBeLessThanOrEqual(used + 1)
  expect(missing).toBeGreaterThan(used - 20)
  await next.text()
})

function tokenCount(line: unknown, name: string): number {
  const value: unknown = typeof line === 'object' && line !== null ? Reflect.get(line, name) : undefined
  return typeof value === 'number' ? value : 0
}

test('places under way are given back when the client leaves', async () => {
  const { post } = await start({ tenant: { concurrency: 1 } }, 10)
  const first = await post('/api/chat', { messages, options: { num_predict: 5_000 } })
  const refused = await post('/api/chat', { messages })
  expect(refused.status).toBe(429)
  expect(await refused.text()).toContain('1 requests at once')
  await first.body?.cancel()
  await expect
    .poll(
      async () => {
        const { status, body } = await post('/api/chat', { messages, options: { num_predict: 1 } })
        await body?.cancel()
        return status
      },
      { timeout: 5_000 },
    )
    .toBe(200)
})

/** Reads until `frames` frames are there, then leaves. */
async function leaveAfter(response: Response, frames: number): Promise<void> {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  for (let text = ''; text.split('\n').filter((line) => line !== '').length < frames;) {
    const piece = await reader?.read()
    if (piece === undefined || piece.done) throw new Error('the stream ended first')
    text += decoder.decode(piece.value, { stream: true })
  }
  await reader?.cancel()
}

/** What a request is told that costs nothing itself. */
async function refusalOf(post: Running['post']): Promise<string> {
  let text = ''
  const status = async (): Promise<number> => {
    const response = await post('/api/show', {})
    text = await response.text()
    return response.status
  }
  await expect.poll(status, { timeout: 5_000 }).toBe(429)
  return text
}

/** Makes the node decode 300 tokens a second: 15 frames take 50 ms. */
const slow = 5
const gpuBudget = { tenant: { gpuSecondsPerDay: 0.015 } }

test.each([
  ['/api/chat', { messages, options: { num_predict: 5_000 } }],
  ['/api/generate', { prompt: 'Count.', options: { num_predict: 5_000 } }],
  ['/v1/chat/completions', { messages, stream: true, max_tokens: 5_000 }],
  ['/v1/messages', { messages, stream: true, max_tokens: 5_000 }],
])('a client that leaves before the last frame has used its GPU budget: %s', async (path, body) => {
  const { post } = await start(gpuBudget, slow)
  await leaveAfter(await post(path, body), 15)
  expect(await refusalOf(post)).toContain("the tenant's budget of 0.015 GPU seconds per day is used up")
})

test('a client that leaves before a whole answer has used its GPU budget', async () => {
  const { sim, post } = await start(gpuBudget, slow)
  const leaves = new AbortController()
  const asked = post('/api/chat', { messages, stream: false, options: { num_predict: 5_000 } }, leaves.signal)
  await until(() => answersBy(sim)['/api/chat'] === 1, 'the node was asked')
  await systemClock.sleep(30)
  leaves.abort()
  await expect(asked).rejects.toThrow('abort')
  expect(await refusalOf(post)).toContain('budget')
})

test('an answer in a shape that tells no times has used GPU time all the same', async () => {
  const { post } = await start(gpuBudget, slow)
  await (await post('/v1/chat/completions', { messages, max_tokens: 200 })).text()
  expect(await refusalOf(post)).toContain('budget')
})
