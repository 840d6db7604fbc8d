/**
 * Buckets of units per minute by key, as many as are set. When all are in use, those of new keys are put together, by what each names: so
 * a flood of keys neither grows the table nor frees a bucket that is charged. A bucket that is empty again makes place. What is counted
 * may be on trial first, and keeps a unit until it was judged.
 */
import { drained, partsPerUnit, waitUs } from './gcra.ts'

/** What came of a trial: a good credential, a bad one, or none that was judged. */
export type TrialOutcome = 'good' | 'bad' | 'untried'

/** Leave to judge a credential, whose `end` is to be called once, or how long to wait. */
export type AddressTrial =
  { readonly admitted: true; end(outcome: TrialOutcome): void } | { readonly admitted: false; readonly waitMs: number }

export interface Bucket {
  parts: number
  atUs: number
  /** Credentials being looked up. */
  onTrial: number
  /** Those that come when all units are charged or on trial, in order. */
  readonly waiting: Waiting[]
}

interface Waiting {
  tryIn(): AddressTrial | null
  resolve(trial: AddressTrial): void
}

export interface TableLimits {
  readonly perMinute: number
  /** Beside those in which many keys are put together. */
  readonly bucketsMax: number
}

/** Where something is counted. */
interface Place {
  readonly key: string
  /** The key of the bucket that it shares with others when the table is full. */
  readonly together: string
}

/** Buckets looked at for an empty one when the table is full. */
const looksPerInsert = 32
/** Credentials of one bucket that wait for others of it to be judged. */
const waitingMax = 1_000
const retryAfterMs = 1_000

export class BucketTable {
  readonly #limits: () => TableLimits
  readonly #buckets = new Map<string, Bucket>()
  #search: MapIterator<[string, Bucket]>

  constructor(limits: () => TableLimits) {
    this.#limits = limits
    this.#search = this.#buckets.entries()
  }

  get size(): number {
    return this.#buckets.size
  }

  /** The bucket of a place, drained up to monotonic `nowUs`; a new one when there is none. */
  open(place: Place, nowUs: number): Bucket {
    const key = this.#keyOf(place, nowUs)
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      bucket = { parts: 0, atUs: nowUs, onTrial: 0, waiting: [] }
      this.#buckets.set(key, bucket)
    }
    this.#advance(bucket, nowUs)
    return bucket
  }

  #advance(bucket: Bucket, nowUs: number): void {
    bucket.parts = drained(bucket.parts, this.#limits().perMinute, nowUs - bucket.atUs)
    bucket.atUs = nowUs
  }

  /** Puts a credential on trial that is counted in `bucket` of this table; a promise where others have to be judged first. `nowMs`: monotonic. */
  hold(bucket: Bucket, nowMs: () => number): AddressTrial | Promise<AddressTrial> {
    const tryIn = (): AddressTrial | null => this.#tryIn(bucket, nowMs)
    const trial = tryIn()
    if (trial !== null) return trial
    if (bucket.waiting.length >= waitingMax) return { admitted: false, waitMs: retryAfterMs }
    return new Promise((resolve) => void bucket.waiting.push({ tryIn, resolve }))
  }

  /** Null: it has to be seen first what those on trial are worth. */
  #tryIn(bucket: Bucket, nowMs: () => number): AddressTrial | null {
    const { perMinute } = this.#limits()
    const wait = waitUs(bucket.parts, perMinute, 1)
    if (wait > 0) return { admitted: false, waitMs: wait / 1_000 }
    if (waitUs(bucket.parts, perMinute, bucket.onTrial + 1) > 0) return null
    bucket.onTrial += 1
    return { admitted: true, end: (outcome) => this.#end(bucket, outcome, nowMs()) }
  }

  #end(bucket: Bucket, outcome: TrialOutcome, nowMs: number): void {
    this.#advance(bucket, Math.floor(nowMs * 1_000))
    bucket.onTrial -= 1
    if (outcome === 'bad') bucket.parts += partsPerUnit
    for (let next = bucket.waiting[0]; next !== undefined; next = bucket.waiting[0]) {
      const trial = next.tryIn()
      if (trial === null) return
      bucket.waiting.shift()
      next.resolve(trial)
    }
  }

  /** Microseconds until one more unit fits a place; 0: now. Takes none and makes no bucket. */
  waitUs(place: Place, nowUs: number): number {
    const { perMinute } = this.#limits()
    const bucket = this.#buckets.get(this.#keyOf(place, nowUs))
    return bucket === undefined ? 0 : waitUs(drained(bucket.parts, perMinute, nowUs - bucket.atUs), perMinute, 1)
  }

  #keyOf({ key, together }: Place, nowUs: number): string {
    const full = this.#buckets.size >= this.#limits().bucketsMax
    return this.#buckets.has(key) || !full || this.#dropEmpty(nowUs) ? key : together
  }

  /** Goes on where the last search ended: starting over would walk past all that was dropped before. */
  #dropEmpty(nowUs: number): boolean {
    const { perMinute } = this.#limits()
    for (let looks = 0; looks < looksPerInsert; looks += 1) {
      let { value, done } = this.#search.next()
      if (done === true) {
        this.#search = this.#buckets.entries()
        ;({ value, done } = this.#search.next())
      }
      if (value === undefined) return false
      const [key, { parts, atUs, onTrial }] = value
      if (onTrial > 0 || drained(parts, perMinute, nowUs - atUs) > 0) continue
      this.#buckets.delete(key)
      return true
    }
    return false
  }
}
