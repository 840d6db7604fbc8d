/**
 * One node's part of an upload: the bytes that wait for it, and whether it still moves. A node that takes nothing of what waits,
 * or gives no answer after the last byte, stands still; one to which nothing was sent that it has not taken waits for the client.
 */
import { PassThrough } from 'node:stream'

import { CallSignal } from '../../base/abort.ts'
import { formatDuration } from '../../base/units.ts'
import type { FleetNode } from '../node.ts'
import { type WholeResponse, TransportError } from '../transport.ts'
import { downFor, type NodeResult } from './answers.ts'

/** Bytes that wait for one node at most. */
const bufferBytes = 262_144
/** Moving uploads of many GB may take long. */
const uploadMsMax = 24 * 3_600_000

export class BlobPart {
  readonly node: FleetNode
  /** What the node is sent. */
  readonly sink = new PassThrough({ highWaterMark: bufferBytes })
  readonly #signal = new CallSignal()
  #writtenBytes = 0
  #takenBytes = 0
  #stillMs = 0
  #failure: string | null = null

  constructor(node: FleetNode) {
    this.node = node
  }

  /** False when the node had better take some first. */
  write(chunk: Buffer): boolean {
    this.#writtenBytes += chunk.length
    return this.sink.write(chunk)
  }

  /** Sends what is written until the end of the sink. Never rejects. */
  async send(path: string, headers: readonly string[]): Promise<NodeResult> {
    const { node, sink } = this
    sink.on('error', () => undefined)
    try {
      const request = { method: 'POST', path, headers: headers.slice(), body: sink }
      const response: WholeResponse = await node.transport.request(request, { timeoutMs: uploadMsMax, signal: this.#signal })
      return { node, ...response, failure: null }
    } catch (error) {
      if (!(error instanceof TransportError)) throw error
      return { node, status: 0, headers: {}, body: Buffer.alloc(0), failure: this.#failure ?? error.message }
    } finally {
      sink.destroy()
    }
  }

  /** Gives it up where the node stands still for `stillMsMax`, or is down. Called once each `everyMs`, so that a pause of this process is no node's. */
  check(everyMs: number, stillMsMax: number): void {
    const { sink } = this
    const takenBytes = this.#writtenBytes - sink.readableLength - sink.writableLength
    const awaitsClient = takenBytes === this.#writtenBytes && !sink.writableEnded
    this.#stillMs = awaitsClient || takenBytes > this.#takenBytes ? 0 : this.#stillMs + everyMs
    this.#takenBytes = takenBytes
    const down = downFor(this.node, this.#stillMs)
    if (down !== null) this.end(down)
    else if (this.#stillMs >= stillMsMax) this.end(`${this.#whatIsMissing()} for ${formatDuration(this.#stillMs)}`)
  }

  #whatIsMissing(): string {
    return this.#takenBytes === this.#writtenBytes ? 'gave no answer after the last byte' : 'took no byte'
  }

  /** Ends it; `reason` is the result unless there is one. */
  end(reason: string): void {
    this.#failure ??= reason
    this.#signal.abort(reason)
  }
}
