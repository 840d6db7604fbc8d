/**
 * One mock Ollama: a listener, its connections, and up to `slots` jobs at work with the others waiting in order.
 * Settings change while it runs; a job keeps those it arrived with. `refuse` closes the listener and resets every
 * connection, as a killed process does; any other fault opens it again on the same port.
 */
import { createServer } from 'node:net'
import type { Server } from 'node:net'

import { systemClock } from '../../src/base/clock.ts'
import {
  fixedAnswers,
  loadFailedAnswer,
  missingModelAnswer,
  missingPathAnswer,
  nothingLoadedAnswer,
  overloadedAnswer,
} from './mock-answers.ts'
import { MockConnection } from './mock-connection.ts'
import type { MockConnectionOwner, MockRequest } from './mock-connection.ts'
import { MockJob } from './mock-job.ts'
import { openAiChatPath } from './bodies.ts'
import type { MockCounters, MockSettings } from './mock-settings.ts'

const inferencePaths: ReadonlySet<string> = new Set(['/api/chat', '/api/generate', '/api/embed', '/api/embeddings', openAiChatPath])

export class MockNode implements MockConnectionOwner {
  #settings: MockSettings
  #server: Server | undefined
  #port = 0
  #isLoaded = false
  readonly #jobs = new Map<MockConnection, MockJob>()
  readonly #connections = new Set<MockConnection>()
  readonly #waiting: MockJob[] = []
  readonly #running = new Set<MockJob>()
  readonly #paths = new Map<string, number>()
  readonly #counts = { arrivals: 0, finished: 0, inFlightPeak: 0, embedItems: 0 }
  readonly #onDone = (job: MockJob): void => {
    this.#counts.finished += 1
    this.#forget(job)
  }

  constructor(settings: MockSettings) {
    this.#settings = settings
  }

  get settings(): MockSettings {
    return this.#settings
  }

  /** Applies `settings`; resolves when the listener is as they ask. */
  async apply(settings: MockSettings): Promise<void> {
    this.#settings = settings
    if (settings.fault === 'refuse') await this.#close()
    else await this.open()
  }

  async open(): Promise<void> {
    if (this.#server !== undefined) return
    const server = createServer({ noDelay: true }, (socket) => this.#connections.add(new MockConnection(socket, this)))
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port: this.#port, host: '127.0.0.1', backlog: 4_096 }, resolve)
    })
    const address = server.address()
    if (address !== null && typeof address === 'object') this.#port = address.port
  }

  counters(): MockCounters {
    return {
      port: this.#port,
      connections: this.#connections.size,
      inFlight: this.#jobs.size,
      paths: Object.fromEntries(this.#paths),
      ...this.#counts,
    }
  }

  resetCounters(): void {
    this.#paths.clear()
    Object.assign(this.#counts, { arrivals: 0, finished: 0, inFlightPeak: this.#jobs.size, embedItems: 0 })
  }

  onRequest(connection: MockConnection, request: MockRequest): void {
    if (inferencePaths.has(request.path)) this.#infer(connection, request)
    else if (request.path === '/api/ps' && this.#isCold) connection.finish(nothingLoadedAnswer)
    else if (this.#settings.fault !== 'hang') connection.finish(fixedAnswers.get(request.path) ?? missingPathAnswer)
  }

  onClosed(connection: MockConnection): void {
    this.#connections.delete(connection)
    const job = this.#jobs.get(connection)
    if (job === undefined) return
    job.cancel()
    this.#forget(job)
  }

  get #isCold(): boolean {
    return this.#settings.loadMs > 0 && !this.#isLoaded
  }

  #infer(connection: MockConnection, request: MockRequest): void {
    this.#counts.arrivals += 1
    this.#paths.set(request.path, (this.#paths.get(request.path) ?? 0) + 1)
    const { fault, slots } = this.#settings
    if (fault === '503') return connection.finish(overloadedAnswer)
    if (fault === '404') return connection.finish(missingModelAnswer)
    if (fault === 'rst-before-head') {
      connection.socket.resetAndDestroy()
      return
    }
    if (this.#isCold) systemClock.after(this.#settings.loadMs, () => this.#loaded(connection, request), true)
    else this.#enqueue(connection, request, slots)
  }

  /** A cold node's first requests wait for its load, each for the whole of it. */
  #loaded(connection: MockConnection, request: MockRequest): void {
    if (!this.#connections.has(connection)) return
    const { fault, slots } = this.#settings
    if (fault === 'load-500') return connection.finish(loadFailedAnswer)
    this.#isLoaded = true
    this.#enqueue(connection, request, slots)
  }

  #enqueue(connection: MockConnection, request: MockRequest, slots: number): void {
    const job = new MockJob(connection, request, { settings: this.#settings, onDone: this.#onDone })
    this.#counts.embedItems += job.inputs?.length ?? 0
    this.#jobs.set(connection, job)
    this.#counts.inFlightPeak = Math.max(this.#counts.inFlightPeak, this.#jobs.size)
    if (slots > 0 && this.#running.size >= slots) this.#waiting.push(job)
    else this.#run(job)
  }

  #run(job: MockJob): void {
    this.#running.add(job)
    job.start()
  }

  #forget(job: MockJob): void {
    this.#jobs.delete(job.connection)
    if (!this.#running.delete(job)) {
      const at = this.#waiting.indexOf(job)
      if (at >= 0) this.#waiting.splice(at, 1)
      return
    }
    const next = this.#waiting.shift()
    if (next !== undefined) this.#run(next)
  }

  #close(): Promise<void> {
    const server = this.#server
    if (server === undefined) return Promise.resolve()
    this.#server = undefined
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const connection of this.#connections) connection.socket.resetAndDestroy()
    return closed
  }
}
