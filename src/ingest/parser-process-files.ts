/** Where the program of a parser process lies, in a checkout and in `dist/`, and which folders it must be able to read to start. */
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'

/** What the parsers import: where these really lie decides whether the list of folders can be short. */
const dependencies = [
  '@mozilla/readability',
  'chardet',
  'csv-parse',
  'file-type',
  'linkedom',
  'markdown-it',
  'postal-mime',
  'saxes',
  'unpdf',
  'yauzl',
  'zod',
] as const

/** In `dist/` the entry lies beside this file (`scripts/build.ts`), in a checkout one folder below. */
export function parserEntry(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('./parse/parser-child.ts', import.meta.url)
    : new URL('./parser-child.js', import.meta.url)
}

/**
 * The code of the package itself (`src` or `dist`, not what lies beside them) and of its dependencies, wherever npm has put them. `*` where a
 * package manager links dependencies to a store elsewhere: the process may then read, but still not write, start or connect to anything.
 */
export function readableFolders(entry: string): string[] {
  const above: string[] = []
  for (let folder = dirname(entry); above.at(-1) !== folder; folder = dirname(folder)) above.push(folder)
  const own = above.findIndex((folder) => existsSync(join(folder, 'package.json')))
  const code = above[own - 1] ?? dirname(entry)
  const modules = above.map((folder) => join(folder, 'node_modules')).filter(existsSync)
  const real = modules.map((folder) => realpathSync(folder))
  if (!dependencies.every((name) => isInside(modules, real, name))) return ['*']
  const manifests = above.map((folder) => join(folder, 'package.json')).filter(existsSync)
  return [join(code, '*'), ...manifests, ...new Set([...modules, ...real].map((folder) => join(folder, '*')))]
}

/** Whether the first copy of a dependency that Node finds lies where its folder says. */
function isInside(modules: readonly string[], real: readonly string[], name: string): boolean {
  const found = modules.map((folder) => join(folder, name)).find((path) => existsSync(path))
  if (found === undefined) return false
  const target = realpathSync(found)
  return real.some((folder) => target.startsWith(folder + sep))
}
