/**
 * How long a look-up in a slower layer may take: a multiple of what look-ups took lately, between a least and a most. A database that dies
 * silently (a pooler holds its clients) keeps every answer waiting until the first look-ups are over their time, and what is usual is far
 * below the most. One that only became slow is given twice the time with each look-up that was too late, so that it is not lost.
 */
const factor = 8
/** A pause of this process, or of the server, is shorter most of the time. */
const msMin = 20
/** Of the newest look-up in what is usual: the last ten or so count. */
const weight = 0.1

export class ReadDeadline {
  readonly #msMax: number
  #usualMs: number

  constructor(msMax: number) {
    this.#msMax = msMax
    this.#usualMs = msMax / factor
  }

  /** Milliseconds, whole. */
  get ms(): number {
    return Math.min(this.#msMax, Math.max(msMin, Math.ceil(factor * this.#usualMs)))
  }

  succeeded(tookMs: number): void {
    this.#usualMs += weight * (tookMs - this.#usualMs)
  }

  /** It took too long, or failed at once. */
  failed(): void {
    this.#usualMs = Math.min(this.#msMax / factor, 2 * Math.max(this.#usualMs, msMin / factor))
  }
}
