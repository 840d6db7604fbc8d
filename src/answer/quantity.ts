/**
 * The numbers of a text where they stand: in digits or words, with sign, power of ten and unit. Two texts disagree where one has another number, sign, power or
 * unit in the place of the other's; what is not known (a unit that no table has) is no disagreement.
 */
import { normalise } from './normal-text.ts'
import { beginningOf, powerOfWord, unitOfWord, valueOfWord, valueOfWords } from './number-words.ts'
import { isStopWord, numberPartsOf, stemOf } from './words.ts'

export interface Quantity {
  /** As `numbersOf` spells it, without sign and power. */
  readonly number: string
  readonly isNegative: boolean
  /** Of ten; null: not known. */
  readonly power: number | null
  readonly unit: string | null
  /** Words beside it, cut to their stems; '' for none, or one that says nothing. */
  readonly before: string
  readonly after: string
  /** In the normal text. */
  readonly at: number
}

interface Word {
  readonly text: string
  readonly at: number
}

/** A number with the words that say it: `words` of the text from `from` on. */
interface Figure {
  readonly numbers: readonly string[]
  readonly from: number
  readonly words: number
  readonly isWritten: boolean
}

const wordPattern = /(?:(?<=^|[\s("'=:])-(?=[$€£¥₽]?\d))|\d+(?:[.,:/-]\d+)*|°[cf]?(?![\p{L}])|[\p{L}\p{M}_]+|[%$€£¥₽]/gu
const perCent = /\b(?:per cent|pour cent|por ciento|per cento)(?!\p{L})/gu
/** `$5m` is five million, and `5 m` are five metres. */
const shortPowers = new Set(['m', 'b'])
/** Not `moins` and `menos`: `au moins 5` is "at least 5". */
const minusWords = new Set(['-', 'minus', 'минус'])

/** The quantities of `text` in reading order; `5 MB` and `5MB` are the same. */
export function quantitiesOf(text: string): Quantity[] {
  const normal = normalise(text).text.replace(perCent, (words) => `%${' '.repeat(words.length - 1)}`)
  const words = [...normal.matchAll(wordPattern)].flatMap((match) => cutHan({ text: match[0], at: match.index }))
  return figuresOf(words).flatMap((figure) => placed(figure, words))
}

/** `亿元用于` is a power, a currency, and other words. */
function cutHan({ text, at }: Word): Word[] {
  const words: Word[] = []
  let from = 0
  while (/^\p{Script=Han}/u.test(text.slice(from, from + 2))) {
    const begin = beginningOf(text.slice(from, from + 2))
    if (begin === '') break
    words.push({ text: begin, at: at + from })
    from += begin.length
  }
  return from < text.length ? [...words, { text: text.slice(from), at: at + from }] : words
}

function figuresOf(words: readonly Word[]): Figure[] {
  const figures: Figure[] = []
  for (let from = 0; from < words.length;) {
    const figure = figureAt(words, from)
    if (figure.numbers.length > 0) figures.push(figure)
    from += figure.words
  }
  return figures
}

function figureAt(words: readonly Word[], from: number): Figure {
  const first = words[from]?.text ?? ''
  if (/^\d/.test(first)) return { numbers: numberPartsOf(first), from, words: 1, isWritten: false }
  const values: number[] = []
  for (let at = from; at < words.length; at += 1) {
    const value = valueOfWord(words[at]?.text ?? '')
    if (value === null) break
    values.push(value)
  }
  const value = valueOfWords(values)
  return { numbers: value === null ? [] : [String(value)], from, words: Math.max(1, values.length), isWritten: true }
}

function placed({ numbers, from, words: length, isWritten }: Figure, words: readonly Word[]): Quantity[] {
  const beside = (index: number): string => words[index]?.text ?? ''
  let next = from + length
  let power = 0
  for (let found = powerOfWord(beside(next)); found !== null; found = powerOfWord(beside(next))) {
    power += found
    next += 1
  }
  const before = beside(from - 1)
  const sign = unitOfWord(before) === null ? before : beside(from - 2)
  const telling = (word: string): string => (isWritten && isStopWord(word) ? '' : stemOf(word))
  return numbers.map((number) => ({
    number,
    isNegative: minusWords.has(sign) || minusWords.has(before),
    power: shortPowers.has(beside(next)) ? null : power,
    unit: unitOfWord(beside(next)) ?? unitBefore(before),
    before: before === '-' ? stemOf(beside(from - 2)) : telling(before),
    after: telling(beside(next)),
    at: words[from]?.at ?? 0,
  }))
}

/** Only a currency stands before its number. */
function unitBefore(word: string): string | null {
  return /^(?:[$€£¥₽]|usd|eur|gbp|jpy|cny|chf|rub)$/.test(word) ? unitOfWord(word) : null
}

/** Whether they are the same number with another sign, power or unit. */
export function differsAside(one: Quantity, other: Quantity): boolean {
  const unitsDiffer = one.unit !== null && other.unit !== null && one.unit !== other.unit
  const powersDiffer = one.power !== null && other.power !== null && one.power !== other.power
  return one.isNegative !== other.isNegative || powersDiffer || unitsDiffer
}

/** Whether the two stand in the same place of what is said. */
export function isBesideSame(one: Quantity, other: Quantity): boolean {
  if (one.unit !== null && one.unit === other.unit) return true
  return (one.after !== '' && one.after === other.after) || (one.before !== '' && one.before === other.before)
}
