/**
 * Stems of words by Snowball's algorithms, remembered. A stem depends on the word and the language alone, so the memory needs no
 * invalidation; it is dropped whole when it is full, which costs the frequent words one more computation each.
 * Words come in lower case; folding of accents is `tokenise/fold.ts`.
 */
import snowball from 'snowball-stemmers'

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

function memoryOf(language: StemmedLanguage): Memory {
  let memory = memories.get(language)
  if (memory === undefined) {
    memory = { stemmer: snowball.newStemmer(algorithms[language]), stems: new Map() }
    memories.set(language, memory)
  }
  return memory
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
