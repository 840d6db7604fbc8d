/**
 * What the scripted model writes: sentences taken from passages with a citation of a known kind. Quotes are varied as models vary them (case, spaces,
 * typographic quotes, a full stop more), so that a gate which only compares bytes loses true ones.
 */
import type { Passage } from '../../src/answer/passage.ts'
import { numbersOf } from '../../src/answer/words.ts'

export const kinds = ['true', 'wrong passage', 'altered number', 'invented quote', 'out of range'] as const

export type Kind = (typeof kinds)[number]

export interface Written {
  readonly kind: Kind
  /** A word that stands in this sentence alone. */
  readonly id: string
  readonly text: string
  /** As it stands in the marker; '' without one. */
  readonly quote: string
  /** Of the passage that holds the quote; '' for inventions. */
  readonly chunk: string
}

/** Sentences of one answer. */
const sentencesMax = 5
const quoteWordsMin = 5
const quoteWordsMax = 14

const inventions = [
  'the service guarantees delivery within the same business day',
  'administrators may disable this setting from the billing page',
  'every request is retried until the remote side confirms it',
  'this behaviour was deprecated together with the older endpoints',
  'customers in other regions receive a separate contract first',
  'the maximum is raised automatically after a short review',
]

interface Quote {
  readonly passage: Passage
  readonly text: string
}

/** One answer over `passages`: about half of its citations are true, the others of the four kinds in turn. */
export function scriptAnswer(passages: readonly Passage[], random: () => number): Written[] {
  const written: Written[] = []
  for (let index = 0; index < sentencesMax; index += 1) {
    const kind = pickKind(random)
    const quote = pickQuote(passages, random, kind === 'altered number')
    if (quote !== null) written.push(write(kind, quote, { passages, random, id: `claim${index}q` }))
  }
  return written
}

function pickKind(random: () => number): Kind {
  if (random() < 0.5) return 'true'
  return kinds[1 + Math.floor(random() * (kinds.length - 1))] ?? 'true'
}

/** A run of words of one passage that stands in no other; null when the passages have none. */
function pickQuote(passages: readonly Passage[], random: () => number, withNumber: boolean): Quote | null {
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const passage = passages[Math.floor(random() * passages.length)]
    if (passage === undefined) return null
    const words = [...passage.text.matchAll(/\S+/g)]
    const length = quoteWordsMin + Math.floor(random() * (quoteWordsMax - quoteWordsMin))
    const from = Math.floor(random() * Math.max(1, words.length - length))
    const first = words[from]
    const last = words[Math.min(words.length, from + length) - 1]
    if (first === undefined || last === undefined) continue
    const text = passage.text.slice(first.index, last.index + last[0].length)
    const isTelling = (text.match(/\p{L}{3,}/gu) ?? []).length >= 4 && !/["“”[\]]/.test(text)
    const isAlone = passages.every((other) => other === passage || !other.normal.text.includes(text.toLowerCase().replace(/\s+/g, ' ')))
    if (isTelling && isAlone && (!withNumber || numbersOf(text).size > 0)) return { passage, text }
  }
  return null
}

function write(
  kind: Kind,
  { passage, text }: Quote,
  { passages, random, id }: { passages: readonly Passage[]; random: () => number; id: string },
): Written {
  const right = passage.source.number
  const sentence = `The passage on ${id.replace(/\d/, (digit) => String.fromCharCode(97 + Number(digit)))} says ${plain(text)}`
  const made = { kind, id: id.replace(/\d/, (digit) => String.fromCharCode(97 + Number(digit))), chunk: passage.source.chunk }
  const cite = (number: number, quote: string, said = sentence) => ({ ...made, quote, text: `${said} [${number}: "${quote}"].` })
  switch (kind) {
    case 'true':
      return cite(right, varied(text, random))
    case 'wrong passage':
      return cite((right % passages.length) + 1, varied(text, random))
    case 'altered number': {
      const altered = alter(text)
      // Half of them alter the quote too, half only what is claimed.
      return { ...cite(right, random() < 0.5 ? altered : text, sentence.replace(plain(text), plain(altered))), chunk: '' }
    }
    case 'invented quote':
      return { ...cite(right, inventions[Math.floor(random() * inventions.length)] ?? ''), chunk: '' }
    case 'out of range':
      return { ...made, quote: '', chunk: '', text: `${sentence} [${passages.length + 1 + Math.floor(random() * 20)}].` }
  }
}

/** One sentence of it, whatever the quote holds. */
function plain(text: string): string {
  return text
    .replace(/[.!?。…]+(?=\s|$)/g, ',')
    .replace(/\s+/g, ' ')
    .replace(/[,;:\s]+$/, '')
}

/** The first number another one of the same length: it may well stand elsewhere in the passage. */
function alter(text: string): string {
  return text.replace(/\d(?!\d)/, (digit) => String((Number(digit) + 3) % 10))
}

function varied(text: string, random: () => number): string {
  const choice = Math.floor(random() * 6)
  if (choice === 0) return text.replace(/\s+/g, '  ')
  if (choice === 1) return text.toUpperCase()
  if (choice === 2) return `${text.replace(/'/g, '’')}.`
  if (choice === 4) return omitted(text)
  return choice === 3 ? text.replace(/\s+/g, ' ') : text
}

/** With a part left out, when there is enough on both sides of it. */
function omitted(text: string): string {
  const words = text.split(/\s+/)
  return words.length < 9 ? text : `${words.slice(0, 4).join(' ')} … ${words.slice(-4).join(' ')}`
}
