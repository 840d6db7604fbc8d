/**
 * What commands print: data on stdout, messages on stderr, colour only on a terminal. A reader that closes the pipe early
 * (`| head`) ends the command quietly.
 */
import { styleText } from 'node:util'

import { wantsColour } from '../config/environment.ts'

export type Tone = 'green' | 'red' | 'yellow' | 'cyan' | 'dim' | 'bold'

/** Prints data. */
export function printData(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

/** Prints a value as indented JSON. */
export function printJson(value: unknown): void {
  printData(JSON.stringify(value, null, 2))
}

/** Prints a message for people. */
export function printMessage(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** A function that colours text for this stream, or leaves it as it is. */
export function painter(stream: { readonly isTTY?: boolean | undefined }): (tone: Tone, text: string) => string {
  const colour = wantsColour(stream)
  return (tone, text) => (colour ? styleText(tone, text, { validateStream: false }) : text)
}

// oxlint-disable-next-line no-control-regex
const escapes = /\u001b\[[0-9;]*m/g

/** Columns that `text` takes on a terminal, without its colours. */
export function widthOf(text: string): number {
  return text.replace(escapes, '').length
}

/** The longest line that leaves the last column free. Where nobody told the terminal its size (0 columns, or none) it is taken for 80 wide. */
export function lineColumnsMax({ columns = 0 }: { readonly columns?: number }): number {
  return (columns > 0 ? columns : 80) - 1
}

/** What came from outside, safe to print: control characters become `?`. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?')
}

/** Rows as aligned columns; the last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, widthOf(cell))
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, index) => (index === row.length - 1 ? cell : cell + ' '.repeat((widths[index] ?? 0) - widthOf(cell))))
      .join('  ')
      .trimEnd()
  return rows.map(line).join('\n')
}

/** Ends quietly when the reader of stdout is gone: `corral config show | head`. */
export function endOnClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0)
  })
}

/** Goes on when nobody reads what is printed any more: a gateway outlives its terminal and its log collector. */
export function goOnWithoutReaders(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}
