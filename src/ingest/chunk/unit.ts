/**
 * What a document is cut into before its pieces are joined to chunks: a range of the text with its weight. A unit never crosses a block,
 * and is never over the limit it was cut for.
 */
import type { TokenEstimate } from '../token-estimate.ts'

export type ChunkKind = 'text' | 'table' | 'code' | 'row'

export interface Unit {
  readonly kind: ChunkKind
  readonly start: number
  readonly end: number
  readonly tokens: number
  readonly page: number | null
  readonly headings: readonly string[]
  /** A heading: goes with what follows it. */
  readonly isHeading: boolean
  /** The head of a table of which this is a later part: read by the embedder before the part. */
  readonly header: string
}

/** A half-open range of the text. */
export interface Range {
  readonly start: number
  readonly end: number
}

/** What cutting is done by. */
export interface CutLimits {
  readonly targetTokens: number
  /** No piece is over it. */
  readonly maxTokens: number
  readonly estimate: TokenEstimate
}

/** `range` without white space at its ends; null when nothing is left. */
export function trimmed(text: string, { start, end }: Range): Range | null {
  let from = start
  let to = end
  while (from < to && isSpace(text.charCodeAt(from))) from += 1
  while (to > from && isSpace(text.charCodeAt(to - 1))) to -= 1
  return from < to ? { start: from, end: to } : null
}

function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13) || code === 0xa0 || code === 0x2028 || code === 0x2029 || code === 0x3000
}

/** Tokens of a range, with a fraction. */
export function rangeTokens(text: string, { start, end }: Range, { weightOf }: TokenEstimate): number {
  let sum = 0
  for (let at = start; at < end; at += 1) sum += weightOf(text.charCodeAt(at))
  return sum
}
