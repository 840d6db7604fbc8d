/**
 * Writes to a slower layer, behind the answers: no request ever waits for one. Bounded in items and bytes; when full the
 * oldest write is dropped and counted, because a cache may forget. A few writes are under way at once.
 */
const itemsMax = 1_000
const bytesMax = 32 * 1_048_576
const underWayMax = 4

export interface QueuedWrite {
  readonly bytes: number
  /**
   * Resolves with whether the layer keeps it; false: it had no use for it. Null: the layer does not take writes now; the write is
   * dropped. Must not last: the layer has its own timeout.
   */
  run(): Promise<boolean> | null
  /** Called once when nothing more will come of it: it was written, failed or was dropped. */
  readonly onEnd?: () => void
}

export interface WriteQueueStats {
  readonly queued: number
  readonly queuedBytes: number
  /** Kept by the layer. */
  readonly written: number
  /** Not for this layer: too cheap to make, or over by the time it was their turn. */
  readonly declined: number
  /** Never tried: the queue was full, or the layer was being left alone. */
  readonly dropped: number
  /** Tried, and not known to be kept. */
  readonly failed: number
}

export class WriteQueue {
  /** Those before the head are taken, and forgotten at once: each holds what it would write. */
  #writes: (QueuedWrite | undefined)[] = []
  #head = 0
  #queuedBytes = 0
  #underWay = 0
  #written = 0
  #declined = 0
  #dropped = 0
  #failed = 0
  #onIdle: (() => void)[] = []
  #closed = false

  add(write: QueuedWrite): void {
    if (this.#closed || write.bytes > bytesMax) {
      this.#drop(write)
      return
    }
    this.#writes.push(write)
    this.#queuedBytes += write.bytes
    while (this.#writes.length - this.#head > itemsMax || this.#queuedBytes > bytesMax) {
      this.#drop(this.#take())
    }
    this.#pump()
  }

  #drop(write: QueuedWrite | undefined): void {
    this.#dropped += 1
    write?.onEnd?.()
  }

  #take(): QueuedWrite | undefined {
    const write = this.#writes[this.#head]
    if (write === undefined) return undefined
    this.#writes[this.#head] = undefined
    this.#head += 1
    this.#queuedBytes -= write.bytes
    if (this.#head > itemsMax) {
      this.#writes = this.#writes.slice(this.#head)
      this.#head = 0
    }
    return write
  }

  #pump(): void {
    while (this.#underWay < underWayMax) {
      const write = this.#take()
      if (write === undefined) break
      this.#run(write)
    }
    if (this.#underWay > 0 || this.#head < this.#writes.length) return
    const waiting = this.#onIdle
    this.#onIdle = []
    for (const done of waiting) done()
  }

  #run(write: QueuedWrite): void {
    const writing = write.run()
    if (writing === null) {
      this.#drop(write)
      return
    }
    this.#underWay += 1
    writing.then(
      (isKept) => this.#ended(write, isKept ? 'written' : 'declined'),
      () => this.#ended(write, 'failed'),
    )
  }

  #ended(write: QueuedWrite, how: 'written' | 'declined' | 'failed'): void {
    this.#underWay -= 1
    if (how === 'written') this.#written += 1
    else if (how === 'declined') this.#declined += 1
    else this.#failed += 1
    write.onEnd?.()
    this.#pump()
  }

  /** Takes no more writes and resolves when those under way and queued are through. */
  close(): Promise<void> {
    this.#closed = true
    return this.idle()
  }

  /** Resolves when nothing is queued or under way. */
  idle(): Promise<void> {
    if (this.#underWay === 0 && this.#head === this.#writes.length) return Promise.resolve()
    return new Promise((resolve) => {
      this.#onIdle.push(resolve)
    })
  }

  get stats(): WriteQueueStats {
    return {
      queued: this.#writes.length - this.#head,
      queuedBytes: this.#queuedBytes,
      written: this.#written,
      declined: this.#declined,
      dropped: this.#dropped,
      failed: this.#failed,
    }
  }
}
