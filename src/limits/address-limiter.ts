/**
 * How many requests an address may make without showing a valid credential: asked before any signature or database work, so that
 * guessing keys costs the guesser and not the gateway. An IPv6 address counts with its /64, which is what one customer gets. Fails
 * closed: a full table of active addresses counts newcomers together. Pure: time is an argument.
 *
 * A credential that nobody knows yet is on trial until it is judged, and each trial keeps one unit: charged unless the credential was
 * good. So a burst at once is held to the limit as well, and good newcomers behind one address wait for each other, not for the minute.
 *
 * Anybody can name a public key that is known. So signatures are on trial whatever their address was charged, but counted for that
 * address and that public key alone: forgeries use up as much as an address has, and a good signature gives all of it back.
 */
import { isIPv6 } from 'node:net'

import { drained, partsPerUnit, waitUs } from './gcra.ts'

interface Bucket {
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

export interface AddressVerdict {
  readonly admitted: boolean
  /** Milliseconds until one more fits; 0 when admitted. */
  readonly waitMs: number
}

/** What came of a trial: a good credential, a bad one, or none that was judged. */
export type TrialOutcome = 'good' | 'bad' | 'untried'

/** Leave to judge a credential, whose `end` is to be called once, or how long to wait. */
export type AddressTrial =
  { readonly admitted: true; end(outcome: TrialOutcome): void } | { readonly admitted: false; readonly waitMs: number }

export interface AddressLimits {
  readonly enabled: boolean
  readonly unauthenticatedPerMinute: number
  readonly addressesMax: number
}

const admittedVerdict: AddressVerdict = { admitted: true, waitMs: 0 }
/** Addresses looked at for an idle one when the table is full. */
const looksPerInsert = 32
const together = 'others'
/** Credentials of one address that wait for others of it to be judged. */
const waitingMax = 1_000
const retryAfterMs = 1_000
const freeTrial: AddressTrial = { admitted: true, end: () => undefined }

export class AddressLimiter {
  readonly #limits: () => AddressLimits
  readonly #buckets = new Map<string, Bucket>()
  #search: MapIterator<[string, Bucket]>

  constructor(limits: () => AddressLimits) {
    this.#limits = limits
    this.#search = this.#buckets.entries()
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes one request of `address` at monotonic `nowMs`. */
  admit(address: string, nowMs: number): AddressVerdict {
    const { enabled, unauthenticatedPerMinute: limit } = this.#limits()
    if (!enabled) return admittedVerdict
    const nowUs = Math.floor(nowMs * 1_000)
    const bucket = this.#bucket(networkOf(address), nowUs)
    const wait = waitUs(bucket.parts, limit, 1)
    if (wait > 0) return { admitted: false, waitMs: wait / 1_000 }
    bucket.parts += partsPerUnit
    return admittedVerdict
  }

  /** Puts a credential of `address` on trial; a promise where others have to be judged first. `nowMs`: monotonic, asked again at the end. */
  hold(address: string, nowMs: () => number): AddressTrial | Promise<AddressTrial> {
    return this.#hold(networkOf(address), nowMs)
  }

  /** Puts a signature of `signer`, who is known, on trial beside all else of `address`, which is charged for a bad one all the same. */
  holdSigner(address: string, signer: string, nowMs: () => number): AddressTrial | Promise<AddressTrial> {
    const key = `${networkOf(address)} ${signer}`
    const settling = (trial: AddressTrial): AddressTrial => {
      if (!trial.admitted) return trial
      const end = (outcome: TrialOutcome): void => {
        const own = this.#buckets.get(key)
        if (outcome === 'good' && own !== undefined) own.parts = 0
        trial.end(outcome)
        if (outcome === 'bad') this.admit(address, nowMs())
      }
      return { admitted: true, end }
    }
    const held = this.#hold(key, nowMs)
    return held instanceof Promise ? held.then(settling) : settling(held)
  }

  #hold(key: string, nowMs: () => number): AddressTrial | Promise<AddressTrial> {
    if (!this.#limits().enabled) return freeTrial
    const bucket = this.#bucket(key, Math.floor(nowMs() * 1_000))
    const tryIn = (): AddressTrial | null => this.#tryIn(bucket, nowMs)
    const trial = tryIn()
    if (trial !== null) return trial
    if (bucket.waiting.length >= waitingMax) return { admitted: false, waitMs: retryAfterMs }
    return new Promise((resolve) => void bucket.waiting.push({ tryIn, resolve }))
  }

  /** Null: it has to be seen first what those on trial are worth. */
  #tryIn(bucket: Bucket, nowMs: () => number): AddressTrial | null {
    const { unauthenticatedPerMinute: limit } = this.#limits()
    const wait = waitUs(bucket.parts, limit, 1)
    if (wait > 0) return { admitted: false, waitMs: wait / 1_000 }
    if (waitUs(bucket.parts, limit, bucket.onTrial + 1) > 0) return null
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

  /** Milliseconds until one more request of `address` fits; 0: now. Takes none, and costs next to nothing while nobody failed. */
  waitMs(address: string, nowMs: number): number {
    const { enabled, unauthenticatedPerMinute: limit } = this.#limits()
    if (!enabled || this.#buckets.size === 0) return 0
    const nowUs = Math.floor(nowMs * 1_000)
    const bucket = this.#buckets.get(this.#keyOf(networkOf(address), nowUs))
    return bucket === undefined ? 0 : waitUs(drained(bucket.parts, limit, nowUs - bucket.atUs), limit, 1) / 1_000
  }

  /** Where a network, or a signer in one, is counted: by itself, or with the others when the table is full. */
  #keyOf(key: string, nowUs: number): string {
    const { unauthenticatedPerMinute: limit, addressesMax } = this.#limits()
    const full = this.#buckets.size >= addressesMax
    return this.#buckets.has(key) || !full || this.#dropIdle(nowUs, limit) ? key : together
  }

  #bucket(wanted: string, nowUs: number): Bucket {
    const key = this.#keyOf(wanted, nowUs)
    let bucket = this.#buckets.get(key)
    if (bucket === undefined) {
      bucket = { parts: 0, atUs: nowUs, onTrial: 0, waiting: [] }
      this.#buckets.set(key, bucket)
    }
    this.#advance(bucket, nowUs)
    return bucket
  }

  #advance(bucket: Bucket, nowUs: number): void {
    bucket.parts = drained(bucket.parts, this.#limits().unauthenticatedPerMinute, nowUs - bucket.atUs)
    bucket.atUs = nowUs
  }

  /** Goes on where the last search ended: starting over would walk past all that was dropped before. */
  #dropIdle(nowUs: number, limit: number): boolean {
    for (let looks = 0; looks < looksPerInsert; looks += 1) {
      let { value, done } = this.#search.next()
      if (done === true) {
        this.#search = this.#buckets.entries()
        ;({ value, done } = this.#search.next())
      }
      if (value === undefined) return false
      const [key, { parts, atUs, onTrial }] = value
      if (onTrial > 0 || drained(parts, limit, nowUs - atUs) > 0) continue
      this.#buckets.delete(key)
      return true
    }
    return false
  }
}

/** What counts as one place: an IPv4 address, or the first 64 bits of an IPv6 address. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const plain = address.split('%', 1)[0] ?? address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)
  if (mapped?.[1] !== undefined) return mapped[1]
  if (!isIPv6(plain)) return plain
  const [head = '', tail] = plain.toLowerCase().split('::', 2)
  const first = head === '' ? [] : head.split(':')
  const last = tail === undefined || tail === '' ? [] : tail.split(':')
  const lastWords = last.length + (tail?.includes('.') === true ? 1 : 0)
  const zeros = tail === undefined ? 0 : 8 - first.length - lastWords
  const words = [...first, ...Array.from({ length: zeros }, () => '0'), ...last]
  return words
    .slice(0, 4)
    .map((word) => word.replace(/^0+(?=.)/, ''))
    .join(':')
}
