/**
 * From a model's raw text, in pieces, to what the client sees: visible text with checked `[n]` markers, the citations as spans, and at the
 * end the sentences that nothing stands behind. Offsets count exactly the text that was handed out.
 *
 * A group of markers is judged when it is certain that no further one follows it, because the numbers of a claim may stand in any passage
 * cited for it. A dropped marker leaves no trace, not even the space before it.
 */
import { type Citation, type DropReason, type GateCounts, type UnsupportedSpan } from '../core/citation.ts'
import { judgeReferences, type Verified, withoutOrdinal } from './gate.ts'
import { VisibleText } from './invisible.ts'
import { MarkerReader, type Piece } from './markers.ts'
import type { Passage } from './passage.ts'
import type { PromptSecrets } from './prompt-secrets.ts'
import type { Reference } from './reference.ts'
import { ShownText } from './shown-text.ts'
import { contentWords, numbersOf, sentencesOf, shareOf } from './words.ts'

export type CitedPart = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'citation'; readonly citation: Citation }

/** References that are judged in one answer; further ones are dropped as malformed. */
const referencesMax = 400
/** A sentence of fewer content words claims nothing that could be checked. */
const claimWordsMin = 3

interface Group {
  references: Reference[]
  malformed: number
}

export class CitedStream {
  readonly #passages: readonly Passage[]
  readonly #visible = new VisibleText()
  readonly #markers: MarkerReader
  readonly #shown: ShownText
  #text = ''
  /** White space that may stand before a marker that is dropped. */
  #space = ''
  #group: Group | null = null
  /** Where the claim of the next marker begins: behind the last marker group of its sentence. */
  #claimFrom = 0
  readonly citations: Citation[] = []
  #written = 0
  #corrected = 0
  readonly #dropped: Record<DropReason, number> = { altered_number: 0, invented: 0, out_of_range: 0, unsupported: 0, malformed: 0 }

  /** `secrets`: what is withheld; null: nothing. */
  constructor(passages: readonly Passage[], secrets: PromptSecrets | null) {
    this.#passages = passages
    this.#markers = new MarkerReader(passages.length)
    this.#shown = new ShownText((url) => hasAddress(passages, url), secrets)
  }

  /** All visible text so far. */
  get text(): string {
    return this.#text
  }

  get gate(): GateCounts {
    return {
      written: this.#written,
      emitted: this.citations.length,
      corrected: this.#corrected,
      dropped: { ...this.#dropped },
      withheld: this.#shown.withheld,
    }
  }

  push(raw: string): CitedPart[] {
    return this.#take(this.#markers.push(this.#visible.push(raw)))
  }

  end(): CitedPart[] {
    const parts = [...this.#take(this.#markers.push(this.#visible.end())), ...this.#take(this.#markers.end())]
    this.#closeGroup(parts)
    this.#show(parts, this.#shown.flush())
    return parts
  }

  #take(pieces: readonly Piece[]): CitedPart[] {
    const parts: CitedPart[] = []
    for (const piece of pieces) {
      if (piece.kind === 'marker') this.#addMarker(piece.references)
      else this.#addText(parts, piece.text)
    }
    return parts
  }

  #addMarker(references: readonly Reference[]): void {
    this.#group ??= { references: [], malformed: 0 }
    this.#written += Math.max(1, references.length)
    if (references.length === 0 || this.#written > referencesMax) this.#group.malformed += Math.max(1, references.length)
    else this.#group.references.push(...references)
  }

  #addText(parts: CitedPart[], text: string): void {
    // Blanks between two markers of a group end nothing.
    if (this.#group !== null && /^[ \t]*$/.test(text)) return
    if (this.#group !== null) {
      this.#closeGroup(parts)
      this.#space = ''
    }
    const whole = this.#space + text
    const kept = whole.trimEnd()
    this.#space = whole.slice(kept.length)
    if (kept !== '') this.#show(parts, this.#shown.push(kept))
    this.#flushLongSpace(parts)
  }

  /** Only blanks wait for a marker; a line break is shown when the next text comes. */
  #flushLongSpace(parts: CitedPart[]): void {
    if (this.#space.length <= 64) return
    this.#show(parts, this.#shown.push(this.#space))
    this.#space = ''
  }

  #show(parts: CitedPart[], text: string): void {
    if (text === '') return
    this.#text += text
    parts.push({ kind: 'text', text })
  }

  #closeGroup(parts: CitedPart[]): void {
    const group = this.#group
    if (group === null) return
    this.#group = null
    this.#show(parts, this.#shown.flush())
    this.#dropped.malformed += group.malformed
    const claim = this.#claim()
    const judged = judgeReferences(this.#text.slice(claim.start, claim.end), group.references, this.#passages)
    const kept: Verified[] = []
    for (const one of judged) {
      if (one.verdict === 'dropped') this.#dropped[one.reason] += 1
      else kept.push(one)
    }
    if (kept.length > 0 && /[ \t]/.test(this.#space)) this.#show(parts, this.#shown.between(' '))
    for (const one of kept) this.#cite(parts, one, claim)
    this.#claimFrom = this.#text.length
  }

  /** The sentence before the marker, from the last group of markers on. */
  #claim(): { start: number; end: number } {
    const open = this.#text.slice(this.#claimFrom)
    const last = sentencesOf(open).at(-1)
    const end = this.#text.trimEnd().length
    if (last === undefined || contentWords(open.slice(last.start, last.end)).size === 0) return this.#lastSentence(end)
    return { start: this.#claimFrom + last.start, end: this.#claimFrom + last.end }
  }

  #lastSentence(end: number): { start: number; end: number } {
    const last = sentencesOf(this.#text).at(-1)
    return last === undefined ? { start: end, end } : { ...last }
  }

  #cite(parts: CitedPart[], { passage, place, origin, overlap }: Verified, answer: { start: number; end: number }): void {
    const { number, collection, chunk, document, title, uri, start } = passage.source
    const markerStart = this.#text.length
    this.#show(parts, this.#shown.between(`[${number}]`))
    if (origin === 'corrected') this.#corrected += 1
    const citation: Citation = {
      number,
      answer,
      marker: { start: markerStart, end: this.#text.length },
      collection,
      chunk,
      document,
      title,
      uri,
      page: passage.pageOf(place),
      start: start + place.start,
      end: start + place.end,
      quote: passage.text.slice(place.start, place.end),
      origin,
      overlap,
    }
    this.citations.push(citation)
    parts.push({ kind: 'citation', citation })
  }

  /** Sentences of the finished text that say something and that no citation stands behind. */
  unsupported(): UnsupportedSpan[] {
    return sentencesOf(this.#text).flatMap(({ start, end }) => {
      const said = withoutOrdinal(this.#text.slice(start, end)).replace(/\[\d+\]/g, '')
      const words = contentWords(said)
      const isCited = this.citations.some(
        ({ answer, marker }) => (answer.start < end && answer.end > start) || (marker.start >= start && marker.end <= end),
      )
      if (isCited || words.size < claimWordsMin || /[:?：？]\s*$/u.test(said)) return []
      const overlap = this.#passages.reduce((best, passage) => Math.max(best, shareOf(words, passage.words)), 0)
      const unknownNumbers = [...numbersOf(said)].filter((number) => !this.#passages.some((passage) => passage.numbers.has(number)))
      return [{ start, end, overlap, unknownNumbers }]
    })
  }
}

/** Whether an address stands in one of the passages. */
export function hasAddress(passages: readonly Passage[], url: string): boolean {
  return passages.some(({ text, source }) => source.uri === url || text.includes(url))
}

/** No drops, for answers that no model wrote. */
export const emptyGate: GateCounts = {
  written: 0,
  emitted: 0,
  corrected: 0,
  dropped: { altered_number: 0, invented: 0, out_of_range: 0, unsupported: 0, malformed: 0 },
  withheld: 0,
}
