/**
 * Where in an answer the next character stands: in prose, in a fenced block or a span of code (CommonMark 0.31, 4.5 and 6.1), in JSON or in a
 * text within it. Reads one character after another and looks back at nothing but the line it is in.
 *
 * JSON begins with `{"`, or with `[` before a text, a number or a further bracket, and ends with its last bracket, with a character that no JSON
 * has outside of its texts, or with a blank line: what only looks like it at its beginning holds nobody up.
 */

export type Standing = 'prose' | 'fence' | 'span' | 'json' | 'jsonText'

/** Of a line, for its fence; one that goes on for longer opens none. */
const lineCharsMax = 400
/** What is looked back at before a marker. */
const beforeCharsMax = 64

const fenceOpening = /^[\s>]*(?:(?:[-*+]|\d{1,9}[.)])\s+)*(`{3,}(?=[^`]*$)|~{3,})/u
const fenceClosing = /^[\s>]*(`{3,}|~{3,})\s*$/u
const jsonCharacter = /[\s{}[\]:,"+\-.\deEtrufalsn]/u
/** What follows the bracket with which JSON begins. */
const jsonBeginning: Readonly<Record<string, RegExp>> = { '{': /"/u, '[': /["{[\d-]/u }

export class TextPlace {
  #line = ''
  /** The marks that opened the block. */
  #fence: string | null = null
  /** Backticks just read. */
  #run = 0
  /** Backticks that opened the span. */
  #span = 0
  #depth = 0
  #isInText = false
  #isEscaped = false
  /** A bracket with which JSON may have begun. */
  #opener: string | null = null
  #before = ''
  #isBehindMarker = false
  #isAtStart = true

  /** The text since the last marker, at most its last 64 characters. */
  get before(): string {
    return this.#before
  }

  /** Whether nothing but blanks and commas came since a marker. */
  get isBehindMarker(): boolean {
    return this.#isBehindMarker
  }

  /** Whether nothing but white space came yet. */
  get isAtStart(): boolean {
    return this.#isAtStart
  }

  /** Backticks that end the span; 0: it stands in none. */
  get span(): number {
    return this.#span
  }

  /** Where a character stands that is no backtick and comes next. */
  standing(): Standing {
    this.#endRun()
    if (this.#fence !== null) return 'fence'
    if (this.#depth > 0) return this.#isInText ? 'jsonText' : 'json'
    return this.#span > 0 ? 'span' : 'prose'
  }

  push(text: string): void {
    for (const character of text) this.#step(character)
    this.#before = (this.#before + text).slice(-beforeCharsMax)
    this.#isAtStart &&= text.trim() === ''
    this.#isBehindMarker &&= /^[\s,;]*$/u.test(this.#before)
  }

  /** A marker stood here, whose text is no part of the answer. */
  marker(): void {
    this.#endRun()
    this.#line += '\u00b6'
    this.#opener = null
    this.#before = ''
    this.#isBehindMarker = true
    this.#isAtStart = false
  }

  #step(character: string): void {
    if (character === '\n') this.#endLine()
    else if (this.#line.length < lineCharsMax) this.#line += character
    if (this.#fence !== null) return
    if (this.#depth > 0 && this.#isInJson(character)) return
    this.#readOpener(character)
    if (this.#depth === 0) this.#readTick(character)
  }

  #readTick(character: string): void {
    const isEscaped = this.#isEscaped
    this.#isEscaped = character === '\\' && !isEscaped && this.#span === 0
    if (character === '`' && !isEscaped) this.#run += 1
    else this.#endRun()
  }

  #endRun(): void {
    if (this.#run > 0 && this.#span === 0) this.#span = this.#run
    else if (this.#run > 0 && this.#run === this.#span) this.#span = 0
    this.#run = 0
  }

  #endLine(): void {
    const line = this.#line
    this.#line = ''
    if (this.#fence !== null) {
      const [, marks = ''] = fenceClosing.exec(line) ?? []
      if (marks.startsWith(this.#fence)) this.#fence = null
      return
    }
    const [, opening] = line.length < lineCharsMax && this.#depth === 0 ? (fenceOpening.exec(line) ?? []) : []
    this.#fence = opening ?? null
    if (opening === undefined && line.trim() !== '') return
    this.#run = 0
    this.#span = 0
    this.#depth = 0
    this.#opener = null
  }

  #readOpener(character: string): void {
    if (/\s/u.test(character)) return
    const opener = this.#opener
    this.#opener = null
    if (opener !== null && jsonBeginning[opener]?.test(character) === true) {
      this.#endRun()
      this.#depth = 1
      this.#isInText = false
      this.#isEscaped = false
      this.#isInJson(character)
    } else if (character === '{' || character === '[') {
      this.#endRun()
      if (this.#span === 0) this.#opener = character
    }
  }

  /** Whether the character belongs to the JSON that was begun. */
  #isInJson(character: string): boolean {
    if (this.#isInText) return this.#isInJsonText(character)
    if (!jsonCharacter.test(character)) this.#depth = 0
    else if (character === '"') this.#isInText = true
    else if (character === '{' || character === '[') this.#depth += 1
    else if (character === '}' || character === ']') this.#depth -= 1
    return jsonCharacter.test(character)
  }

  /** A text of JSON has no line break. */
  #isInJsonText(character: string): boolean {
    if (character === '\n') {
      this.#depth = 0
      return false
    }
    if (this.#isEscaped) this.#isEscaped = false
    else if (character === '\\') this.#isEscaped = true
    else if (character === '"') this.#isInText = false
    return true
  }
}

/**
 * Whether a span opened by `ticks` backticks ends in `text`, before the paragraph does; null: not to be told yet. `isWhole`: nothing more of it comes.
 */
export function closesSpan(text: string, ticks: number, isWhole: boolean): boolean | null {
  for (const { 0: found, index } of text.matchAll(/`+|\n[ \t]*\n/gu)) {
    if (found.startsWith('\n')) return false
    if (!isWhole && index + found.length === text.length) return null
    if (found.length === ticks) return true
  }
  return isWhole ? false : null
}
