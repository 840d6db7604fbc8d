/** What an ingest says at its end: what became of the documents, which were not taken and why, and what to do about it. */
import { painter, printable, printData, printMessage } from '../output.ts'
import { hintOf } from '../../core/error-hints.ts'
import { timeText } from './eta.ts'
import { countText, numberText } from './ingest-progress.ts'
import type { Failure, Tally } from './ingest-tally.ts'

const failuresShownMax = 20
const messageCharsMax = 300

export interface Finished {
  readonly collection: string
  readonly tally: Tally
  readonly elapsedMs: number
  readonly json: boolean
}

/** Prints the end. */
export function reportIngest({ collection, tally, elapsedMs, json }: Finished): void {
  const { documents, counts, chunks, failures } = tally
  if (json) {
    const listed = failures.map((failure) => ({ ...failure, hint: hintOf(failure.code) }))
    printData(
      JSON.stringify({ event: 'done', collection, documents, ...counts, chunks, elapsedMs: Math.round(elapsedMs), failures: listed }),
    )
    return
  }
  printMessage(`${printable(collection)}: ${summaryOf(tally)} in ${timeText(elapsedMs)}`)
  reportFailures(failures)
}

function summaryOf({ counts, chunks, documents, over }: Tally): string {
  const parts = [
    counts.written > 0 ? `${countText(counts.written, 'document')} written (${countText(chunks, 'chunk')})` : '',
    counts.unchanged > 0 ? `${numberText(counts.unchanged)} unchanged` : '',
    counts.duplicate > 0 ? `${numberText(counts.duplicate)} of the same content as another` : '',
    counts.skipped > 0 ? `${numberText(counts.skipped)} skipped, of no type that can be read` : '',
    counts.cancelled > 0 ? `${numberText(counts.cancelled)} cancelled` : '',
    counts.failed > 0 ? `${numberText(counts.failed)} failed` : '',
    over < documents ? `${numberText(documents - over)} not done` : '',
  ]
  return parts.filter((part) => part !== '').join(', ')
}

/** One line per document, then once per reason what helps. */
function reportFailures(failures: readonly Failure[]): void {
  const paint = painter(process.stderr)
  for (const { document, code, message } of failures.slice(0, failuresShownMax)) {
    printMessage(
      `  ${paint('red', 'failed')} ${printable(document)}: ${printable(message).slice(0, messageCharsMax)} ${paint('dim', `(${code})`)}`,
    )
  }
  if (failures.length > failuresShownMax) {
    printMessage(`  … and ${numberText(failures.length - failuresShownMax)} more: "corral jobs ls --state failed" lists them`)
  }
  for (const code of new Set(failures.map((failure) => failure.code))) {
    const hint = hintOf(code)
    if (hint !== null) printMessage(`  ${paint('yellow', 'hint')}   ${code}: ${hint}`)
  }
}
