// Renders the error catalogue as the markdown table of docs/errors.md. Sorted as the catalogue is: by status.

import { errorCatalogue } from '../src/core/errors.ts'

const BEGIN = '<!-- table: written by `npm run errors-doc` -->'
const END = '<!-- end of table -->'

/** The table of every code: status, whether the same request may be sent again, whose fault it is, and what it means. */
export function renderErrorTable(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([code, { status, retryable, fault, title }]) => `| \`${code}\` | ${status} | ${retryable ? 'yes' : 'no'} | ${fault} | ${title} |`,
  )
  return ['| Code | Status | Retryable | Fault | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

/** The page with the text between its markers replaced by `table`; throws when a marker is missing. */
export function replaceTable(page: string, table: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin === -1 || end < begin) throw new Error(`docs/errors.md has lost its markers ${BEGIN} and ${END}`)
  return `${page.slice(0, begin)}${BEGIN}\n${table}\n${page.slice(end)}`
}
