/**
 * A port of loopback for a server of a test that cannot choose one itself. It lies below those that the system gives to connections (from 32,768 on
 * Linux): else one of them, of another test, takes it before the server does.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const lowest = 18_000
const ports = 14_000

export async function freePort(): Promise<number> {
  for (;;) {
    const port = lowest + Math.floor(Math.random() * ports)
    const server = createServer()
    const taken = once(server, 'error')
    const bound = once(server.listen(port, '127.0.0.1'), 'listening')
    const isFree = await Promise.race([bound.then(() => true), taken.then(() => false)])
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}
