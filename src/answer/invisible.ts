/**
 * Takes out of foreign text what a reader does not see but a model reads: zero-width and bidirectional controls, tag characters, private
 * use, variation selectors of the supplement, other controls. Documents and model answers both pass through here; nothing else is changed.
 */

/** Zero-width joiners are kept between letters of scripts that need them (Arabic, Indic), where they carry spelling. */
const invisible =
  // eslint-disable-next-line no-control-regex, no-misleading-character-class
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ue000-\uf8ff]|[\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}]/gu
const joiner =
  /(?<![\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Tamil}\p{Script=Malayalam}\p{Script=Sinhala}\p{Extended_Pictographic}\ufe0f\p{Mn}])[\u200c\u200d]|[\u200c\u200d](?![\p{L}\p{Extended_Pictographic}])/gu

/** `text` without characters that cannot be seen; line breaks and tabs stay. */
export function withoutInvisible(text: string): string {
  return text.replace(invisible, '').replace(joiner, '')
}

/** Whether `withoutInvisible` would drop this single code point; joiners count as invisible here. */
export function isInvisible(character: string): boolean {
  invisible.lastIndex = 0
  return character === '\u200c' || character === '\u200d' || invisible.test(character)
}

/** One line of at most `charsMax` characters, for titles, names and headings that a document's author chose. */
export function oneLine(text: string, charsMax: number): string {
  const line = withoutInvisible(text).replace(/\s+/gu, ' ').trim()
  return line.length <= charsMax ? line : `${line.slice(0, charsMax - 1).trimEnd()}…`
}

/** `withoutInvisible` for text that comes in pieces: a code point cut in two is put together, a joiner sees what stands around it. */
export class VisibleText {
  #held = ''
  #context = ''

  push(piece: string): string {
    const text = this.#held + piece
    this.#held = /[\ud800-\udbff\u200c\u200d]+$/.exec(text)?.[0] ?? ''
    return this.#clean(text.slice(0, text.length - this.#held.length))
  }

  end(): string {
    const text = this.#held
    this.#held = ''
    return this.#clean(text)
  }

  #clean(text: string): string {
    if (text === '') return ''
    const cleaned = withoutInvisible(this.#context + text).slice(this.#context.length)
    const last = cleaned.codePointAt(cleaned.length - (/[\udc00-\udfff]$/.test(cleaned) ? 2 : 1))
    if (last !== undefined) this.#context = String.fromCodePoint(last)
    return cleaned
  }
}
