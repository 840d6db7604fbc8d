/**
 * Cuts a long range into pieces of about the target: at the best bounds there are (sentences, lines, cells), then at words, then
 * between characters, never inside a surrogate pair. Pieces are of even weight, so that no small rest is left at the end.
 */
import { type CutLimits, type Range, rangeTokens, trimmed } from './unit.ts'

/** Finds the begins of parts within a range, ascending; the begin of the range itself may be among them. */
export type Bounds = (text: string, range: Range) => Iterable<number>

const sentences = new Intl.Segmenter(undefined, { granularity: 'sentence' })
/** The segmenter copies what it is given: long ranges are handed to it in windows. */
const windowChars = 20_000

/** Begins of sentences. */
export function* sentenceBounds(text: string, { start, end }: Range): Generator<number> {
  let from = start
  while (from < end) {
    const to = Math.min(end, from + windowChars)
    let last = from
    for (const { index } of sentences.segment(text.slice(from, to))) {
      if (index === 0) continue
      last = from + index
      yield last
    }
    if (to === end) return
    // The last sentence of a window may go on behind it: begin the next window with it.
    from = last > from ? last : to
  }
}

/** Begins of lines. */
export function* lineBounds(text: string, { start, end }: Range): Generator<number> {
  for (let at = text.indexOf('\n', start); at >= 0 && at + 1 < end; at = text.indexOf('\n', at + 1)) yield at + 1
}

/** Begins after a blank line; where code has them, functions end there. */
export function* paragraphBounds(text: string, range: Range): Generator<number> {
  let wasBlank = false
  let lineStart = range.start
  for (const next of lineBounds(text, range)) {
    const isBlank = trimmed(text, { start: lineStart, end: next }) === null
    if (wasBlank && !isBlank) yield lineStart
    wasBlank = isBlank
    lineStart = next
  }
  if (wasBlank) yield lineStart
}

/** Begins after any of `separators` (one character each). */
export function separatorBounds(separators: string): Bounds {
  return function* bounds(text, { start, end }) {
    for (let at = start; at + 1 < end; at += 1) if (separators.includes(text.charAt(at))) yield at + 1
  }
}

const wordBounds = separatorBounds(' \t\n\r\u3000\u3002\uff0c\u3001')

function* characterBounds(text: string, { start, end }: Range): Generator<number> {
  for (let at = start + 1; at < end; at += 1) {
    const code = text.charCodeAt(at)
    if (code < 0xdc00 || code > 0xdfff) yield at
  }
}

/** Cuts `range` by the first of `levels` that has bounds; parts that are still too long by the next ones. Trimmed, in order. */
export function* cut(text: string, range: Range, { limits, levels }: { limits: CutLimits; levels: readonly Bounds[] }): Generator<Range> {
  const inner = trimmed(text, range)
  if (inner === null) return
  const tokens = rangeTokens(text, inner, limits.estimate)
  if (tokens <= limits.maxTokens) {
    yield inner
    return
  }
  const [level = characterBounds, ...finer] = levels
  const pieceTokens = evenTokens(tokens, limits)
  for (const part of joined(text, inner, { bounds: level, limits, pieceTokens })) {
    if (rangeTokens(text, part, limits.estimate) <= limits.maxTokens || level === characterBounds) yield part
    else yield* cut(text, part, { limits, levels: finer })
  }
}

/** Levels for running text. */
export const proseLevels: readonly Bounds[] = [sentenceBounds, lineBounds, wordBounds]
export const listLevels: readonly Bounds[] = [lineBounds, sentenceBounds, wordBounds]
export const codeLevels: readonly Bounds[] = [paragraphBounds, lineBounds, wordBounds]
export const tableLevels: readonly Bounds[] = [lineBounds, separatorBounds('|\t'), wordBounds]
export const rowLevels: readonly Bounds[] = [separatorBounds(';|\t'), wordBounds]

/** Parts are whole words or more: a piece meets its weight only by so much, and what all of them lack would be left as a small rest. */
const fullShare = 0.9

/** The weight at which `tokens` fall into pieces of equal weight, near the target and within the limit. */
function evenTokens(tokens: number, { targetTokens, maxTokens }: CutLimits): number {
  return tokens / Math.max(Math.ceil(tokens / (maxTokens * fullShare)), Math.round(tokens / targetTokens))
}

/** A piece lighter than this share of the others says too little to be found by: it takes the next part in, which is then cut finer. */
const pieceShareMin = 1 / 4

/** Neighbouring parts put together while they come nearer to `pieceTokens`. */
function* joined(
  text: string,
  range: Range,
  { bounds, limits, pieceTokens }: { bounds: Bounds; limits: CutLimits; pieceTokens: number },
): Generator<Range> {
  let start = range.start
  let partStart = range.start
  let weight = 0
  for (const bound of withEnd(bounds(text, range), range.end)) {
    const part = rangeTokens(text, { start: partStart, end: bound }, limits.estimate)
    const overshoots =
      weight >= pieceTokens * pieceShareMin && (weight + part > limits.maxTokens || weight + part - pieceTokens > pieceTokens - weight)
    if (overshoots) {
      const done = trimmed(text, { start, end: partStart })
      if (done !== null) yield done
      start = partStart
      weight = 0
    }
    weight += part
    partStart = bound
  }
  const rest = trimmed(text, { start, end: range.end })
  if (rest !== null) yield rest
}

function* withEnd(bounds: Iterable<number>, end: number): Generator<number> {
  yield* bounds
  yield end
}
