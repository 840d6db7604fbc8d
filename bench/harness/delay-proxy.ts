/** A TCP road with a delay that can be changed: what is sent arrives that much later, in order. For a slow network before a server. */
import { connect, createServer, type Socket } from 'node:net'

import { systemClock } from '../../src/base/clock.ts'
import { portOf } from './port-of.ts'

export interface DelayProxy {
  readonly port: number
  /** Each way from now on, in ms. */
  delayMs: number
  stop(): Promise<void>
}

export async function startDelayProxy(targetPort: number): Promise<DelayProxy> {
  const sockets = new Set<Socket>()
  const state = { delayMs: 0 }
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from)
    from.on('data', (bytes: Buffer) => {
      if (state.delayMs === 0) to.write(bytes)
      else systemClock.after(state.delayMs, () => to.write(bytes), true)
    })
    from.on('error', () => from.destroy())
    from.on('close', () => {
      sockets.delete(from)
      to.destroy()
    })
  }
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    pass(client, upstream)
    pass(upstream, client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: portOf(server),
    get delayMs() {
      return state.delayMs
    },
    set delayMs(ms) {
      state.delayMs = ms
    },
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}
