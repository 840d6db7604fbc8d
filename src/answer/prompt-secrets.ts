/**
 * What an answer must not repeat of its instructions: any run of them as long as a sentence, and every word that looks like a secret. What the asker
 * may read anyway, in the passages or in the conversation, is none of it; nor are sentences that the instructions hand to the model to be said.
 *
 * Words are compared as letters and digits in one spelling, so that punctuation, emphasis and case make no other text of them.
 */
import { withoutInvisible } from './invisible.ts'
import { isUnspaced } from './normal-text.ts'

/** Instructions of assistants are shorter; of a client's system text behind them the rest is not compared. */
const instructionsCharsMax = 32_768
/** So many words in a row are nobody's chance. */
const runWordsMin = 8
/** A character of a script without spaces says about half a word. */
const unspacedWeight = 0.5
const tokensMax = 32
/** Letters and digits of a longer one are not looked for. */
export const tokenCharsMax = 128

/** A word of a text, with its place. */
export interface PlacedWord {
  /** Letters and digits in lower case. */
  readonly form: string
  /** Where it begins and ends in the text, what stands between it and the next word not counted. */
  readonly start: number
  readonly end: number
}

/** The words of `text`; of scripts without spaces, its characters. */
export function placedWords(text: string): PlacedWord[] {
  const words: PlacedWord[] = []
  for (const { 0: raw, index } of text.matchAll(/[\p{L}\p{N}\p{M}]+/gu)) {
    let start = index
    let end = index
    const add = (): void => {
      if (end > start) words.push({ form: text.slice(start, end).normalize('NFKC').toLowerCase(), start, end })
      start = end
    }
    for (const character of raw) {
      if (isUnspaced(character)) add()
      end += character.length
      if (isUnspaced(character)) add()
    }
    add()
  }
  return words
}

export class PromptSecrets {
  /** One character for each word of the instructions. */
  readonly #codes = new Map<string, string>()
  readonly #unspaced = new Set<string>()
  readonly #told: string
  readonly #knownTexts: readonly string[]
  #known: string | null = null
  /** Letters and digits of each word that looks like a secret. */
  readonly tokens: readonly string[]

  /** `known`: all that the asker may read. */
  constructor(instructions: string, known: readonly string[]) {
    const told = withoutInvisible(instructions).slice(0, instructionsCharsMax)
    this.#told = placedWords(told)
      .map(({ form }) => this.#learn(form))
      .join('')
    this.#knownTexts = [...known, ...toBeSaid(told)]
    const tokens = secretTokens(told)
    const readable = tokens.length === 0 ? [] : known.map(formOf)
    this.tokens = tokens.filter((token) => !readable.some((text) => text.includes(token)))
  }

  /** The code of a word; of one that the instructions do not hold, one that stands nowhere in them. */
  codeOf(form: string): string {
    return this.#codes.get(form) ?? noWord
  }

  /** The longest end of `codes` that stands in the instructions. */
  toldEnd(codes: string): string {
    let end = codes
    while (end !== '' && !this.#told.includes(end)) end = end.slice(1)
    return end
  }

  /** Whether the words of `codes`, which stand in the instructions, are too many to be chance. */
  isRun(codes: string): boolean {
    let weight = 0
    for (const code of codes) weight += this.#unspaced.has(code) ? unspacedWeight : 1
    return weight >= runWordsMin
  }

  /** Whether the asker may read the words of `codes` elsewhere. */
  isKnown(codes: string): boolean {
    this.#known ??= this.#knownTexts.map((text) => this.#coded(text)).join(noWord)
    return this.#known.includes(codes)
  }

  #coded(text: string): string {
    return placedWords(text)
      .map(({ form }) => this.codeOf(form))
      .join('')
  }

  #learn(form: string): string {
    const known = this.#codes.get(form)
    if (known !== undefined) return known
    const code = String.fromCharCode(this.#codes.size + 1)
    this.#codes.set(form, code)
    if (isUnspaced(form)) this.#unspaced.add(code)
    return code
  }
}

const noWord = '\u0000'

const saying =
  'say|says|answer|reply|respond|write|tell|state|greet|sage|antworte|schreibe|dis|réponds|écris|di|responde|escribe|rispondi|ответь|скажи|напиши|回答|说|答え'
const saidQuote = new RegExp(`(?:${saying})[^"“«„「\\n]{0,60}["“«„「]([^"”»“」]{1,500})["”»“」]`, 'giu')

/** Quoted sentences that the instructions want said. */
function toBeSaid(instructions: string): string[] {
  return [...instructions.matchAll(saidQuote)].map(([, said = '']) => said)
}

const unspacedLabel = '密码|密钥|パスワード'
/** Words for a secret; those of German are also the end of longer ones. */
const label = `(?<!\\p{L})(?:passwords?|passphrase|passcode|secret|token|api[- ]?key|access code|canary|pin|mot de passe|contraseña|clave|пароль|ключ|секрет)|passwort|kennwort|geheimnis|schlüssel|${unspacedLabel}`
/** Marks that end an emphasis or a quote around that word. */
const closing = '[*_`"\'”»」』)]{0,3}'
/** What stands between that word and a value, and says that the one is the other. */
const tellsValue = [
  '\\P{L}{0,3}\\s*(?:(?:is|are|ist|lautet|est|es|это)\\s+|[是は:=：]\\s*)',
  `${closing}\\s+[-–—]\\s+`,
  // A value alone on its line; a sentence may be wrapped at any word.
  `${closing}[^\\S\\n]*\\n\\s*(?=\\S{4,64}[^\\S\\n]*(?:\\n|$))`,
  `${closing}\\s+(?=[*_\`]{1,3}[\\p{L}\\p{N}])`,
  // Nothing that belongs to a noun stands behind it in these languages.
  `(?<=${unspacedLabel})\\s+`,
].join('|')
/** A value behind the word for a secret: in quotes, or plain behind what says that it is one, or behind a space. It may itself be such a word. */
const labelled = new RegExp(
  `(?:${label})(?:(${tellsValue})|\\P{L}{0,3}\\s+)(?=["'“«\`「『]([^"'”»\`」』\\n]{4,64})["'”»\`」』]|([^\\s。，、；！？「」『』]{4,64}))`,
  'giu',
)
/** What plain words do not have; a name that only stands beside the word has the second of these. */
const hasDigit = /\p{N}/u
const hasInnerCapital = /\p{L}.*\p{Lu}/u

/** Letters and digits of every word of `instructions` that looks like a secret, longest first. */
function secretTokens(instructions: string): string[] {
  const found = new Set<string>()
  const add = (token: string): void => {
    const form = formOf(token)
    if (form.length <= tokenCharsMax) found.add(form)
  }
  for (const [, said, quoted, plain = ''] of instructions.matchAll(labelled)) {
    const value = quoted ?? plain
    const looks = quoted !== undefined || hasDigit.test(plain) || (said !== undefined && hasInnerCapital.test(trimmed(plain)))
    if (looks && formOf(value).length >= 4) add(value)
  }
  for (const [written] of instructions.matchAll(/(?<!\S)\S{1,256}(?!\S)/gu)) {
    // `key=value` tells the value, too.
    for (const part of [written, ...written.split(/[=:"'`,;()<>{}[\]|/\\?&#]+/u)]) if (looksSecret(trimmed(part))) add(part)
  }
  return [...found].toSorted((a, b) => b.length - a.length).slice(0, tokensMax)
}

function trimmed(token: string): string {
  return token.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, '')
}

function formOf(token: string): string {
  return placedWords(token)
    .map(({ form }) => form)
    .join('')
}

const email = /^[^@\s]+@[^@\s]+\.\p{L}+$/u
const date = /^\d{1,4}[-./](?:\d{1,2}|\p{L}{3,9})[-./]\d{1,4}(?:T[\d:.]+Z?)?$/u
const capitals = /^[\p{Lu}\d]+(?:[-_.][\p{Lu}\d]+)+$/u
const lengthMin = 6
const mixedLengthMin = 10
const capitalsLengthMin = 12
const lettersLengthMin = 20

/** Letters among digits, capitals joined by hyphens, long mixed case: what people write for nothing but keys, codes and canaries. */
function looksSecret(token: string): boolean {
  const form = formOf(token)
  if (form.length < lengthMin || email.test(token) || date.test(token)) return false
  const changes = form.match(/\p{L}(?=\p{N})|\p{N}(?=\p{L})/gu)?.length ?? 0
  if (changes >= 2 || (changes === 1 && form.length >= mixedLengthMin)) return true
  if (capitals.test(token) && form.length >= capitalsLengthMin) return true
  return form.length >= lettersLengthMin && (token.match(/\p{Ll}(?=\p{Lu})/gu)?.length ?? 0) >= 3
}
