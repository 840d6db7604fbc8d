/**
 * Keeps knowing how long the certificate of a server holds: looked at when somebody asks for it, and every ten minutes from then on, sooner
 * until something is known. A look that fails leaves what was known: whether the server is there others watch.
 */
import { readValidity, type TlsPeer, type Validity } from './certificate.ts'
import type { Clock, Timer } from './clock.ts'

export interface CertificateWatchDeps {
  /** The servers behind one name; the certificate that ends first counts. Empty while nobody knows them; may throw. */
  readonly peers: () => readonly TlsPeer[]
  readonly clock: Clock
  /** 0 to below 1. */
  readonly random: () => number
}

/** A handshake costs both sides some milliseconds; what is renewed is renewed days before its end. */
const everyMs = 600_000
/** While nothing is known: at the start a server may be away, or not be known yet, as one behind Sentinels or in a cluster is. */
const retryMs = 30_000
/** The share of either by which a look may come earlier, so that replicas do not look in step. */
const jitter = 0.2
/** For one look; nobody waits for it. */
const timeoutMs = 5_000

export class CertificateWatch {
  readonly #deps: CertificateWatchDeps
  #validity: Validity | null = null
  #timer: Timer | null = null
  #looking = false
  readonly #end = new AbortController()

  constructor(deps: CertificateWatchDeps) {
    this.#deps = deps
  }

  /** As it was seen last; null before the first look that went well. */
  get validity(): Validity | null {
    return this.#validity
  }

  /** Looks now, unless a look is under way. */
  look(): void {
    if (this.#looking || this.#end.signal.aborted) return
    this.#looking = true
    this.#timer?.cancel()
    void this.#read().finally(() => {
      this.#looking = false
      const { clock, random } = this.#deps
      const pauseMs = this.#validity === null ? retryMs : everyMs
      if (!this.#end.signal.aborted) this.#timer = clock.after(pauseMs * (1 - jitter * random()), () => this.look())
    })
  }

  /** Ends a look under way, too: nothing of it keeps the process. */
  stop(): void {
    this.#end.abort()
    this.#timer?.cancel()
  }

  #begin(): Promise<Validity>[] {
    const { peers, clock } = this.#deps
    try {
      return peers().map((peer) => readValidity(peer, { clock, timeoutMs, signal: this.#end.signal }))
    } catch {
      return [] // whoever connects there says what is wrong
    }
  }

  async #read(): Promise<void> {
    const looks = await Promise.allSettled(this.#begin())
    const seen = looks.flatMap((look) => (look.status === 'fulfilled' ? [look.value] : []))
    const [first] = seen.toSorted((one, other) => one.untilWallMs - other.untilWallMs)
    if (first !== undefined) this.#validity = first
  }
}
