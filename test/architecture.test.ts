// Holds the level table: a file imports its own folder and lower levels, never a sibling on its level, never upward. Also holds which files
// alone may touch undici, hono, process.env, the clock and timers. A breach is mended in the source, never by widening a list here.

import { expect, test } from 'vitest'
import { lintWith, listFiles, readImports, type ImportEdge, readSource } from './source-tree.ts'

const LEVELS: Readonly<Record<string, number>> = {
  base: 0,
  core: 1,
  wire: 2,
  observe: 2,
  store: 2,
  fleet: 3,
  cache: 3,
  identity: 3,
  limits: 3,
  search: 3,
  ingest: 3,
  insight: 3,
  answer: 4,
  http: 5,
  config: 6,
  rag: 6,
  'migrations.ts': 6,
  'durable.ts': 7,
  'app.ts': 7,
  'main.ts': 8,
  cli: 8,
}
const SIM_MAY_IMPORT = new Set(['base', 'core', 'wire', 'sim'])
const OUTSIDE = new Set(['package.json', 'config/schema.json'])
const HIGHEST = 8

/** The console is a program for browsers with a build of its own; it knows the gateway over HTTP only, and words of `core`. */
const isConsole = (file: string): boolean => file.startsWith('src/console/')
const files = listFiles('src', '.ts').filter((file) => !isConsole(file))
const consoleEdges = [...listFiles('src/console', '.ts'), ...listFiles('src/console', '.tsx')].flatMap(readImports)
const edges = files.flatMap(readImports)
const inner = edges.filter((edge) => edge.relative)

/** The part of the tree a file belongs to: its folder directly below src, or its own name at the top. */
function partOf(file: string): string {
  return file.split('/')[1] ?? ''
}

/** Why the import is not allowed, or undefined when it is. */
function breachOf({ file, target }: ImportEdge): string | undefined {
  const from = partOf(file)
  const to = partOf(target)
  if (!target.startsWith('src/')) return OUTSIDE.has(target) ? undefined : 'leaves src'
  if (from === to) return undefined
  if (from === 'sim') return SIM_MAY_IMPORT.has(to) ? undefined : 'sim imports only base, core and wire'
  const fromLevel = LEVELS[from] ?? -1
  if (to === 'sim') return fromLevel >= HIGHEST ? undefined : 'sim is imported only by entry points'
  const toLevel = LEVELS[to] ?? HIGHEST + 1
  if (toLevel < fromLevel) return undefined
  return fromLevel === HIGHEST && from === 'main.ts' ? undefined : `level ${fromLevel} imports level ${toLevel}`
}

/** Strongly connected groups of files with more than one member, found by Tarjan's algorithm. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>()
  const lowest = new Map<string, number>()
  const stack: string[] = []
  const cycles: string[][] = []
  const visit = (file: string): number => {
    const index = order.size
    order.set(file, index)
    let low = index
    stack.push(file)
    for (const next of graph.get(file) ?? []) {
      if (!order.has(next)) low = Math.min(low, visit(next))
      else if (stack.includes(next)) low = Math.min(low, order.get(next) ?? index)
    }
    lowest.set(file, low)
    if (low === index) {
      const group = stack.splice(stack.indexOf(file))
      if (group.length > 1) cycles.push(group)
    }
    return low
  }
  for (const file of graph.keys()) if (!order.has(file)) visit(file)
  return cycles
}

/** Files that import the package, by its name or one of its subpaths. */
function importersOf(name: string): string[] {
  const users = edges.filter(({ specifier }) => specifier === name || specifier.startsWith(`${name}/`)).map(({ file }) => file)
  return [...new Set(users)]
}

test('every part of src has a level', () => {
  const unknown = files.map(partOf).filter((part) => part !== 'sim' && !(part in LEVELS))
  expect([...new Set(unknown)]).toEqual([])
})

test('imports go to the own folder or to a lower level', () => {
  const breaches = inner.flatMap((edge) => {
    const breach = breachOf(edge)
    return breach === undefined ? [] : [`${edge.file} → ${edge.target}: ${breach}`]
  })
  expect(breaches).toEqual([])
})

test('imports carry the extension and reach a file that exists', () => {
  const known = new Set([...files, ...OUTSIDE])
  expect(inner.filter(({ target }) => !known.has(target)).map(({ file, specifier }) => `${file} → ${specifier}`)).toEqual([])
})

/** A file of words alone: nothing of it is left where types are stripped, so nothing of it is built into the console. */
function isWordsOfCore(file: string): boolean {
  return file.startsWith('src/core/') && readImports(file).length === 0 && !/^export (?!interface |type )/m.test(readSource(file))
}

/** A file of base that needs nothing else; that it asks nothing of Node either, the console's own tsconfig checks. */
function isAloneInBase(file: string): boolean {
  return file.startsWith('src/base/') && readImports(file).length === 0
}

test('the console imports itself, what its page is made with, words of core, and what stands alone in base', () => {
  const packages = new Set(['react', 'react-dom/client', '@tanstack/react-query', '@tanstack/react-virtual'])
  const mayImport = (file: string): boolean => isConsole(file) || isWordsOfCore(file) || isAloneInBase(file)
  const foreign = consoleEdges.filter(({ relative, target }) => !(relative ? mayImport(target) : packages.has(target)))
  expect(foreign.map(({ file, specifier }) => `${file} → ${specifier}`)).toEqual([])
  expect(consoleEdges.length).toBeGreaterThan(0)
})

test('there is no import cycle', () => {
  const graph = new Map(files.map((file) => [file, inner.filter((edge) => edge.file === file).map(({ target }) => target)]))
  expect(findCycles(graph)).toEqual([])
})

test('undici is imported only by the transport and by what fetches documents', () => {
  const allowed = new Set(['src/fleet/transport.ts', 'src/ingest/fetch-url.ts'])
  expect(importersOf('undici').filter((file) => !allowed.has(file))).toEqual([])
})

test('hono is imported only by the surfaces and the composition root', () => {
  const users = [...importersOf('hono'), ...importersOf('@hono/node-server')]
  expect(users.filter((file) => file !== 'src/app.ts' && !file.startsWith('src/http/'))).toEqual([])
})

test('the test runner and the development tools stay out of src', () => {
  const tools = [
    'vitest',
    'fast-check',
    'typescript',
    'esbuild',
    'vite',
    'react',
    'playwright-core',
    'axe-core',
    'ollama',
    'openai',
    '@anthropic-ai/sdk',
    '@langchain/core',
    '@langchain/ollama',
  ]
  expect(tools.flatMap(importersOf)).toEqual([])
})

const findings = lintWith('test/architecture-oxlintrc.json', ['src'])
  .filter(({ file }) => !isConsole(file))
  .map((finding) => ({
    ...finding,
    place: `${finding.file}:${finding.line} ${finding.message}`,
  }))

test('process.env is read only by config', () => {
  const readers = findings.filter(({ rule, message }) => rule === 'no-restricted-properties' && message.includes('env'))
  expect(readers.filter(({ file }) => !file.startsWith('src/config/')).map(({ place }) => place)).toEqual([])
})

test('time and timers come only from base/clock.ts', () => {
  const users = findings.filter(({ rule, message }) => !(rule === 'no-restricted-properties' && message.includes('env')))
  expect(users.filter(({ file }) => file !== 'src/base/clock.ts').map(({ place }) => place)).toEqual([])
})
