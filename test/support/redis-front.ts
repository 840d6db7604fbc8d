/** A way to a Redis that a test can make slow, cut, or lose answers on. It ends with the test. */
import { connect, createServer, type Socket } from 'node:net'

import { onTestFinished } from 'vitest'

import { systemClock } from '../../src/base/clock.ts'

export interface RedisFront {
  readonly port: number
  delayMs: number
  /** What Redis answers is dropped and the connection cut. */
  losing: boolean
  cut(): void
}

export async function startRedisFront(port: number): Promise<RedisFront> {
  const sockets = new Set<Socket>()
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
    sockets.clear()
  }
  const server = createServer((client) => {
    const upstream = connect({ port, host: '127.0.0.1' })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
    }
    client.on('close', () => upstream.destroy())
    client.pipe(upstream)
    upstream.on('close', () => client.destroy())
    upstream.on('data', (data) => {
      if (front.losing) client.destroy()
      else if (front.delayMs === 0) client.write(data)
      else systemClock.after(front.delayMs, () => client.write(data))
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  onTestFinished(() => {
    cut()
    server.close()
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const front: RedisFront = { port: address.port, delayMs: 0, losing: false, cut }
  return front
}
