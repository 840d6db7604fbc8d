/**
 * A passage that was given to the model: what retrieval found, with its number and the forms in which quotes, words and numbers are looked
 * up. The forms are made when they are first asked for, once per answer.
 */
import type { Source } from '../core/citation.ts'
import type { SearchHit } from '../core/corpus.ts'
import { scoreInjection } from './injection-score.ts'
import { type NormalText, normalise, type Place } from './normal-text.ts'
import { chunkReach, type Reach } from './reach.ts'
import { type Quantity, quantitiesOf } from './quantity.ts'
import { contentWords, maskNumbers, numbersWithWords, type Sentence, sentencesOf } from './words.ts'

export class Passage {
  readonly source: Source
  /** The document's own characters, `source.start` to `source.end`. */
  readonly text: string
  readonly #chunk: Place
  #normal: NormalText | null = null
  #masked: string | null = null
  #words: Set<string> | null = null
  #numbers: Set<string> | null = null
  #quantities: readonly Quantity[] | null = null
  #sentences: readonly Sentence[] | null = null

  /** `reach`: what of the document it holds. */
  constructor(number: number, hit: SearchHit, { start, text }: Reach = chunkReach(hit)) {
    const { collection, document, chunk, score } = hit
    this.text = text
    this.#chunk = { start: chunk.start - start, end: chunk.end - start }
    this.source = {
      number,
      collection,
      chunk: chunk.id,
      document: document.id,
      title: document.title,
      uri: document.uri,
      page: chunk.page,
      headings: chunk.headings,
      start,
      end: start + text.length,
      score,
      injection: scoreInjection(text, [document.title, ...chunk.headings]).score,
    }
  }

  /** The page of a place in it; null where none is known: pages are known of chunks, not of what stands around them. */
  pageOf({ start, end }: Place): number | null {
    return start >= this.#chunk.start && end <= this.#chunk.end ? this.source.page : null
  }

  get normal(): NormalText {
    this.#normal ??= normalise(this.text)
    return this.#normal
  }

  /** Its normal text with every number masked. */
  get masked(): string {
    this.#masked ??= maskNumbers(this.normal.text)
    return this.#masked
  }

  /** Of its text, title and headings. */
  get words(): ReadonlySet<string> {
    this.#words ??= contentWords(this.#all())
    return this.#words
  }

  get numbers(): ReadonlySet<string> {
    this.#numbers ??= numbersWithWords(this.#all())
    return this.#numbers
  }

  get quantities(): readonly Quantity[] {
    this.#quantities ??= quantitiesOf(this.#all())
    return this.#quantities
  }

  get sentences(): readonly Sentence[] {
    this.#sentences ??= sentencesOf(this.text)
    return this.#sentences
  }

  #all(): string {
    return [this.source.title, ...this.source.headings, this.text].join('\n')
  }
}
