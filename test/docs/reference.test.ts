// Holds the reference pages to the source they are made from, and to completeness.
import { expect, test } from 'vitest'

import { referencePages } from '../../scripts/reference-pages.ts'
import { replacePart } from '../../scripts/written-part.ts'
import { exitCodes } from '../../src/cli/exit-code.ts'
import { createProgram } from '../../src/cli/program.ts'
import { leafPaths } from '../../src/config/key-tree.ts'
import { pathText } from '../../src/config/path.ts'
import { readSource } from '../source-tree.ts'

test.for(referencePages)('$page is what the source says (npm run reference writes it)', ({ page, render }) => {
  const text = readSource(page)
  expect(text).toBe(replacePart(text, render()))
})

test('every key of the configuration has a row with a meaning', () => {
  const page = readSource('docs/reference/configuration.md')
  const bare = leafPaths()
    .map((path) => pathText(path))
    .filter(
      (key) =>
        !new RegExp(`^\\| \`${key.replaceAll('.', '\\.')}\` \\| [^|]+ \\| [^|]+ \\| \`CORRAL_[A-Z0-9_]+\` \\| .*[a-z]{3}`, 'm').test(page),
    )
  expect(bare).toEqual([])
})

test('every command and every exit code has its place', () => {
  const page = readSource('docs/reference/cli.md')
  for (const command of createProgram().commands) {
    expect(page).toContain(`\n## corral ${command.name()}\n`)
    for (const child of command.commands) expect(page).toContain(`\n### corral ${command.name()} ${child.name()}\n`)
  }
  for (const code of Object.values(exitCodes)) expect(page).toContain(`\n| ${code} |`)
})

test('a page that lost its markers is told, not overwritten', () => {
  expect(() => replacePart('# A page', 'text')).toThrow('lost its markers')
})
