/** Connections that make one request and then stay silent: a herd of clients at rest. */
import { connect } from 'node:net'
import type { Socket } from 'node:net'

const openAtOnce = 100

export class IdleConnections {
  readonly #sockets = new Set<Socket>()

  /** Connections the server has not closed. */
  get count(): number {
    return this.#sockets.size
  }

  /** Opens `count` more connections, some at a time; resolves when each has had its answer. */
  async open(target: { readonly port: number; readonly count: number }): Promise<number> {
    let left = target.count
    const worker = async (): Promise<void> => {
      while (left > 0) {
        left -= 1
        await this.#one(target.port)
      }
    }
    await Promise.all(Array.from({ length: openAtOnce }, worker))
    return this.count
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #one(port: number): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ port, host: '127.0.0.1' })
      this.#sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        resolve()
      })
      socket.on('data', () => resolve())
      socket.write(`GET / HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`)
    })
  }
}
