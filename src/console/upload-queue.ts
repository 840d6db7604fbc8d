/**
 * Files on their way to the gateway: a few at a time, in the order they were given; more can be given meanwhile. One that is refused or cancelled does
 * not stop the others; one for which the gateway is busy goes out again when the gateway said, and all wait as long. Counts bytes, and says so with every change. It outlives the page, but not the session: what one person gave does not go out with
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
  /** Until when no further file goes out, in the time of the clock, and why. */
  readonly pause: { readonly untilMs: number; readonly error: unknown } | null
}

export interface UploadQueueDeps {
  /** Rejects when the file is refused or the signal has stopped it. */
  readonly upload: (file: UploadFile, way: { readonly onSent: (bytes: number) => void; readonly signal: AbortSignal }) => Promise<unknown>
  readonly onChange: (progress: Progress) => void
  /** A file has been taken in, refused, or stopped on its way. */
  readonly onEnded: () => void
  /** Milliseconds until a file that failed so goes out again after its `attempt`th time, from 1; null: it is refused. */
  readonly waitAfter: (error: unknown, attempt: number) => number | null
  readonly clock: {
    nowMs(): number
    after(delayMs: number, action: () => void): { cancel(): void }
  }
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
  /** How often it has gone out. */
  readonly attempts: number
}

export class UploadQueue {
  readonly #deps: UploadQueueDeps
  readonly #going = new Map<number, { readonly going: Going; readonly stop: AbortController }>()
  readonly #waiting: Waiting[] = []
  #ids = 0
  #sums = none
  #pause: (NonNullable<Progress['pause']> & { readonly timer: { cancel(): void } }) | null = null

  constructor(deps: UploadQueueDeps) {
    this.#deps = deps
  }

  /** Sends them; counts from the beginning when nothing was under way. */
  add(files: readonly UploadFile[]): void {
    if (this.#going.size + this.#waiting.length === 0) this.#sums = none
    busy.add(this)
    for (const file of files) this.#waiting.push({ ...file, id: (this.#ids += 1), attempts: 0 })
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
    this.#resume()
  }

  #fill(): void {
    while (this.#pause === null && this.#going.size < atOnceMax) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      void this.#send(next)
    }
    if (this.#going.size + this.#waiting.length === 0) busy.delete(this)
    this.#tell()
  }

  async #send({ attempts, ...waiting }: Waiting): Promise<void> {
    const { id, path, file } = waiting
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
      this.#end(file, [])
    } catch (error) {
      if (stop.signal.aborted) this.#end(file, null)
      else this.#failed({ ...waiting, attempts: attempts + 1 }, error)
    }
    this.#going.delete(id)
    this.#fill()
  }

  #failed(file: Waiting, error: unknown): void {
    const waitMs = this.#deps.waitAfter(error, file.attempts)
    if (waitMs === null) this.#end(file.file, [{ path: file.path, error }])
    else this.#putBack(file, { waitMs, error })
  }

  /** Before those that came after it; nothing goes out until the longest wait is over. */
  #putBack(file: Waiting, { waitMs, error }: { readonly waitMs: number; readonly error: unknown }): void {
    const place = this.#waiting.findIndex(({ id }) => id > file.id)
    this.#waiting.splice(place === -1 ? this.#waiting.length : place, 0, file)
    const untilMs = this.#deps.clock.nowMs() + waitMs
    if (this.#pause !== null && this.#pause.untilMs >= untilMs) return
    this.#pause?.timer.cancel()
    this.#pause = { untilMs, error, timer: this.#deps.clock.after(waitMs, () => this.#resume()) }
  }

  #resume(): void {
    this.#pause?.timer.cancel()
    this.#pause = null
    this.#fill()
  }

  /** `refused` is null for one that was cancelled. */
  #end(file: Blob, refused: Sums['refused'] | null): void {
    if (refused === null) this.#leaveOut(file)
    else this.#note(file, refused)
    this.#deps.onEnded()
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
    const pause = this.#pause === null ? null : { untilMs: this.#pause.untilMs, error: this.#pause.error }
    this.#deps.onChange({ ...this.#sums, sentBytes, going, pause })
  }
}

type Sums = Omit<Progress, 'going' | 'pause'>

const none: Sums = { files: 0, bytes: 0, endedFiles: 0, sentBytes: 0, cancelled: 0, refused: [] }
