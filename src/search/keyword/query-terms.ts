/**
 * What a query asks for, and how much each term weighs. A word counts as often as it is said. A compound is asked for whole and by its
 * parts; where the whole is rare, it outweighs all its parts together, so that `getUser` finds itself before any `getUserById`.
 * Function words are left out where there are others.
 */
import { detectLanguage, isFunctionWord } from '../language.ts'
import { type Token, tokenise } from '../tokenise.ts'
import { lowered, unaccented } from '../tokenise/fold.ts'

/** Distinct terms of one query; further ones are not looked for. */
export const queryTermsMax = 128

export interface QueryTerm {
  readonly term: string
  readonly weight: number
  /**
   * Of a whole compound: what all of its parts weigh together. Where only few chunks have the compound, it counts this much, and its
   * presence alone as much as the parts can give at most. 0: counts like a word.
   */
  readonly sureWeight: number
}

/** `boundary-layer`: in prose the hyphen tells little, and the whole counts half of a word (measured on Cranfield and CACM). */
const prosaic = /^=\p{L}+(?:-\p{L}+)+$/u
const prosaicWeight = 0.25
/** A compound's two terms, itself (`=`) and itself inside of larger ones (`~`), count as one word together. */
const compoundWeight = 0.5
/**
 * Of its own weight what a compound has in one word: enough to find who writes it so. At 1 it cost Cranfield .002 nDCG@10 and anthropic-docs .002
 * (`bench retrieval`), since whoever has the compound has this, too.
 */
const joinedShare = 0.1

interface Lump {
  readonly whole: string | null
  readonly terms: ReadonlySet<string>
  /** The compound in one word. */
  readonly joined: ReadonlySet<string>
}

interface GrowingLump {
  whole: string | null
  readonly terms: Set<string>
  readonly joined: Set<string>
}

/** Terms of `query` in each of `languages` (of one word, the stems of all), by first occurrence. */
export function queryTerms(query: string, languages: readonly string[]): QueryTerm[] {
  const all = lumpsOf(query, languages, () => false)
  const dropping = functionLanguages(query, languages)
  const isDropped = (word: string): boolean => dropping.some((language) => isFunctionWord(word, language))
  const telling = lumpsOf(query, languages, isDropped)
  const lumps = telling.length > 0 ? telling : all
  const isLookUp = lumps.every(({ whole }) => whole !== null)
  const terms = new Map<string, { weight: number; sureWeight: number }>()
  for (const lump of lumps) weigh(terms, lump, isLookUp)
  return Array.from(terms, ([term, weights]) => ({ term, ...weights })).slice(0, queryTermsMax)
}

/** Whose function words are left out: those of the query's language, when the collection has it. */
function functionLanguages(query: string, languages: readonly string[]): readonly string[] {
  const own = detectLanguage(query)
  return languages.includes(own) ? [own] : languages
}

/** Lumps in reading order, without those that are left out whole. */
function lumpsOf(query: string, languages: readonly string[], isDropped: (word: string) => boolean): Lump[] {
  const lumps = new Map<number, GrowingLump>()
  for (const language of languages) {
    for (const token of tokenise(query, language)) {
      if (token.role === 'spare' || (token.role !== 'whole' && isDropped(unaccented(lowered(query.slice(token.start, token.end))))))
        continue
      place(lumps, token)
    }
  }
  return [...lumps].toSorted(([a], [b]) => a - b).map(([, lump]) => lump)
}

function place(lumps: Map<number, GrowingLump>, { term, role, lump: at }: Token): void {
  const lump = lumps.get(at) ?? { whole: null, terms: new Set(), joined: new Set() }
  lumps.set(at, lump)
  if (role === 'whole') lump.whole = term
  else if (role === 'joined') lump.joined.add(term)
  else lump.terms.add(term)
}

function weigh(
  terms: Map<string, { weight: number; sureWeight: number }>,
  { whole, terms: others, joined }: Lump,
  isLookUp: boolean,
): void {
  const isProse = whole !== null && !isLookUp && prosaic.test(whole)
  const ownWeight = isProse ? prosaicWeight : compoundWeight
  let partsWeight = 0
  for (const term of others) {
    const weight = term.startsWith('~') ? ownWeight : 1
    raise(terms, term, { weight, sureWeight: 0 })
    partsWeight += weight
  }
  for (const term of joined) raise(terms, term, { weight: ownWeight * joinedShare, sureWeight: 0 })
  if (whole !== null) raise(terms, whole, { weight: ownWeight, sureWeight: isProse ? 0 : Math.max(1, partsWeight) })
}

function raise(terms: Map<string, { weight: number; sureWeight: number }>, term: string, by: { weight: number; sureWeight: number }): void {
  const entry = terms.get(term) ?? { weight: 0, sureWeight: 0 }
  entry.weight += by.weight
  entry.sureWeight += by.sureWeight
  terms.set(term, entry)
}
