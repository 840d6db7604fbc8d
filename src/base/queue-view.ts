/**
 * A queue seen through a function: each chunk passes it when it is handed to the consumer, and everything else goes straight
 * through to the queue behind. So a view neither delays nor holds a byte, and what is passed on may differ in length.
 */
import { type ByteConsumer, ByteQueue } from './byte-queue.ts'

export interface QueuePass {
  /** What the consumer gets for a chunk. */
  pass(chunk: Buffer): Buffer
  /** The consumer has all of it, or left. */
  onEnd?(): void
}

export class QueueView extends ByteQueue {
  readonly #inner: ByteQueue
  readonly #through: QueuePass

  constructor(inner: ByteQueue, through: QueuePass) {
    super(inner.limitBytes)
    this.#inner = inner
    this.#through = through
  }

  override get queuedBytes(): number {
    return this.#inner.queuedBytes
  }

  override get open(): boolean {
    return this.#inner.open
  }

  override set onCancel(listener: (reason: unknown) => void) {
    this.#inner.onCancel = listener
  }

  override push(chunk: Buffer): boolean {
    return this.#inner.push(chunk)
  }

  override end(): void {
    this.#inner.end()
  }

  override attach(consumer: ByteConsumer): void {
    this.#inner.attach({
      take: (chunk) => consumer.take(this.#through.pass(chunk)),
      end: () => {
        this.#through.onEnd?.()
        consumer.end()
      },
    })
  }

  override resume(): void {
    this.#inner.resume()
  }

  override cancel(reason: unknown): void {
    this.#through.onEnd?.()
    this.#inner.cancel(reason)
  }
}
