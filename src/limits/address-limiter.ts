/**
 * How many requests an address may make without showing a valid credential: asked before any signature or database work, so that
 * guessing keys costs the guesser and not the gateway. An IPv6 address counts with its /64, which is what one customer gets. Fails
 * closed: when too many are active, newcomers count together. Pure: time is an argument.
 *
 * A credential that nobody knows yet is on trial until it is judged, and each trial keeps one unit: charged unless the credential was
 * good. So a burst at once is held to the limit as well, and good newcomers behind one address wait for each other, not for the minute.
 *
 * Anybody can name a public key that is known. So signatures are on trial whatever their address was charged, but counted for that
 * address and that public key alone: forgeries use up as much as an address has, and a good signature gives all of it back. They have
 * a table of their own, so that a flood of addresses shuts out no signer; when it is full, newcomers of one signer count together.
 */
import { isIPv6 } from 'node:net'

import { type AddressTrial, BucketTable, type TableLimits, type TrialOutcome } from './bucket-table.ts'
import { partsPerUnit, waitUs } from './gcra.ts'

export interface AddressVerdict {
  readonly admitted: boolean
  /** Milliseconds until one more fits; 0 when admitted. */
  readonly waitMs: number
}

export interface AddressLimits {
  readonly enabled: boolean
  readonly unauthenticatedPerMinute: number
  readonly addressesMax: number
}

const admittedVerdict: AddressVerdict = { admitted: true, waitMs: 0 }
/** Where newcomers count together. No address is named so. */
const others = 'others'
const freeTrial: AddressTrial = { admitted: true, end: () => undefined }

export class AddressLimiter {
  readonly #limits: () => AddressLimits
  readonly #addresses: BucketTable
  readonly #signers: BucketTable

  constructor(limits: () => AddressLimits) {
    this.#limits = limits
    const tableLimits = (): TableLimits => ({ perMinute: limits().unauthenticatedPerMinute, bucketsMax: limits().addressesMax })
    this.#addresses = new BucketTable(tableLimits)
    this.#signers = new BucketTable(tableLimits)
  }

  /** Addresses remembered, and signers at one. */
  get size(): number {
    return this.#addresses.size + this.#signers.size
  }

  /** Takes one request of `address` at monotonic `nowMs`. */
  admit(address: string, nowMs: number): AddressVerdict {
    const { enabled, unauthenticatedPerMinute: limit } = this.#limits()
    if (!enabled) return admittedVerdict
    const bucket = this.#addresses.open({ key: networkOf(address), together: others }, Math.floor(nowMs * 1_000))
    const wait = waitUs(bucket.parts, limit, 1)
    if (wait > 0) return { admitted: false, waitMs: wait / 1_000 }
    bucket.parts += partsPerUnit
    return admittedVerdict
  }

  /** Puts a credential of `address` on trial; a promise where others have to be judged first. `nowMs`: monotonic, asked again at the end. */
  hold(address: string, nowMs: () => number): AddressTrial | Promise<AddressTrial> {
    if (!this.#limits().enabled) return freeTrial
    return this.#addresses.hold(this.#addresses.open({ key: networkOf(address), together: others }, Math.floor(nowMs() * 1_000)), nowMs)
  }

  /** Puts a signature of `signer`, who is known, on trial beside all else of `address`, which is charged for a bad one all the same. */
  holdSigner(address: string, signer: string, nowMs: () => number): AddressTrial | Promise<AddressTrial> {
    if (!this.#limits().enabled) return freeTrial
    const key = `${networkOf(address)} ${signer}`
    const bucket = this.#signers.open({ key, together: `${others} ${signer}` }, Math.floor(nowMs() * 1_000))
    const settling = (trial: AddressTrial): AddressTrial => {
      if (!trial.admitted) return trial
      const end = (outcome: TrialOutcome): void => {
        if (outcome === 'good') bucket.parts = 0
        trial.end(outcome)
        if (outcome === 'bad') this.admit(address, nowMs())
      }
      return { admitted: true, end }
    }
    const held = this.#signers.hold(bucket, nowMs)
    return held instanceof Promise ? held.then(settling) : settling(held)
  }

  /** Milliseconds until one more request of `address` fits; 0: now. Takes none, and costs next to nothing while nobody failed. */
  waitMs(address: string, nowMs: number): number {
    const { enabled } = this.#limits()
    if (!enabled || this.#addresses.size === 0) return 0
    return this.#addresses.waitUs({ key: networkOf(address), together: others }, Math.floor(nowMs * 1_000)) / 1_000
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
