/**
 * Which prefixes of prompts a runner has computed before. A prompt is cut into blocks of 32 characters (8 tokens); each
 * block is known by a hash of everything up to its end, so looking a prompt up costs one pass over its text. Old blocks
 * fall out first. Like the real runner's host-memory cache it outlives the slot and ends with the runner.
 */
const blockChars = 32
export const charsPerToken = 4

export class PromptCache {
  readonly #limitBlocks: number
  #blocks = new Set<number>()

  constructor(limitBlocks = 200_000) {
    this.#limitBlocks = limitBlocks
  }

  /** Tokens of the longest known prefix of `text`; all of it counts when `text` was seen as a whole. */
  knownTokens(text: string): number {
    let known = 0
    this.#eachBlock(text, (hash, endChars) => {
      if (!this.#blocks.has(hash)) return false
      known = endChars
      return true
    })
    return Math.floor(known / charsPerToken)
  }

  /** Remembers `text` and every prefix of it. */
  remember(text: string): void {
    this.#eachBlock(text, (hash) => {
      this.#blocks.delete(hash)
      this.#blocks.add(hash)
      return true
    })
    if (this.#blocks.size <= this.#limitBlocks) return
    let excess = this.#blocks.size - this.#limitBlocks
    for (const hash of this.#blocks) {
      if (excess <= 0) break
      this.#blocks.delete(hash)
      excess -= 1
    }
  }

  #eachBlock(text: string, visit: (hash: number, endChars: number) => boolean): void {
    let hash = 0x811c9dc5
    for (let index = 0; index < text.length; index += 1) {
      hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) ^ (hash >>> 17)
      const endChars = index + 1
      if (endChars % blockChars !== 0 && endChars !== text.length) continue
      if (!visit(hash, endChars)) return
    }
  }
}
