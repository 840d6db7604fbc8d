// Writes test/tidy-baseline.json from what is counted now. The list may only shrink: a new or larger exception is refused, unless `--start`
// is given to make the first list.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BASELINE_FILE, countExceptions, readBaseline } from '../test/tidy-rules.ts'
import { root } from '../test/source-tree.ts'

const counted = Object.entries(countExceptions()).map(([place, { count }]) => [place, count] as const)
const allowed = process.argv.includes('--start') ? undefined : readBaseline()
const grown = counted.filter(([place, count]) => allowed !== undefined && count > (allowed[place] ?? 0))
if (grown.length > 0) {
  console.error(`not written, these grew:\n${grown.map(([place, count]) => `  ${place}: ${count}`).join('\n')}`)
  process.exit(1)
}
const sorted = Object.fromEntries(counted.toSorted(([left], [right]) => (left < right ? -1 : 1)))
writeFileSync(join(root, BASELINE_FILE), `${JSON.stringify(sorted, null, 2)}\n`)
console.log(`${counted.length} exceptions listed in ${BASELINE_FILE}`)
