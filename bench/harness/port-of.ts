/** The port a listening server was given by the kernel. */
import type { Server } from 'node:net'

/** Throws when `server` does not listen on TCP: a bug of the bench. */
export function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on a TCP port')
  return address.port
}
