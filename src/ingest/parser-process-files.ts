/** Where the program of a parser process lies, in a checkout and in `dist/`, and which folders it must be able to read to start. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** In `dist/` the entry lies beside this file (`scripts/build.ts`), in a checkout one folder below. */
export function parserEntry(): URL {
  return import.meta.url.endsWith('.ts')
    ? new URL('./parse/parser-child.ts', import.meta.url)
    : new URL('./parser-child.js', import.meta.url)
}

/** The code of the package itself (`src` or `dist`, not what lies beside them) and of its dependencies, wherever npm has put them. */
export function readableFolders(entry: string): string[] {
  const above: string[] = []
  for (let folder = dirname(entry); above.at(-1) !== folder; folder = dirname(folder)) above.push(folder)
  const own = above.findIndex((folder) => existsSync(join(folder, 'package.json')))
  const code = above[own - 1] ?? dirname(entry)
  const beside = above.flatMap((folder) => [join(folder, 'package.json'), join(folder, 'node_modules')]).filter((path) => existsSync(path))
  return [join(code, '*'), ...beside.map((path) => (path.endsWith('node_modules') ? join(path, '*') : path))]
}
