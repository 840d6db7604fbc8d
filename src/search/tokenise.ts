/**
 * Cuts a text into the terms by which it is found, the same for documents and queries. A plain word gives its stem. A compound lump
 * (`tokenise/shapes.ts`) gives itself whole, in a space of its own (`=getuserbyid`: no stem begins with `=`), itself as something that
 * may be a part of a larger one (`~getuserbyid`, also of `users.getUserById`), its parts as words, and, where its joints are dots, hyphens or underscores, the
 * word it is without them (`nodejs`). Offsets are those of the text as given; every normalisation works on the single lump.
 *
 * Invariants: a compound's parts and its `~` are given wherever the whole is, so a part is never rarer than its whole; the terms of a text depend
 * on nothing but the text and the language. What a term weighs in a query is `keyword/query-terms.ts`.
 */
import { stem, stemmerFor } from './stem.ts'
import { lowered, unaccented } from './tokenise/fold.ts'
import {
  humps,
  innerPieces,
  isHexadecimal,
  isPlain,
  joinedForm,
  lumpPattern,
  outerPieces,
  type Piece,
  versionDigits,
} from './tokenise/shapes.ts'

/**
 * Raised where a text gives other terms than before: documents that were cut by an earlier one are cut anew when they are made again
 * (`corral collections reingest`), or given with other bytes.
 */
export const tokeniserVersion = 2

/** Longer terms are cut: no person types them. */
export const termCharactersMax = 80
/** Parts taken of one lump. */
const partsMax = 32

export interface Token {
  readonly term: string
  /** UTF-16 offsets in the text. */
  readonly start: number
  readonly end: number
  /**
   * `word`: a plain word. `whole`: a compound as it stands. `part`: of the compound with the same `lump`. `joined`: a compound as others
   * write it, in one word. `spare`: another way to find a word or run (without accents, by one character), which a query does not count a second time.
   */
  readonly role: 'word' | 'whole' | 'part' | 'joined' | 'spare'
  /** Which lump of the text it is of, from 0. */
  readonly lump: number
}

/** A token of a lump by itself. */
type Cut = Pick<Token, 'term' | 'role' | 'start' | 'end'>

interface Cutting {
  readonly language: string
  readonly tokens: Token[]
  lump: number
}

/** Cut compounds that are remembered per language, and how long they may be: the same names come again and again. */
const rememberedMax = 10_000
const rememberedCharactersMax = 40
const remembered = new Map<string, Map<string, readonly Cut[]>>()

/** Languages that write an article or pronoun before an apostrophe. */
const eliding = new Set(['fr', 'it', 'ca', 'ga'])

/** The terms of `text` with their places, in reading order. `language`: of `stem.ts`; any other stems nothing. */
export function tokenise(text: string, language: string): Token[] {
  const cutting: Cutting = { language, tokens: [], lump: 0 }
  for (const match of text.matchAll(lumpPattern())) {
    if (match.groups?.['run'] === undefined) cutLump(cutting, { text: match[0], at: match.index })
    else cutRun(cutting, { text: match[0], at: match.index })
    cutting.lump += 1
  }
  return cutting.tokens
}

function push({ tokens, lump }: Cutting, { at, text }: Piece, { term, role }: Pick<Token, 'term' | 'role'>): void {
  if (term === '') return
  const short = term.length > termCharactersMax ? term.slice(0, termCharactersMax) : term
  tokens.push({ term: short, start: at, end: at + text.length, role, lump })
}

function stemmed(lower: string, language: string): string {
  return unaccented(stem(lower, stemmerFor(lower, language)))
}

/** The stem is taken with accents, as Snowball's endings have them, and loses them after; who types none finds the spare. */
function pushWord(cutting: Cutting, piece: Piece, role: 'word' | 'part'): void {
  const lower = lowered(piece.text)
  const term = stemmed(lower, cutting.language)
  push(cutting, piece, { term, role })
  const bare = unaccented(lower)
  if (bare === lower) return
  const spare = stem(bare, stemmerFor(lower, cutting.language))
  if (spare !== term) push(cutting, piece, { term: spare, role: 'spare' })
}

/** Pairs of characters, and each Han character for itself. */
function cutRun(cutting: Cutting, run: Piece): void {
  let before: Piece | null = null
  let pairs = 0
  let last: Piece | null = null
  for (const match of run.text.matchAll(/.\p{M}*/gsu)) {
    const character = { text: match[0], at: run.at + match.index }
    if (before !== null) {
      const pair = { text: before.text + character.text, at: before.at }
      push(cutting, pair, { term: lowered(pair.text), role: 'word' })
      pairs += 1
    }
    if (before !== null || run.text.length > character.text.length)
      push(cutting, character, { term: lowered(character.text), role: 'spare' })
    before = character
    last = character
  }
  if (pairs === 0 && last !== null) push(cutting, last, { term: lowered(last.text), role: 'word' })
}

function cutLump(cutting: Cutting, lump: Piece): void {
  if (isPlain(lump.text)) return pushWord(cutting, lump, 'word')
  const apostrophe = lump.text.search(/['’]/u)
  if (apostrophe >= 0 && !/[^\p{L}\p{M}'’]/u.test(lump.text)) return cutElision(cutting, lump)
  for (const { term, role, start, end } of compoundOf(lump.text, cutting.language)) {
    cutting.tokens.push({ term, role, start: lump.at + start, end: lump.at + end, lump: cutting.lump })
  }
}

/** The tokens of a compound, which depend on nothing but itself and the language: the memory is dropped whole when it is full. */
function compoundOf(text: string, language: string): readonly Cut[] {
  if (text.length > rememberedCharactersMax) return cutAlone(text, language)
  let known = remembered.get(language)
  if (known === undefined) remembered.set(language, (known = new Map<string, readonly Cut[]>()))
  const there = known.get(text)
  if (there !== undefined) return there
  // A part of a text keeps the whole of it in memory: what is remembered is a copy.
  const own = Buffer.from(text, 'utf16le').toString('utf16le')
  const cut = cutAlone(own, language)
  if (known.size >= rememberedMax) known.clear()
  known.set(own, cut)
  return cut
}

function cutAlone(text: string, language: string): readonly Cut[] {
  const cutting: Cutting = { language, tokens: [], lump: 0 }
  cutCompound(cutting, { text, at: 0 }, true)
  return cutting.tokens
}

/** `l'eau` is two words where they are written so; else `user's` is `user` and `don't` is `dont`. */
function cutElision(cutting: Cutting, lump: Piece): void {
  if (eliding.has(cutting.language)) {
    for (const { text, at } of innerPieces(lump.text)) pushWord(cutting, { text, at: lump.at + at }, 'word')
    return
  }
  const owner = lump.text.replace(/['’]s$/iu, '')
  const { tokens, lump: number } = cutting
  const lower = lowered(owner.replace(/['’]/gu, ''))
  const term = stemmed(lower, cutting.language)
  tokens.push({ term, start: lump.at, end: lump.at + lump.text.length, role: 'word', lump: number })
}

/** The whole of a lump, so that it is the same with `v` or without, and in either kind of hyphen. */
function wholeTerm(text: string): string {
  const lower = unaccented(lowered(text.replace(/\u00ad/gu, '').replace(/[\u2010\u2011]/gu, '-')))
  const joined = /^\d{1,3}(?:,\d{3})+$/u.test(lower) ? lower.replaceAll(',', '') : lower
  return versionDigits(joined) === null ? joined : joined.replace(/^v/u, '')
}

/** A compound and what it is made of; `isOutermost` is the lump itself, the others are parts of it. */
function cutCompound(cutting: Cutting, lump: Piece, isOutermost: boolean): void {
  const whole = wholeTerm(lump.text)
  if (/^\d+$/u.test(whole)) return push(cutting, lump, { term: whole, role: isOutermost ? 'word' : 'part' })
  if (isOutermost) push(cutting, lump, { term: `=${whole}`, role: 'whole' })
  push(cutting, lump, { term: `~${whole}`, role: 'part' })
  if (isOutermost) pushJoined(cutting, lump, whole)
  const numbers = versionDigits(whole)
  if (numbers !== null) {
    if (numbers !== whole) push(cutting, lump, { term: `~${numbers}`, role: 'part' })
    return
  }
  for (const piece of partsOf(lump.text).slice(0, partsMax)) cutPart(cutting, { text: piece.text, at: lump.at + piece.at })
}

/** As one word: `node.js` is `nodejs` too; with digits a compound itself. */
function pushJoined(cutting: Cutting, lump: Piece, whole: string): void {
  const joined = joinedForm(whole)
  if (joined === null) return
  push(cutting, lump, { term: isPlain(joined) ? stemmed(joined, cutting.language) : `~${joined}`, role: 'joined' })
}

/** Of `lump`, one level down. A `c` is no part of `c++`. */
function partsOf(lump: string): Piece[] {
  if (/[+#]$/u.test(lump) || isHexadecimal(lump)) return []
  const flag = /^-{1,2}/u.exec(lump)
  if (flag !== null) return [{ text: lump.slice(flag[0].length), at: flag[0].length }]
  const outer = outerPieces(lump)
  if (outer.length > 1) return outer
  const inner = versioned(lump) ?? measured(lump) ?? innerPieces(lump)
  if (inner.length > 1 || inner[0]?.text.length !== lump.length) return inner
  return isCamel(lump) ? [{ text: lump.toLowerCase(), at: 0 }, ...humps(lump)] : humps(lump)
}

/** `claude-3.5-sonnet`: a version inside a name stays one. */
function versioned(lump: string): Piece[] | null {
  if (!/\d\.\d/u.test(lump)) return null
  const pieces = Array.from(lump.matchAll(/v?\d+(?:\.\d+)+|[^._\-+#,'’]+/giu), (match) => ({ text: match[0], at: match.index }))
  return pieces.length > 1 ? pieces : null
}

/** `5MB` is `5 MB` too. */
function measured(lump: string): Piece[] | null {
  const match = /^(\d+)([A-Za-zµ]{1,3})$/u.exec(lump)
  const [, number = '', unit = ''] = match ?? []
  return match === null
    ? null
    : [
        { text: number, at: 0 },
        { text: unit, at: number.length },
      ]
}

function isCamel(piece: string): boolean {
  return !/\p{N}/u.test(piece) && piece.toLowerCase().length === piece.length
}

function cutPart(cutting: Cutting, piece: Piece): void {
  if (isPlain(piece.text)) return pushWord(cutting, piece, 'part')
  cutCompound(cutting, piece, false)
}
