/**
 * A bounded queue of byte chunks between one producer that never waits and one consumer that may be slow: the producer
 * (a node) is always drained, the queue holds what the consumer (a client) has not taken yet. A consumer is called with each
 * chunk, without a promise per chunk, because one step per frame is on the hot path.
 *
 * Invariants: `end` and `cancel` are final, the first one wins; `queuedBytes` never exceeds `limitBytes` by more than one
 * chunk: a push that would is refused and the producer decides (it drops the consumer); what was taken is not held; `end`
 * reaches the consumer once, after the last chunk.
 */
export interface ByteConsumer {
  /** Takes a chunk. False: it is full; no further chunk comes until `resume`. */
  take(chunk: Buffer): boolean
  /** Nothing more comes. */
  end(): void
}

/** Stands where a chunk was. */
const taken = Buffer.alloc(0)

export class ByteQueue {
  readonly limitBytes: number
  #chunks: Buffer[] = []
  #head = 0
  #queuedBytes = 0
  #consumer: ByteConsumer | null = null
  #paused = false
  #state: 'open' | 'ended' | 'cancelled' = 'open'
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
    if (this.#consumer !== null && !this.#paused) {
      this.#paused = !this.#consumer.take(chunk)
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
    if (this.#head === this.#chunks.length) this.#consumer?.end()
  }

  /** Sets the one consumer and hands it what is queued. */
  attach(consumer: ByteConsumer): void {
    this.#consumer = consumer
    this.resume()
  }

  /** The consumer has room again. */
  resume(): void {
    this.#paused = false
    const consumer = this.#consumer
    if (consumer === null || this.#state === 'cancelled') return
    while (this.#head < this.#chunks.length && !this.#paused) {
      const chunk = this.#chunks[this.#head]
      this.#chunks[this.#head] = taken
      this.#head += 1
      if (chunk === undefined) continue
      this.#queuedBytes -= chunk.length
      this.#paused = !consumer.take(chunk)
    }
    if (this.#head < this.#chunks.length) {
      this.#dropTaken()
      return
    }
    this.#chunks = []
    this.#head = 0
    if (this.#state === 'ended') consumer.end()
  }

  /** A consumer that never catches up leaves no empty list in which its places could begin anew. */
  #dropTaken(): void {
    if (this.#head * 2 < this.#chunks.length) return
    this.#chunks = this.#chunks.slice(this.#head)
    this.#head = 0
  }

  /** The consumer leaves: queued chunks are dropped and the producer is told. */
  cancel(reason: unknown): void {
    if (this.#state === 'cancelled') return
    const wasOpen = this.#state === 'open'
    this.#state = 'cancelled'
    this.#chunks = []
    this.#head = 0
    this.#queuedBytes = 0
    this.#consumer = null
    if (wasOpen) this.#onCancel?.(reason)
  }
}
