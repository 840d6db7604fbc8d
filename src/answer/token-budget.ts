/**
 * How many tokens a text is to a model, learned from what the model reports: each answer says how many tokens its prompt was
 * (`prompt_eval_count`), and the ratio to our own estimate is kept per model. Before the first answer the estimate errs on the long side.
 *
 * The estimate counts 4 characters of alphabetic scripts as a token, and each character of scripts without spaces as one.
 */
import { isUnspaced } from './normal-text.ts'

const charsPerToken = 4
const modelsMax = 512
/** What one answer moves the ratio by; the first one sets it. */
const learningRate = 0.2
/** Prompts below this say more about the chat template than about the text. */
const promptTokensMin = 64
const ratioUnknown = 1.25
/** Beyond these a report is not about this prompt (a cut context, a count of uncached tokens only). */
const ratioMin = 0.4
const ratioMax = 4
/** Room for what the average hides. */
const margin = 1.1

/** Tokens by count of characters alone. */
export function roughTokens(text: string): number {
  let dense = 0
  let other = 0
  for (const character of text) {
    if (character.charCodeAt(0) > 0xdff && isUnspaced(character)) dense += 1
    else other += character.length
  }
  return dense + other / charsPerToken
}

export class TokenBudgets {
  readonly #ratios = new Map<string, number>()

  /** Tokens that `model` makes of `text`, with a margin. */
  tokens(model: string, text: string): number {
    const ratio = this.#ratios.get(model)
    return Math.ceil(roughTokens(text) * (ratio === undefined ? ratioUnknown : ratio * margin))
  }

  /** Learns from a prompt of `rough` estimated tokens that the model counted as `counted`. */
  learn(model: string, rough: number, counted: number | null): void {
    if (counted === null || counted < promptTokensMin || rough < promptTokensMin) return
    const ratio = counted / rough
    if (ratio < ratioMin || ratio > ratioMax) return
    const known = this.#ratios.get(model)
    this.#ratios.delete(model)
    this.#ratios.set(model, known === undefined ? ratio : known + (ratio - known) * learningRate)
    const [oldest] = this.#ratios.keys()
    if (this.#ratios.size > modelsMax && oldest !== undefined) this.#ratios.delete(oldest)
  }

  /** Learned characters per token relative to the estimate; null before the first answer. */
  ratioOf(model: string): number | null {
    return this.#ratios.get(model) ?? null
  }
}
