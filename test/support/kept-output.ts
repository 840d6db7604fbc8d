/**
 * Keeps what a gateway of a test said for the end of the run, where it is searched for secrets (`scripts/test.ts`). Nothing outside of such a run.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder that the run looks into, by the name of its variable. */
const folder = process.env['CORRAL_TEST_OUTPUT']

/** Keeps the next piece of what `source` says: the name of a file. */
export function keepOutput(source: string, text: string): void {
  if (folder !== undefined) appendFileSync(join(folder, source), text)
}
