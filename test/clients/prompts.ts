/** Models, prompts and one tool that the client tests share, and what tells on which node a request ran. */
import { once } from 'node:events'

import { expect } from 'vitest'
import type { SimNode } from '../../src/sim/node.ts'
import { until } from '../support/gateway.ts'

export const chatModel = 'llama3.2:3b'
export const thinkingModel = 'qwen3:8b'
export const embedModel = 'all-minilm'
export const unknownModel = 'no-such-model:1b'

export const userMessage = { role: 'user', content: 'How do herds find water?' } as const

const required: string[] = ['city']
export const weatherParameters = { type: 'object' as const, properties: { city: { type: 'string' as const } }, required }
export const weatherTool = {
  type: 'function',
  function: { name: 'get_weather', description: 'The weather of a city', parameters: weatherParameters },
} as const

/** All parts of a stream. */
export async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const parts: T[] = []
  for await (const part of stream) parts.push(part)
  return parts
}

/** Waits until some node has a request of `path` under way, and returns that node. */
export async function busyNode(sims: readonly SimNode[], path: string): Promise<SimNode> {
  const working = (): SimNode | undefined => sims.find((sim) => (sim.stats().byPath[path] ?? 0) > 0 && sim.stats().inFlight > 0)
  await until(() => working() !== undefined, `a node works on ${path}`)
  const found = working()
  if (found === undefined) throw new Error('the node ended its work meanwhile')
  return found
}

/** Resolves when `node` has seen a client leave; fails when that is not within 100 ms of the abort of `leaving`. */
export async function expectCancel(node: SimNode, leaving: AbortSignal): Promise<void> {
  const before = node.stats().aborted
  if (!leaving.aborted) await once(leaving, 'abort')
  const startMs = performance.now()
  await until(() => node.stats().aborted > before, 'the node sees the client leave')
  expect(performance.now() - startMs).toBeLessThan(100)
}
