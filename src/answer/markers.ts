/**
 * Finds citation markers in text that arrives in pieces. The model is asked for `[2: "words of the passage"]`; small models also write
 * `[2]`, `[1, 3]`, `[Source 2: …]`, `【2】`, typographic quotes or none at all, and all of that is read. What only looks like a marker at
 * its beginning is held back until it is certain, at most `markerCharsMax` characters.
 *
 * Brackets right behind a word (`items[1]`), in code and in JSON stay text (`text-place.ts`), and so do those that no citation can be
 * (`citation-place.ts`).
 */
import { isCitation } from './citation-place.ts'
import type { Reference } from './reference.ts'
import { closesSpan, TextPlace } from './text-place.ts'

export type Piece =
  { readonly kind: 'text'; readonly text: string } | { readonly kind: 'marker'; readonly references: readonly Reference[] }

/** A marker with its quote; longer ones are text. */
export const markerCharsMax = 900
/** References of one marker. */
const referencesMax = 12

const label = '(?:(?:passage|source|doc(?:ument)?|ref(?:erence)?|quelle|abschnitt|p)s?\\.?\\s*)?[#^]?\\s*'
const head = new RegExp(`^[[【]\\s*${label}\\d{1,3}\\s*`, 'iu')
/** Whatever can still become a head. */
const partialHead = /^[[【]\s*(?:[a-z]{0,10}\.?\s*)?[#^]?\s*\d{0,3}\s*$/iu
const openQuotes = '"“„«‹「『\'‘`'
const closeQuotes = '"”“»›」』\'’`'
const endAfterQuote = new RegExp(`[${closeQuotes}]\\s*(?:[\\]】]|[,;]\\s*${label}\\d{1,3}\\s*[:：])`, 'giu')

type Outcome = { readonly kind: 'end'; readonly at: number } | { readonly kind: 'more' } | { readonly kind: 'none' }

export class MarkerReader {
  readonly #passages: number
  readonly #place = new TextPlace()
  #held = ''

  /** `passages`: how many a marker can name, numbered from 1. */
  constructor(passages: number) {
    this.#passages = passages
  }

  /** The pieces that are certain once `text` has come. */
  push(text: string): Piece[] {
    this.#held += text
    return this.#read(false)
  }

  /** What is left when nothing more comes; a marker that never ended is a marker without references. */
  end(): Piece[] {
    return this.#read(true)
  }

  #read(isLast: boolean): Piece[] {
    const pieces: Piece[] = []
    let textFrom = 0
    let at = 0
    const endText = (): void => {
      if (at > textFrom) pieces.push({ kind: 'text', text: this.#held.slice(textFrom, at) })
      textFrom = at
    }
    while (at < this.#held.length) {
      const open = openFrom(this.#held, at)
      this.#place.push(this.#held.slice(at, open))
      at = open
      if (open === this.#held.length) break
      const found = this.#markerAt(open, isLast)
      if (found.kind === 'more') break
      if (found.kind === 'none') {
        this.#place.push(this.#held.charAt(open))
        at += 1
        continue
      }
      endText()
      at = open + found.at
      const references = this.#referencesIn(this.#held.slice(open, at))
      textFrom = at
      this.#place.marker()
      pieces.push({ kind: 'marker', references })
    }
    endText()
    this.#held = this.#held.slice(at)
    return pieces
  }

  /** Whether a citation begins at `open`, up to which the text is read. */
  #markerAt(open: number, isLast: boolean): Outcome {
    const standing = this.#place.standing()
    const { before, isBehindMarker, isAtStart, span } = this.#place
    if (standing === 'fence' || standing === 'json' || /[\p{L}\p{N}_)\]]$/u.test(before)) return { kind: 'none' }
    const text = this.#held.slice(open, open + markerCharsMax + 1)
    const isWhole = isLast || text.length > markerCharsMax
    const isCode = standing === 'span' ? closesSpan(text, span, isWhole) : false
    if (isCode === true) return { kind: 'none' }
    const found = markerEnd(text, isLast)
    if (found.kind !== 'end') return found
    if (isCode === null) return { kind: 'more' }
    const marker = text.slice(0, found.at)
    const after = this.#held.slice(open + found.at, open + markerCharsMax + 1)
    const is = isCitation(marker, this.#referencesIn(marker), {
      before,
      isBehindMarker,
      isAtStart,
      isInJsonText: standing === 'jsonText',
      after,
      isLast: isWhole,
      passages: this.#passages,
    })
    if (is === null) return { kind: 'more' }
    return is ? found : { kind: 'none' }
  }

  /** Those of a marker that begins where the text is read to. */
  #referencesIn(marker: string): Reference[] {
    return referencesIn(this.#place.standing() === 'jsonText' ? marker.replaceAll('\\"', '"') : marker)
  }
}

/** Where the next bracket opens; the length of the text where none does. */
function openFrom(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) if (text[at] === '[' || text[at] === '【') return at
  return text.length
}

/** Where the marker that opens `text` ends. */
function markerEnd(text: string, isLast: boolean): Outcome {
  const matched = head.exec(text)
  if (matched === null) return !isLast && partialHead.test(text) ? { kind: 'more' } : { kind: 'none' }
  const body = matched[0].length
  if (body >= text.length) return isLast ? { kind: 'end', at: text.length } : { kind: 'more' }
  const next = text.charAt(body)
  if (next === ']' || next === '】') return { kind: 'end', at: body + 1 }
  if (!/[:：,;|–—-]/u.test(next) && !openQuotes.includes(next)) return { kind: 'none' }
  const end = bodyEnd(text, body)
  if (end >= 0) return { kind: 'end', at: end }
  // Whoever calls hands in no more than that: what has not ended by then is text.
  if (text.length > markerCharsMax) return { kind: 'none' }
  return isLast ? { kind: 'end', at: text.length } : { kind: 'more' }
}

/** Index behind the closing bracket; -1 while it has not come. A bracket inside a quotation closes nothing. */
function bodyEnd(text: string, body: number): number {
  let at = body
  for (;;) {
    while (/[\s:：,;|–—-]/u.test(text.charAt(at)) && at < text.length) at += 1
    if (at >= text.length) return -1
    if (!openQuotes.includes(text.charAt(at))) return unquotedEnd(text, at)
    endAfterQuote.lastIndex = at + 1
    const close = endAfterQuote.exec(text)
    if (close === null) return -1
    const end = close.index + close[0].length
    if (/[\]】]$/u.test(close[0])) return end
    at = end
  }
}

function unquotedEnd(text: string, from: number): number {
  const at = text.slice(from).search(/[\]】]/u)
  return at < 0 ? -1 : from + at + 1
}

const reference = new RegExp(
  `(?:^|[,;\\s|–—-])\\s*${label}(\\d{1,3})\\s*(?:[:：|–—,-]?\\s*[${openQuotes}]([\\s\\S]*?)[${closeQuotes}]\\s*(?=$|[,;]\\s*${label}\\d{1,3}\\s*(?:[:：]|$)))?`,
  'giu',
)

/** The numbers and quotes inside a whole marker. */
function referencesIn(marker: string): Reference[] {
  const isClosed = /[\]】]$/u.test(marker)
  if (!isClosed) return []
  const inside = marker.slice(1, -1).trim()
  const unquoted = new RegExp(`^${label}(\\d{1,3})\\s*[:：|–—-](?!\\s*[${openQuotes}])\\s*(\\D[\\s\\S]*)$`, 'iu').exec(inside)
  if (unquoted !== null) return [{ number: Number(unquoted[1]), quote: unquoted[2]?.trim() ?? null }]
  const references: Reference[] = []
  for (const [, number, quote] of inside.matchAll(reference)) {
    if (references.length < referencesMax) references.push({ number: Number(number), quote: quote?.trim() || null })
  }
  return references
}
