/**
 * The frames of a stream with an ear on them: each chunk is shown to a listener when it is handed to the client, and everything else
 * goes straight through to the queue behind. So a listener neither delays nor holds a byte.
 */
import { type ByteConsumer, ByteQueue } from '../base/byte-queue.ts'

export interface FrameListener {
  onChunk(chunk: Buffer): void
  /** The client has all of it, or left. */
  onEnd(): void
}

export class TappedFrames extends ByteQueue {
  readonly #inner: ByteQueue
  readonly #listener: FrameListener

  constructor(inner: ByteQueue, listener: FrameListener) {
    super(inner.limitBytes)
    this.#inner = inner
    this.#listener = listener
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
      take: (chunk) => {
        this.#listener.onChunk(chunk)
        return consumer.take(chunk)
      },
      end: () => {
        this.#listener.onEnd()
        consumer.end()
      },
    })
  }

  override resume(): void {
    this.#inner.resume()
  }

  override cancel(reason: unknown): void {
    this.#listener.onEnd()
    this.#inner.cancel(reason)
  }
}
