/**
 * The best of a stream of scores, in a heap whose root is the worst that is kept. Of equal scores the lower place wins, so that the
 * order of an answer never depends on how it was computed. `limit` is 1 at least.
 */

export class BestScores {
  readonly #limit: number
  readonly #places: number[] = []
  readonly #scores: number[] = []

  constructor(limit: number) {
    this.#limit = limit
  }

  get isFull(): boolean {
    return this.#places.length >= this.#limit
  }

  /** The score from which on a place is kept; 0 until there are enough. */
  worst(): number {
    return this.isFull ? (this.#scores[0] ?? 0) : 0
  }

  offer(place: number, score: number): void {
    if (this.isFull) {
      if (score < this.worst() || (score === this.worst() && place > (this.#places[0] ?? 0))) return
      this.#set(0, place, score)
      this.#sink()
      return
    }
    this.#places.push(place)
    this.#scores.push(score)
    this.#rise()
  }

  #set(index: number, place: number, score: number): void {
    this.#places[index] = place
    this.#scores[index] = score
  }

  /** Whether the entry at `a` is worse than that at `b`. */
  #isWorse(a: number, b: number): boolean {
    const difference = (this.#scores[a] ?? 0) - (this.#scores[b] ?? 0)
    return difference < 0 || (difference === 0 && (this.#places[a] ?? 0) > (this.#places[b] ?? 0))
  }

  #swap(a: number, b: number): void {
    const [place, score] = [this.#places[a] ?? 0, this.#scores[a] ?? 0]
    this.#set(a, this.#places[b] ?? 0, this.#scores[b] ?? 0)
    this.#set(b, place, score)
  }

  #rise(): void {
    let at = this.#places.length - 1
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!this.#isWorse(at, parent)) return
      this.#swap(at, parent)
      at = parent
    }
  }

  #sink(): void {
    let at = 0
    for (;;) {
      const left = at * 2 + 1
      const right = left + 1
      let worst = at
      if (left < this.#places.length && this.#isWorse(left, worst)) worst = left
      if (right < this.#places.length && this.#isWorse(right, worst)) worst = right
      if (worst === at) return
      this.#swap(at, worst)
      at = worst
    }
  }

  sorted(): { place: number; score: number }[] {
    return this.#places
      .map((place, index) => ({ place, score: this.#scores[index] ?? 0 }))
      .toSorted((a, b) => b.score - a.score || a.place - b.place)
  }
}
