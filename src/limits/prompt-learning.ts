/**
 * How many tokens a prompt will be told to have, learned per tenant and model from what nodes report: tokens of its text, of each of its images, and
 * of what every prompt of that model gets besides (template, a Modelfile's SYSTEM). An estimate to reserve by: it goes up at once
 * and down slowly, and begins on the high side.
 */
import { LRUCache } from 'lru-cache'

import type { PromptSize } from '../core/envelope.ts'

/** Tokens per byte before anything was reported. English takes 0.25, code 0.3 to 0.4. */
const tokensPerAsciiByte = 0.4
/** 1.5 tokens for a Chinese character, whose three bytes are 0.6 to 1.5 tokens by the vocabulary. */
const tokensPerOtherByte = 0.5
/** Of an image before one was reported: Mistral Small 3.1 takes 1,540² pixels as 55² patches, LLaVA 1.5 576, Gemma 3 256. */
const imageTokensAssumed = 3_025
/** Chat templates take 10 to 30 tokens. */
const extraTokensAssumed = 32
/** Texts are never taken for thinner than this share of what is assumed: 3.3 bytes of ASCII a token, 1.1 tokens a Chinese character. */
const densityMin = 0.75
/** Texts differ: reserved is this much more than the densest of late. */
const margin = 1.25
/** Share of the way down that one report of less goes. */
const decay = 0.05
/** Models of tenants remembered, the longest unused forgotten first. */
const modelsMax = 4_096

interface Learned {
  /** Tokens of a text ÷ tokens assumed for it. */
  density: number
  imageTokens: number
  extraTokens: number
}

/** `whose` names a tenant and a model: what one tenant sends tells nothing of what another one does, and must not cost it. */
export class PromptLearning {
  readonly #known = new LRUCache<string, Learned>({ max: modelsMax })

  /** Tokens that a prompt of this size has at most, as far as is known. */
  tokensMax(whose: string, size: PromptSize): number {
    const learned = this.#known.get(whose)
    if (learned === undefined) return Math.ceil(textTokensAssumed(size) + size.images * imageTokensAssumed + extraTokensAssumed)
    const { density, imageTokens, extraTokens } = learned
    const textTokens = textTokensAssumed(size) * Math.max(densityMin, margin * density)
    return Math.ceil(textTokens + size.images * margin * imageTokens + extraTokens)
  }

  /** A node counted `tokens` in a prompt of this size. */
  observe(whose: string, size: PromptSize, tokens: number): void {
    const learned = this.#known.get(whose) ?? this.#add(whose)
    const text = textTokensAssumed(size)
    const imagesTokens = tokens - learned.extraTokens - learned.density * text
    if (size.images > 0) learned.imageTokens = toward(learned.imageTokens, imagesTokens / size.images)
    else observeText(learned, text, tokens)
  }

  #add(whose: string): Learned {
    const learned = { density: 1 / margin, imageTokens: imageTokensAssumed / margin, extraTokens: extraTokensAssumed }
    this.#known.set(whose, learned)
    return learned
  }
}

function textTokensAssumed({ asciiBytes, otherBytes }: PromptSize): number {
  return asciiBytes * tokensPerAsciiByte + otherBytes * tokensPerOtherByte
}

/** What one prompt says of two unknowns goes to that which explains it: a text at most doubles its density, all beyond stands in front of every prompt. */
function observeText(learned: Learned, text: number, tokens: number): void {
  const missing = tokens - learned.density * text - learned.extraTokens
  const isOfText = missing > 0 ? missing <= text : learned.density * text > learned.extraTokens
  if (isOfText) learned.density = toward(learned.density, (tokens - learned.extraTokens) / text)
  else learned.extraTokens = toward(learned.extraTokens, tokens - learned.density * text)
}

function toward(value: number, seen: number): number {
  return seen >= value ? seen : value + decay * (Math.max(0, seen) - value)
}
