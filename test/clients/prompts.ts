/** Models, prompts and one tool that the client tests share, and what tells on which node a request ran. */
import { setTimeout as delay } from 'node:timers/promises'

import { expect } from 'vitest'
import type { SimNode } from '../../src/sim/node.ts'
import { until } from '../support/gateway.ts'

export const chatModel = 'llama3.2:3b'
export const thinkingModel = 'qwen3:8b'
export const embedModel = 'all-minilm'
export const unknownModel = 'no-such-model:1b'

export const userMessage = { role: 'user', content: 'How do herds find water?' } as const

export const weatherParameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } as const
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

/** Milliseconds until `node` sees a client leave; fails when that takes longer than `withinMs`. */
export async function expectCancel(node: SimNode, abortedBefore: number, withinMs = 100): Promise<void> {
  const startMs = performance.now()
  while (node.stats().aborted <= abortedBefore && performance.now() - startMs < 2_000) await delay(1)
  expect(performance.now() - startMs).toBeLessThan(withinMs)
}
