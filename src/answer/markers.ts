/**
 * Finds citation markers in text that arrives in pieces. The model is asked for `[2: "words of the passage"]`; small models also write
 * `[2]`, `[1, 3]`, `[Source 2: …]`, `【2】`, typographic quotes or none at all, and all of that is read. What only looks like a marker at
 * its beginning is held back until it is certain, at most `markerCharsMax` characters.
 *
 * Brackets right behind a word (`items[1]`) are code and stay text.
 */

export interface Reference {
  readonly number: number
  /** What the model claims to quote; null: nothing. */
  readonly quote: string | null
}

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
  #held = ''
  #last = ''

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
    let from = 0
    while (this.#held !== '') {
      const open = searchFrom(this.#held, from)
      if (open < 0) {
        this.#emit(pieces, this.#held.length)
        break
      }
      const found =
        /[\p{L}\p{N}_)\]]/u.test(open === 0 ? this.#last : this.#held.charAt(open - 1)) && !isAfterMarker(pieces, open)
          ? ({ kind: 'none' } as const)
          : markerEnd(this.#held.slice(open, open + markerCharsMax + 1), isLast)
      if (found.kind === 'more') {
        this.#emit(pieces, open)
        break
      }
      if (found.kind === 'none') {
        from = open + 1
        continue
      }
      this.#emit(pieces, open)
      pieces.push({ kind: 'marker', references: referencesIn(this.#held.slice(0, found.at)) })
      this.#held = this.#held.slice(found.at)
      this.#last = ''
      from = 0
    }
    return pieces
  }

  #emit(pieces: Piece[], length: number): void {
    if (length === 0) return
    const text = this.#held.slice(0, length)
    pieces.push({ kind: 'text', text })
    this.#last = text.slice(-1)
    this.#held = this.#held.slice(length)
  }
}

/** Markers stand side by side: `[1][2]`. */
function isAfterMarker(pieces: readonly Piece[], open: number): boolean {
  return open === 0 && pieces.at(-1)?.kind === 'marker'
}

function searchFrom(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) if (text[at] === '[' || text[at] === '【') return at
  return -1
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
