/**
 * The Node HTTP server around the Hono app: socket limits and timeouts, the strict door, listening, and a drain that cuts
 * no stream that fits the grace. Numbers: reliability-security.md §6.4; keep-alive above any front proxy's idle time.
 */
import { createServer as createNodeServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'

import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { dialectOfPath } from '../wire/routes.ts'
import type { CallRegistry } from './call-registry.ts'
import { admit, type FrontOptions } from './front.ts'
import type { HttpOptions } from './options.ts'
import { sendError } from './send-error.ts'

/** What a handler gets from Hono's context. */
export interface NodeBindings {
  readonly Bindings: { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse }
}

export interface HttpServerDeps {
  /** Answers Ollama's routes; false: the request is for Corral's own. */
  readonly answer: (incoming: IncomingMessage, outgoing: ServerResponse) => boolean
  readonly ownRoutes: Hono<NodeBindings>
  readonly options: HttpOptions
  readonly front: FrontOptions
  readonly calls: CallRegistry
  readonly clock: Clock
}

export interface HttpServer {
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /** Stops accepting, lets answers end for at most `graceMs`, then cuts the rest. */
  close(graceMs: number): Promise<void>
  readonly draining: boolean
}

export function createHttpServer(deps: HttpServerDeps): HttpServer {
  const { options } = deps
  let draining = false
  const listener = getRequestListener(deps.ownRoutes.fetch, { overrideGlobalObjects: false, autoCleanupIncoming: false })
  const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    if (draining) outgoing.setHeader('connection', 'close')
    if (!admit(incoming, outgoing, deps.front) || deps.answer(incoming, outgoing)) return
    void listener(incoming, outgoing)
  }
  const server = createNodeServer(
    {
      keepAliveTimeout: options.keepAliveTimeoutMs,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: options.headerBytesMax,
      noDelay: true,
      keepAlive: true,
    },
    onRequest,
  )
  server.maxRequestsPerSocket = 0
  server.maxConnections = options.connectionsMax
  server.on('checkContinue', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    outgoing.writeContinue()
    onRequest(incoming, outgoing)
  })
  server.on('checkExpectation', (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const error = new CorralError('expectation_failed', 'only Expect: 100-continue is supported')
    outgoing.setHeader('connection', 'close')
    sendError(outgoing, dialectOfPath(incoming.url ?? '/'), error, deps.front.newId())
  })
  return {
    listen: () => listen(server, options),
    close: (graceMs) => {
      draining = true
      return closeServer(server, deps, graceMs)
    },
    get draining() {
      return draining
    },
  }
}

function listen(server: Server, { host, port }: HttpOptions): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 1_024 }, () => {
      server.off('error', reject)
      const address = server.address() as AddressInfo
      resolve({ host: address.address, port: address.port })
    })
  })
}

async function closeServer(server: Server, { calls, clock }: HttpServerDeps, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  let cut: { cancel(): void } | null = null
  const graceOver = new Promise<void>((resolve) => {
    cut = clock.after(graceMs, resolve, true)
  })
  await Promise.race([calls.idle(), graceOver])
  for (const { call } of calls.list()) {
    call.signal.abort(new CorralError('draining', 'Corral is shutting down'))
  }
  server.closeIdleConnections()
  await Promise.race([closed, clock.sleep(250)])
  server.closeAllConnections()
  ;(cut as { cancel(): void } | null)?.cancel()
}
