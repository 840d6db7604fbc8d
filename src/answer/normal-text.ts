/**
 * Text as it is compared: lower case, one space for any white space, plain quotes and dashes, no Markdown emphasis, compatibility forms
 * folded, nothing invisible. Each character remembers where it came from, so that what is found in the normal text has exact offsets in
 * the original.
 */
import { isInvisible } from './invisible.ts'

const folded: ReadonlyMap<string, string> = new Map([
  ...pairs('“”„‟«»″〝〞「」『』', '"'),
  ...pairs('‘’‚‛′‹›`´', "'"),
  ...pairs('‐‑‒–—―−', '-'),
  ['…', '...'],
])

/** Emphasis and code marks that models add or leave out at will. */
const dropped = new Set(['*', '`'])

function pairs(characters: string, to: string): [string, string][] {
  return Array.from(characters, (character) => [character, to])
}

export interface NormalText {
  readonly text: string
  /** For each character of `text`, the offset in the original at which its source begins. */
  readonly starts: Int32Array
  /** And where that source ends. */
  readonly ends: Int32Array
}

/** The form of `original` in which quotes are looked for. */
export function normalise(original: string): NormalText {
  const starts: number[] = []
  const ends: number[] = []
  const forms: string[] = []
  let isAfterSpace = true
  let at = 0
  for (const character of original) {
    const end = at + character.length
    const form = formOf(character)
    if (form !== '' && !(form === ' ' && isAfterSpace)) {
      for (let index = 0; index < form.length; index += 1) {
        starts.push(at)
        ends.push(end)
      }
      forms.push(form)
      isAfterSpace = form === ' '
    }
    at = end
  }
  return { text: forms.join(''), starts: Int32Array.from(starts), ends: Int32Array.from(ends) }
}

function formOf(character: string): string {
  const code = character.charCodeAt(0)
  if (code < 0x80) return dropped.has(character) ? '' : code <= 0x20 ? ' ' : character.toLowerCase()
  const fold = folded.get(character)
  if (fold !== undefined) return fold
  if (/\s/u.test(character)) return ' '
  return isInvisible(character) ? '' : character.normalize('NFKC').toLowerCase()
}

/** A place in the original. */
export interface Place {
  readonly start: number
  readonly end: number
}

/**
 * Where the normal text `needle` stands in `haystack`, whole words only; null when nowhere. `from` is an offset in the normal text.
 */
export function findNormal(haystack: NormalText, needle: string, from = 0): (Place & { readonly next: number }) | null {
  if (needle === '') return null
  for (let at = haystack.text.indexOf(needle, from); at >= 0; at = haystack.text.indexOf(needle, at + 1)) {
    const after = at + needle.length
    if (!cutsWord(haystack.text, at) && !cutsWord(haystack.text, after)) {
      return { start: haystack.starts[at] ?? 0, end: haystack.ends[after - 1] ?? 0, next: after }
    }
  }
  return null
}

/** Whether a word or a number goes on across `at`. Scripts without spaces have no words to cut. */
function cutsWord(text: string, at: number): boolean {
  const before = text.charAt(at - 1)
  const after = text.charAt(at)
  if (/[\p{L}\p{N}]/u.test(before) && /[\p{L}\p{N}]/u.test(after)) return !isUnspaced(before) && !isUnspaced(after)
  // `5 degrees` inside `-5 degrees` is another temperature.
  if (before === '-' && /\d/.test(after)) return /^[\s("'=:]?$/.test(text.charAt(at - 2))
  // `1.2` inside `1.25` or `11.2` is another number, and so is `25` of `1.25`.
  return /\d/.test(before) && /[.,]/.test(after) && /\d/.test(text.charAt(at + 1))
    ? true
    : /[.,]/.test(before) && /\d/.test(after) && /\d/.test(text.charAt(at - 2))
}

const unspaced = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

/** Whether the character belongs to a script that writes words without spaces. */
export function isUnspaced(character: string): boolean {
  return unspaced.test(character)
}
