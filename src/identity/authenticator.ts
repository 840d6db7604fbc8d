/**
 * From a credential to a verdict, at once for one that is known. It picks who can judge a credential by its form alone, keeps
 * what was said, and counts. It never reads a request and never decides what a caller may do.
 */
import { hash, type KeyObject } from 'node:crypto'

import type { Clock } from '../base/clock.ts'
import { CorralError } from '../core/errors.ts'
import { GrantCache } from './grant-cache.ts'
import { checkKey, grantOf, type KeyCheckDeps, readKey } from './key-check.ts'
import type { StoredKey } from './key-rows.ts'
import { keyPrefix } from './key.ts'
import { checkToken, isToken, type JwtCheckDeps } from './jwt.ts'
import type { IdentityOptions } from './options.ts'
import type { Presented, PresentedToken } from './presented.ts'
import {
  isSignedBy,
  readSignature,
  type ReplayDeps,
  ReplayGuard,
  type SignedParts,
  type SignedRequest,
  type UsedSignature,
} from './signature.ts'
import { toKeyObject } from './signing-key.ts'
import type { Touched } from './touched.ts'
import { type Checked, denied, type Verdict } from './verdict.ts'

export interface AuthenticatorDeps {
  readonly options: IdentityOptions
  readonly clock: Clock
  readonly keys: KeyCheckDeps & { readonly findSigner: (fingerprint: string) => Promise<StoredKey | null> }
  readonly signatures: Pick<ReplayDeps, 'shared' | 'onUsed'>
  readonly tokens: JwtCheckDeps & {
    /** Whether suspensions and revocations were read; before, no token can be judged. */
    readonly isReady: () => boolean
  }
}

/** Keys used since the last write of their times. */
const usedMax = 10_000
/** Signers whose key objects are kept. */
const signersMax = 10_000

export class Authenticator {
  readonly #deps: AuthenticatorDeps
  readonly #cache: GrantCache
  readonly #signers: GrantCache
  readonly #replays: ReplayGuard
  readonly #signerKeys = new Map<string, KeyObject>()
  readonly #takesKeys: boolean
  readonly #takesTokens: boolean
  #used = new Map<string, number>()
  /** What was hashed last: whether it was good and what is said of it are asked one after the other. */
  #hashed: { readonly of: PresentedToken; readonly hash: string } | null = null

  constructor(deps: AuthenticatorDeps) {
    const { mode, keys, signatures } = deps.options
    const kept = { freshMs: keys.cacheMs, outageMs: keys.outageMs, max: keys.cacheMax }
    this.#deps = deps
    this.#cache = new GrantCache(kept, deps.clock)
    this.#signers = new GrantCache(kept, deps.clock)
    this.#replays = new ReplayGuard(signatures, { clock: deps.clock, ...deps.signatures })
    this.#takesKeys = mode === 'keys' || mode === 'both'
    this.#takesTokens = mode === 'jwt' || mode === 'both'
  }

  /** The verdict on a key or a signed token. */
  token(presented: PresentedToken): Verdict | Promise<Verdict> {
    const verdict = presented.text.startsWith(keyPrefix) ? this.#key(presented) : this.#jwt(presented)
    if (verdict instanceof Promise) return verdict.then(this.#noteUse)
    return this.#noteUse(verdict)
  }

  /** The verdict on a request signed the way of the Ollama CLI. */
  signature(text: string, parts: SignedParts): Verdict | Promise<Verdict> {
    if (!this.#takesKeys || !this.#deps.options.signatures.enabled) return denied('method_off')
    const signed = readSignature(text, parts)
    if ('kind' in signed) return signed
    if (!this.#replays.isTimely(signed)) return denied('stale_signature')
    const signer = this.#signers.resolve(signed.fingerprint, () => this.#findSigner(signed.fingerprint))
    if (signer instanceof Promise) return signer.then((verdict) => this.#judgeSigned(verdict, signed))
    return this.#judgeSigned(signer, signed)
  }

  /** Whether this is a credential that was good before, so that judging it costs what its owner may cost. Reads no store. */
  wasGood(presented: Presented, parts: SignedParts): boolean {
    if (presented.kind === 'token') return this.#cache.wasGood(this.#hashOf(presented))
    if (presented.kind !== 'signature') return false
    const signed = readSignature(presented.text, parts)
    return !('kind' in signed) && this.#signers.wasGood(signed.fingerprint)
  }

  /** A signature was used elsewhere. */
  noteSigned(signature: UsedSignature): void {
    this.#replays.note(signature)
  }

  /** Believes no verdict that it knows on what the change touches; null: on anything. */
  forget(touched: Touched | null): void {
    for (const cache of [this.#cache, this.#signers]) {
      if (touched === null) cache.clear()
      else cache.forget(touched)
    }
  }

  /** Keys used since this was asked last, with epoch ms. */
  takeUsed(): ReadonlyMap<string, number> {
    const used = this.#used
    this.#used = new Map()
    return used
  }

  #hashOf(presented: PresentedToken): string {
    if (this.#hashed?.of !== presented) this.#hashed = { of: presented, hash: hash('sha256', presented.text, 'base64') }
    return this.#hashed.hash
  }

  #key(presented: PresentedToken): Verdict | Promise<Verdict> {
    if (!this.#takesKeys) return denied('method_off')
    return this.#cache.resolve(this.#hashOf(presented), () => this.#checkKey(presented.text))
  }

  async #checkKey(text: string): Promise<Checked> {
    const key = readKey(text)
    return 'kind' in key ? key : checkKey(key, this.#deps.keys)
  }

  #jwt(presented: PresentedToken): Verdict | Promise<Verdict> {
    const { text } = presented
    if (!isToken(text)) return denied('malformed')
    if (!this.#takesTokens) return denied('method_off')
    if (!this.#deps.tokens.isReady()) return { kind: 'undecided', error: notReady() }
    return this.#cache.resolve(this.#hashOf(presented), () => checkToken(text, this.#deps.tokens))
  }

  async #findSigner(fingerprint: string): Promise<Checked> {
    const stored = await this.#deps.keys.findSigner(fingerprint)
    return stored === null ? denied('unknown_signer') : grantOf(stored, this.#deps.clock.wallMs())
  }

  #judgeSigned(verdict: Verdict, signed: SignedRequest): Verdict | Promise<Verdict> {
    if (verdict.kind !== 'granted') return verdict
    if (!isSignedBy(signed, this.#signerKey(signed))) return denied('bad_signature')
    const settle = (isAdmitted: boolean): Verdict => (isAdmitted ? this.#noteUse(verdict) : denied('replayed'))
    const admitted = this.#replays.admit(signed)
    return admitted instanceof Promise ? admitted.then(settle) : settle(admitted)
  }

  #signerKey({ fingerprint, publicKey }: SignedRequest): KeyObject {
    const known = this.#signerKeys.get(fingerprint)
    if (known !== undefined) return known
    if (this.#signerKeys.size >= signersMax) this.#signerKeys.clear()
    const key = toKeyObject(publicKey)
    this.#signerKeys.set(fingerprint, key)
    return key
  }

  readonly #noteUse = (verdict: Verdict): Verdict => {
    if (verdict.kind !== 'granted') return verdict
    const { method, subject } = verdict.principal
    if (method === 'jwt' || subject === null) return verdict
    if (this.#used.size < usedMax || this.#used.has(subject)) this.#used.set(subject, this.#deps.clock.wallMs())
    return verdict
  }
}

function notReady(): CorralError {
  return new CorralError('store_unavailable', 'which tokens were taken back is not known yet', { retryAfterMs: 1_000 })
}
