/**
 * The frame that is not complete yet, at the end of what a node has sent. Memory grows by doubling and each chunk is copied
 * into its end, so that a frame that drips in by small chunks costs time in proportion to its length; the caller keeps the
 * length at which it last looked, so that no byte is looked at twice for the end of the frame. Bytes handed on stay as they
 * are: new ones are written only behind them. The bound on a frame's length is the caller's.
 */
const nothing = Buffer.alloc(0)

export class FrameRest {
  /** Holds the rest from its first byte on; free behind `length` when it is this object's own. */
  #memory: Buffer = nothing
  #own = false
  length = 0

  /** The rest and `chunk` as one buffer: `chunk` itself when there is no rest. */
  join(chunk: Buffer): Buffer {
    if (this.length === 0) return chunk
    const length = this.length + chunk.length
    if (!this.#own || length > this.#memory.length) this.#grow(length)
    chunk.copy(this.#memory, this.length)
    return this.#memory.subarray(0, length)
  }

  /** Most frames that come in pieces come in two: the first time there is no room to spare. */
  #grow(length: number): void {
    const memory = Buffer.allocUnsafe(this.#own ? 2 * length : length)
    this.#memory.copy(memory, 0, 0, this.length)
    this.#memory = memory
    this.#own = true
  }

  /** `bytes`, the last result of `join`, hold whole frames up to `from`; what follows is the rest now. */
  keep(bytes: Buffer, from: number): void {
    const unread = bytes.length - from
    const joined = this.length > 0
    this.length = unread
    if (joined && from === 0) return
    this.#memory = unread === 0 ? nothing : bytes.subarray(from)
    this.#own = false
  }
}
