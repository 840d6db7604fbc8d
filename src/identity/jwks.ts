/**
 * The public keys of one issuer. They are fetched at the start and again at half of their life; when that fails, keys that are
 * known go on being used for a day (F49), while a key id nobody knows costs at most one fetch in ten seconds, whoever asks.
 * A key that the issuer no longer lists is gone with the next fetch.
 */
import { z } from 'zod'

import type { Clock, Timer } from '../base/clock.ts'
import { importJwk, type PublicKey } from './jwk-import.ts'

/** Fetches a JWKS document as text. Throws when it cannot be had. */
export type FetchText = (url: string) => Promise<string>

const lifeMs = 600_000
/** Keys older than this are not used, whatever the issuer's state. */
const staleMsMax = 86_400_000
/** Between two fetches that a key id nobody knows brings about, and after one that failed. */
const pauseMs = 10_000
const keysMax = 100

const jwksShape = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(keysMax) })

export interface JwksDeps {
  readonly url: string
  readonly fetchText: FetchText
  readonly clock: Clock
  /** A fetch failed; keys that are known go on. */
  readonly onFailure: (reason: string) => void
  /** A key that was there is there no more, or is another one. */
  readonly onKeysRemoved: () => void
}

/** What the upkeep of a key set found last. */
export interface KeySetState {
  /** Keys that may be used. */
  readonly keys: number
  /** Since the last fetch that was good; null: none was. */
  readonly fetchedAgoMs: number | null
  /** How long that took. */
  readonly fetchMs: number | null
  /** Why the last fetch failed; null when it did not. */
  readonly lastError: string | null
}

interface KnownKeys {
  readonly byId: ReadonlyMap<string, PublicKey>
  /** Keys without an id. */
  readonly nameless: readonly PublicKey[]
  readonly fetchedAtMs: number
}

export class Jwks {
  readonly #deps: JwksDeps
  #known: KnownKeys | null = null
  #triedAtMs = -Infinity
  #running: Promise<void> | null = null
  #timer: Timer | null = null
  #closed = false
  #fetchMs: number | null = null
  #lastError: string | null = null

  constructor(deps: JwksDeps) {
    this.#deps = deps
  }

  /** Fetches for the first time and keeps the keys fresh from then on. Resolves when the first try is over, good or not. */
  async start(): Promise<void> {
    await this.#fetch()
  }

  get state(): KeySetState {
    const known = this.#known
    const fetchedAgoMs = known === null ? null : Math.round(this.#deps.clock.nowMs() - known.fetchedAtMs)
    return { keys: this.#look(null).length, fetchedAgoMs, fetchMs: this.#fetchMs, lastError: this.#lastError }
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  /** The keys that may have signed a token with this key id, or without one. Empty: none is known. */
  async find(keyId: string | null): Promise<readonly PublicKey[]> {
    const known = this.#look(keyId)
    if (known.length > 0) return known
    if (this.#running === null && this.#deps.clock.nowMs() - this.#triedAtMs < pauseMs) return []
    await this.#fetch()
    return this.#look(keyId)
  }

  #look(keyId: string | null): readonly PublicKey[] {
    const known = this.#known
    if (known === null || this.#deps.clock.nowMs() - known.fetchedAtMs > staleMsMax) return []
    if (keyId === null) return [...known.byId.values(), ...known.nameless]
    const key = known.byId.get(keyId)
    return key === undefined ? [] : [key]
  }

  #fetch(): Promise<void> {
    this.#running ??= this.#fetchNow().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #fetchNow(): Promise<void> {
    const { clock, url, fetchText, onFailure } = this.#deps
    this.#triedAtMs = clock.nowMs()
    let nextMs = pauseMs
    try {
      this.#take(readKeys(await fetchText(url), clock.nowMs()))
      nextMs = lifeMs / 2
      this.#fetchMs = Math.round(clock.nowMs() - this.#triedAtMs)
      this.#lastError = null
    } catch (error) {
      this.#lastError = error instanceof Error ? error.message : String(error)
      onFailure(this.#lastError)
    }
    this.#timer?.cancel()
    if (!this.#closed) this.#timer = clock.after(nextMs, () => void this.#fetch())
  }

  #take(next: KnownKeys): void {
    const before = this.#known
    this.#known = next
    if (before === null) return
    for (const [keyId, key] of before.byId) {
      if (next.byId.get(keyId)?.thumbprint === key.thumbprint) continue
      this.#deps.onKeysRemoved()
      return
    }
    const kept = new Set(next.nameless.map(({ thumbprint }) => thumbprint))
    if (before.nameless.some(({ thumbprint }) => !kept.has(thumbprint))) this.#deps.onKeysRemoved()
  }
}

/** Throws for a document that is no key set, or has no key that can be used: an outage must not look like a revocation. */
function readKeys(text: string, fetchedAtMs: number): KnownKeys {
  const { keys } = jwksShape.parse(JSON.parse(text))
  const byId = new Map<string, PublicKey>()
  const nameless: PublicKey[] = []
  for (const jwk of keys) {
    const key = importJwk(jwk)
    if (key === null) continue
    if (key.keyId === null) nameless.push(key)
    else byId.set(key.keyId, key)
  }
  if (byId.size === 0 && nameless.length === 0) throw new Error('the key set holds no public signature key')
  return { byId, nameless, fetchedAtMs }
}
