// `npm run reference`: writes what the pages of docs/ have from the source: the catalogue of errors, the keys of the configuration and the
// tree of commands. `test/errors-doc.test.ts` and `test/docs/reference.test.ts` hold them in step.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { referencePages } from './reference-pages.ts'
import { replacePart } from './written-part.ts'

for (const { page, render } of referencePages) {
  const file = join(import.meta.dirname, '..', page)
  writeFileSync(file, replacePart(readFileSync(file, 'utf8'), render()))
  console.log(`written ${page}`)
}
