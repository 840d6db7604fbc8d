/**
 * The peppers under which key secrets are digested. Each is derived from a `CORRAL_SECRET`, so a stolen table alone opens
 * nothing; each has a version, a fingerprint of itself, that is stored beside a digest. After the secret was changed, keys
 * of former ones go on working for as long as these are listed in `identity.previousSecrets`.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'

import { CorralError } from '../core/errors.ts'

/** Characters of a secret: 128 bits in hex. */
const secretLengthMin = 32

export interface Digest {
  readonly version: string
  readonly bytes: Buffer
}

export class Peppers {
  readonly #peppers = new Map<string, Buffer>()
  readonly #current: string

  /** Throws `invalid_request` for a secret that is too short. */
  constructor(secret: string, previous: readonly string[] = []) {
    this.#current = this.#add(secret)
    for (const former of previous) this.#add(former)
  }

  #add(secret: string): string {
    if (secret.length < secretLengthMin) {
      throw new CorralError('invalid_request', `a secret of ${secret.length} characters: at least ${secretLengthMin} are needed`)
    }
    const pepper = Buffer.from(hkdfSync('sha256', secret, '', 'corral key pepper 1', 32))
    const version = createHmac('sha256', pepper).update('version').digest('hex').slice(0, 8)
    this.#peppers.set(version, pepper)
    return version
  }

  /** Version of the pepper that new keys get. */
  get current(): string {
    return this.#current
  }

  has(version: string): boolean {
    return this.#peppers.has(version)
  }

  /** Digest of a secret under the newest pepper. */
  digest(secret: string): Digest {
    return { version: this.#current, bytes: this.#hmac(this.#current, secret) }
  }

  /**
   * Whether `secret` belongs to `stored`. One HMAC and one comparison whatever the case: `stored` null (an unknown key) or of a
   * pepper that is not known here is compared with a digest that nothing has.
   */
  matches(secret: string, stored: Digest | null): boolean {
    const known = stored !== null && this.has(stored.version) && stored.bytes.length === noDigest.length
    const actual = this.#hmac(known ? stored.version : this.#current, secret)
    const equal = timingSafeEqual(actual, known ? stored.bytes : noDigest)
    return equal && known
  }

  #hmac(version: string, secret: string): Buffer {
    const pepper = this.#peppers.get(version)
    if (pepper === undefined) throw new Error(`no pepper ${version}`)
    return createHmac('sha256', pepper).update(secret).digest()
  }
}

const noDigest = Buffer.alloc(32)
