/**
 * CSV and TSV: delimiter, quotes and header are found by what is there. Every row becomes a block `Header: value; …`, so that it is
 * searched and cited alone. Rows of another length than the header are kept and reported.
 */
import { parse } from 'csv-parse/sync'
import { z } from 'zod'

import type { ParsedDocument } from '../../core/corpus.ts'
import { CorralError } from '../../core/errors.ts'
import type { ParseLimits } from '../limits.ts'
import { DocumentBuilder } from './document-builder.ts'
import { addRows, findHeader } from './sheet-rows.ts'

const delimiters = [',', ';', '\t', '|'] as const
const sampleLines = 50
const recordCharsMax = 1_000_000
const rowsSchema = z.array(z.array(z.string()))

/** The delimiter that splits the first lines into the same number of fields, and that number; null when none does. */
export function detectDelimiter(text: string): { readonly delimiter: string; readonly columns: number; readonly evenness: number } | null {
  const sample = text.split('\n', sampleLines + 1).slice(0, sampleLines)
  const isWhole = text.length === sample.join('\n').length
  const lines = (isWhole ? sample : sample.slice(0, -1)).join('\n')
  let best: { delimiter: string; columns: number; evenness: number } | null = null
  for (const delimiter of delimiters) {
    const rows = readRows(lines, delimiter)?.filter((row) => row.length > 1 || row[0] !== '') ?? []
    const columns = commonest(rows.map(({ length }) => length))
    if (rows.length === 0 || columns < 2) continue
    const evenness = rows.filter(({ length }) => length === columns).length / rows.length
    if (best === null || evenness * Math.log2(columns + 1) > best.evenness * Math.log2(best.columns + 1))
      best = { delimiter, columns, evenness }
  }
  return best
}

/** `text` is cleaned already. */
export function parseCsv(text: string, limits: ParseLimits): ParsedDocument {
  const builder = new DocumentBuilder(limits)
  const hint = /^sep=(.)\n/.exec(text)
  const body = hint === null ? text : text.slice(hint[0].length)
  const delimiter = hint?.[1] ?? detectDelimiter(body)?.delimiter ?? ','
  const rows = readRows(body, delimiter)
  if (rows === null) throw new CorralError('document_broken', `no field ends within ${recordCharsMax} characters: a quote is not closed`)
  const kept = rows.filter((row) => row.some((cell) => cell.trim() !== ''))
  const header = findHeader(kept)
  const width = header?.names.length ?? 0
  const odd = header === null ? 0 : kept.slice(header.at).filter((row) => row.length !== width).length
  if (odd > 0) builder.warnings.add(`${odd} rows have another number of fields than the header`)
  for (const row of kept.slice(0, header?.at ?? 0)) builder.add('paragraph', row.join(' '))
  addRows(builder, { rows: kept.slice(header?.at ?? 0), header: header?.names ?? null, headerRows: header?.rows ?? 0, page: null })
  return builder.finish(delimiter === '\t' ? 'text/tab-separated-values' : 'text/csv')
}

/** Null when a record is longer than any sane one: a quote was opened and never closed. */
function readRows(text: string, delimiter: string): string[][] | null {
  const options = {
    delimiter,
    bom: true,
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
    max_record_size: recordCharsMax,
  }
  try {
    return rowsSchema.parse(parse(text, options))
  } catch {
    // A quote that is never closed: the same text read without quotes is still a table.
    try {
      return rowsSchema.parse(parse(text, { ...options, quote: null }))
    } catch {
      return null
    }
  }
}

function commonest(numbers: readonly number[]): number {
  const counts = new Map<number, number>()
  for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1)
  return [...counts].toSorted((one, other) => other[1] - one[1])[0]?.[0] ?? 0
}
