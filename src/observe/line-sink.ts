/**
 * Where log lines go: a bounded buffer in front of a file descriptor. A request never waits for a disk or a pipe: lines are
 * written together, by size or after a short time, one write at a time; when the reader is too slow new lines are dropped
 * and counted. `flushSync` is for the end of the process.
 *
 * A line is copied into bytes at once: kept as text it would live on as a tree of fragments until the next write, and the
 * garbage collector would carry some kilobytes per request from one generation to the next.
 */
import { closeSync, openSync, write, writeSync } from 'node:fs'

import type { Clock, Timer } from '../base/clock.ts'

export interface LineSink {
  /** Queues a line that ends in a newline. `ascii`: it holds nothing else, which is cheaper to write. Never throws, never waits. */
  write(line: string, ascii?: boolean): void
  /** Lines lost because the buffer was full or the target refused them. */
  readonly dropped: number
  /** Writes what is queued and waits for it. */
  flush(): Promise<void>
  /** Writes what is queued before it returns, for a crash: lines of a write under way may then stand there twice. */
  flushSync(): void
  /** Opens the log file anew, after it was renamed by a rotation. Where that fails the old one stays in use. */
  reopen(): void
}

export interface LineSinkOptions {
  /** File to append to; the standard output when null. */
  readonly file: string | null
  readonly clock: Clock
  readonly flushEveryMs?: number
  readonly flushBytes?: number
  readonly bufferBytesMax?: number
}

const stdoutFd = 1
const retryAfterMs = 20

const chunkBytes = 131_072
const bytesPerCharMax = 3

/** Text collected as UTF-8 bytes. */
class PendingBytes {
  #chunk = Buffer.allocUnsafeSlow(chunkBytes)
  #used = 0
  #full: Buffer[] = []
  #fullBytes = 0

  get length(): number {
    return this.#fullBytes + this.#used
  }

  add(text: string, ascii: boolean): void {
    if (chunkBytes - this.#used < text.length * bytesPerCharMax) this.#closeChunk(text)
    else this.#used += this.#chunk.write(text, this.#used, ascii ? 'latin1' : 'utf8')
  }

  #closeChunk(text: string): void {
    if (this.#used > 0) this.#full.push(this.#chunk.subarray(0, this.#used))
    this.#fullBytes += this.#used
    this.#chunk = Buffer.allocUnsafeSlow(chunkBytes)
    this.#used = 0
    if (text.length * bytesPerCharMax <= chunkBytes) {
      this.#used = this.#chunk.write(text)
      return
    }
    const bytes = Buffer.from(text)
    this.#full.push(bytes)
    this.#fullBytes += bytes.length
  }

  /** Everything collected since the last call, as a copy. */
  take(): Buffer {
    const bytes = Buffer.concat([...this.#full, this.#chunk.subarray(0, this.#used)])
    this.#full = []
    this.#fullBytes = 0
    this.#used = 0
    return bytes
  }
}

class FdSink implements LineSink {
  readonly #file: string | null
  readonly #clock: Clock
  readonly #flushEveryMs: number
  readonly #flushBytes: number
  readonly #bufferBytesMax: number
  #fd: number
  readonly #pending: PendingBytes = new PendingBytes()
  #pendingLines = 0
  /** The bytes of the write under way, from the first one not yet written. */
  #writing: Buffer | null = null
  #writingLines = 0
  #timer: Timer | null = null
  #idle: (() => void)[] = []
  #reopenWanted = false
  dropped = 0

  constructor({ file, clock, flushEveryMs = 100, flushBytes = 65_536, bufferBytesMax = 4_194_304 }: LineSinkOptions) {
    this.#file = file
    this.#clock = clock
    this.#flushEveryMs = flushEveryMs
    this.#flushBytes = flushBytes
    this.#bufferBytesMax = bufferBytesMax
    this.#fd = file === null ? stdoutFd : openSync(file, 'a')
  }

  write(line: string, ascii = false): void {
    if (this.#pending.length + line.length > this.#bufferBytesMax) {
      this.dropped += 1
      return
    }
    this.#pending.add(line, ascii)
    this.#pendingLines += 1
    if (this.#writing !== null) return
    this.#startInTime()
  }

  /** Starts a write when there is enough for one, or somebody waits for it; else a little later. */
  #startInTime(): void {
    if (this.#pending.length >= this.#flushBytes || this.#idle.length > 0) this.#start()
    else this.#timer ??= this.#clock.after(this.#flushEveryMs, () => this.#start())
  }

  #start(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#writing !== null || this.#pending.length === 0) return
    this.#writing = this.#pending.take()
    this.#writingLines = this.#pendingLines
    this.#pendingLines = 0
    this.#continue()
  }

  #continue(): void {
    const bytes = this.#writing
    if (bytes === null) return
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      if (this.#writing !== bytes) return
      if (error?.code === 'EAGAIN') {
        this.#clock.after(retryAfterMs, () => this.#continue(), true)
        return
      }
      if (error === null && written < bytes.length) {
        this.#writing = bytes.subarray(written)
        this.#continue()
        return
      }
      if (error !== null) this.dropped += this.#writingLines
      this.#writing = null
      if (this.#reopenWanted) this.#swapFile()
      if (this.#pending.length > 0) this.#startInTime()
      else this.#settleIdle()
    })
  }

  #settleIdle(): void {
    const waiting = this.#idle
    this.#idle = []
    for (const resolve of waiting) resolve()
  }

  flush(): Promise<void> {
    this.#start()
    if (this.#writing === null) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle.push(resolve)
    })
  }

  flushSync(): void {
    this.#timer?.cancel()
    this.#timer = null
    const bytes = Buffer.concat([this.#writing ?? Buffer.alloc(0), this.#pending.take()])
    const lines = this.#pendingLines + this.#writingLines
    this.#writing = null
    this.#pendingLines = 0
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at)
    } catch {
      this.dropped += lines
    }
    this.#settleIdle()
  }

  reopen(): void {
    if (this.#writing === null) this.#swapFile()
    else this.#reopenWanted = true
  }

  #swapFile(): void {
    this.#reopenWanted = false
    if (this.#file === null) return
    const old = this.#fd
    try {
      this.#fd = openSync(this.#file, 'a')
    } catch {
      return
    }
    closeSync(old)
  }
}

/** A sink over a file or the standard output. Throws when the file cannot be opened. */
export function createLineSink(options: LineSinkOptions): LineSink {
  return new FdSink(options)
}
