/**
 * What is known of credentials, by the full SHA-256 of each (never a part of one: CVE-2026-35030). Good ones are kept until
 * they expire or for `freshMs`, and are asked for again in the background at half of it, so that a hit never waits. Bad ones
 * are kept for a few seconds in a bounded list of their own, so that guesses never push good ones out. One look-up per
 * credential is under way at a time. A change makes what it touches be looked up again, and leaves the rest.
 *
 * While the store is down or hangs, what was good stays good for `outageMs` more, and hardly waits for it: once for `patienceMs`, not
 * at all after a look-up that failed or lasts longer.
 */
import { LRUCache } from 'lru-cache'

import type { Clock } from '../base/clock.ts'
import { CorralError, toCorralError } from '../core/errors.ts'
import { isTouched, type Touched } from './touched.ts'
import type { Checked, Denied, Grant, Granted, Verdict } from './verdict.ts'

export interface GrantCacheOptions {
  readonly freshMs: number
  readonly outageMs: number
  /** Credentials kept, of each of the two kinds. */
  readonly max: number
}

/** How long a refusal is kept. */
const refusalMs = 5_000
/** Look-ups under way at once. The store gathers them, so that they cost a few queries. */
const pendingMax = 4_000
/** After a failed look-up the store is left alone for this long. */
const restMs = 1_000
/** What was good waits this long for its renewal. */
const patienceMs = 100

interface Kept extends Granted {
  readonly expiresAtWallMs: number
  readonly freshUntilMs: number
  /** The epoch in which it was told; in another one, or as null, it is not believed any more. */
  epoch: number | null
  /** When it is asked for again though it is still good. */
  renewAtMs: number
}

interface Look {
  readonly verdict: Promise<Verdict>
  readonly sinceMs: number
}

interface Refused {
  readonly verdict: Denied
  readonly untilMs: number
}

export class GrantCache {
  readonly #options: GrantCacheOptions
  readonly #clock: Clock
  readonly #kept: LRUCache<string, Kept>
  readonly #refused: LRUCache<string, Refused>
  readonly #pending = new Map<string, Look>()
  /** Grows with every change: what was looked up before is not kept after. */
  #changes = 0
  /** Grows with every `clear`. */
  #epoch = 0
  /** Whether the last look-up failed. */
  #failing = false
  #restUntilMs = -Infinity

  constructor(options: GrantCacheOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#kept = new LRUCache({ max: options.max })
    this.#refused = new LRUCache({ max: options.max })
  }

  /** The verdict on the credential of this hash, at once or by `check`. When `check` throws, the verdict is undecided. */
  resolve(hash: string, check: () => Promise<Checked>): Verdict | Promise<Verdict> {
    const kept = this.#kept.get(hash)
    if (kept === undefined) {
      const refused = this.#refused.get(hash)
      if (refused !== undefined && this.#clock.nowMs() < refused.untilMs) return refused.verdict
      return this.#look(hash, check)
    }
    if (kept.epoch !== this.#epoch) return this.#look(hash, check)
    if (this.#clock.wallMs() >= kept.expiresAtWallMs) return { kind: 'denied', reason: 'expired' }
    const nowMs = this.#clock.nowMs()
    if (nowMs < kept.renewAtMs) return kept
    if (nowMs < kept.freshUntilMs) {
      kept.renewAtMs = nowMs + restMs
      void this.#look(hash, check)
      return kept
    }
    if (nowMs >= kept.freshUntilMs + this.#options.outageMs) return this.#look(hash, check)
    return this.#bridge(hash, check, kept)
  }

  /** Whether the credential of this hash was good when it was looked at last. Looks nothing up; to be resolved all the same. */
  wasGood(hash: string): boolean {
    const kept = this.#kept.peek(hash)
    return kept !== undefined && this.#clock.wallMs() < kept.expiresAtWallMs
  }

  /** Believes nothing any more: something changed, nobody knows what. */
  clear(): void {
    this.#epoch += 1
    this.#changed()
  }

  /** What the change touches is looked up again. Takes about 0.1 ms per 1,000 credentials kept; changes are rare. */
  forget(touched: Touched): void {
    for (const kept of this.#kept.values()) if (isTouched(kept.principal, touched)) kept.epoch = null
    this.#changed()
  }

  #changed(): void {
    this.#changes += 1
    this.#refused.clear()
    this.#pending.clear()
  }

  /** The verdict on a credential whose time is over, which was good: anew if the store is quick to tell, else as it was. */
  #bridge(hash: string, check: () => Promise<Checked>, kept: Kept): Verdict | Promise<Verdict> {
    const nowMs = this.#clock.nowMs()
    if (nowMs < this.#restUntilMs) return kept
    const verdict = this.#look(hash, check)
    const sinceMs = this.#pending.get(hash)?.sinceMs ?? nowMs
    const leftMs = this.#failing ? 0 : sinceMs + patienceMs - nowMs
    if (leftMs <= 0) return kept
    return this.#within(leftMs, verdict, kept)
  }

  /** The verdict, or after `leftMs` the old one, unless that was forgotten meanwhile. */
  #within(leftMs: number, verdict: Promise<Verdict>, kept: Kept): Promise<Verdict> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(leftMs, () => resolve(kept.epoch === this.#epoch ? kept : verdict))
      void verdict.then((told) => {
        timer.cancel()
        resolve(told.kind === 'undecided' && kept.epoch === this.#epoch ? kept : told)
      })
    })
  }

  #look(hash: string, check: () => Promise<Checked>): Promise<Verdict> {
    const running = this.#pending.get(hash)
    if (running !== undefined) return running.verdict
    if (this.#pending.size >= pendingMax) {
      const error = new CorralError('overloaded', `${pendingMax} credentials are being looked up at once`, { retryAfterMs: 1_000 })
      return Promise.resolve({ kind: 'undecided', error })
    }
    const verdict = this.#ask(hash, check, this.#changes).finally(() => {
      if (this.#pending.get(hash) === look) this.#pending.delete(hash)
    })
    const look: Look = { verdict, sinceMs: this.#clock.nowMs() }
    this.#pending.set(hash, look)
    return verdict
  }

  async #ask(hash: string, check: () => Promise<Checked>, changes: number): Promise<Verdict> {
    try {
      const checked = await check()
      this.#failing = false
      this.#restUntilMs = -Infinity
      if (changes !== this.#changes) return checked
      return checked.kind === 'granted' ? this.#keep(hash, checked) : this.#refuse(hash, checked)
    } catch (thrown) {
      const error = toCorralError(thrown)
      if (error.code === 'internal') return { kind: 'undecided', error }
      this.#failing = true
      this.#restUntilMs = this.#clock.nowMs() + restMs
      return { kind: 'undecided', error }
    }
  }

  #keep(hash: string, { principal, expiresAtWallMs, final }: Grant): Verdict {
    const nowMs = this.#clock.nowMs()
    const freshMs = final ? Infinity : this.#options.freshMs
    const until = { freshUntilMs: nowMs + freshMs, renewAtMs: nowMs + freshMs / 2 }
    const kept: Kept = { kind: 'granted', principal, expiresAtWallMs, epoch: this.#epoch, ...until }
    this.#refused.delete(hash)
    this.#kept.set(hash, kept)
    return kept
  }

  #refuse(hash: string, verdict: Denied): Verdict {
    this.#kept.delete(hash)
    this.#refused.set(hash, { verdict, untilMs: this.#clock.nowMs() + refusalMs })
    return verdict
  }
}
