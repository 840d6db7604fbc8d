// Renders the error catalogue as the markdown table of docs/errors.md. Sorted as the catalogue is: by status.

import { hintOf } from '../src/core/error-hints.ts'
import { errorCatalogue } from '../src/core/errors.ts'

/** The table of every code: status, whether the same request may be sent again, whose fault it is, and what it means. */
export function renderErrorTable(): string {
  const rows = Object.entries(errorCatalogue).map(
    ([code, { status, retryable, fault, title }]) =>
      `| [\`${code}\`](#${code}) | ${status} | ${retryable ? 'yes' : 'no'} | ${fault} | ${title} | ${hintOf(code) ?? ''} |`,
  )
  return ['| Code | Status | Retryable | Fault | Meaning | What to do |', '|---|---|---|---|---|---|', ...rows].join('\n')
}
