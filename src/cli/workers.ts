/**
 * `http.workers` over 1: this process only watches. It hands each new connection to one of its workers in turn, passes signals on, carries
 * the questions that workers ask each other, and puts a new worker in the place of one that dies. It serves nothing itself, so that nothing of a
 * request can take it down.
 */
import cluster, { type Worker } from 'node:cluster'
import { randomUUID } from 'node:crypto'

import { systemClock } from '../base/clock.ts'
import { exitCodes } from './exit-code.ts'
import type { FromWorker, ToWorker } from './worker-messages.ts'
import { WorkerQuestions } from './worker-questions.ts'

/** Says a line to the operator. */
type Say = (level: 'info' | 'warn' | 'error', text: string) => void

/** A worker that ends sooner than this after its start is started again more slowly each time. */
const quickEndMs = 5_000
const pauseMsMax = 10_000

interface Place {
  worker: Worker
  startedAtMs: number
  /** Whether the worker answers questions. One that starts does not, and takes over what was changed when it does. */
  isOpen: boolean
  /** Whether any worker has served here; before that an end is the end of all. */
  hasServed: boolean
  quickEnds: number
}

class Watch {
  readonly #places: Place[] = []
  readonly #questions = new WorkerQuestions(systemClock)
  readonly #machine = randomUUID()
  readonly #say: Say
  readonly #ended: (code: number) => void
  #stopping = false
  #code: number = exitCodes.ok

  constructor(count: number, say: Say, ended: (code: number) => void) {
    this.#say = say
    this.#ended = ended
    for (let index = 0; index < count; index += 1) {
      this.#places.push({
        worker: this.#fork(index, count),
        startedAtMs: systemClock.nowMs(),
        isOpen: false,
        hasServed: false,
        quickEnds: 0,
      })
    }
  }

  stop(): void {
    if (this.#stopping) {
      for (const { worker } of this.#places) worker.process.kill('SIGKILL')
      this.#ended(exitCodes.interrupted)
      return
    }
    this.#stopping = true
    this.#tell({ kind: 'stop' })
    this.#endWithLast()
  }

  reload(): void {
    this.#tell({ kind: 'reload' })
  }

  #tell(message: ToWorker): void {
    for (const { worker } of this.#places) this.#questions.tell(worker, message)
  }

  #fork(index: number, count: number): Worker {
    const worker = cluster.fork()
    worker.on('message', (message: FromWorker) => this.#hear(worker, { index, count }, message))
    worker.once('disconnect', () => this.#questions.noteSilent(worker.id))
    // Unheard, it would end this process.
    worker.on('error', (error) => this.#say('error', `worker ${index + 1}: ${error.message}`))
    worker.once('exit', (code, signal) => {
      this.#questions.noteEnded(worker.id)
      this.#replace(index, count, { code, signal })
    })
    return worker
  }

  #hear(worker: Worker, place: { readonly index: number; readonly count: number }, message: FromWorker): void {
    switch (message.kind) {
      case 'hello':
        this.#questions.tell(worker, { kind: 'place', ...place, machine: this.#machine })
        return
      case 'open':
        this.#note(place.index, { isOpen: true })
        return
      case 'serving':
        this.#note(place.index, { hasServed: true })
        return
      case 'ask':
        this.#questions.ask(worker, this.#openBeside(worker), message)
        return
      case 'answer':
        this.#questions.answered(worker, message)
    }
  }

  /** All may be dead when the order to stop comes, each with its successor still to be started. */
  #endWithLast(): void {
    if (this.#places.every(({ worker }) => worker.isDead())) this.#ended(this.#code)
  }

  #note(index: number, fields: Partial<Place>): void {
    const place = this.#places[index]
    if (place !== undefined) Object.assign(place, fields)
  }

  #openBeside(asking: Worker): Worker[] {
    return this.#places.flatMap(({ worker, isOpen }) => (isOpen && worker !== asking && worker.isConnected() ? [worker] : []))
  }

  #replace(index: number, count: number, { code, signal }: { readonly code: number | null; readonly signal: string | null }): void {
    const place = this.#places[index]
    if (place === undefined) return
    if (this.#stopping || !place.hasServed) {
      // What keeps one from starting (a port, the configuration, the store) keeps all.
      this.#code = Math.max(this.#code, code ?? exitCodes.failure)
      if (!this.#stopping) this.stop()
      this.#endWithLast()
      return
    }
    place.quickEnds = systemClock.nowMs() - place.startedAtMs < quickEndMs ? place.quickEnds + 1 : 0
    const pauseMs = place.quickEnds === 0 ? 0 : Math.min(pauseMsMax, 100 * 2 ** place.quickEnds)
    this.#say('error', `worker ${index + 1} ended by itself (${signal ?? `exit code ${code ?? 'unknown'}`}); another one takes its place`)
    const replace = (): void => {
      if (this.#stopping) return
      this.#note(index, { startedAtMs: systemClock.nowMs(), isOpen: false, worker: this.#fork(index, count) })
    }
    // Where all are dead nothing else keeps this process.
    systemClock.after(pauseMs, replace, true)
  }
}

/** Runs `count` workers of this same command until a signal ends them; resolves with the exit code. */
export function watchWorkers(count: number, say: Say): Promise<number> {
  return new Promise((resolve) => {
    cluster.setupPrimary({ args: process.argv.slice(2) })
    const watch = new Watch(count, say, resolve)
    process.on('SIGINT', () => watch.stop())
    process.on('SIGTERM', () => watch.stop())
    process.on('SIGHUP', () => watch.reload())
  })
}
