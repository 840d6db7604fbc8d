/**
 * Which language a text is in, as far as stemming must know: by its script, then by its function words. Where nothing tells (code,
 * tables, a single name), the answer is English, as identifiers and loan words are made of English words.
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

/** The language of `text`: an ISO 639-1 code with a stemmer. */
export function detectLanguage(text: string): string {
  const sample = text.slice(0, sampleCharacters)
  let best = { language: 'en', count: countOf(sample, /\p{Script=Latin}/gu) }
  for (const [language, pattern] of byScript) {
    const count = countOf(sample, pattern)
    if (count > best.count) best = { language, count }
  }
  return best.language === 'en' ? latinLanguage(sample) : best.language
}

/** Fewer function words than these tell nothing: a title or a list of names has some of every language. */
const evidenceMin = 3
/** Different ones: a name that is repeated (`Los`, `CA`) is one. */
const evidenceWordsMin = 3
const evidenceShare = 0.12
/** How much clearer than English another language must be. */
const evidenceFactor = 1.3

function latinLanguage(sample: string): string {
  const counts = new Map<string, number>()
  let all = 0
  // A single letter is a variable or a list's mark as often as a word.
  for (const [word] of sample.matchAll(/\p{L}{2,}/gu)) {
    const plain = unaccented(lowered(word))
    counts.set(plain, (counts.get(plain) ?? 0) + 1)
    all += 1
  }
  const foundIn = (words: ReadonlySet<string>): number => [...words].reduce((sum, word) => sum + (counts.get(word) ?? 0), 0)
  let best = {
    language: 'en',
    found: Math.max(evidenceMin - 1, all * evidenceShare, foundIn(functionWords.get('en') ?? new Set()) * evidenceFactor),
  }
  for (const [language, words] of functionWords) {
    const found = language === 'en' ? 0 : foundIn(words)
    if (found > best.found && [...words].filter((word) => counts.has(word)).length >= evidenceWordsMin) best = { language, found }
  }
  return best.language
}

/** Whether a word, folded, says nothing by itself in `language`. */
export function isFunctionWord(word: string, language: string): boolean {
  return functionWords.get(language)?.has(word) ?? false
}
