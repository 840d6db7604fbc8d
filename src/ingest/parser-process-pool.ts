/**
 * `parse(source)` → `ParsedDocument`, in processes of their own: at most `processes` at once, others wait in order. A process that has read
 * small documents without failing is kept warm for a while; every failure, a large document or `documentsPerProcess` ends it.
 */
import { open } from 'node:fs/promises'

import type { Clock, Timer } from '../base/clock.ts'
import type { ParsedDocument } from '../core/corpus.ts'
import { CorralError } from '../core/errors.ts'
import { defaultParseLimits, type ParseLimits } from './limits.ts'
import { type Confinement, createConfinement } from './parser-process-confinement.ts'
import { ParserProcess, type ParseTask } from './parser-process.ts'

export interface DocumentSource {
  /** The document itself, or the file that holds it. */
  readonly content: { readonly bytes: Uint8Array } | { readonly path: string }
  /** Shown in messages and a hint between text formats; never opened. */
  readonly name: string
  readonly declaredType: string | null
}

export interface DocumentParserOptions {
  readonly clock: Clock
  readonly limits?: Partial<ParseLimits>
  /** Largest document as it is now; left out: as `limits` say. */
  readonly sourceBytesMax?: () => number
  /** Parser processes at once. */
  readonly processes?: number
  readonly documentsPerProcess?: number
  /** How long an idle process is kept. */
  readonly idleMs?: number
  /** What processes are started behind; left out: all that works here. */
  readonly confinement?: () => Promise<Confinement>
}

const waitingMax = 1_000
/** A process that has read a larger document gives its memory back by ending. */
const smallBytes = 1_000_000
const readBytes = 262_144

export class DocumentParser {
  readonly limits: ParseLimits
  readonly #sourceBytesMax: () => number
  readonly #clock: Clock
  readonly #processes: number
  readonly #documentsPerProcess: number
  readonly #idleMs: number
  readonly #confinement: () => Promise<Confinement>
  readonly #idle: { readonly process: ParserProcess; readonly timer: Timer }[] = []
  readonly #busy = new Set<ParserProcess>()
  readonly #waiting: (() => void)[] = []
  #running = 0
  #isClosed = false

  constructor(options: DocumentParserOptions) {
    const { clock, limits = {}, sourceBytesMax, processes = 2, documentsPerProcess = 100, idleMs = 30_000 } = options
    this.limits = { ...defaultParseLimits, ...limits }
    this.#sourceBytesMax = sourceBytesMax ?? (() => this.limits.sourceBytes)
    this.#clock = clock
    this.#processes = processes
    this.#documentsPerProcess = documentsPerProcess
    this.#idleMs = idleMs
    this.#confinement = options.confinement ?? createConfinement({ clock })
  }

  /**
   * Makes blocks of a document. Rejects with a `CorralError`: a `document_…` code is about the document and final, `parser_failed` and
   * `overloaded` may be tried again; or with the signal's reason, which ends the process.
   */
  async parse(source: DocumentSource, { signal = null }: { readonly signal?: AbortSignal | null } = {}): Promise<ParsedDocument> {
    await this.#enter(signal)
    try {
      return await this.#parseNow(source, signal)
    } finally {
      this.#running -= 1
      this.#waiting.shift()?.()
    }
  }

  /** Ends all processes, also those that read. */
  async close(): Promise<void> {
    this.#isClosed = true
    const idle = this.#idle.splice(0)
    for (const { timer } of idle) timer.cancel()
    await Promise.all([...idle.map(({ process }) => process), ...this.#busy].map((process) => process.kill()))
  }

  async #enter(signal: AbortSignal | null): Promise<void> {
    signal?.throwIfAborted()
    if (this.#running >= this.#processes) {
      if (this.#waiting.length >= waitingMax) throw new CorralError('overloaded', `${waitingMax} documents are waiting to be read`)
      await this.#turn(signal)
    }
    this.#running += 1
  }

  #turn(signal: AbortSignal | null): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onTurn = () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }
    const onAbort = () => {
      const at = this.#waiting.indexOf(onTurn)
      if (at === -1) return
      this.#waiting.splice(at, 1)
      reject(signal?.reason instanceof Error ? signal.reason : new Error('the document is no longer wanted'))
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#waiting.push(onTurn)
    return promise
  }

  async #parseNow(source: DocumentSource, signal: AbortSignal | null): Promise<ParsedDocument> {
    const confinement = await this.#confinement()
    if (this.#isClosed) throw new CorralError('draining', 'Corral is shutting down')
    const limits = { ...this.limits, sourceBytes: this.#sourceBytesMax() }
    const { chunks, sizeBytes, close } = await openSource(source, limits)
    const { name, declaredType } = source
    const task: ParseTask = { chunks, name, declaredType, limits, signal }
    const process = this.#takeProcess(confinement)
    this.#busy.add(process)
    try {
      return await process.run(task)
    } finally {
      this.#busy.delete(process)
      this.#putBack(process, sizeBytes)
      await close()
    }
  }

  #takeProcess(confinement: Confinement): ParserProcess {
    for (let warm = this.#idle.pop(); warm !== undefined; warm = this.#idle.pop()) {
      warm.timer.cancel()
      // More may hold than when it was started.
      if (warm.process.isUsable && warm.process.confinement.length >= confinement.length) return warm.process
      void warm.process.kill()
    }
    return new ParserProcess(this.#clock, this.limits.heapBytes, confinement)
  }

  #putBack(process: ParserProcess, sizeBytes: number): void {
    const isWorthKeeping = process.isUsable && sizeBytes <= smallBytes && process.served < this.#documentsPerProcess
    if (this.#isClosed || !isWorthKeeping) {
      void process.kill()
      return
    }
    const timer = this.#clock.after(this.#idleMs, () => {
      const at = this.#idle.findIndex((warm) => warm.process === process)
      if (at !== -1) this.#idle.splice(at, 1)
      void process.kill()
    })
    this.#idle.push({ process, timer })
  }
}

interface OpenSource {
  readonly chunks: ParseTask['chunks']
  readonly sizeBytes: number
  readonly close: () => Promise<void>
}

/** Throws `document_too_large` and `document_empty` before any process is troubled. */
async function openSource({ content }: DocumentSource, limits: ParseLimits): Promise<OpenSource> {
  if ('bytes' in content) {
    assertSize(content.bytes.length, limits)
    return { chunks: [content.bytes], sizeBytes: content.bytes.length, close: () => Promise.resolve() }
  }
  const file = await open(content.path, 'r')
  try {
    const { size } = await file.stat()
    assertSize(size, limits)
    const chunks = file.createReadStream({ highWaterMark: readBytes, end: limits.sourceBytes, autoClose: false })
    return { chunks, sizeBytes: size, close: () => file.close() }
  } catch (error) {
    await file.close()
    throw error
  }
}

function assertSize(bytes: number, { sourceBytes }: ParseLimits): void {
  if (bytes === 0) throw new CorralError('document_empty', 'the file has 0 bytes: upload it again')
  if (bytes > sourceBytes) throw new CorralError('document_too_large', `it has ${bytes} bytes, more than ${sourceBytes}: split it`)
}
