/**
 * Where a node given by host name was last, so that connecting does not depend on every single answer of the name service
 * (F67). The good addresses are those of the last answer that shared one with the answer before; when look-ups fail, hang
 * or name nothing but strangers, the good ones stay in use for `keepMs` at most. Strangers are tried behind them, so that a
 * node which really moved is found as soon as its old address refuses. A name that was outside of this machine never turns
 * into an address of this machine or of its link: rebinding leads nowhere. One book per node, one look-up at a time.
 */
import dns, { type LookupAddress, type LookupAllOptions, type LookupOptions } from 'node:dns'
import { BlockList, type LookupFunction } from 'node:net'

import type { Clock } from '../base/clock.ts'

/** Asks the name service for all addresses of a name. */
export type Resolve = (host: string, options: LookupAllOptions) => Promise<readonly LookupAddress[]>

export interface AddressBookOptions {
  readonly clock: Clock
  /** How long a look-up may take while good addresses are known. */
  readonly resolveMsMax: number
  readonly resolve?: Resolve
  /** How long good addresses outlive the answers that named them; fault catalogue F67. */
  readonly keepMs?: number
}

const keepMsDefault = 300_000

/** Addresses that only this machine or its link can mean. */
const nearby = new BlockList()
nearby.addSubnet('127.0.0.0', 8, 'ipv4')
nearby.addSubnet('0.0.0.0', 8, 'ipv4')
nearby.addSubnet('169.254.0.0', 16, 'ipv4')
nearby.addAddress('::1', 'ipv6')
nearby.addAddress('::', 'ipv6')
nearby.addSubnet('fe80::', 10, 'ipv6')

function isNearby({ address, family }: LookupAddress): boolean {
  return nearby.check(address, family === 6 ? 'ipv6' : 'ipv4')
}

const resolveBySystem: Resolve = (host, options) =>
  new Promise((resolve, reject) => {
    dns.lookup(host, { ...options, all: true }, (error, addresses) => {
      if (error === null) resolve(addresses)
      else reject(error)
    })
  })

function failure(host: string, code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${message} (${host})`), { code })
}

interface Running {
  readonly answer: Promise<readonly LookupAddress[]>
  readonly startedAtMs: number
}

/** The addresses of one node's host name. `lookup` takes the place of `dns.lookup` for its sockets. */
export class AddressBook {
  readonly #clock: Clock
  readonly #resolve: Resolve
  readonly #resolveMsMax: number
  readonly #keepMs: number
  #good: readonly LookupAddress[] = []
  #goodAtMs = -Infinity
  /** Whether the first answer named an address nearby; null before it. */
  #startedNearby: boolean | null = null
  #running: Running | null = null

  constructor({ clock, resolveMsMax, resolve = resolveBySystem, keepMs = keepMsDefault }: AddressBookOptions) {
    this.#clock = clock
    this.#resolve = resolve
    this.#resolveMsMax = resolveMsMax
    this.#keepMs = keepMs
  }

  /** As `dns.lookup`. Errors: those of the name service, when no good address is younger than `keepMs`. */
  readonly lookup: LookupFunction = (host, options, callback) => {
    void this.#answer(host, options, callback)
  }

  async #answer(host: string, options: LookupOptions, callback: Parameters<LookupFunction>[2]): Promise<void> {
    const found = await this.#addresses(host, { all: true, hints: options.hints, family: options.family })
    if (found instanceof Error) return callback(found, '')
    const [first] = found
    if (options.all === true) callback(null, [...found])
    else if (first !== undefined) callback(null, first.address, first.family)
    else callback(failure(host, 'ENOTFOUND', 'the name has no address'), '')
  }

  /** Never rejects: the failure is the result. */
  async #addresses(host: string, options: LookupAllOptions): Promise<readonly LookupAddress[] | Error> {
    try {
      return this.#merge(host, await this.#ask(host, options))
    } catch (error) {
      if (this.#isGoodKept()) return this.#good
      return error instanceof Error ? error : new Error(String(error))
    }
  }

  /** Waits for the name service, with a deadline only while there is something to fall back on. */
  #ask(host: string, options: LookupAllOptions): Promise<readonly LookupAddress[]> {
    this.#running ??= this.#start(host, options)
    const { answer, startedAtMs } = this.#running
    if (!this.#isGoodKept()) return answer
    const leftMs = startedAtMs + this.#resolveMsMax - this.#clock.nowMs()
    return new Promise((resolve, reject) => {
      const timer = this.#clock.after(Math.max(0, leftMs), () => reject(failure(host, 'EAI_AGAIN', 'the name service is silent')))
      void answer.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  #start(host: string, options: LookupAllOptions): Running {
    const answer = this.#resolve(host, options).finally(() => {
      this.#running = null
    })
    answer.catch(() => undefined)
    return { answer, startedAtMs: this.#clock.nowMs() }
  }

  #merge(host: string, answer: readonly LookupAddress[]): readonly LookupAddress[] {
    const allowed = this.#startedNearby === false ? answer.filter((one) => !isNearby(one)) : answer
    if (allowed.length === 0) throw failure(host, 'ENOTFOUND', 'the name has no address that may be used')
    this.#startedNearby ??= allowed.some(isNearby)
    const isKnown = allowed.some(({ address }) => this.#good.some((one) => one.address === address))
    if (!isKnown && this.#isGoodKept()) return [...this.#good, ...allowed]
    this.#good = allowed
    this.#goodAtMs = this.#clock.nowMs()
    return allowed
  }

  #isGoodKept(): boolean {
    return this.#clock.nowMs() - this.#goodAtMs <= this.#keepMs
  }
}
