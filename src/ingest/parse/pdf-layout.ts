/**
 * Puts the segments of a page in reading order: columns are told from tables by how full their lines are, then each region is read by lines.
 * The method is the recursive cut at white space (Nagy and Seth's XY-cut), with a cut between columns only where both sides are prose.
 */
import { segmentsOf, type Segment, type TextRun } from './pdf-runs.ts'

export interface PdfLine {
  /** In reading order. */
  readonly cells: readonly Segment[]
  readonly left: number
  readonly right: number
  readonly baseline: number
  readonly size: number
  readonly isRtl: boolean
  /** Of its longest piece. */
  readonly font: string
  /** Lines of one region belong together: a column, or what stands between two of them. */
  readonly region: number
}

export interface PageLayout {
  readonly number: number
  readonly width: number
  readonly height: number
  readonly lines: readonly PdfLine[]
  readonly chars: number
}

const depthMax = 12
const columnsDepthMax = 3
const bandsMax = 400
/** In sizes of the text. */
const gutterMin = 0.9
const bandGapMin = 0.55
const columnLinesMin = 3
const columnCharsMin = 10
const columnFillMin = 0.5

export function layOut(runs: readonly TextRun[], page: { number: number; width: number; height: number }): PageLayout {
  const segments = segmentsOf(runs)
  const regions = cut(segments, 0)
  const lines = regions.flatMap((region, index) => linesOf(region, index))
  return { ...page, lines, chars: segments.reduce((sum, { text }) => sum + text.length, 0) }
}

function cut(segments: readonly Segment[], depth: number): Segment[][] {
  if (segments.length < columnLinesMin * 2 || depth > depthMax) return [[...segments]]
  const sides = columnsOf(segments)
  if (sides !== null) return sides.flatMap((side) => cut(side, depth + 1))
  const groups = groupBands(bandsOf(segments))
  if (groups.length < 2) return [[...segments]]
  return mergePlain(groups.flatMap((group) => cut(group, depth + 1).map((region) => ({ region, isWhole: region.length === group.length }))))
}

/** Bands that need no cut of their own are read on as one region. */
function mergePlain(parts: readonly { region: Segment[]; isWhole: boolean }[]): Segment[][] {
  const merged: { region: Segment[]; isWhole: boolean }[] = []
  for (const part of parts) {
    const last = merged.at(-1)
    if (last !== undefined && last.isWhole && part.isWhole) last.region.push(...part.region)
    else merged.push({ region: [...part.region], isWhole: part.isWhole })
  }
  return merged.map(({ region }) => region)
}

/** Two sides of prose with white space between them from top to bottom, in reading order; null when there are none. */
function columnsOf(segments: readonly Segment[], depth = 0): [Segment[], Segment[]] | null {
  const size = medianOf(segments.map((segment) => segment.size))
  const gaps = gapsOf(
    segments.map(({ left, right }) => ({ from: left, to: right })),
    Math.max(6, size * gutterMin),
  )
  for (const { from, to } of gaps.toSorted((one, other) => other.to - other.from - (one.to - one.from)).slice(0, 4)) {
    const left = segments.filter((segment) => segment.right <= from + 0.01)
    const right = segments.filter((segment) => segment.left >= to - 0.01)
    if (!isColumn(left, depth) || !isColumn(right, depth)) continue
    return isMostlyRtl(segments) ? [right, left] : [left, right]
  }
  return null
}

/** Prose, or itself made of columns. */
function isColumn(side: readonly Segment[], depth: number): boolean {
  return isProse(side) || (depth < columnsDepthMax && columnsOf(side, depth + 1) !== null)
}

/** Enough lines, and long enough ones: a column of a table has short cells that leave most of their width empty. */
function isProse(side: readonly Segment[]): boolean {
  const lines = linesOf(side, 0)
  if (lines.length < columnLinesMin) return false
  const left = Math.min(...lines.map((line) => line.left))
  const right = Math.max(...lines.map((line) => line.right))
  const fill = medianOf(lines.map((line) => (line.right - line.left) / Math.max(1, right - left)))
  const chars = medianOf(lines.map(({ cells }) => cells.reduce((sum, { text }) => sum + visibleLength(text), 0)))
  return fill >= columnFillMin && chars >= columnCharsMin
}

/** An ideograph says as much as two letters. */
function visibleLength(text: string): number {
  return text.length + (text.match(/[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}]/gu)?.length ?? 0)
}

/** Segments between gaps from left to right, from the top. */
function bandsOf(segments: readonly Segment[]): Segment[][] {
  const size = medianOf(segments.map((segment) => segment.size))
  const gaps = gapsOf(segments.map(heightOf), size * bandGapMin)
  if (gaps.length === 0 || gaps.length > bandsMax) return [[...segments]]
  const bands: Segment[][] = Array.from({ length: gaps.length + 1 }, () => [])
  for (const segment of segments) {
    const index = gaps.findIndex((gap) => heightOf(segment).to <= gap.from + 0.01)
    bands[index === -1 ? gaps.length : index]?.push(segment)
  }
  return bands.filter(({ length }) => length > 0)
}

/** Joins bands that together fall into columns: their lines are read down, not across. */
function groupBands(bands: readonly Segment[][]): Segment[][] {
  const groups: Segment[][] = []
  let open: Segment[] = []
  for (const band of bands) {
    const joined = [...open, ...band]
    if (open.length === 0 || columnsOf(joined) !== null) {
      open = joined
      continue
    }
    groups.push(open)
    open = [...band]
  }
  return open.length === 0 ? groups : [...groups, open]
}

function heightOf({ baseline, size }: Segment): { from: number; to: number } {
  return { from: baseline - size * 0.75, to: baseline + size * 0.22 }
}

/** Free intervals of at least `width` between the given ones. */
function gapsOf(intervals: readonly { from: number; to: number }[], width: number): { from: number; to: number }[] {
  const gaps: { from: number; to: number }[] = []
  let end: number | null = null
  for (const { from, to } of intervals.toSorted((one, other) => one.from - other.from)) {
    if (end !== null && from - end >= width) gaps.push({ from: end, to: from })
    end = Math.max(end ?? to, to)
  }
  return gaps
}

/** Segments on one height make a line; lines from the top. */
function linesOf(segments: readonly Segment[], region: number): PdfLine[] {
  const rows: Segment[][] = []
  for (const segment of segments.toSorted((one, other) => one.baseline - other.baseline)) {
    const row = rows.at(-1)
    const first = row?.[0]
    const isSame = first !== undefined && segment.baseline - first.baseline <= Math.max(first.size, segment.size) * 0.4
    if (row !== undefined && isSame) row.push(segment)
    else rows.push([segment])
  }
  return rows.map((row) => lineOf(row, region))
}

function lineOf(row: readonly Segment[], region: number): PdfLine {
  const isRtl = isMostlyRtl(row)
  const cells = row.toSorted((one, other) => (isRtl ? other.right - one.right : one.left - other.left))
  const main = cells.toSorted((one, other) => other.text.length - one.text.length)[0]
  return {
    cells,
    left: Math.min(...cells.map(({ left }) => left)),
    right: Math.max(...cells.map(({ right }) => right)),
    baseline: main?.baseline ?? 0,
    size: main?.size ?? 0,
    isRtl,
    font: main?.font ?? '',
    region,
  }
}

function isMostlyRtl(segments: readonly Segment[]): boolean {
  return segments.reduce((sum, { isRtl, text }) => sum + (isRtl ? text.length : -text.length), 0) > 0
}

export function medianOf(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0
}
