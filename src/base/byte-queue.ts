/**
 * A bounded queue of byte chunks between one producer that never waits and one consumer that may be slow: the producer
 * (a node) is always drained, the queue holds what the consumer (a client) has not taken yet. It is an async iterable
 * that hands out one chunk per step without an async generator, because one step per frame is on the hot path.
 *
 * Invariants: `end`, `fail` and `cancel` are final, the first one wins; `queuedBytes` never exceeds `limitBytes`: a push
 * that would is refused and the producer decides (it drops the consumer).
 */
type Resolver = { resolve(step: IteratorResult<Buffer, undefined>): void; reject(error: unknown): void }

const done: IteratorReturnResult<undefined> = { done: true, value: undefined }

export class ByteQueue implements AsyncIterable<Buffer>, AsyncIterator<Buffer, undefined> {
  readonly limitBytes: number
  #chunks: Buffer[] = []
  #head = 0
  #queuedBytes = 0
  #waiting: Resolver | null = null
  #state: 'open' | 'ended' | 'failed' | 'cancelled' = 'open'
  #error: unknown = undefined
  #onCancel: ((reason: unknown) => void) | null = null

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  get open(): boolean {
    return this.#state === 'open'
  }

  /** Called once when the consumer stops reading before the end. */
  set onCancel(listener: (reason: unknown) => void) {
    this.#onCancel = listener
  }

  /** Adds a chunk. False: it would pass the limit, or the queue is closed; the chunk is not taken. */
  push(chunk: Buffer): boolean {
    if (this.#state !== 'open') return false
    const waiting = this.#waiting
    if (waiting !== null) {
      this.#waiting = null
      waiting.resolve({ done: false, value: chunk })
      return true
    }
    if (this.#queuedBytes + chunk.length > this.limitBytes && this.#queuedBytes > 0) return false
    this.#chunks.push(chunk)
    this.#queuedBytes += chunk.length
    return true
  }

  /** No more chunks; what is queued is still delivered. */
  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#waiting?.resolve(done)
    this.#waiting = null
  }

  /** The producer failed; what is queued is still delivered, then `next` rejects with `error`. */
  fail(error: unknown): void {
    if (this.#state !== 'open') return
    this.#state = 'failed'
    this.#error = error
    this.#waiting?.reject(error)
    this.#waiting = null
  }

  /** The consumer leaves: queued chunks are dropped and the producer is told. */
  cancel(reason: unknown): void {
    if (this.#state === 'cancelled') return
    const wasOpen = this.#state === 'open'
    this.#state = 'cancelled'
    this.#chunks = []
    this.#head = 0
    this.#queuedBytes = 0
    this.#waiting?.resolve(done)
    this.#waiting = null
    if (wasOpen) this.#onCancel?.(reason)
  }

  /** Takes a queued chunk without waiting; null when nothing is queued. */
  take(): Buffer | null {
    if (this.#head === this.#chunks.length) return null
    const chunk = this.#chunks[this.#head]
    this.#head += 1
    if (this.#head === this.#chunks.length) {
      this.#chunks = []
      this.#head = 0
    }
    if (chunk === undefined) return null
    this.#queuedBytes -= chunk.length
    return chunk
  }

  next(): Promise<IteratorResult<Buffer, undefined>> {
    const chunk = this.take()
    if (chunk !== null) return Promise.resolve({ done: false, value: chunk })
    if (this.#state === 'failed') return Promise.reject(this.#error)
    if (this.#state !== 'open') return Promise.resolve(done)
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  return(): Promise<IteratorResult<Buffer, undefined>> {
    this.cancel('consumer returned')
    return Promise.resolve(done)
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
