/** The sources of an answer as a numbered list: `[1] title, page 3, uri`. */
import { z } from 'zod'

import { printable, type Tone } from '../output.ts'

export const readSource = z.object({
  number: z.number(),
  collection: z.string(),
  document: z.string(),
  title: z.string(),
  uri: z.string().nullable(),
  page: z.number().nullable(),
  headings: z.array(z.string()),
})
export type CitedSource = z.infer<typeof readSource>

export interface ListWishes {
  /** What was read and not cited as well, and the words that are cited. */
  readonly all: boolean
  readonly paint: (tone: Tone, text: string) => string
}

const quoteCharsMax = 160

export function sourceLines(
  sources: readonly CitedSource[],
  citations: readonly { readonly number: number; readonly quote: string }[],
  { all, paint }: ListWishes,
): string[] {
  const cited = new Set(citations.map(({ number }) => number))
  return sources
    .filter(({ number }) => all || cited.has(number))
    .flatMap((source) => {
      const isCited = cited.has(source.number)
      const line = `${paint(isCited ? 'cyan' : 'dim', `[${source.number}]`)} ${nameOf(source)}${all && !isCited ? paint('dim', '  not cited') : ''}`
      const quotes = all ? citations.filter(({ number }) => number === source.number).map(({ quote }) => quoteOf(quote)) : []
      return [line, ...new Set(quotes)].map((text) => text)
    })
}

/** Title, place and address; the document's id where it has no address. */
function nameOf({ title, page, uri, document, headings }: CitedSource): string {
  const place = page === null ? headings.at(-1) : `page ${page}`
  const parts = [title, place === title ? undefined : place, uri ?? (document === title ? undefined : document)]
  return parts
    .filter((part) => part !== undefined && part !== '')
    .map((part) => printable(part ?? ''))
    .join(', ')
}

function quoteOf(quote: string): string {
  const line = printable(quote.replaceAll(/\s+/g, ' ').trim())
  return `    “${line.length > quoteCharsMax ? `${line.slice(0, quoteCharsMax - 1)}…` : line}”`
}
