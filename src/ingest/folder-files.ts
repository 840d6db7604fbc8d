/** The files below a folder, as documents: each with its path below the folder as id. Links are never followed. */
import { opendir } from 'node:fs/promises'
import { join, matchesGlob } from 'node:path'

export interface WantedFiles {
  readonly folder: string
  /** Globs of paths below the folder; a file is taken when one of `include` and none of `exclude` matches. */
  readonly include: readonly string[]
  readonly exclude: readonly string[]
}

export interface FoundFile {
  readonly path: string
  readonly document: string
}

const filesMax = 100_000
const depthMax = 32

/** In the order the system lists them. Throws when the folder cannot be read, or holds too many files. */
export async function* filesBelow({ folder: top, include, exclude }: WantedFiles): AsyncGenerator<FoundFile> {
  const isExcluded = (document: string): boolean => exclude.some((glob) => matchesGlob(document, glob))
  const isWanted = (document: string): boolean => include.some((glob) => matchesGlob(document, glob)) && !isExcluded(document)
  let count = 0
  const folders = [{ path: top, below: '', depth: 0 }]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const entry of await opendir(folder.path)) {
      const document = folder.below === '' ? entry.name : `${folder.below}/${entry.name}`
      const path = join(folder.path, entry.name)
      if (entry.isDirectory() && folder.depth < depthMax && !isExcluded(document))
        folders.push({ path, below: document, depth: folder.depth + 1 })
      if (!entry.isFile() || !isWanted(document)) continue
      count += 1
      if (count > filesMax) throw new Error(`more than ${filesMax} files below the folder: narrow include or exclude`)
      yield { path, document }
    }
  }
}
