/**
 * Decides, without a model, whether a citation may be shown. A quote must stand in its passage character for character in the normal form
 * (`normal-text.ts`); the numbers of the claim must stand in the passages cited for it. What fails is dropped and counted by its kind:
 * nothing is shown that does not point at text which contains it. Whether the claim *follows* from the quote is beyond counting words;
 * `overlap` is handed on as a hint.
 *
 * The gate was proposed for citations of retrieved text as openai/openai-cookbook#2880; the classes and thresholds here are our own.
 */
import type { CitationOrigin, DropReason } from '../core/citation.ts'
import { findNormal, isUnspaced, normalise, type Place } from './normal-text.ts'
import type { Passage } from './passage.ts'
import { differsAside, isBesideSame, type Quantity, quantitiesOf } from './quantity.ts'
import type { Reference } from './reference.ts'
import { contentWords, maskNumbers, numbersOf, numbersWithWords, shareOf } from './words.ts'

export interface Verified {
  readonly verdict: 'emitted'
  readonly passage: Passage
  /** In the passage's text. */
  readonly place: Place
  readonly origin: CitationOrigin
  readonly overlap: number
}

export type Judged = Verified | { readonly verdict: 'dropped'; readonly reason: DropReason }

/** A quote of fewer words, or characters where words have no spaces, stands nearly everywhere and proves nothing. */
const quoteWordsMin = 3
const quoteUnspacedMin = 5
/** Share of a claim's content words that a sentence must have to be what it was taken from, when the model quotes nothing. */
const derivedShareMin = 0.6
/** How far behind a number its power and unit end. */
const unitCharsMax = 30
/** Gap that a quote with an omission may span in the normal text. */
const stitchedGapCharsMax = 1_500

/** Judges the references that stand behind one claim, in order. */
export function judgeReferences(claim: string, references: readonly Reference[], passages: readonly Passage[]): Judged[] {
  const judged = references.map((reference) => judge(claim, reference, passages))
  const kept = judged.filter((one) => one.verdict === 'emitted')
  if (kept.length === 0 || (knowsNumbers(claim, kept) && !contradicts(claim, kept))) return judged
  return judged.map((one) => (one.verdict === 'emitted' ? dropped('altered_number') : one))
}

function dropped(reason: DropReason): Judged {
  return { verdict: 'dropped', reason }
}

/** Whether every number of the claim stands in one of the passages. */
function knowsNumbers(claim: string, kept: readonly Verified[]): boolean {
  const numbers = numbersOf(withoutOrdinal(claim))
  return [...numbers].every((number) => kept.some(({ passage }) => passage.numbers.has(number)))
}

/**
 * Whether the claim puts another number where the quotes have theirs: beside the same word or unit, neither of the two standing in the other text;
 * or the same number with another sign, power of ten or unit. The other number may well stand somewhere else in the passage, so that this is
 * not seen by looking for it; only what no quote has is looked for there.
 */
function contradicts(claim: string, kept: readonly Verified[]): boolean {
  const claimed = quantitiesOf(withoutOrdinal(claim))
  if (claimed.length === 0) return false
  const quoted = kept.flatMap(quotedQuantities)
  const isIn = (quantities: readonly Quantity[], { number }: Quantity): boolean => quantities.some((one) => one.number === number)
  const strange = quoted.filter((number) => !isIn(claimed, number))
  if (claimed.some((one) => !isIn(quoted, one) && strange.some((other) => isBesideSame(one, other)))) return true
  return claimed.some(
    (one) =>
      isAlteredAside(one, quoted) ??
      isAlteredAside(
        one,
        kept.flatMap(({ passage }) => passage.quantities),
      ) ??
      false,
  )
}

/** Whether all of `known` with this number have another sign, power or unit; null when none has the number. */
function isAlteredAside(one: Quantity, known: readonly Quantity[]): boolean | null {
  const same = known.filter(({ number }) => number === one.number)
  return same.length === 0 ? null : same.every((other) => differsAside(one, other))
}

/** Those of the quote, read with what follows it: a quote may end before the power or unit of its last number. */
function quotedQuantities({ passage, place }: Verified): Quantity[] {
  const { length } = normalise(passage.text.slice(place.start, place.end)).text
  return quantitiesOf(passage.text.slice(place.start, place.end + unitCharsMax)).filter(({ at }) => at < length)
}

/** The number of a list item says nothing. */
export function withoutOrdinal(claim: string): string {
  return claim.replace(/(^|\n)\s*(?:#+\s*)?\d{1,3}[.)](?=\s)/g, '$1')
}

function judge(claim: string, reference: Reference, passages: readonly Passage[]): Judged {
  const named = passages[reference.number - 1]
  const quote = reference.quote === null ? '' : quoteForm(reference.quote)
  if (!isTelling(quote)) return named === undefined ? dropped('out_of_range') : derive(claim, quote, named)
  const inNamed = named === undefined ? null : findQuote(named, quote)
  if (named !== undefined && inNamed !== null) return emitted(claim, named, { place: inNamed, origin: 'quoted' })
  for (const passage of passages) {
    const place = findQuote(passage, quote)
    if (place !== null) return emitted(claim, passage, { place, origin: 'corrected' })
  }
  const masked = maskNumbers(quote)
  if (masked.includes('#') && passages.some((passage) => passage.masked.includes(masked))) return dropped('altered_number')
  return dropped(named === undefined ? 'out_of_range' : 'invented')
}

function emitted(claim: string, passage: Passage, { place, origin }: Pick<Verified, 'place' | 'origin'>): Verified {
  return { verdict: 'emitted', passage, place, origin, overlap: shareOf(contentWords(claim), passage.words) }
}

/** Normal form without what models put around a quote. */
function quoteForm(quote: string): string {
  return normalise(quote)
    .text.replace(/^(?:[\s"'.,;:…]|-(?!\d))+/u, '')
    .replace(/[\s"'.,;:!?…-]+$/u, '')
}

/** Whether a reference quotes enough to be looked for; any other is as good as its bare number. */
export function hasTellingQuote({ quote }: Reference): boolean {
  return quote !== null && isTelling(quoteForm(quote))
}

function isTelling(quote: string): boolean {
  const words = quote.match(/[\p{L}\p{N}]+/gu) ?? []
  return words.length >= quoteWordsMin || Array.from(quote).filter(isUnspaced).length >= quoteUnspacedMin
}

/** Where the quote stands; of one with omissions, where its longest part does, all others being near and in order. */
function findQuote({ normal }: Passage, quote: string): Place | null {
  const whole = findNormal(normal, quote)
  if (whole !== null) return whole
  const parts = quote.split(/\s*(?:\.{3,}|\[\.{3,}\])\s*/).filter((part) => part !== '')
  if (parts.length < 2 || !parts.every(isTelling)) return null
  let longest: { readonly place: Place; readonly length: number } | null = null
  let next = 0
  for (const [index, part] of parts.entries()) {
    const place = findNormal(normal, part, next)
    if (place === null || (index > 0 && place.next - part.length - next > stitchedGapCharsMax)) return null
    if (longest === null || part.length > longest.length) longest = { place, length: part.length }
    next = place.next
  }
  return longest?.place ?? null
}

/** For a marker without a usable quote: the sentence of the passage that says the claim. */
function derive(claim: string, quote: string, passage: Passage): Judged {
  const words = contentWords(claim)
  if (words.size === 0) return dropped('unsupported')
  let best: { readonly place: Place; readonly share: number } | null = null
  for (const sentence of passage.sentences) {
    const text = passage.text.slice(sentence.start, sentence.end)
    const share = shareOf(words, contentWords(text)) + (quote !== '' && normalise(text).text.includes(quote) ? 0.2 : 0)
    if (share > (best?.share ?? 0) && hasNumbers(claim, text)) best = { place: sentence, share }
  }
  return best === null || best.share < derivedShareMin
    ? dropped('unsupported')
    : emitted(claim, passage, { place: best.place, origin: 'derived' })
}

function hasNumbers(claim: string, sentence: string): boolean {
  const known = numbersWithWords(sentence)
  return [...numbersOf(withoutOrdinal(claim))].every((number) => known.has(number))
}
