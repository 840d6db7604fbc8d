// Holds the documents to the project: links lead somewhere, and every command, configuration key, variable and metric that they name exists.

import { existsSync } from 'node:fs'
import { join, posix } from 'node:path'
import { expect, test } from 'vitest'
import { leafPaths } from '../src/config/key-tree.ts'
import { pathText } from '../src/config/path.ts'
import { featureKeys } from '../src/config/schema.ts'
import { listFiles, readSource, root } from './source-tree.ts'

const pages = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', 'bench/RESULTS.md', ...listFiles('docs', '.md')]
const texts = pages.map((page) => ({ page, text: readSource(page) }))

/** What `pattern` captures anywhere in the pages, with the page it stands on. */
function mentions(pattern: RegExp): { page: string; name: string }[] {
  return texts.flatMap(({ page, text }) => [...text.matchAll(pattern)].map((match) => ({ page, name: match[1] ?? '' })))
}

function unknown(found: { page: string; name: string }[], isKnown: (name: string) => boolean): string[] {
  return [...new Set(found.filter(({ name }) => !isKnown(name)).map(({ page, name }) => `${page}: ${name}`))]
}

test('the readme shows both commands as they are typed', () => {
  const readme = readSource('README.md')
  expect(readme).toContain('npm ci && npm start')
  expect(readme).toContain('npm ci && npm test')
})

test('relative links lead to files that exist', () => {
  const links = mentions(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)
  expect(
    links.filter(({ page, name }) => !existsSync(join(root, posix.dirname(page), name))).map(({ page, name }) => `${page} → ${name}`),
  ).toEqual([])
})

test('every npm script that is named exists', () => {
  const { scripts }: { scripts: Record<string, string> } = JSON.parse(readSource('package.json'))
  expect(unknown(mentions(/\bnpm run ([a-z-]+)/g), (name) => name in scripts)).toEqual([])
})

test('every configuration key that is named exists', () => {
  const keys = leafPaths().map((path) => pathText(path))
  // A secret may come from a file, by a key of the same name with `File`.
  const isKey = (name: string): boolean =>
    keys.some((key) => key === name || `${key}File` === name || key.startsWith(`${name}.`) || key.startsWith(`${name}[`))
  const sections = [...new Set(keys.map((key) => key.split('.')[0]))].join('|')
  const named = mentions(new RegExp(`\`((?:${sections})\\.[A-Za-z.]+)(?::[^\`]*)?\``, 'g'))
  // The one page tells of parts of the program, which have the names of their sections; the other names a file.
  const isElse = (page: string, name: string): boolean => page === 'docs/architecture.md' || name === 'store.lock'
  expect(
    unknown(
      named.filter(({ page, name }) => !isElse(page, name)),
      isKey,
    ),
  ).toEqual([])
})

test('every metric that is named exists', () => {
  const source = listFiles('src/observe', '.ts').map(readSource).join('\n')
  const isMetric = (name: string): boolean => [name, name.replace(/_bucket$/, '')].some((each) => source.includes(`'${each}'`))
  // The one other name of that form is a role in the database.
  expect(unknown(mentions(/\b(corral_[a-z_]+)/g), (name) => name === 'corral_tenant' || isMetric(name))).toEqual([])
})

test('every switch stands in the table of switches', () => {
  const page = readSource('docs/configuration.md')
  const stands = (key: string): boolean => page.includes(`\`${key}\``) || page.includes(`\`${key.replace(/\.\w+$/, '.…')}\``)
  expect(Object.values(featureKeys).filter((key) => !stands(key))).toEqual([])
})
