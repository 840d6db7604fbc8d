// Holds docs/errors.md to the catalogue: every code has its row with the right figures, and its own advice for the operator.

import { expect, test } from 'vitest'
import { renderErrorTable, replaceTable } from '../scripts/errors-table.ts'
import { errorCatalogue } from '../src/core/errors.ts'
import { readSource } from './source-tree.ts'

const page = readSource('docs/errors.md')

test('the table is what the catalogue says', () => {
  expect(page).toBe(replaceTable(page, renderErrorTable()))
})

test.for(Object.keys(errorCatalogue))('%s has its advice', (code) => {
  expect(page).toMatch(new RegExp(`^- \`${code}\`: \\S`, 'm'))
})
