/** The list of sources at the end of an answer, for clients that know nothing of citations: one line per cited passage. */
import type { Citation, GroundedSummary } from '../core/citation.ts'
import { oneLine } from './invisible.ts'
import { phrasesFor } from './language.ts'
import { guardText } from './link-guard.ts'

const titleChars = 120
const uriChars = 300

/** '' when nothing is cited. Titles are their authors' words: they pass the same guard as the answer; only web addresses are shown. */
export function sourcesList(question: string, { citations }: Pick<GroundedSummary, 'citations'>): string {
  if (citations.length === 0) return ''
  const { sources, page } = phrasesFor(question)
  const byNumber = new Map<number, Citation>()
  for (const citation of citations) if (!byNumber.has(citation.number)) byNumber.set(citation.number, citation)
  const lines = [...byNumber.values()]
    .toSorted((a, b) => a.number - b.number)
    .map((citation) => `[${citation.number}] ${lineOf(citation, page)}`)
  return `\n\n${sources}:\n${lines.join('\n')}`
}

function lineOf({ title, document, page, uri }: Citation, pageWord: string): string {
  const name = guardText(oneLine(title === '' ? document : title, titleChars))
  const place = page === null ? '' : `, ${pageWord} ${page}`
  const address = uri !== null && uri.length <= uriChars && /^https?:\/\/[^\s<>"'`()[\]]+$/i.test(uri) ? ` ${uri}` : ''
  return `${name}${place}${address}`
}
