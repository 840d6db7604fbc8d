/**
 * One parser process seen from the gateway: started without environment, files or network (by Node, and by the system where it can), given
 * one document at a time, watched, and ended with SIGKILL when it takes too long, too much or sends what it may not. After any failure it
 * is not used again.
 *
 * Wall time is held everywhere, V8's heap too; processor time and resident memory where /proc exists (Linux).
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { setPriority } from 'node:os'
import { fileURLToPath } from 'node:url'

import type { Clock } from '../base/clock.ts'
import type { ParsedDocument } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import type { ParseLimits } from './limits.ts'
import { FrameReader, framePayloadBytesMax, frameBytes } from './parse/frames.ts'
import { AnswerReader } from './parse/parsed-frames.ts'
import type { Confinement } from './parser-process-confinement.ts'
import { parserEntry, readableFolders } from './parser-process-files.ts'
import { preferAsVictim, readUsage } from './parser-process-usage.ts'

const stderrCharsMax = 4_000
const watchMs = 100
/** Below everything that answers people. */
const niceness = 10

/** A document on its way to a parser process; `chunks` yields its bytes. */
export interface ParseTask {
  readonly chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>
  readonly name: string
  readonly declaredType: string | null
  readonly limits: ParseLimits
  readonly signal: AbortSignal | null
}

interface Running {
  readonly limits: ParseLimits
  readonly answer: AnswerReader
  readonly resolve: (document: ParsedDocument) => void
  readonly reject: (error: Error) => void
}

export class ParserProcess {
  /** What it was started behind. */
  readonly confinement: Confinement
  readonly #child: ChildProcessWithoutNullStreams
  readonly #clock: Clock
  readonly #frames = new FrameReader()
  readonly #exited: Promise<void>
  #stderr = ''
  #running: Running | null = null
  #isUsable = true
  #served = 0

  /** Starts the process. `heapBytes` and `confinement` hold for its life. */
  constructor(clock: Clock, heapBytes: number, confinement: Confinement) {
    this.#clock = clock
    this.confinement = confinement
    const entry = fileURLToPath(parserEntry())
    const flags = [
      `--max-old-space-size=${Math.round(heapBytes / 1_048_576)}`,
      '--permission',
      ...readableFolders(entry).map((folder) => `--allow-fs-read=${folder}`),
    ]
    const [file, ...args] = [...confinement, process.execPath, ...flags, entry]
    this.#child = spawn(file, args, { env: {}, stdio: ['pipe', 'pipe', 'pipe'], windowsHide: true })
    this.#exited = new Promise((resolve) => {
      this.#child.once('exit', (code, signal) => this.#onExit(code, signal, resolve))
      this.#child.once('error', (error) => {
        this.#fail(new CorralError('parser_failed', 'the process that reads documents cannot be started', { cause: error }))
        resolve()
      })
    })
    this.#child.stdout.on('data', (chunk: Buffer) => this.#onData(chunk))
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-stderrCharsMax)
    })
    // Its end is told by `exit`; a pipe that breaks with it says nothing more.
    this.#child.stdin.on('error', () => {})
    lowerPriority(this.#child.pid)
  }

  /** Documents that it has read. */
  get served(): number {
    return this.#served
  }

  /** Whether it may be given another document. */
  get isUsable(): boolean {
    return this.#isUsable
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /**
   * Reads one document. Rejects with a `document_…` error, `parser_failed`, or the signal's reason; the process is then on its end. Only one
   * document at a time.
   */
  async run(task: ParseTask): Promise<ParsedDocument> {
    if (!this.#isUsable || this.#running !== null) throw new Error('the parser process is not free')
    const { promise, resolve, reject } = Promise.withResolvers<ParsedDocument>()
    this.#running = { limits: task.limits, answer: new AnswerReader(task.limits), resolve, reject }
    const watch = this.#watch(task.limits)
    const onAbort = () => this.#fail(abortError(task.signal))
    task.signal?.addEventListener('abort', onAbort, { once: true })
    if (task.signal?.aborted === true) onAbort()
    this.#send(task).catch((error: unknown) => this.#fail(asError(error)))
    try {
      const document = await promise
      this.#served += 1
      return document
    } finally {
      watch()
      task.signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Ends the process at once; resolves when it is gone. Safe to call at any time. */
  async kill(): Promise<void> {
    this.#isUsable = false
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  async #send({ chunks, name, declaredType, limits }: ParseTask): Promise<void> {
    await this.#write(frameBytes('open', JSON.stringify({ name: name.slice(0, 1_000), declaredType, limits })))
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += framePayloadBytesMax)
        await this.#write(frameBytes('data', chunk.subarray(at, at + framePayloadBytesMax)))
    }
    await this.#write(frameBytes('end'))
  }

  async #write(bytes: Buffer): Promise<void> {
    if (!this.#isUsable || this.#child.stdin.write(bytes)) return
    const drained = new Promise((resolve) => {
      this.#child.stdin.once('drain', resolve)
    })
    await Promise.race([drained, this.#exited])
  }

  #onData(chunk: Buffer): void {
    if (!this.#isUsable) return
    try {
      for (const frame of this.#frames.push(chunk)) {
        if (frame.kind === 'ready') continue
        const running = this.#running
        if (running === null) throw new Error('the parser process speaks without being asked')
        const answer = running.answer.push(frame)
        if (answer instanceof CorralError) this.#fail(answer)
        else if (answer !== null) {
          this.#running = null
          running.resolve(answer)
        }
      }
    } catch (error) {
      this.#fail(new CorralError('parser_failed', 'the process that reads documents sent what it may not', { cause: error }))
    }
  }

  /** Ends the process and what it was doing. */
  #fail(error: Error): void {
    const running = this.#running
    this.#running = null
    this.#isUsable = false
    this.#child.kill('SIGKILL')
    running?.reject(error)
  }

  #onExit(code: number | null, signal: NodeJS.Signals | null, resolve: () => void): void {
    const isOutOfHeap = /heap (?:out of memory|limit)|Allocation failed|Array buffer allocation/i.test(this.#stderr)
    this.#fail(
      isOutOfHeap
        ? tooComplex()
        : new CorralError('parser_failed', `the process that reads documents ended (${signal ?? `code ${code ?? 'unknown'}`})`, {
            cause: new Error(this.#stderr),
          }),
    )
    resolve()
  }

  /** Holds the limits of time and memory; the function that is returned ends it. */
  #watch({ wallMs, cpuMs, residentBytes }: ParseLimits): () => void {
    const { pid } = this.#child
    const wall = this.#clock.after(wallMs, () => this.#fail(tooSlow(`${wallMs} ms`)))
    let isOver = false
    let startCpuMs: number | null = null
    const look = async (): Promise<void> => {
      const usage = pid === undefined ? null : await readUsage(pid)
      if (isOver || usage === null) return
      startCpuMs ??= this.#served === 0 ? 0 : usage.cpuMs
      if (usage.cpuMs - startCpuMs > cpuMs) this.#fail(tooSlow(`${cpuMs} ms of processor time`))
      else if (usage.residentBytes > residentBytes) this.#fail(tooComplex())
      else timer = this.#clock.after(watchMs, () => void look())
    }
    let timer = this.#clock.after(0, () => void look())
    return () => {
      isOver = true
      wall.cancel()
      timer.cancel()
    }
  }
}

function lowerPriority(pid: number | undefined): void {
  if (pid === undefined) return
  void preferAsVictim(pid)
  try {
    setPriority(pid, niceness)
  } catch {
    // It may have ended already, or the system may not allow it: it then only runs at the usual priority.
  }
}

function tooSlow(limit: string): CorralError {
  return new CorralError('document_timeout', `it took longer than ${limit} to read: split it or save it in a simpler form`)
}

function tooComplex(): CorralError {
  return new CorralError(
    'document_too_complex',
    'reading it took more memory than one document may have: split it or save it in a simpler form',
  )
}

function abortError(signal: AbortSignal | null): Error {
  return asError(signal?.reason)
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error('the document is no longer wanted', { cause: error })
}
