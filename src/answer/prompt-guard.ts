/**
 * Withholds from a model's text what `PromptSecrets` says it must not repeat, as one `…` for each place. Text comes in pieces; the end that may still
 * become a run of the instructions or one of their secrets is held back, at most as many words as a run has. Only what is verbatim is
 * found: a model that is made to translate, spell or encode its instructions is not stopped by this.
 *
 * `flush` lets go of what is held back without forgetting it, for something that is shown in between: of a run that goes on behind it no
 * more is shown.
 */
import { isUnspaced } from './normal-text.ts'
import { placedWords, type PromptSecrets, tokenCharsMax } from './prompt-secrets.ts'

/** A word with what stands between it and the next. */
interface Unit {
  raw: string
  readonly form: string
  readonly isMask: boolean
}

const mask = '…'
/** A longer word is taken as it is so far. */
const wordCharsMax = 2_048
const inWord = /^[\p{L}\p{N}\p{M}]$/u

/**
 * Length of the word at the end of `text`, which may go on; one longer than a word may be counts as more than that. Characters of scripts without
 * spaces are words that do not.
 */
function openLength(text: string): number {
  let from = text.length
  while (from > 0 && text.length - from <= wordCharsMax) {
    const isPair = from > 1 && /[\uDC00-\uDFFF]/.test(text.charAt(from - 1))
    const before = from - (isPair ? 2 : 1)
    const character = text.slice(before, from)
    if (!inWord.test(character) || isUnspaced(character)) break
    from = before
  }
  return text.length - from
}

export class PromptGuard {
  readonly #secrets: PromptSecrets | null
  #open = ''
  #held: Unit[] = []
  /** Codes of the last words, as far as they stand in the instructions in this order. */
  #run = ''
  /** Letters and digits of the last words. */
  #joined = ''
  #isAfterMask = false
  /** Places at which something was withheld. */
  withheld = 0

  /** Null: nothing is withheld. */
  constructor(secrets: PromptSecrets | null) {
    this.#secrets = secrets
  }

  /** What can be shown once `text` has come. */
  push(text: string): string {
    const secrets = this.#secrets
    if (secrets === null) return text
    this.#open += text
    const open = openLength(this.#open)
    const length = open > wordCharsMax ? this.#open.length : this.#open.length - open
    const whole = this.#open.slice(0, length)
    this.#open = this.#open.slice(length)
    return this.#take(whole, secrets)
  }

  /** What was held back. */
  flush(): string {
    if (this.#secrets === null) return ''
    const last = this.#take(this.#open, this.#secrets)
    this.#open = ''
    return last + this.#release(0)
  }

  #take(text: string, secrets: PromptSecrets): string {
    let out = ''
    let from = 0
    for (const { form, start, end } of placedWords(text)) {
      out += this.#gap(text.slice(from, start))
      this.#held.push({ raw: text.slice(start, end), form, isMask: false })
      out += this.#release(Math.max(this.#lookForRun(form, secrets), this.#lookForToken(form, secrets)))
      from = end
    }
    return out + this.#gap(text.slice(from))
  }

  /** Between words: it waits with the word before it. */
  #gap(text: string): string {
    const last = this.#held.at(-1)
    if (last === undefined) return text
    last.raw += text
    return ''
  }

  /** Words at the end that may still become a run. */
  #lookForRun(form: string, secrets: PromptSecrets): number {
    this.#run = secrets.toldEnd(this.#run + secrets.codeOf(form))
    while (secrets.isRun(this.#run.slice(1))) this.#run = this.#run.slice(1)
    if (!secrets.isRun(this.#run)) return this.#run.length
    if (secrets.isKnown(this.#run)) this.#run = this.#run.slice(1)
    else this.#withhold(this.#run.length)
    return this.#run.length
  }

  /** Words at the end that may still become a secret. */
  #lookForToken(form: string, { tokens }: PromptSecrets): number {
    this.#joined = this.#joined.slice(-tokenCharsMax) + form
    const found = tokens.map((token) => this.#joined.indexOf(token)).filter((at) => at >= 0)
    if (found.length > 0) {
      this.#withhold(this.#wordsOf(this.#joined.length - Math.min(...found)))
      this.#joined = ''
    }
    return this.#wordsOf(Math.max(0, ...tokens.map((token) => this.#begunOf(token))))
  }

  /** How much of `token` stands at the end. */
  #begunOf(token: string): number {
    for (let length = Math.min(token.length - 1, this.#joined.length); length > 0; length -= 1) {
      if (this.#joined.endsWith(token.slice(0, length))) return length
    }
    return 0
  }

  /** The number of held words that the last `chars` letters and digits are of. */
  #wordsOf(chars: number): number {
    let left = chars
    let words = 0
    while (left > 0 && words < this.#held.length) {
      words += 1
      left -= this.#held.at(-words)?.form.length ?? 0
    }
    return words
  }

  /** Puts one mask in the place of the last `words` that are held, of a mask among or before them, or behind one that is out already. */
  #withhold(words: number): void {
    const kept = this.#held.slice(0, Math.max(0, this.#held.length - words))
    const isMasked = this.#held[kept.length]?.isMask === true || kept.at(-1)?.isMask === true
    if (kept.at(-1)?.isMask === true) kept.pop()
    const isShown = !isMasked && kept.length === 0 && this.#isAfterMask
    if (!isMasked && !isShown) this.withheld += 1
    this.#held = [...kept, { raw: isShown ? '' : mask, form: '', isMask: true }]
  }

  /** Lets go of all but the last `words`. */
  #release(words: number): string {
    const released = this.#held.splice(0, Math.max(0, this.#held.length - words))
    const last = released.at(-1)
    if (last !== undefined) this.#isAfterMask = last.isMask
    return released.map(({ raw }) => raw).join('')
  }
}
