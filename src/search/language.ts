/**
 * Which language a text is in, as far as stemming must know: by its script, then by its function words. Where nothing tells (code,
 * tables, a single name), the answer is English for Latin letters, as identifiers are made of English words, and `none` for others.
 */
import { functionWords } from './language-words.ts'
import { stemmedLanguages } from './stem.ts'
import { lowered, unaccented } from './tokenise/fold.ts'

/** How much of a text is looked at, from its begin. */
const sampleCharacters = 20_000

/** Languages a collection may be set to. `auto`: by the text of each document; `none`: no stemming. */
export const languages: readonly string[] = ['auto', 'none', ...stemmedLanguages]

/** Scripts with one stemmed language. */
const byScript: readonly (readonly [string, RegExp])[] = [
  ['ru', /\p{Script=Cyrillic}/gu],
  ['ar', /\p{Script=Arabic}/gu],
  ['hy', /\p{Script=Armenian}/gu],
  ['ta', /\p{Script=Tamil}/gu],
]

function countOf(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0
}

/** The language of `text`: an ISO 639-1 code with a stemmer, or `none`. */
export function detectLanguage(text: string): string {
  const sample = text.slice(0, sampleCharacters)
  const latin = countOf(sample, /\p{Script=Latin}/gu)
  let best = { language: latin > 0 ? latinLanguage(sample) : 'none', count: latin }
  for (const [language, pattern] of byScript) {
    const count = countOf(sample, pattern)
    if (count > best.count) best = { language, count }
  }
  return best.language
}

function latinLanguage(sample: string): string {
  const counts = new Map<string, number>()
  for (const [word] of sample.matchAll(/\p{L}+/gu)) {
    const plain = unaccented(lowered(word))
    counts.set(plain, (counts.get(plain) ?? 0) + 1)
  }
  let best = { language: 'en', found: 0 }
  for (const [language, words] of functionWords) {
    let found = 0
    for (const word of words) found += counts.get(word) ?? 0
    // Lists differ in length; the words that matter are on all of them.
    if (found > best.found) best = { language, found }
  }
  return best.language
}

/** Whether a word, folded, says nothing by itself in `language`. */
export function isFunctionWord(word: string, language: string): boolean {
  return functionWords.get(language)?.has(word) ?? false
}
