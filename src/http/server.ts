/**
 * The Node HTTP server: socket limits and timeouts, the strict door, Ollama's routes before the Hono app of Corral's own,
 * listening, and a drain that cuts no stream that fits the grace. Numbers: reliability-security.md §6.4; keep-alive above any front proxy's idle time.
 */
import { createServer as createNodeServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'

import { getRequestListener } from '@hono/node-server'
import type { Hono } from 'hono'

import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { readRequestHeaders } from '../wire/request-headers.ts'
import { dialectOfPath } from '../wire/routes.ts'
import type { CallRegistry } from './call-registry.ts'
import { type Guard, type Passage } from './auth/guard.ts'
import type { Told } from '../observe/events.ts'
import { bodyBytesMaxOf, wantedOfOwn } from './auth/own-routes.ts'
import { takePathKey } from './auth/path-key.ts'
import { type Arrival, boundBody, condemn, isCondemned } from './connection.ts'
import { admit, type FrontOptions } from './front.ts'
import { type MemoryEvents, MemoryGuard, processMemory } from './memory-guard.ts'
import type { HttpOptions } from './options.ts'
import { sendError } from './send-error.ts'
import { CountedResponse, noteError, noteRoute, toldOf, type Traffic } from './traffic.ts'

/** What a handler gets from Hono's context. */
export interface NodeBindings {
  readonly Bindings: { readonly incoming: IncomingMessage; readonly outgoing: ServerResponse }
}

export interface HttpServerDeps {
  /** Answers Ollama's routes; false: the request is for Corral's own. */
  readonly answer: (arrival: Arrival) => boolean
  readonly ownRoutes: Hono<NodeBindings>
  readonly options: HttpOptions
  readonly front: FrontOptions
  readonly guard: Guard
  readonly calls: CallRegistry
  readonly clock: Clock
  readonly traffic: Traffic
  /** A bug in what answers Corral's own routes. */
  readonly onBug: (error: unknown, told?: Told) => void
  /** Hears of a shortage of memory; left out, nobody does. */
  readonly memoryEvents?: MemoryEvents
}

export interface HttpServer {
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /**
   * Says so by `draining`, serves new connections for `http.drainDelayMs` more, stops accepting, lets answers end for at most
   * `graceMs`, then cuts the rest.
   */
  close(graceMs: number): Promise<void>
  readonly draining: boolean
}

export function createHttpServer(deps: HttpServerDeps): HttpServer {
  const { options } = deps
  let draining = false
  const listener = getRequestListener(deps.ownRoutes.fetch, { overrideGlobalObjects: false, autoCleanupIncoming: false })
  const door = { ...deps.front, clock: deps.clock }
  const memory = new MemoryGuard({
    clock: deps.clock,
    limitBytes: options.memoryBytesMax,
    reader: processMemory,
    events: deps.memoryEvents ?? null,
  })
  const onRequest = (incoming: IncomingMessage, outgoing: CountedResponse): void => {
    if (isCondemned(incoming)) return
    deps.traffic.begin(outgoing)
    if (draining || memory.shedsConnections) condemn(incoming, outgoing)
    const pathKey = deps.guard.closed ? takePathKey(incoming) : null
    const arrival = { incoming, outgoing, headers: readRequestHeaders(incoming.rawHeaders), pathKey }
    if (!admit(arrival, door) || !admitByMemory(arrival, memory, deps) || deps.answer(arrival)) return
    admitOwn(arrival, deps, () => {
      const bytesMax = bodyBytesMaxOf(incoming.method ?? 'GET', pathOf(incoming.url ?? '/'))
      if (boundBody(arrival, { clock: deps.clock, bytesMax }, () => refuseBody(arrival, deps))) void listener(incoming, outgoing)
    })
  }
  const server = createServer(deps, onRequest)
  return {
    async listen() {
      const address = await listen(server, options)
      memory.start()
      return address
    },
    async close(graceMs) {
      draining = true
      if (server.listening && options.drainDelayMs > 0) await deps.clock.sleep(options.drainDelayMs)
      await closeServer(server, deps, graceMs)
      memory.stop()
    },
    get draining() {
      return draining
    },
  }
}

type CountingServer = Server<typeof IncomingMessage, typeof CountedResponse>

/** A server with its limits, and with the strict reading of `Expect`. */
function createServer(deps: HttpServerDeps, onRequest: (incoming: IncomingMessage, outgoing: CountedResponse) => void): CountingServer {
  const { options } = deps
  const server = createNodeServer(
    {
      keepAliveTimeout: options.keepAliveTimeoutMs,
      headersTimeout: options.headersTimeoutMs,
      requestTimeout: 0,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: options.headerBytesMax,
      noDelay: true,
      keepAlive: true,
      ServerResponse: CountedResponse,
    },
    onRequest,
  )
  server.maxRequestsPerSocket = 0
  server.maxConnections = options.connectionsMax
  const refuseExpectation = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    if (isCondemned(incoming)) return
    const error = new CorralError('expectation_failed', 'only Expect: 100-continue is supported')
    condemn(incoming, outgoing)
    sendError({ incoming, outgoing, clock: deps.clock }, dialectOfPath(incoming.url ?? '/'), error, deps.front.newId())
  }
  server.on('checkExpectation', refuseExpectation)
  server.on('checkContinue', (incoming: IncomingMessage, outgoing: CountedResponse) => {
    if (incoming.headers.expect?.toLowerCase() !== '100-continue') {
      refuseExpectation(incoming, outgoing)
      return
    }
    // The client is asked for its body when somebody begins to read it: a refused one is never sent (transcript 157).
    incoming.once('resume', () => {
      if (!outgoing.headersSent) outgoing.writeContinue()
    })
    onRequest(incoming, outgoing)
  })
  return server
}

/** False: the process is too short of memory for this request, and it was answered here. */
function admitByMemory({ incoming, outgoing, headers }: Arrival, memory: MemoryGuard, { calls, clock, front }: HttpServerDeps): boolean {
  if (memory.step === 'normal') return true
  const target = incoming.url ?? '/'
  const error = memory.refusal({ method: incoming.method ?? 'GET', target, priority: headers.priority }, calls.size > 0)
  if (error === null) return true
  sendError({ incoming, outgoing, clock }, dialectOfPath(target), error, front.newId())
  return false
}

/** Goes on with a request for one of Corral's own routes when the guard lets it in. */
function admitOwn(arrival: Arrival, { guard, clock, front, traffic, onBug }: HttpServerDeps, goOn: () => void): void {
  const { incoming, outgoing } = arrival
  const wanted = wantedOfOwn(incoming.method ?? 'GET', pathOf(incoming.url ?? '/'))
  noteRoute(outgoing, wanted.pattern)
  if (isOfInterest(wanted.pattern)) traffic.beginOwn(incoming, outgoing)
  const passed = (passage: Passage): void => {
    if (outgoing.destroyed) return
    if (!('kind' in passage)) {
      goOn()
      return
    }
    const told = toldOf(outgoing, front.newId)
    passage.note(told.id)
    noteError(outgoing, passage.error.code)
    if (passage.error.code === 'internal') onBug(passage.error.cause, told)
    sendError({ incoming, outgoing, clock }, wanted.dialect, passage.error, told.id)
  }
  const passage = guard.admit(arrival, wanted)
  if (passage instanceof Promise)
    passage.then(passed).catch((error: unknown) => {
      onBug(error, toldOf(outgoing, front.newId))
      outgoing.destroy()
    })
  else passed(passage)
}

/** What people and programs ask of Corral; signs of life and files would only be noise in logs and traces. */
function isOfInterest(pattern: string): boolean {
  return pattern.startsWith('/rag') || pattern.startsWith('/admin')
}

function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

function refuseBody({ incoming, outgoing }: Arrival, { clock, front }: HttpServerDeps): void {
  const error = new CorralError('body_too_large', 'no body of that size belongs to this path')
  sendError({ incoming, outgoing, clock }, dialectOfPath(incoming.url ?? '/'), error, front.newId())
}

function listen(server: CountingServer, { host, port }: HttpOptions): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, backlog: 1_024 }, () => {
      server.off('error', reject)
      const address = server.address()
      if (address === null || typeof address === 'string') reject(new Error('a server that listens on TCP has an address'))
      else resolve({ host: address.address, port: address.port })
    })
  })
}

async function closeServer(server: CountingServer, { calls, clock }: HttpServerDeps, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve())
  })
  const { promise: graceOver, resolve } = Promise.withResolvers<void>()
  const cut = clock.after(graceMs, resolve, true)
  await Promise.race([calls.idle(), graceOver])
  for (const { call } of calls.list()) {
    call.signal.abort(new CorralError('draining', 'Corral is shutting down'))
  }
  server.closeIdleConnections()
  await Promise.race([closed, clock.sleep(250)])
  server.closeAllConnections()
  cut.cancel()
}
