// Writes the table of docs/errors.md from the catalogue in src/core/errors.ts, between the two marker lines of that page.
// The words around the table and the advice per code are written by hand; the test `test/errors-doc.test.ts` holds both in step.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderErrorTable, replaceTable } from './errors-table.ts'

const page = join(import.meta.dirname, '../docs/errors.md')
writeFileSync(page, replaceTable(readFileSync(page, 'utf8'), renderErrorTable()))
console.log('written docs/errors.md')
