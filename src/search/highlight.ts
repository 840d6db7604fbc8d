/**
 * Where the words of a query stand in a chunk, and which part of a long text shows most of them. Uses the tokeniser's own offsets, so
 * what is marked is what was found: `connections` for `connect`, the whole of `getUserById` when it was asked for.
 */
import type { Highlight } from '../core/corpus.ts'
import { tokenise } from './tokenise.ts'

/** Longer texts are looked through up to here. */
const charactersMax = 50_000
/** Ranges given of one text. */
const rangesMax = 200

interface Match extends Highlight {
  readonly term: string
}

function matchesOf(text: string, terms: ReadonlySet<string>, languages: readonly string[]): Match[] {
  const part = text.slice(0, charactersMax)
  const matches: Match[] = []
  for (const language of languages.length === 0 ? ['none'] : languages) {
    for (const { term, start, end } of tokenise(part, language)) if (terms.has(term)) matches.push({ term, start, end })
  }
  return matches.toSorted((a, b) => a.start - b.start || b.end - a.end)
}

/**
 * Ranges of `text` that match `terms` (of `KeywordAnswer`), ascending and apart from each other. `languages`: those in which the text
 * was stemmed, usually its document's one.
 */
export function highlightsOf(text: string, terms: Iterable<string>, languages: readonly string[]): Highlight[] {
  const ranges: { start: number; end: number }[] = []
  for (const { start, end } of matchesOf(text, new Set(terms), languages)) {
    const last = ranges.at(-1)
    if (last !== undefined && start < last.end) last.end = Math.max(last.end, end)
    else if (ranges.length < rangesMax) ranges.push({ start, end })
    else break
  }
  return ranges
}

/**
 * The part of `text` of at most `lengthMax` characters that has the most different terms (then the most matches, then the earliest),
 * moved to word boundaries. The whole text when it is short.
 */
export function bestWindow(
  text: string,
  terms: Iterable<string>,
  { languages, lengthMax }: { languages: readonly string[]; lengthMax: number },
): Highlight {
  if (text.length <= lengthMax) return { start: 0, end: text.length }
  const matches = matchesOf(text, new Set(terms), languages)
  let best = { start: 0, distinct: 0, count: 0 }
  for (const [index, first] of matches.entries()) {
    const seen = new Set<string>()
    let count = 0
    for (let next = index; next < matches.length; next += 1) {
      const match = matches[next]
      if (match === undefined || match.end > first.start + lengthMax) break
      seen.add(match.term)
      count += 1
    }
    if (seen.size > best.distinct || (seen.size === best.distinct && count > best.count))
      best = { start: first.start, distinct: seen.size, count }
  }
  return windowAt(text, best.start, lengthMax)
}

/** A little before the first match, so that it is read in its sentence. */
function windowAt(text: string, at: number, lengthMax: number): Highlight {
  const wanted = Math.max(0, Math.min(at - Math.floor(lengthMax / 8), text.length - lengthMax))
  const space = text.indexOf(' ', wanted)
  const start = wanted === 0 || space < 0 || space >= at ? wanted : space + 1
  const limit = Math.min(start + lengthMax, text.length)
  const lastSpace = text.lastIndexOf(' ', limit)
  return { start, end: limit === text.length || lastSpace <= at ? limit : lastSpace }
}
