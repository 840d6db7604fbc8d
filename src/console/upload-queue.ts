/**
 * Files on their way to the gateway: a few at a time, in the order they were given; more can be given meanwhile. One that is refused or cancelled does
 * not stop the others. Counts bytes, and says so with every change. It outlives the page, but not the session: what one person gave does not go out with
 * the rights of the next.
 */

export interface UploadFile {
  readonly path: string
  readonly file: Blob
}

export interface Going {
  readonly id: number
  readonly path: string
  readonly sentBytes: number
  readonly sizeBytes: number
}

export interface Progress {
  /** Given since nothing was under way. */
  readonly files: number
  /** Of these files, without the cancelled ones. */
  readonly bytes: number
  /** At their end, however that was. */
  readonly endedFiles: number
  /** Of all: whole files, and what has gone out of those under way. */
  readonly sentBytes: number
  readonly cancelled: number
  readonly going: readonly Going[]
  readonly refused: readonly { readonly path: string; readonly error: unknown }[]
}

export interface UploadQueueDeps {
  /** Rejects when the file is refused or the signal has stopped it. */
  readonly upload: (file: UploadFile, way: { readonly onSent: (bytes: number) => void; readonly signal: AbortSignal }) => Promise<unknown>
  readonly onChange: (progress: Progress) => void
  /** A file has been taken in, or refused. */
  readonly onEnded: () => void
}

/** Those with files that wait or are on their way. */
const busy = new Set<UploadQueue>()

/** Cancels every file that has not come in yet, of all queues. */
export function cancelUploads(): void {
  for (const queue of busy) queue.cancelAll()
}

/** Files on their way at once. */
const atOnceMax = 3

interface Waiting extends UploadFile {
  readonly id: number
}

export class UploadQueue {
  readonly #deps: UploadQueueDeps
  readonly #going = new Map<number, { readonly going: Going; readonly stop: AbortController }>()
  readonly #waiting: Waiting[] = []
  #ids = 0
  #sums = none

  constructor(deps: UploadQueueDeps) {
    this.#deps = deps
  }

  /** Sends them; counts from the beginning when nothing was under way. */
  add(files: readonly UploadFile[]): void {
    if (this.#going.size === 0) this.#sums = none
    busy.add(this)
    for (const file of files) this.#waiting.push({ ...file, id: (this.#ids += 1) })
    const bytes = files.reduce((sum, { file }) => sum + file.size, 0)
    this.#sums = { ...this.#sums, files: this.#sums.files + files.length, bytes: this.#sums.bytes + bytes }
    this.#fill()
  }

  /** Those that wait for their turn. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** Nothing of it stays at the gateway, unless it has all of it already. */
  cancel(id: number): void {
    this.#going.get(id)?.stop.abort()
  }

  cancelAll(): void {
    for (const { file } of this.#waiting.splice(0)) this.#leaveOut(file)
    for (const { stop } of this.#going.values()) stop.abort()
    this.#tell()
  }

  #fill(): void {
    while (this.#going.size < atOnceMax) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      void this.#send(next)
    }
    if (this.#going.size === 0) busy.delete(this)
    this.#tell()
  }

  async #send({ id, path, file }: Waiting): Promise<void> {
    const stop = new AbortController()
    const note = (sentBytes: number): void => void this.#going.set(id, { going: { id, path, sentBytes, sizeBytes: file.size }, stop })
    note(0)
    const onSent = (bytes: number): void => {
      if (!this.#going.has(id)) return
      note(Math.min(bytes, file.size))
      this.#tell()
    }
    try {
      await this.#deps.upload({ path, file }, { onSent, signal: stop.signal })
      this.#note(file, [])
    } catch (error) {
      if (stop.signal.aborted) this.#leaveOut(file)
      else this.#note(file, [{ path, error }])
    }
    this.#going.delete(id)
    this.#deps.onEnded()
    this.#fill()
  }

  #note({ size }: Blob, refused: Sums['refused']): void {
    const { endedFiles, sentBytes, refused: before } = this.#sums
    this.#sums = { ...this.#sums, endedFiles: endedFiles + 1, sentBytes: sentBytes + size, refused: [...before, ...refused] }
  }

  #leaveOut({ size }: Blob): void {
    const { endedFiles, bytes, cancelled } = this.#sums
    this.#sums = { ...this.#sums, endedFiles: endedFiles + 1, bytes: bytes - size, cancelled: cancelled + 1 }
  }

  #tell(): void {
    const going = [...this.#going.values()].map((each) => each.going)
    const sentBytes = going.reduce((sum, each) => sum + each.sentBytes, this.#sums.sentBytes)
    this.#deps.onChange({ ...this.#sums, sentBytes, going })
  }
}

type Sums = Omit<Progress, 'going'>

const none: Sums = { files: 0, bytes: 0, endedFiles: 0, sentBytes: 0, cancelled: 0, refused: [] }
