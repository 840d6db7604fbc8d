/**
 * How many tokens a text has for an embedder, without its tokenizer: characters are weighed by their kind, and the sum is corrected by
 * what the embedder itself counted (`prompt_eval_count`) for texts it was given. Before anything was counted the estimate is
 * conservative: a chunk that is too short costs little, one that is too long loses its end in the embedder.
 */

/** Tokens per character by kind, measured with the word pieces of BERT and the BPE of Llama 3 on English, German, Russian and Chinese texts; the larger of the two, rounded up. */
const weights = { word: 0.26, space: 0, mark: 0.9, digit: 0.5, wide: 1, otherLetter: 0.5 } as const

/** Correction until an embedder has counted: covers what separates tokenizers. */
const unlearnedFactor = 1.15
/** Share of a new count in the learned factor. */
const learningRate = 0.1
/** Counts outside of this are no counts of these texts (answers out of a cache count nothing). */
const plausible = { least: 0.3, most: 4 } as const
/** Texts shorter than this say more about the special tokens around them. */
const learnFromTokensMin = 64
const embeddersMax = 1_000

/** Estimates for one embedder. */
export interface TokenEstimate {
  /** Tokens of `text`, rounded up. */
  readonly tokens: (text: string) => number
  /** The weight of one UTF-16 code unit in tokens, for running sums. */
  readonly weightOf: (codeUnit: number) => number
}

/** Weight of a code unit before correction. */
function rawWeight(code: number): number {
  if (code === 32 || (code >= 9 && code <= 13) || code === 0xa0) return weights.space
  if (code >= 48 && code <= 57) return weights.digit
  if ((code >= 97 && code <= 122) || (code >= 65 && code <= 90)) return weights.word
  if (code < 128) return weights.mark
  if (code < 0x250) return weights.otherLetter
  if (code >= 0x2000 && code < 0x2070) return weights.mark
  if (code >= 0x2e80) return weights.wide
  return weights.otherLetter
}

function rawTokens(text: string): number {
  let sum = 0
  for (let at = 0; at < text.length; at += 1) sum += rawWeight(text.charCodeAt(at))
  return sum
}

/** What was learned of each embedder, in this process. */
export class TokenEstimates {
  readonly #factors = new Map<string, number>()

  /** The estimate of `model` as it stands now; later counts do not change it, so that one document is cut by one measure. */
  of(model: string | null): TokenEstimate {
    const factor = (model === null ? undefined : this.#factors.get(model)) ?? unlearnedFactor
    return { tokens: (text) => Math.ceil(rawTokens(text) * factor), weightOf: (code) => rawWeight(code) * factor }
  }

  /** Takes note that `model` counted `counted` tokens in `texts`. */
  learn(model: string, texts: readonly string[], counted: number): void {
    const raw = texts.reduce((sum, text) => sum + rawTokens(text), 0)
    if (raw < learnFromTokensMin) return
    const seen = counted / raw
    if (seen < plausible.least || seen > plausible.most) return
    const known = this.#factors.get(model)
    const factor = known === undefined ? Math.max(seen, 1) * 1.05 : known + (seen * 1.05 - known) * learningRate
    this.#factors.delete(model)
    this.#factors.set(model, factor)
    if (this.#factors.size > embeddersMax) this.#forgetOldest()
  }

  #forgetOldest(): void {
    const [oldest] = this.#factors.keys()
    if (oldest !== undefined) this.#factors.delete(oldest)
  }
}
