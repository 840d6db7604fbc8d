/** Routes of a gateway's documents on a server of their own, by a clock that the test moves. */
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import type { AddressInfo, Socket } from 'node:net'
import { onTestFinished } from 'vitest'

import { openGuard } from '../../src/http/auth/guard.ts'
import type { RagDeps } from '../../src/http/rag/rag-deps.ts'
import type { NodeBindings } from '../../src/http/server.ts'
import type { HandClock } from '../identity/fixture.ts'
import type { RagGateway } from './rag-gateway.ts'

export interface Listening {
  readonly port: number
  /** Bytes that arrived. */
  readonly bytesRead: () => number
}

/** Ends with the test. */
export async function listenByHand(
  gateway: RagGateway,
  clock: HandClock,
  mount: (app: Hono<NodeBindings>, deps: RagDeps) => void,
): Promise<Listening> {
  const { rag } = gateway.app
  if (rag === null) throw new Error('no documents')
  const nothing = (): void => undefined
  const app = new Hono<NodeBindings>()
  mount(app, {
    service: rag,
    database: rag.database,
    clock,
    newId: () => 'id',
    guard: openGuard,
    onChange: nothing,
    onWarning: nothing,
    onBug: nothing,
  })
  const server = createAdaptorServer({ fetch: app.fetch })
  const sockets: Socket[] = []
  server.on('connection', (socket: Socket) => sockets.push(socket))
  onTestFinished(() => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, bytesRead: () => sockets.reduce((sum, socket) => sum + socket.bytesRead, 0) }
}
