/**
 * The tokenizer of BERT models (uncased): words and punctuation, accents taken off, cut into the longest pieces of the
 * vocabulary. Enough of it for embeddings of a MiniLM to be those of the real model.
 */

const wordLimit = 100

/** A vocabulary with the ids that frame a text. */
export class WordPieces {
  readonly #ids: ReadonlyMap<string, number>

  /** `vocabulary`: one piece per line, its id is its line number from 0. */
  constructor(vocabulary: string) {
    this.#ids = new Map(vocabulary.split(/\r?\n/).map((piece, id) => [piece, id]))
  }

  /** Token ids of `text` with `[CLS]` and `[SEP]`, at most `limit`. */
  encode(text: string, limit: number): number[] {
    const ids = [this.#id('[CLS]')]
    const plain = text
      .toLowerCase()
      .normalize('NFD')
      .replace(/\p{Mn}/gu, '')
    for (const word of plain.match(/[\p{P}\p{S}]|\p{Script=Han}|[^\s\p{P}\p{S}\p{Script=Han}]+/gu) ?? []) {
      if (ids.length >= limit) break
      ids.push(...this.#pieces(word))
    }
    return [...ids.slice(0, limit - 1), this.#id('[SEP]')]
  }

  #id(piece: string): number {
    return this.#ids.get(piece) ?? this.#ids.get('[UNK]') ?? 0
  }

  #pieces(word: string): number[] {
    if (word.length > wordLimit) return [this.#id('[UNK]')]
    const pieces: number[] = []
    let start = 0
    while (start < word.length) {
      let end = word.length
      let id: number | undefined
      for (; end > start; end -= 1) {
        id = this.#ids.get((start === 0 ? '' : '##') + word.slice(start, end))
        if (id !== undefined) break
      }
      if (id === undefined) return [this.#id('[UNK]')]
      pieces.push(id)
      start = end
    }
    return pieces
  }
}
