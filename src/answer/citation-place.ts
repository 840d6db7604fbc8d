/**
 * Whether brackets with numbers are a citation or text: a list, an index, a class of characters. A quote of some words is always meant as a
 * citation. Bare numbers are text in JSON, where a value stands (behind `=`, behind a key, in a call, in another bracket), where no passage can have them
 * (a fraction, a negative one, one of several that is 0), and where passages have not all of them and a citation does not stand either.
 */
import { hasTellingQuote } from './gate.ts'
import type { Reference } from './reference.ts'

export interface MarkerPlace {
  /** The text since the last marker. */
  readonly before: string
  /** Nothing but blanks and commas stands between. */
  readonly isBehindMarker: boolean
  /** Nothing but white space came before it. */
  readonly isAtStart: boolean
  /** In a text of JSON, where a quotation mark without a backslash would end the text. */
  readonly isInJsonText: boolean
  /** What came behind it so far. */
  readonly after: string
  /** Nothing more comes. */
  readonly isLast: boolean
}

/** Behind `=`, the key of an object, the name of a function (not a word of a script without spaces), another bracket, an opening quotation mark. */
const valuePlace =
  /(?:=>?\s*|["']\s*:\s*|[\p{L}\p{N}_](?<![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}])\(\s*|[[{]\s*|\]\s*,\s*|(?:^|[\s([{=:,])["'“‘`])$/u
/** A value may stand here, and so may a citation. */
const doubtfulPlace = /(?:[:(,：，（]\s*| [+*/^] )$/u
/** An operator behind it; and what may become one. */
const operator = /^(?:[+{=]| [=*+/] )/u
const operatorBegun = /^(?: [=*+/]?)?$/u

/** Null: more has to come first. `passages`: how many there are, numbered from 1. */
export function isCitation(
  marker: string,
  references: readonly Reference[],
  place: MarkerPlace & { readonly passages: number },
): boolean | null {
  const { before, isBehindMarker, isAtStart, isInJsonText, after, isLast, passages } = place
  if (isInJsonText && /(?<!\\)"/u.test(marker)) return false
  if (references.some(hasTellingQuote)) return true
  if (isInJsonText) return false
  if (!isBehindMarker && valuePlace.test(before)) return false
  const isBare = references.every(({ quote }) => quote === null)
  if ((isBare && /\d\.\d|[,;]\s*-\s*\d/u.test(marker)) || (references.length > 1 && references.some(({ number }) => number === 0)))
    return false
  const isKnown = references.every(({ number }) => number >= 1 && number <= passages)
  if (isAtStart && (references.length > 1 || !isKnown)) return false
  // A claim that follows is not cited by what stands before it, but numbers alone are the whole answer.
  if (isAtStart && after.trim() === '') return isLast ? false : null
  if (isKnown || isBehindMarker) return true
  if (doubtfulPlace.test(before) || operator.test(after)) return false
  return !isLast && operatorBegun.test(after) ? null : true
}
