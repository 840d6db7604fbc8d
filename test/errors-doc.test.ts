// Holds docs/errors.md to the catalogue: every code has its own advice for the operator; `docs/reference.test.ts` holds the table.

import { expect, test } from 'vitest'
import { errorCatalogue } from '../src/core/errors.ts'
import { readSource } from './source-tree.ts'

const page = readSource('docs/errors.md')

test.for(Object.keys(errorCatalogue))('%s has its advice', (code) => {
  expect(page).toMatch(new RegExp(`^- \`${code}\`: \\S`, 'm'))
})
