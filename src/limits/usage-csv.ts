/**
 * Rows of usage as CSV (RFC 4180): a line of names, then a line per row, with CRLF. A cell that a spreadsheet would run as a formula
 * gets a quote in front, since names of models and subjects are what clients sent.
 */
/** `columns` in their order; a name that a row does not have is an empty cell. */
export function writeCsv(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  return lineOf(columns) + writeCsvRows(columns, rows)
}

/** The same without the line of names: what follows an earlier part. */
export function writeCsvRows(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  return rows.map((row) => lineOf(columns.map((column) => row[column]))).join('')
}

function lineOf(values: readonly unknown[]): string {
  return `${values.map(cellOf).join(',')}\r\n`
}

function cellOf(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const safe = typeof value === 'string' && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
