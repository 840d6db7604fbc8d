/**
 * How much model memory a node has, learned by watching: no Ollama endpoint tells. Whatever was in memory together fits;
 * whatever a load pushed out did not. Between the two the node is believed to have room, so that an unknown node is
 * tried once rather than spared for ever.
 */
export class MemoryBounds {
  #fitsBytes = 0
  #tooMuchBytes = Infinity

  /** All models of the node together, as `/api/ps` shows them. */
  sawTogether(bytes: number): void {
    this.#fitsBytes = Math.max(this.#fitsBytes, bytes)
    if (bytes >= this.#tooMuchBytes) this.#tooMuchBytes = Infinity
  }

  /** A load pushed models out: what was in memory before, and the new model, would have been this much. */
  sawEviction(bytes: number): void {
    if (bytes > this.#fitsBytes) this.#tooMuchBytes = Math.min(this.#tooMuchBytes, bytes)
  }

  /** Largest total believed to fit; Infinity while no eviction was seen. Exclusive above what was seen together. */
  get capacityBytes(): number {
    return this.#tooMuchBytes === Infinity ? Infinity : Math.max(this.#fitsBytes, this.#tooMuchBytes - 1)
  }
}
