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
  post(path: string, body: Readonly<Record<string, unknown>>): Promise<Response>
}

async function start(limits: Readonly<Record<string, unknown>>): Promise<Running> {
  const herd = await createHerd({ speed: 50, nodes: 1 })
  const [sim] = herd.nodes
  if (sim === undefined) throw new Error('no node')
  const config = configSchema.parse({
    http: { host: '127.0.0.1', port: 0 },
    fleet: { nodes: [{ url: sim.url, name: sim.name }] },
    observe: { log: { level: 'silent', access: false } },
    cache: { enabled: false },
    limits,
  })
  const app = createApp({ config, clock: systemClock, version: '0.0.0-test' })
  const { port } = await app.listen()
  onTestFinished(async () => {
    await app.close(0)
    await herd.close()
  })
  await until(() => app.fleet.nodes.every((node) => node.modelsKnown), 'the node was probed')
  const post = (path: string, body: Readonly<Record<string, unknown>>): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'llama3.2:3b', ...body }),
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
  const { post } = await start({ tenant: { concurrency: 1 } })
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
