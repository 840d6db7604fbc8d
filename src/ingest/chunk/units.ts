/** Blocks of a document as units that fit: short blocks whole, long ones cut where their kind may be cut. */
import type { Block, ParsedDocument } from '../../core/corpus.ts'
import { codeLevels, cut, listLevels, proseLevels, rowLevels, tableLevels, type Bounds } from './split.ts'
import { type ChunkKind, type CutLimits, type Range, rangeTokens, trimmed, type Unit } from './unit.ts'

/** A table's head is repeated while it takes at most this share of a chunk. */
const headerShareMax = 0.33

const kinds: Readonly<Record<Block['kind'], { readonly kind: ChunkKind; readonly levels: readonly Bounds[] }>> = {
  heading: { kind: 'text', levels: proseLevels },
  paragraph: { kind: 'text', levels: proseLevels },
  quote: { kind: 'text', levels: proseLevels },
  list: { kind: 'text', levels: listLevels },
  table: { kind: 'table', levels: tableLevels },
  code: { kind: 'code', levels: codeLevels },
  row: { kind: 'row', levels: rowLevels },
}

/** The units of all blocks, in reading order. */
export function* unitsOf({ text, blocks }: ParsedDocument, limits: CutLimits): Generator<Unit> {
  for (const block of blocks) yield* unitsOfBlock(text, block, limits)
}

function* unitsOfBlock(text: string, block: Block, limits: CutLimits): Generator<Unit> {
  const { kind, levels } = kinds[block.kind]
  const { page, headings } = block
  const range = trimmed(text, block)
  if (range === null) return
  const unit = ({ start, end }: Range, header = ''): Unit => ({
    kind,
    start,
    end,
    tokens: rangeTokens(text, { start, end }, limits.estimate),
    page,
    headings,
    isHeading: block.kind === 'heading',
    header,
  })
  if (rangeTokens(text, range, limits.estimate) <= limits.maxTokens) {
    yield unit(range)
    return
  }
  const header = kind === 'table' ? tableHeader(text, range, limits) : ''
  const room = limits.maxTokens - limits.estimate.tokens(header)
  // The first part holds the head itself; one measure for all keeps the parts even.
  const tighter = { ...limits, maxTokens: room, targetTokens: Math.min(limits.targetTokens, room) }
  for (const piece of cut(text, range, { limits: tighter, levels })) yield unit(piece, piece.start === range.start ? '' : header)
}

/** The first line of a table; empty when it is too long to be repeated. */
function tableHeader(text: string, { start, end }: Range, { maxTokens, estimate }: CutLimits): string {
  const lineEnd = text.indexOf('\n', start)
  if (lineEnd < 0 || lineEnd >= end) return ''
  const header = text.slice(start, lineEnd)
  return estimate.tokens(header) <= maxTokens * headerShareMax ? header : ''
}
