/**
 * What a run of characters is: where a text is cut into lumps, and which lumps are more than a word. A lump is what has no space in it
 * and belongs together: `getUserById`, `ORA-00942`, `v1.2.3`, `--no-cache`, `c++`, `TCP/IP`, or a plain word. Scripts that put no
 * spaces between words come as runs of their own.
 */

/** Scripts written without spaces (and Hangul, whose particles are glued on): cut into pairs of characters. */
const unspaced =
  '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}ー々'
const letter = `[[\\p{L}\\p{N}\\p{M}_]--[${unspaced}]]`

/** What may stand before the first letter of a lump: the dashes of a flag, the dot of `.net`. */
const head = `(?<![\\p{L}\\p{N}_.\\-])(?:--(?=\\p{L})|-(?=\\p{L}{1,2}(?![\\p{L}\\p{N}_\\-]))|\\.(?=\\p{L}))`
/** What joins letters to one lump; a comma only between the thousands of a number. */
const joint = `(?:::|[.\\-'’\\/&@\\u00ad\\u2010\\u2011]|(?<=\\p{Nd}),(?=\\p{Nd}{3}(?!\\p{Nd})))`
/** `c++`, `c#`. */
const tail = `(?:(?<=[\\p{L}\\p{N}])\\+\\+|(?<=(?<![\\p{L}\\p{N}])\\p{L})#(?!${letter}))`

/** What is longer is no word (an image in base 64, a hash of hashes) and is cut anywhere, so that every lump costs a bounded time. */
const wordMax = 64
const jointsMax = 24

const lumpSource = `(?<run>[${unspaced}][${unspaced}\\p{M}]{0,255})|(?:${head})?${letter}{1,${wordMax}}(?:${joint}${letter}{1,${wordMax}}){0,${jointsMax}}${tail}?`

/** A fresh pattern for one pass over a text: `groups.run` is set for a run of an unspaced script. */
export function lumpPattern(): RegExp {
  return new RegExp(lumpSource, 'gv')
}

const asciiWord = /^[A-Za-z]?[a-z]*$/
const capitals = /^[A-Z]+s?$/
const letters = /^[\p{L}\p{M}]+$/u
const camel = /\p{Ll}\p{Lu}|\p{Lu}{2,}\p{Ll}{2,}/u
const digits = /^\p{Nd}+$/u

/** A word or a number: no joints, no digits among letters, no inner capitals. */
export function isPlain(lump: string): boolean {
  return asciiWord.test(lump) || capitals.test(lump) || digits.test(lump) || (letters.test(lump) && !camel.test(lump))
}

/** `1.2.3`, `v2.0`, `1.2.3-beta.1`, `3.11rc1`. */
const version = /^v?(\d+(?:\.\d+)+)(?:[.-]?[a-z][a-z0-9]*(?:[.-][a-z0-9]+)*)?$/iu

/** The digits of a version without `v` and what follows them; null: no version. */
export function versionDigits(lump: string): string | null {
  return version.exec(lump)?.[1] ?? null
}

/** A number in sixteens, or a part of a hash: its letters are no words. */
export function isHexadecimal(lump: string): boolean {
  return /^0x[0-9a-f]+$/iu.test(lump) || /^(?=[a-f]*\d)[0-9a-f]{7,}$/iu.test(lump)
}

/** Joined forms of compounds of so many pieces, and up to so many characters: what is longer is a path or a host, which nobody writes in one word. */
const joinedPiecesMax = 8
const joinedCharactersMax = 48
const joinable = /^[\p{L}\p{N}\p{M}]+(?:[._-][\p{L}\p{N}\p{M}]+)+$/u

/** A compound in lower case as it is written in one word: `nodejs`, `errconnectionrefused`, `cplusplus`, `csharp`, `deadbeef`; null: it is not. */
export function joinedForm(compound: string): string | null {
  if (/^\p{L}\+\+$/u.test(compound)) return `${compound.slice(0, -2)}plusplus`
  if (/^\p{L}#$/u.test(compound)) return `${compound.slice(0, -1)}sharp`
  if (/^0x[0-9a-f]{4,}$/u.test(compound)) return compound.slice(2)
  if (compound.length > joinedCharactersMax || !joinable.test(compound)) return null
  // A version, and digits of two numbers, would become other numbers.
  if (/\d[._-]\d/u.test(compound) || versionDigits(compound) !== null) return null
  const pieces = compound.split(/[._-]/u)
  return pieces.length > joinedPiecesMax || !pieces.some((piece) => /\p{L}/u.test(piece)) ? null : pieces.join('')
}

export interface Piece {
  readonly text: string
  /** From the begin of what was cut. */
  readonly at: number
}

function piecesOf(text: string, pattern: RegExp): Piece[] {
  return Array.from(text.matchAll(pattern), (match) => ({ text: match[0], at: match.index }))
}

/** Parts of a path, an address, `TCP/IP`, `std::vector`. */
export function outerPieces(lump: string): Piece[] {
  return piecesOf(lump, /[^/&@:]+/gu)
}

/** Parts of `snake_case`, `kebab-case`, `node.js`. */
export function innerPieces(lump: string): Piece[] {
  return piecesOf(lump, /[^._\-+#,'’\u00ad\u2010\u2011]+/gu)
}

/** Parts of `camelCase`, `HTTPServer`, `sha256`; single digits and letters of mixed ones are noise and left out. */
export function humps(piece: string): Piece[] {
  const cut = piecesOf(piece, /\p{Lu}+(?=\p{Lu}\p{Ll}{2,}|[^\p{L}\p{M}]|$)|[\p{Lu}\p{Lt}]?[\p{Ll}\p{Lo}\p{Lm}\p{M}]+|\p{Lu}+|\p{N}+/gu)
  const hasDigits = /\p{N}/u.test(piece)
  return hasDigits ? cut.filter(({ text }) => text.length >= (digits.test(text) ? 2 : 3)) : cut
}
