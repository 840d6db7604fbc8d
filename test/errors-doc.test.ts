// Holds docs/errors.md to the catalogue: every code has a section with advice for the operator; `docs/reference.test.ts` holds the table.

import { expect, test } from 'vitest'
import { errorCatalogue } from '../src/core/errors.ts'
import { readSource } from './source-tree.ts'

const page = readSource('docs/errors.md')

const codes = Object.keys(errorCatalogue)

test.for(codes)('%s has its section', (code) => {
  expect(page).toMatch(new RegExp(`^### ${code}\n\n\\S.{20,}`, 'm'))
})

test('every section is of a code', () => {
  const sections = [...page.matchAll(/^### (.+)$/gm)].map(([, name = '']) => name)
  expect(sections.toSorted()).toEqual(codes.toSorted())
})
