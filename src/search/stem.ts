/**
 * Stems of words by Snowball's algorithms, remembered. A stem depends on the word and the language alone, so the memory needs no
 * invalidation; it is dropped whole when it is full, which costs the frequent words one more computation each.
 * The algorithms, nine megabytes of them, are loaded with the first word. Words come in lower case; folding of accents is `tokenise/fold.ts`.
 */
import { createRequire } from 'node:module'

import type { Snowball } from 'snowball-stemmers'

/** Languages with a stemmer, by ISO 639-1 code. */
const algorithms = {
  ar: 'arabic',
  ca: 'catalan',
  cs: 'czech',
  da: 'danish',
  de: 'german',
  en: 'english',
  es: 'spanish',
  eu: 'basque',
  fi: 'finnish',
  fr: 'french',
  ga: 'irish',
  hu: 'hungarian',
  hy: 'armenian',
  it: 'italian',
  nl: 'dutch',
  no: 'norwegian',
  pt: 'portuguese',
  ro: 'romanian',
  ru: 'russian',
  sl: 'slovene',
  sv: 'swedish',
  ta: 'tamil',
  tr: 'turkish',
} as const

export type StemmedLanguage = keyof typeof algorithms

/** Words remembered per language. */
const rememberedMax = 50_000

interface Memory {
  readonly stemmer: { stem(word: string): string }
  readonly stems: Map<string, string>
}

const memories = new Map<StemmedLanguage, Memory>()

export function isStemmed(language: string): language is StemmedLanguage {
  return Object.hasOwn(algorithms, language)
}

export const stemmedLanguages: readonly string[] = Object.keys(algorithms)

const load = createRequire(import.meta.url)
let snowball: Snowball | null = null

function memoryOf(language: StemmedLanguage): Memory {
  let memory = memories.get(language)
  if (memory === undefined) {
    snowball ??= loadSnowball()
    memory = { stemmer: snowball.newStemmer(algorithms[language]), stems: new Map() }
    memories.set(language, memory)
  }
  return memory
}

function loadSnowball(): Snowball {
  const loaded: Snowball = load('snowball-stemmers')
  return loaded
}

/** The languages here that are not written in Latin letters, by their script; of each script there is one. */
const scripts: readonly (readonly [StemmedLanguage, RegExp])[] = [
  ['ru', /\p{Script=Cyrillic}/u],
  ['ar', /\p{Script=Arabic}/u],
  ['hy', /\p{Script=Armenian}/u],
  ['ta', /\p{Script=Tamil}/u],
]
const ascii = /^[a-z0-9]*$/
const otherScripts: ReadonlySet<string> = new Set(scripts.map(([language]) => language))

/**
 * Whose stemmer a word gets in a text in `language`: that one's where it is in its script, else that of the word's own script; a word in
 * Latin letters in such a text counts as English. So a foreign word has one stem, whatever it stands among. `none` stays `none`.
 */
export function stemmerFor(word: string, language: string): string {
  if (language === 'none') return language
  if (!ascii.test(word)) for (const [own, script] of scripts) if (script.test(word)) return own
  return otherScripts.has(language) ? 'en' : language
}

/** The stem of a lower-case word; the word itself where the language has no stemmer. */
export function stem(word: string, language: string): string {
  if (!isStemmed(language)) return word
  const { stemmer, stems } = memoryOf(language)
  const known = stems.get(word)
  if (known !== undefined) return known
  const found = stemmer.stem(word)
  // A stemmer that eats the whole word would make it unfindable.
  const kept = found === '' ? word : found
  if (stems.size >= rememberedMax) stems.clear()
  stems.set(word, kept)
  return kept
}
