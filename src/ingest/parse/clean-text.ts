/**
 * Takes out of a document's text what no reader sees but a model would read: zero-width and bidirectional controls, tag characters, private
 * use, selectors, control characters. Line ends become `\n`. Visible characters and their order are never changed.
 */

const lineEnds = /\r\n?|[\u0085\u2028\u2029]/g
/** Symbol fonts put their bullets into private use; as bullets they mean something. */
const symbolBullets = /[\uf0a7\uf0a8\uf0b7\uf0d8\uf0fc]/g
const unseen =
  // eslint-disable-next-line no-control-regex, no-misleading-character-class
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ue000-\uf8ff]|[\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}]/gu
/** Joiners spell words in Arabic and Indic scripts and hold emoji together; anywhere else they only hide things. */
const strayJoiners =
  /(?<![\p{Script=Arabic}\p{Script=Devanagari}\p{Script=Bengali}\p{Script=Gujarati}\p{Script=Kannada}\p{Script=Malayalam}\p{Script=Sinhala}\p{Script=Tamil}\p{Script=Telugu}\p{Extended_Pictographic}\ufe0f\p{Mn}])[\u200c\u200d]|[\u200c\u200d](?![\p{L}\p{Extended_Pictographic}])/gu

/** `text` as it is stored and cited: well-formed, visible, with `\n` for every line end. */
export function cleanText(text: string): string {
  const seen = text.replace(lineEnds, '\n').replace(symbolBullets, '•').replace(unseen, '').toWellFormed()
  return /[\u200c\u200d]/.test(seen) ? seen.replace(strayJoiners, '') : seen
}

/** One line: every run of white space is one space. */
export function cleanLine(text: string): string {
  return cleanText(text).replace(/\s+/gu, ' ').trim()
}
