/**
 * Documents as chunks: what is embedded, searched and cited. A chunk is a range of the document's text that follows its structure and
 * fits the embedder. Only headings that stand above a table or code are in no chunk's text (they are in its heading path); all else
 * is in exactly one chunk, or in two where an overlap is set. The same document, settings and estimate always give the same chunks.
 */
import { createHash } from 'node:crypto'

import type { Chunk, ChunkingSettings, ParsedDocument } from '../core/corpus.ts'
import { type Group, groupsOf } from './chunk/groups.ts'
import { sentenceBounds } from './chunk/split.ts'
import { type CutLimits, rangeTokens } from './chunk/unit.ts'
import { unitsOf } from './chunk/units.ts'
import type { TokenEstimate } from './token-estimate.ts'

export interface ChunkOptions {
  /** Shown for a document without a title of its own: the name of its file. */
  readonly name: string
  readonly settings: ChunkingSettings
  readonly estimate: TokenEstimate
}

/** Best of the grid that `bench chunking` prints, see docs/documents.md. */
export const chunkingDefaults: ChunkingSettings = { targetTokens: 200, maxTokens: 320, overlapTokens: 0 }

/** Title and headings take at most this share of what the embedder reads. */
const leadShareMax = 0.25
/** What is left for the text however small the settings are. */
const bodyTokensMin = 16

/** The chunks of `document`, one after the other, so that a caller may stop or let others run in between. */
export function* chunkDocument(document: ParsedDocument, { name, settings, estimate }: ChunkOptions): Generator<Chunk> {
  const leadTokensMax = Math.floor(settings.maxTokens * leadShareMax)
  const maxTokens = Math.max(bodyTokensMin, settings.maxTokens - leadTokensMax)
  // Room for what is repeated is kept free, so that every chunk has its overlap.
  const cutTokens = Math.max(bodyTokensMin, maxTokens - settings.overlapTokens)
  const limits: CutLimits = { targetTokens: Math.min(settings.targetTokens, cutTokens), maxTokens: cutTokens, estimate }
  const title = document.title ?? name
  let ordinal = 0
  let before: Group | null = null
  for (const group of groupsOf(document.text, unitsOf(document, limits), limits)) {
    const lead = leadOf(title, group, { estimate, leadTokensMax })
    const start = overlapStart(document.text, {
      group,
      before,
      overlapTokens: Math.min(settings.overlapTokens, maxTokens - group.tokens),
      estimate,
    })
    yield chunkOf(document.text, { ordinal, group, start, lead })
    ordinal += 1
    before = group
  }
}

/** `title` and heading path as one line; of a path that is too long, the innermost headings. */
function leadOf(title: string, { first }: Group, { estimate, leadTokensMax }: { estimate: TokenEstimate; leadTokensMax: number }): string {
  const distinct = [title, ...first.headings]
    .map((part) => part.replaceAll(/\s+/g, ' ').trim())
    .filter((part, index, all) => part !== '' && part !== all[index - 1])
  for (let from = 0; from < distinct.length; from += 1) {
    const kept = from === 0 ? distinct : distinct.slice(from)
    const line = kept.join(' › ')
    if (estimate.tokens(line) <= leadTokensMax) return line
  }
  return ''
}

interface Made {
  readonly ordinal: number
  readonly group: Group
  readonly start: number
  readonly lead: string
}

function chunkOf(text: string, { ordinal, group, start, lead }: Made): Chunk {
  const { first, end } = group
  const body = text.slice(start < group.start ? start : group.contentStart, end)
  const embedText = [lead, first.header, body].filter((part) => part !== '').join('\n')
  return {
    ordinal,
    text: text.slice(start, end),
    start,
    end,
    page: first.page,
    headings: first.headings,
    kind: first.kind,
    embedText,
    hash: createHash('sha256').update(embedText).digest('hex'),
  }
}

/** Where a chunk of running text begins when it repeats the last sentences of the one before. */
function overlapStart(
  text: string,
  { group, before, overlapTokens, estimate }: { group: Group; before: Group | null; overlapTokens: number; estimate: TokenEstimate },
): number {
  if (overlapTokens <= 0 || before === null || group.start !== group.contentStart) return group.start
  const isRunning = before.first.kind === 'text' && group.first.kind === 'text'
  if (!isRunning || before.first.headings.join('\n') !== group.first.headings.join('\n')) return group.start
  for (const bound of sentenceBounds(text, { start: before.contentStart, end: before.end })) {
    if (rangeTokens(text, { start: bound, end: group.start }, estimate) <= overlapTokens) return bound
  }
  return group.start
}
