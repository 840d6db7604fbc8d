/**
 * Units joined to the groups that become chunks. Text is joined with text and rows with rows, under the same heading path, up to the
 * target; tables and code stand alone; a heading goes with what follows it; a small rest joins the group before.
 */
import { type CutLimits, rangeTokens, type Unit } from './unit.ts'

export interface Group {
  /** Where the text of the chunk begins; headings before the content are in it. */
  readonly start: number
  /** Where its content begins: the headings before are in the heading path already. */
  readonly contentStart: number
  readonly end: number
  readonly tokens: number
  readonly first: Unit
}

/** A rest below this share of the target is small. */
const smallShare = 0.55

/** Groups in reading order, covering every unit that is not a heading exactly once. */
export function* groupsOf(text: string, units: Iterable<Unit>, limits: CutLimits): Generator<Group> {
  let headings: Unit[] = []
  let open: Group | null = null
  for (const unit of units) {
    if (unit.isHeading) {
      // A heading ends the section before; headings that follow each other go on together, unless one is no parent of the next.
      if (open !== null) yield open
      open = null
      const orphans = headings.filter((heading) => unit.headings.length <= heading.headings.length)
      if (orphans.length > 0) yield* headingGroups(headings, limits)
      headings = orphans.length > 0 ? [unit] : [...headings, unit]
      continue
    }
    const joined: Group | null = open === null ? null : join(text, { open, unit, limits })
    if (joined !== null) {
      open = joined
      continue
    }
    if (open !== null) yield open
    open = begin(text, { headings, unit, limits })
    headings = []
  }
  if (open !== null) yield open
  yield* headingGroups(headings, limits)
}

/** Headings with nothing below them: one group, or one each when that would be over the limit. */
function* headingGroups(headings: readonly Unit[], { maxTokens }: CutLimits): Generator<Group> {
  const [first] = headings
  const last = headings.at(-1)
  if (first === undefined || last === undefined) return
  const tokens = headings.reduce((sum, heading) => sum + heading.tokens, 0)
  if (tokens <= maxTokens) yield { start: first.start, contentStart: first.start, end: last.end, tokens, first }
  else yield* headings.map((heading) => ({ ...heading, contentStart: heading.start, first: heading }))
}

function begin(text: string, { headings, unit, limits }: { headings: readonly Unit[]; unit: Unit; limits: CutLimits }): Group {
  const [heading] = headings
  const alone = { start: unit.start, contentStart: unit.start, end: unit.end, tokens: unit.tokens, first: unit }
  if (heading === undefined || unit.kind === 'table' || unit.kind === 'code') return alone
  const tokens = rangeTokens(text, { start: heading.start, end: unit.end }, limits.estimate)
  return tokens <= limits.maxTokens ? { ...alone, start: heading.start } : alone
}

/** `open` with `unit` at its end; null when they stay apart. */
function join(text: string, { open, unit, limits }: { open: Group; unit: Unit; limits: CutLimits }): Group | null {
  const { first } = open
  if (unit.kind !== first.kind || unit.kind === 'table' || unit.kind === 'code') return null
  if (!isSamePath(unit.headings, first.headings)) return null
  if (unit.kind === 'row' && unit.page !== first.page) return null
  const tokens = rangeTokens(text, { start: open.contentStart, end: unit.end }, limits.estimate)
  const isSmall = Math.min(open.tokens, unit.tokens) < limits.targetTokens * smallShare
  const fits = tokens <= limits.targetTokens || (isSmall && tokens <= Math.min(limits.maxTokens, limits.targetTokens * (1 + smallShare)))
  return fits ? { ...open, end: unit.end, tokens } : null
}

function isSamePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((heading, index) => heading === b[index])
}
