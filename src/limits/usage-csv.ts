/**
 * Rows of usage as CSV (RFC 4180): a line of names, then a line per row, with CRLF. A cell that a spreadsheet would run as a formula
 * gets a quote in front, since names of models and subjects are what clients sent.
 */
/** `columns` in their order; a name that a row does not have is an empty cell. */
export function writeCsv(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const lines = rows.map((row) => columns.map((column) => cellOf(row[column])))
  return [columns.map((column) => cellOf(column)), ...lines].map((cells) => `${cells.join(',')}\r\n`).join('')
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
