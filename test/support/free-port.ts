/**
 * A port of loopback for a server of a test that cannot choose one itself. It lies below those that the system gives to connections (from 32,768 on
 * Linux): else one of them, of another test, takes it before the server does.
 */
import { once } from 'node:events'
import { createServer } from 'node:net'

const lowest = 18_000
const ports = 14_000

/** Ports that are tried; where so many are taken something else is wrong. */
const triesMax = 100

export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = lowest + Math.floor(Math.random() * ports)
    const server = createServer()
    const isFree = await once(server.listen(port, '127.0.0.1'), 'listening').then(
      () => true,
      () => false,
    )
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
  throw new Error(`none of ${triesMax} ports from ${lowest} on is free`)
}
