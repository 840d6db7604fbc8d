/**
 * The worker thread of the embedded store, seen from the main thread: started, asked one thing at a time, closed, or ended when
 * it is stuck, which is as safe as a crash of the process: Postgres recovers from its log at the next start.
 */
import { Worker } from 'node:worker_threads'

import { type Clock } from '../base/clock.ts'
import { unavailable } from './sql-errors.ts'
import { type WorkerReply, type WorkerRequest } from './embedded-protocol.ts'
import { entryPoint } from './entry-point.ts'

const printedCharsMax = 2_000

interface Pending {
  readonly wants: WorkerReply['kind']
  readonly resolve: (reply: WorkerReply) => void
  readonly reject: (error: Error) => void
}

export class EmbeddedThread {
  readonly #worker: Worker
  #pending: Pending | null = null
  #idle: Promise<unknown> = Promise.resolve()
  #exitError: Error | null = null
  #isOpen = false
  #isEnding = false

  /** `onExit` hears of an end that nobody asked for, once it was open. */
  private constructor(folder: string, onExit: (error: Error) => void) {
    // Flags of the main thread, such as a test runner's, are not for this one.
    const options = { workerData: folder, execArgv: [], name: 'corral-store', stdout: true, stderr: true }
    this.#worker = new Worker(entryPoint('embedded-worker'), options)
    // What Postgres prints in its last moments is the reason of its end, and belongs to nobody's stdout.
    let printed = ''
    for (const stream of [this.#worker.stdout, this.#worker.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        printed = `${printed}${chunk.toString()}`.slice(-printedCharsMax)
      })
    }
    let reason: unknown = null
    this.#worker.on('error', (error) => {
      reason = error
    })
    this.#worker.on('exit', (code) => {
      this.#exitError = unavailable(`the embedded database ended (${code})`, reason ?? (printed === '' ? null : new Error(printed)))
      this.#pending?.reject(this.#exitError)
      this.#pending = null
      if (this.#isOpen && !this.#isEnding) onExit(this.#exitError)
    })
    this.#worker.on('message', (reply: WorkerReply) => {
      const pending = this.#pending
      this.#pending = null
      if (pending?.wants !== reply.kind) throw new Error(`the store's worker said ${reply.kind} unasked`)
      pending.resolve(reply)
    })
  }

  /** Starts Postgres in `folder`; throws `store_unavailable` after `timeoutMs`. */
  static async start(
    folder: string,
    { clock, timeoutMs, onExit }: { clock: Clock; timeoutMs: number; onExit: (error: Error) => void },
  ): Promise<EmbeddedThread> {
    const thread = new EmbeddedThread(folder, onExit)
    const timer = clock.after(timeoutMs, () => void thread.terminate())
    try {
      await thread.#wait('open')
      thread.#isOpen = true
    } finally {
      timer.cancel()
    }
    return thread
  }

  /** Sends protocol bytes; resolves with the answer's. */
  async exchange(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    const reply = this.#wait('answer')
    this.#send({ kind: 'exchange', bytes }, [bytes.buffer])
    const answer = await reply
    if (answer.kind !== 'answer') throw new Error(`an answer was wanted, not ${answer.kind}`)
    return answer.bytes
  }

  /** Resolves with true when nothing is under way any more, with false after `timeoutMs`. */
  async idle(clock: Clock, timeoutMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = clock.after(timeoutMs, () => resolve(false))
    void this.#idle.then(() => resolve(this.#exitError === null))
    const isIdle = await promise
    timer.cancel()
    return isIdle
  }

  /** Closes the database cleanly, by force after `timeoutMs`. */
  async close(clock: Clock, timeoutMs: number): Promise<void> {
    if (this.#exitError !== null) return
    if (await this.idle(clock, timeoutMs)) {
      const closed = this.#wait('closed')
      this.#isEnding = true
      this.#send({ kind: 'close' })
      const timer = clock.after(timeoutMs, () => void this.terminate())
      await closed.catch(() => {})
      timer.cancel()
    }
    await this.terminate()
  }

  /** Whether it runs no more. */
  get hasEnded(): boolean {
    return this.#exitError !== null
  }

  async terminate(): Promise<void> {
    this.#isEnding = true
    await this.#worker.terminate()
  }

  #send(request: WorkerRequest, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(request, transfer)
  }

  #wait(wants: WorkerReply['kind']): Promise<WorkerReply> {
    if (this.#exitError !== null) return Promise.reject(this.#exitError)
    if (this.#pending !== null) throw new Error('the embedded database was asked two things at once')
    const { promise, resolve, reject } = Promise.withResolvers<WorkerReply>()
    this.#pending = { wants, resolve, reject }
    this.#idle = promise.catch(() => {})
    return promise
  }
}
