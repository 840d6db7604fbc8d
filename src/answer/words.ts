/**
 * What a sentence says, as far as counting can tell: its content words, its numbers and dates, and where sentences end. Only for checks
 * of answers; search has its own tokeniser.
 */
import { isUnspaced, normalise } from './normal-text.ts'
import { valueOfWord, valueOfWords } from './number-words.ts'

/** Words that carry no claim, of the languages whose answers are most likely; other languages just have a few more content words. */
const stopWords = new Set(
  (
    'a an the and or but if then of to in on at by for with from as is are was were be been being it its this that these those you your we our ' +
    'they their he she his her i not no do does did can could will would may might must should have has had there here which who what when where ' +
    'how why so than too very also more most such into over under about between each any all some other only both up out der die das und oder aber ' +
    'ein eine einen einem einer des dem den ist sind war im von zu mit auf für nicht es sich als auch an wie werden wird le la les un une et ou mais ' +
    'de du dans pour par sur avec est sont ne pas que qui ce cette el los las y o en es son con por para no se su una del il lo gli di che e è per ' +
    'и в не на с что как по это к у за от из о для же но бы'
  ).split(' '),
)

const wordLengthMin = 3
const stemLengthMax = 6

/** The beginning of a word, in which its endings do not differ. */
export function stemOf(word: string): string {
  return word.slice(0, stemLengthMax)
}

/** Whether it carries no claim. */
export function isStopWord(word: string): boolean {
  return stopWords.has(word)
}

/**
 * The words of `text` that carry its meaning, cut to a common stem length so that endings differ freely (identifiers are whole); of scripts without spaces, pairs
 * of characters.
 */
export function contentWords(text: string): Set<string> {
  const words = new Set<string>()
  for (const [word] of normalise(text).text.matchAll(/[\p{L}\p{M}][\p{L}\p{M}\p{N}_-]*/gu)) {
    if (isUnspaced(word)) addPairs(words, word)
    else if (word.length >= wordLengthMin && !isStopWord(word)) words.add(/[\d_-]/.test(word) ? word : stemOf(word))
  }
  return words
}

function addPairs(words: Set<string>, run: string): void {
  const characters = Array.from(run)
  if (characters.length === 1) words.add(run)
  for (let index = 0; index + 1 < characters.length; index += 1) words.add(`${characters[index]}${characters[index + 1]}`)
}

/** Share of `words` that are in `known`; 1 when there are none. */
export function shareOf(words: ReadonlySet<string>, known: ReadonlySet<string>): number {
  if (words.size === 0) return 1
  let found = 0
  for (const word of words) if (known.has(word)) found += 1
  return found / words.size
}

/** Months by their first three letters, so that a date is the same in words and in digits. */
const monthNames = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ')
const monthPattern =
  /\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?(?=\s+\d)|(?<=\d(?:st|nd|rd|th)?\s+)(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b/g
const numberPattern = /(?<![\p{L}\d])[-+]?\d+(?:[.,:/-]\d+)*|(?<=\p{L})\d+(?:\.\d+)*/gu

/** Numbers, versions, times and months of dates in `text`, in one spelling each. */
export function numbersOf(text: string): Set<string> {
  const normal = normalise(text).text
  const numbers = new Set<string>()
  for (const [written] of normal.matchAll(numberPattern)) for (const part of numberPartsOf(written)) numbers.add(part)
  for (const [month] of normal.matchAll(monthPattern)) numbers.add(String(monthNames.indexOf(month.slice(0, 3)) + 1))
  return numbers
}

/** As `numbersOf`, and with number words: what a claim may call upon. */
export function numbersWithWords(text: string): Set<string> {
  const numbers = numbersOf(text)
  for (const [run] of normalise(text).text.matchAll(/\p{L}+(?:-\p{L}+)*/gu)) {
    const values = run.split('-').flatMap((word) => valueOfWord(word) ?? [])
    for (const value of [...values, valueOfWords(values) ?? []].flat()) numbers.add(String(value))
  }
  return numbers
}

/** `1,000` is `1000`, `2026-11-05` is its three parts, `3.50` is `3.5`; a version of three parts stays one. */
export function numberPartsOf(written: string): string[] {
  const plain = written.replace(/^[-+]/, '')
  if (/^\d{1,3}(?:,\d{3})+(?:\.\d+)?$/.test(plain)) return [trimZeros(plain.replaceAll(',', ''))]
  if (/^\d+[.,]\d+$/.test(plain)) return [trimZeros(plain.replace(',', '.'))]
  if (/^\d+(?:\.\d+){2,}$/.test(plain)) return [plain]
  return plain.split(/[:/,-]/).map(trimZeros)
}

function trimZeros(number: string): string {
  const whole = number.replace(/^0+(?=\d)/, '')
  return whole.includes('.') ? whole.replace(/\.?0+$/, '') : whole
}

/** The text with every number, its sign with it, and month masked: equal masks mean that only figures differ. */
export function maskNumbers(normal: string): string {
  return normal
    .replace(monthPattern, '#')
    .replace(/(?<=^|[\s("'=:])-(?=\d)/g, '')
    .replace(/\d+(?:[.,:/-]\d+)*/g, '#')
}

export interface Sentence {
  readonly start: number
  readonly end: number
}

const abbreviation = /(?:^|[\s("'])(?:e\.g|i\.e|etc|vs|mr|mrs|ms|dr|prof|no|fig|cf|approx|resp|z\.b|d\.h|bzw|ca|st|p|pp)\.$/i
const ender = /[.!?…]+["'”’)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n+/gu

/** Where the sentences of `text` stand; list items and lines are sentences too. Empty ones are left out. */
export function sentencesOf(text: string): Sentence[] {
  const sentences: Sentence[] = []
  let start = 0
  const add = (end: number): void => {
    const trimmed = trimmedRange(text, start, end)
    if (trimmed.end > trimmed.start) sentences.push(trimmed)
    start = end
  }
  for (const match of text.matchAll(ender)) {
    const end = match.index + match[0].length
    const isAbbreviation = match[0] === '.' && abbreviation.test(text.slice(Math.max(0, end - 12), end))
    const isOrdinal = match[0] === '.' && /(?:^|\n)\s*\d{1,3}\.$/.test(text.slice(Math.max(0, end - 8), end))
    if (!isAbbreviation && !isOrdinal) add(end)
  }
  add(text.length)
  return sentences
}

function trimmedRange(text: string, from: number, to: number): Sentence {
  let start = from
  let end = to
  while (start < end && /\s/u.test(text.charAt(start))) start += 1
  while (end > start && /\s/u.test(text.charAt(end - 1))) end -= 1
  return { start, end }
}
