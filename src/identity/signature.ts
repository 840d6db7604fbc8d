/**
 * How the official Ollama CLI proves who it is (`OLLAMA_AUTH=1`): `Authorization: <public key>:<signature>`, both base64, the
 * signature ed25519 over `METHOD,PATH?ts=SECONDS`, and `?ts=SECONDS` in the URL. The body is not covered, so the time window is
 * small, and a signature is good again only for as long as a client may honestly repeat it: it signs whole seconds.
 */
import { type KeyObject, verify } from 'node:crypto'

import type { Clock } from '../base/clock.ts'
import { blobLength, fingerprintOf, parsePublicKey } from './signing-key.ts'
import { denied, type Denied } from './verdict.ts'

/** A request that says who signed it. */
export interface SignedRequest {
  readonly fingerprint: string
  readonly publicKey: Buffer
  readonly signature: Buffer
  readonly text: string
  readonly signedAtWallMs: number
}

/** What tells one signature of a key from its others. */
export type UsedSignature = Pick<SignedRequest, 'fingerprint' | 'text'>

/** The signatures that were used at any replica. */
export interface SharedSignatures {
  /** Milliseconds since this one was used first, 0: now, which notes it; null: it cannot be told. */
  usedForMs(signature: UsedSignature): Promise<number | null>
}

/** What of a request is signed. `query` begins behind the question mark. */
export interface SignedParts {
  readonly method: string
  readonly path: string
  readonly query: string
}

const signaturePattern = /^[0-9A-Za-z+/]{86}==$/
const queryPattern = /^ts=(\d{1,12})$/

/** Whether an `Authorization` value has the form of a signature: a key blob, a colon, something. */
export function isSignature(value: string): boolean {
  return value.charCodeAt(blobLength) === 58 && value.startsWith('AAAAC3NzaC1lZDI1NTE5')
}

/** The public key that an `Authorization` value with the form of a signature names, in base64. */
export function signerOf(value: string): string {
  return value.slice(0, blobLength)
}

/** Takes a signed request apart without judging the signature. */
export function readSignature(value: string, { method, path, query }: SignedParts): SignedRequest | Denied {
  const publicKey = parsePublicKey(signerOf(value))
  const signature = value.slice(blobLength + 1)
  const seconds = queryPattern.exec(query)?.[1]
  if (publicKey === null || seconds === undefined || !signaturePattern.test(signature)) return denied('malformed')
  return {
    fingerprint: fingerprintOf(publicKey),
    publicKey,
    signature: Buffer.from(signature, 'base64'),
    text: `${method},${path}?ts=${seconds}`,
    signedAtWallMs: Number(seconds) * 1_000,
  }
}

/** Whether the signature is that of the key over the request. */
export function isSignedBy({ text, signature }: SignedRequest, key: KeyObject): boolean {
  return verify(null, Buffer.from(text), key, signature)
}

/** Signatures of one key remembered at once: at 100 requests per second one minute has fewer different ones. */
const seenPerKeyMax = 4_096
const keysMax = 10_000

export interface ReplayOptions {
  readonly windowMs: number
  readonly replayMs: number
}

export interface ReplayDeps {
  readonly clock: Clock
  /** Null: each replica knows what it saw itself, and what it is told. */
  readonly shared: SharedSignatures | null
  /** Hears of each signature when it is used first here, for those who take `note`. */
  readonly onUsed: (signature: UsedSignature) => void
}

/** Tells replays. Signatures are kept until they leave the window; per key, so that one holder cannot push out another's. */
export class ReplayGuard {
  readonly #clock: Clock
  readonly #shared: SharedSignatures | null
  readonly #onUsed: (signature: UsedSignature) => void
  readonly #windowMs: number
  readonly #replayMs: number
  readonly #seen = new Map<string, Map<string, number>>()

  constructor({ windowMs, replayMs }: ReplayOptions, { clock, shared, onUsed }: ReplayDeps) {
    this.#windowMs = windowMs
    this.#replayMs = replayMs
    this.#clock = clock
    this.#shared = shared
    this.#onUsed = onUsed
  }

  /** Whether the signature's time is near enough to ours. */
  isTimely({ signedAtWallMs }: SignedRequest): boolean {
    return Math.abs(this.#clock.wallMs() - signedAtWallMs) <= this.#windowMs
  }

  /** Notes a good signature; false when it was used too long ago, here or elsewhere, or when there is no room to remember it. */
  admit(signature: UsedSignature): boolean | Promise<boolean> {
    const firstMs = this.#firstMs(signature)
    if (firstMs === null) {
      if (!this.note(signature)) return false
      this.#onUsed(signature)
    } else if (this.#clock.nowMs() - firstMs > this.#replayMs) return false
    return this.#shared === null || this.#isNewTo(this.#shared, signature)
  }

  /** Notes a good signature that was used now, here or where it is told from; false when there is no room to remember it. */
  note({ fingerprint, text }: UsedSignature): boolean {
    const nowMs = this.#clock.nowMs()
    const seen = this.#seenOf(fingerprint)
    if (seen === null) return false
    if (seen.has(text)) return true
    this.#forget(seen, nowMs)
    if (seen.size >= seenPerKeyMax) return false
    seen.set(text, nowMs)
    return true
  }

  async #isNewTo(shared: SharedSignatures, signature: UsedSignature): Promise<boolean> {
    const usedForMs = await shared.usedForMs(signature)
    return usedForMs === null || usedForMs <= this.#replayMs
  }

  #firstMs({ fingerprint, text }: UsedSignature): number | null {
    return this.#seen.get(fingerprint)?.get(text) ?? null
  }

  #seenOf(fingerprint: string): Map<string, number> | null {
    const known = this.#seen.get(fingerprint)
    if (known !== undefined) return known
    if (this.#seen.size >= keysMax) this.#dropIdle()
    if (this.#seen.size >= keysMax) return null
    const seen = new Map<string, number>()
    this.#seen.set(fingerprint, seen)
    return seen
  }

  #dropIdle(): void {
    const nowMs = this.#clock.nowMs()
    for (const [fingerprint, seen] of this.#seen) {
      this.#forget(seen, nowMs)
      if (seen.size === 0) this.#seen.delete(fingerprint)
    }
  }

  /** In the order of arrival: the oldest come first. A signature can be from the far end of the window, so two of them pass. */
  #forget(seen: Map<string, number>, nowMs: number): void {
    for (const [text, firstMs] of seen) {
      if (nowMs - firstMs <= 2 * this.#windowMs) return
      seen.delete(text)
    }
  }
}
