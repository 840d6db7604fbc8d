/** What the paths of `corral ingest` mean: files with the ids of their documents, and pages. */
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, resolve } from 'node:path'

import { documentIdOf } from '../../core/document-id.ts'
import { filesBelow } from '../../ingest/folder-files.ts'
import { CliError, exitCodes } from '../exit-code.ts'
import { printable } from '../output.ts'

/** A document to be: a file of this machine, or a page that the gateway fetches. */
export interface GivenSource {
  /** The document's id: the path below the folder, the file's name, or what is made of the URL. */
  readonly document: string
  /** Of the file; of a page its URL. */
  readonly path: string
  readonly isPage?: true
  readonly sizeBytes: number
  /** False: it was found in a folder, among others. */
  readonly wasNamed: boolean
}

export interface WantedPaths {
  readonly paths: readonly string[]
  readonly include: readonly string[]
  readonly exclude: readonly string[]
}

/** What a page weighs in the progress, as long as nobody knows its size. */
const pageBytes = 50_000
const nameCharsMax = 63

function isUrl(path: string): boolean {
  return /^https?:\/\//i.test(path)
}

/** The collection's name where none is given: that of the one folder, else `default`. */
export async function collectionNameFor(paths: readonly string[]): Promise<string> {
  const [only = ''] = paths
  if (paths.length !== 1 || isUrl(only) || !(await isFolder(only))) return 'default'
  const name = basename(resolve(only))
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replaceAll(/^[^a-z0-9]+|-+$/g, '')
    .slice(0, nameCharsMax)
  return name === '' ? 'default' : name
}

/** Exit code 2 for a path that is not there. */
export async function isFolder(path: string): Promise<boolean> {
  return (await statOf(path)).isDirectory()
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path)
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const why = isMissing ? 'no such file or folder' : error instanceof Error ? error.message : String(error)
    throw new CliError(exitCodes.usage, `${printable(path)}: ${why}`)
  }
}

/**
 * All documents that the paths name, ordered by id. With several paths those of a folder begin with the folder's name. Exit code 2 for a
 * path that is not there, for two files with one id, and when nothing is found.
 */
export async function findSources(wanted: WantedPaths): Promise<readonly GivenSource[]> {
  const found = new Map<string, GivenSource>()
  const isOnly = wanted.paths.length === 1
  for (const path of wanted.paths) {
    for await (const source of sourcesOf(path, wanted, isOnly)) {
      const before = found.get(source.document)
      if (before !== undefined && before.path !== source.path) throw sameId(before, source)
      found.set(source.document, source)
    }
  }
  if (found.size === 0) throw new CliError(exitCodes.usage, nothingFound(wanted))
  return [...found.values()].toSorted((a, b) => (a.document < b.document ? -1 : 1))
}

/** The one source under another id. Exit code 2 where it is not one file or page that was named. */
export function renamed(sources: readonly GivenSource[], id: string): readonly GivenSource[] {
  const [only, ...more] = sources
  if (only === undefined || more.length > 0 || !only.wasNamed) throw new CliError(exitCodes.usage, '--id names one file or page')
  return [{ ...only, document: id }]
}

async function* sourcesOf(path: string, { include, exclude }: WantedPaths, isOnly: boolean): AsyncGenerator<GivenSource> {
  if (isUrl(path)) {
    yield { document: documentIdOf(path), path, isPage: true, sizeBytes: pageBytes, wasNamed: true }
    return
  }
  const top = await statOf(path)
  if (!top.isDirectory()) {
    yield { document: basename(path), path, sizeBytes: top.size, wasNamed: true }
    return
  }
  const prefix = isOnly ? '' : `${basename(resolve(path))}/`
  for await (const file of filesBelow({ folder: path, include, exclude })) {
    yield { document: prefix + file.document, path: file.path, sizeBytes: await sizeOf(file.path), wasNamed: false }
  }
}

/** A file that is gone again is told of when it is read. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size
  } catch {
    return 0
  }
}

function sameId(a: GivenSource, b: GivenSource): CliError {
  const files = `${printable(a.path)} and ${printable(b.path)}`
  return new CliError(exitCodes.usage, `${files} would both be the document ${printable(a.document)}: ingest them one after the other`)
}

function nothingFound({ paths, include, exclude }: WantedPaths): string {
  const globs = [...include.map((glob) => `--include '${glob}'`), ...exclude.map((glob) => `--exclude '${glob}'`)].join(' ')
  return `no files in ${paths.map(printable).join(', ')} with ${printable(globs)}`
}
