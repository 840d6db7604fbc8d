// Replicas that are well by their health check and die of each other request, when they have read it and before they answer.
import { createServer } from 'node:http'

import { listen } from '../cli/ollama.ts'

export interface DyingReplicas {
  readonly ports: readonly number[]
  /** Requests that any of them read, without those for their health. */
  received(): number
}

export async function startDyingReplicas(count: number): Promise<DyingReplicas> {
  let received = 0
  const ports = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer((incoming, answer) => {
        if (incoming.url === '/readyz') return void answer.end('ready')
        incoming.resume().once('end', () => {
          received += 1
          incoming.socket.destroy()
        })
      })
      return Number(new URL(await listen(server)).port)
    }),
  )
  return { ports, received: () => received }
}
